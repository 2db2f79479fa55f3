"""Settings of hooks in a config, wherever it has them."""

from collections.abc import Mapping


def hook_settings(cfg: Mapping) -> list[dict]:
    """The hooks of a config in the order in which a Runner registers them.

    Args:
        cfg (Mapping): A config, such as MMEngine's ``Config``.

    Returns:
        list[dict]: Those that ``default_hooks`` has by name, without what is None there, and then
        those of ``custom_hooks``.
    """
    named = (cfg.get('default_hooks') or {}).values()
    return [hook for hook in (*named, *(cfg.get('custom_hooks') or ())) if hook is not None]
