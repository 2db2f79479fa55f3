"""The classes that entries of a config name."""

from collections.abc import Mapping
from inspect import isclass

from mmengine.registry import Registry


def class_name(settings: Mapping) -> str:
    """Name of the class of a ``dict(type=...)``, without its scope; ``''`` if it names none."""
    kind = settings.get('type', '')
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__


def class_of(registry: Registry, settings: Mapping) -> type:
    """The class that a ``dict(type=...)`` names, or ``object`` if there is none."""
    kind = settings.get('type')
    if isinstance(kind, str):
        with registry.switch_scope_and_registry(settings.get('_scope_')) as found:
            kind = found.get(kind)
    return kind if isclass(kind) else object
