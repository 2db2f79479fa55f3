"""A page for each subpackage with public names, from the docstrings, in ``docs/api`` at build time.

Public is what ``__all__`` of the subpackage names, what it registers for configs, and the classes
of this package that those inherit from.
"""

import inspect
import pkgutil
import shutil
from importlib import import_module
from pathlib import Path

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm

import mmpretrain.registry
import mmrazor.registry
from mmengine.registry import Registry


def registered():
    """Registry, such as ``mmrazor.registry.HOOKS``, of each registered class of this package."""
    return {
        item: f'{scope.__name__}.registry.{name}'
        for scope in (mmrazor, mmpretrain)
        for name, registry in vars(scope.registry).items()
        if isinstance(registry, Registry)
        for item in registry.module_dict.values()
        if inspect.isclass(item) and subpackage(item)
    }


def subpackage(item):
    """Which one of this package defines it, or None."""
    package, _, rest = item.__module__.partition('.')
    return rest.partition('.')[0] if package == amkd_mm.__name__ else None


def public():
    """Names of classes and functions by subpackage, as they are imported."""
    found = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(amkd_mm.__path__)):
        module = import_module(f'amkd_mm.{name}')
        for item in map(vars(module).get, getattr(module, '__all__', ())):
            if inspect.isclass(item) or inspect.isfunction(item):
                found[item] = f'{module.__name__}.{item.__name__}'
    classes = {parent for item in registered() for parent in item.__mro__ if subpackage(parent)}
    for item in classes - found.keys():
        found[item] = f'{item.__module__}.{item.__qualname__}'
    pages = {}
    for item, name in sorted(found.items(), key=lambda pair: pair[1].rpartition('.')[2].lower()):
        pages.setdefault(subpackage(item), []).append((item, name))
    return dict(sorted(pages.items()))


def page(name, items):
    """The source of a page, in reStructuredText."""
    title = f'amkd_mm.{name}'
    registries = registered()
    lines = [title, '=' * len(title), '', inspect.getdoc(import_module(title)) or '', '']
    for item, path in items:
        kind = 'autoclass' if inspect.isclass(item) else 'autofunction'
        lines += [f'.. {kind}:: {path}']
        lines += ['   :members:', '   :show-inheritance:'] if kind == 'autoclass' else []
        lines += ['', f'   Registered in ``{registries[item]}``.'] if item in registries else []
        lines += ['']
    return '\n'.join(lines)


def write(app):
    """Write all pages anew."""
    folder = Path(app.srcdir) / 'docs/api'
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, items in public().items():
        (folder / f'{name}.rst').write_text(page(name, items), encoding='utf-8')


def leave_out(app, what, name, item, skip, options):
    """Fields of named tuples, which their class describes, and what a Runner calls of hooks."""
    is_field = (getattr(item, '__doc__', '') or '').startswith('Alias for field')
    return True if is_field or name.startswith(('before_', 'after_')) else None


def setup(app):
    """Called by Sphinx."""
    app.connect('builder-inited', write)
    app.connect('autodoc-skip-member', leave_out)
    return dict(parallel_read_safe=True)
