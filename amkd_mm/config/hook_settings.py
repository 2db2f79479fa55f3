"""The hooks of a config, wherever they stand."""

from collections.abc import Iterator, Mapping

from mmengine.config import Config
from mmengine.registry import HOOKS

from .classes import class_of


def hook_settings(cfg: Config, kind: type) -> Iterator[tuple[type, dict]]:
    """The hooks of a class, in the Runner's order: ``default_hooks``, then ``custom_hooks``.

    Args:
        cfg (Config): Of a training.
        kind (type): The class; those of its subclasses are found, too.

    Yields:
        tuple: The class of a hook and its arguments, without ``type``.
    """
    named = (cfg.get('default_hooks') or {}).values()
    for settings in [*named, *(cfg.get('custom_hooks') or [])]:
        # A hook that is switched off is None.
        if isinstance(settings, Mapping) and issubclass(class_of(HOOKS, settings), kind):
            arguments = {k: v for k, v in settings.items() if k not in ('type', '_scope_')}
            yield class_of(HOOKS, settings), arguments
