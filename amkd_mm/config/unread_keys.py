"""Top-level settings of a config that nothing reads, which MMEngine ignores in silence."""

import inspect
import logging
import re
from collections.abc import Mapping
from difflib import get_close_matches

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner

# What MMEngine and the tools read besides the arguments of the Runner.
READ = {*inspect.signature(Runner.__init__).parameters} - {'self', 'cfg'} | {
    'activation_checkpointing',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
}

# Settings that count in one place alone, by the name they have there.
PLACES = {
    name: f'{place}.{name}'
    for place, names in dict(
        env_cfg=['cudnn_benchmark'],
        model=['distiller', 'teacher', 'teacher_ckpt'],
        optim_wrapper=['clip_grad', 'optimizer'],
        randomness=['seed'],
        train_cfg=['max_epochs', 'max_iters', 'val_interval'],
        train_dataloader=['batch_size', 'num_workers'],
        visualizer=['vis_backends'],
    ).items()
    for name in names
}

# Usual names of variables that resemble a setting, such as `tta_pipeline`.
VARIABLES = {'train_pipeline', 'val_pipeline', 'test_pipeline', 'pipeline'}
# Share of equal letters from which on a name is taken for a misspelt one.
SIMILAR = 0.82


def without_scope(node):
    """A config's entry without the `_scope_` that inheriting adds to it."""
    if isinstance(node, Mapping):
        return {key: without_scope(value) for key, value in node.items() if key != '_scope_'}
    if isinstance(node, (list, tuple)):
        return [without_scope(value) for value in node]
    return node


def holds(node, value) -> bool:
    """Whether a config's entry, or one within it, equals a value."""
    if node == value:
        return True
    inner = node.values() if isinstance(node, Mapping) else node
    return isinstance(node, (Mapping, list)) and any(holds(entry, value) for entry in inner)


def unread_keys(cfg: Config) -> dict[str, str]:
    """Top-level keys of a config that nothing reads, and what to write instead of each.

    A config may have variables of any name, so only a key counts that resembles a setting and that
    no line after it mentions. A setting of another place counts if its value is nowhere there.
    """
    settings = without_scope(cfg.to_dict())
    read = {key: value for key, value in settings.items() if key in READ}
    found = {}
    for key, value in settings.items():
        if key in READ | VARIABLES or is_used(key, cfg.text):
            continue
        if key in PLACES:
            found.update({} if holds(read, value) else {key: PLACES[key]})
        else:
            found.update((key, name) for name in get_close_matches(key, READ, 1, SIMILAR))
    return found


def is_used(name: str, text: str) -> bool:
    """Whether the text of a config, bases first, mentions a variable after its last assignment."""
    assignments = list(re.finditer(rf'^{re.escape(name)}\s*=', text, re.MULTILINE))
    start = assignments[-1].end() if assignments else 0
    return re.search(rf'\b{re.escape(name)}\b(?!\s*=[^=])', text[start:]) is not None


def warn_of_unread_keys(cfg: Config) -> None:
    """Log one warning that names the keys of :func:`unread_keys`."""
    found = unread_keys(cfg)
    if found:
        keys = ', '.join(f'`{key}` (write `{name}`)' for key, name in found.items())
        print_log(
            f'Nothing reads these settings at the top of the config: {keys}.',
            logger='current',
            level=logging.WARNING,
        )
