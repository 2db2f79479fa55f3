"""Write ``docs/api.md`` from the docstrings of all classes that this package registers.

    python .dev_scripts/api_reference.py [--write]

Without ``--write`` it prints the page.
"""

import argparse
import inspect
from collections.abc import Iterator
from pathlib import Path

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm

import mmpretrain.registry
import mmrazor.registry
from mmengine.registry import Registry

PAGE = Path(__file__).resolve().parents[1] / 'docs/api.md'
HEAD = """\
# API

Every class that `import amkd_mm` registers, by registry, with its docstring as it is in the code.
A config names one as `dict(type='NAME', ...)`, or with its scope, `dict(type='mmrazor.NAME', ...)`,
where another is the default.
Written by `python .dev_scripts/api_reference.py --write`.
"""


def registered() -> dict[str, list[type]]:
    """The package's classes by registry."""
    found = {}
    for scope in (mmrazor, mmpretrain):
        for name, registry in sorted(vars(scope.registry).items()):
            if isinstance(registry, Registry):
                classes = {item for item in registry.module_dict.values() if is_ours(item)}
                found[f'{scope.__name__}.registry.{name}'] = sorted(classes, key=name_of)
    return {name: classes for name, classes in found.items() if classes}


def is_ours(item: object) -> bool:
    """Whether it is a class of this package."""
    if not inspect.isclass(item):
        return False
    package, _, module = item.__module__.partition('.')
    # A benchmark registers more, but only for itself.
    return package == amkd_mm.__name__ and not module.startswith('benchmarking')


def name_of(item: type) -> str:
    """Its name, to sort by."""
    return item.__name__


def bases(groups: dict[str, list[type]]) -> list[type]:
    """Classes of this package that registered ones inherit from, and that are not registered."""
    classes = {item for group in groups.values() for item in group}
    parents = {parent for item in classes for parent in item.__mro__ if is_ours(parent)}
    return sorted(parents - classes, key=name_of)


def signature(item: type, name: str | None = None) -> str:
    """Arguments and defaults of a class or, by name, of its method; types are in the docstring."""
    found = inspect.signature(getattr(item, name) if name else item)
    arguments = [
        argument.replace(annotation=inspect.Parameter.empty)
        for argument in found.parameters.values()
        if argument.name != 'self'
    ]
    found = found.replace(parameters=arguments, return_annotation=inspect.Signature.empty)
    return f'{name or item.__name__}{found}'


def methods(item: type) -> Iterator[str]:
    """Public methods that the class itself defines, and whose arguments are documented."""
    for name, value in vars(item).items():
        is_public = name == '__call__' or not name.startswith('_')
        if is_public and inspect.isfunction(value) and 'Args:' in (value.__doc__ or ''):
            yield name


def entry(item: type) -> list[str]:
    """Lines on a class: its module, its docstring, and those of its methods."""
    lines = [f'### {item.__name__}', '', f'`{item.__module__}`', '']
    lines += ['```text', signature(item), '', inspect.getdoc(item), '```', '']
    for name in methods(item):
        text = inspect.getdoc(getattr(item, name))
        lines += ['```text', signature(item, name), '', text, '```', '']
    return lines


def page() -> str:
    """The page."""
    groups = registered()
    lines = [HEAD]
    for title, classes in [*groups.items(), ('Base classes', bases(groups))]:
        lines += [f'## {title}', '', *(line for item in classes for line in entry(item))]
    return '\n'.join(lines).rstrip() + '\n'


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--write', action='store_true', help='write docs/api.md')
    if parser.parse_args().write:
        PAGE.write_text(page())
    else:
        print(page(), end='')


if __name__ == '__main__':
    main()
