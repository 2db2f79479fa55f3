"""Errors of a config's entries with the key of what is wrong in them.

A registry passes the entries of a ``dict(type=...)`` to a class. What that class has no argument
for is Python's ``TypeError``, which says neither where in the config it stands nor what there is.
"""

import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from inspect import Parameter, isclass, signature
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry

DUPLICATE = 'Duplicate key is not allowed among bases'
UNEXPECTED = re.compile(r"got an unexpected keyword argument '(\w+)'")
MISSING = re.compile(r'missing \d+ required (?:positional|keyword-only) arguments?: (.*)')
# Names that a message lists.
SHOWN = 12
PACKAGE = Path(__file__).parents[1]


class ConfigError(Exception):
    """What is wrong with an entry of a config, and where, as far as that is known yet.

    Args:
        entry (Mapping): The ``dict(type=...)``.
        argument (str, optional): The key within it. Defaults to None, the entry itself.
        text (str): What is wrong, and what to write.
    """

    def __init__(self, entry: Mapping, argument: str | None, text: str) -> None:
        super().__init__(text)
        self.entry, self.argument, self.text = entry, argument, text
        self.keys = [argument] if argument else []

    def __str__(self) -> str:
        return f'{", ".join(self.keys)}: {self.text}' if self.keys else self.text

    def locate(self, config: Any) -> None:
        """Find the entry in a config, or in a part of one, and say so in the message.

        An entry may have been copied and changed meanwhile: those that have most in common are
        meant, which may be several, such as a transform of both pipelines.
        """
        config = config.to_dict() if isinstance(config, Config) else config
        found = list(places(config, self.entry, self.argument))
        best = max((score for _, score in found), default=None)
        keys = [f'{key}.{self.argument or ""}'.strip('.') for key, s in found if s == best]
        self.keys = keys or self.keys


class ConfigTypeError(ConfigError, TypeError):
    """An argument that there is not, or one that is missing."""


class ConfigKeyError(ConfigError, KeyError):
    """A ``type`` that there is not."""

    __str__ = ConfigError.__str__


def places(
    node: Any, entry: Mapping, argument: str | None, key: str = ''
) -> Iterator[tuple[str, int]]:
    """Keys of what could be the entry, and how much it has in common with it."""
    if isinstance(node, Mapping):
        is_candidate = argument in node if argument else 'type' in node
        if is_candidate and same_type(node, entry):
            common = [name for name in entry if name in node]
            score = sum(repr(node[name]) == repr(entry[name]) for name in common)
            yield key, 2 * score - len(set(node) ^ set(entry))
        for name, value in node.items():
            yield from places(value, entry, argument, f'{key}.{name}'.strip('.'))
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for index, value in enumerate(node):
            yield from places(value, entry, argument, f'{key}.{index}'.strip('.'))


def same_type(node: Mapping, entry: Mapping) -> bool:
    """Whether two entries may name the same class.

    A default may have been added, and MMRazor adds ``Recorder`` to what an entry names.
    """
    if 'type' not in node:
        return True
    names = [
        kind.rpartition('.')[2] if isinstance(kind, str) else getattr(kind, '__name__', str(kind))
        for kind in (node['type'], entry.get('type', ''))
    ]
    return names[1] in (names[0], f'{names[0]}Recorder', f'{names[0]}Delivery')


def explain(registry: Registry, entry: Mapping, error: Exception) -> ConfigError | None:
    """The error of a registry's ``build`` with its key, or None if it is about something else."""
    if isinstance(error, ConfigError):
        error.locate(entry)
        return error
    if not isinstance(entry, Mapping) or 'type' not in entry:
        return None
    kind = entry['type']
    with registry.switch_scope_and_registry(entry.get('_scope_')) as found:
        built = found.get(kind) if isinstance(kind, str) else kind
        if built is None:
            if not isinstance(error, KeyError) or f'{kind} is not in' not in str(error):
                return None
            names = names_around(found)
            close = near(str(kind).rpartition('.')[2], sorted(names))
            close = [names[name] for name in close]
            text = f'{kind!r} is not in the {found.scope}::{found.name} registry; '
            return ConfigKeyError(entry, 'type', f'{text}did you mean one of {close}?')
    if not isinstance(error, TypeError):
        return None
    name, text = getattr(built, '__name__', str(built)), str(error)
    unexpected, missing = UNEXPECTED.search(text), MISSING.search(text)
    if unexpected and unexpected[1] in entry:
        close = near(unexpected[1], arguments_of(built))
        text = f'did you mean one of {close}?' if close else 'it has none at all'
        text = f'{name} has no such argument; {text}'
        return ConfigTypeError(entry, unexpected[1], text)
    if missing:
        lacking = [word for word in re.findall(r"'(\w+)'", missing[1]) if word not in entry]
        if lacking and set(lacking) <= set(arguments_of(built)):
            return ConfigTypeError(entry, None, f'{name} needs {lacking}, too')
    return None


