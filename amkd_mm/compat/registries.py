"""Classes are found by the package that asks for them."""

from collections.abc import Mapping
from functools import wraps

from mmengine.registry import Registry


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    look_up_own_classes()


def look_up_own_classes():
    """``ClsDataPreprocessor is not in the mmengine::model registry``, and others, in a row.

    MMEngine 0.10.7: a network of MMPretrain builds its parts by MMPretrain's registry, but a name
    without a scope is looked up in the default scope alone. That is another where a pure Python
    config names the network by its class, or ``mmpretrain.ImageClassifier`` stands in a model of
    MMRazor; then only ``_scope_`` at each network helped. Here a registry goes on with its own
    classes where the default scope has none of that name.
    """
    upstream_build = Registry.build
    if getattr(upstream_build, 'looks_up_own_classes', False):
        return

    @wraps(upstream_build)
    def build(self, cfg, *args, **kwargs):
        name = cfg.get('type') if isinstance(cfg, Mapping) else None
        if isinstance(name, str) and '.' not in name and not cfg.get('_scope_'):
            with self.switch_scope_and_registry(None) as registry:
                is_known = registry is self or registry.get(name) is not None
            own = None if is_known else self.get(name)
            if own is not None:
                cfg = cfg.copy()
                cfg['type'] = own
        return upstream_build(self, cfg, *args, **kwargs)

    # Copied by those who wrap it in turn.
    build.looks_up_own_classes = True
    Registry.build = build