def explain_bases(
    bases: Sequence[tuple[str, Sequence[str]]], error: KeyError
) -> ConfigKeyError | None:
    """The error of a config two of whose bases have a key in common, which names them.

    Args:
        bases (Sequence[tuple]): The file of each base that was read, and its keys.
        error (KeyError): What was raised while reading a config.

    Returns:
        ConfigKeyError | None: None if the error is about something else.
    """
    if isinstance(error, ConfigError) or DUPLICATE not in str(error):
        return None
    *others, (last, keys) = bases
    shared = {file: [key for key in known if key in keys] for file, known in others}
    shared = {file: common for file, common in shared.items() if common}
    files = ['/'.join(Path(file).parts[-2:]) for file in (*shared, last)]
    common = list(dict.fromkeys(key for found in shared.values() for key in found))
    text = f'{files} share the keys {common}, which bases of one config must not: '
    if any(file.endswith('default_runtime.py') for file in files):
        text += 'leave out default_runtime.py, because each part in `_base_/distillers` includes it'
    else:
        text += 'leave one out, or let one of them inherit the other by its own `_base_`'
    found = ConfigKeyError({}, None, text)
    found.keys = ['_base_']
    return found


def near(name: str, known: Sequence[str]) -> list[str]:
    """The names that are most like one, or the first of them."""
    return get_close_matches(name, known, n=3) or list(known)[:SHOWN]


def names_around(registry: Registry) -> dict[str, str]:
    """Names of what a registry finds, and as what a config has to name it."""
    reached = [registry]
    while reached[-1].parent is not None:
        reached.append(reached[-1].parent)
    names = {}
    for child in reached[-1].children.values():
        names.update({name: f'{child.scope}.{name}' for name in child.module_dict})
    for own in reversed(reached):
        names.update({name: name for name in own.module_dict})
    return names


def arguments_of(built: Any) -> list[str]:
    """Names of the arguments that a class takes, those of its bases included where it passes on."""
    calls = [built]
    if isclass(built):
        calls = [vars(base)['__init__'] for base in built.mro() if '__init__' in vars(base)]
    names = []
    for call in calls:
        parameters = signature(call).parameters.values()
        names += [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        if not any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
            break
    return [name for name in dict.fromkeys(names) if name != 'self']


def explain_settings(config: Mapping, error: TypeError) -> ConfigTypeError | None:
    """The same for what no registry builds, loops and data loaders, and what a hook passes on."""
    unexpected = UNEXPECTED.search(str(error))
    if unexpected is None:
        return None
    name = unexpected[1]
    sections = {key: part for key, part in config.items() if key.endswith(('_cfg', '_dataloader'))}
    hooks = config.get('default_hooks') or {}
    sections.update({f'default_hooks.{key}': hook for key, hook in hooks.items()})
    keys = [
        f'{section}.{name}'
        for section, settings in sections.items()
        if isinstance(settings, Mapping) and name in settings
    ]
    if not keys:
        return None
    found = ConfigTypeError({}, name, f'there is no such setting: {error}')
    found.keys = keys
    return found


def one_line(error: BaseException) -> str:
    """An error in one line: what it says and, unless this package says it, where."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    # A registry goes on with a link.
    text = ' '.join(str(text).split()).partition(' More details can be found')[0] or 'no message'
    frame = traceback.extract_tb(error.__traceback__)[-1]
    path = Path(frame.filename)
    if PACKAGE in path.parents:
        return text
    return f'{text} ({type(error).__name__}, {path.name}:{frame.lineno})'
