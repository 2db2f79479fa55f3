"""Loading a teacher that really is the teacher."""

import ast
import os.path as osp
import re

from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from ..class_numbers import recorded_classes

# How many keys an error lists.
SHOWN = 5
# Data preprocessors that a checkpoint may name.
KINDS = dict(
    ClsDataPreprocessor='mmpretrain.ClsDataPreprocessor',
    ImgDataPreprocessor='mmengine.ImgDataPreprocessor',
)
# What they do to an image.
SETTINGS = (
    'mean',
    'std',
    'to_rgb',
    'bgr_to_rgb',
    'rgb_to_bgr',
    'pad_size_divisor',
    'pad_value',
)


def exists(path: str) -> bool:
    """Whether ``path`` is a URL, or a local file that exists."""
    return '://' in path or osp.isfile(osp.expanduser(path))


def check_exists(path: str) -> None:
    """Raise ``FileNotFoundError`` if ``path`` is a local file that does not exist."""
    if not exists(path):
        raise FileNotFoundError(
            f'model.teacher_ckpt: {path!r} does not exist; train the teacher first, or give the '
            'path or URL of its checkpoint'
        )


def load_teacher(teacher: nn.Module, path: str, strict: bool = True) -> dict | None:
    """Load a teacher's weights, and insist that they fit.

    MMRazor only logs keys that do not match, and distils from a random teacher.

    Args:
        teacher (nn.Module): The built teacher.
        path (str): Checkpoint of MMEngine or MMPretrain, or a plain state dict; a local path or
            whatever MMEngine's ``CheckpointLoader`` understands.
        strict (bool): Whether every key must match. Otherwise one is enough.

    Returns:
        dict | None: The ``data_preprocessor`` that the teacher was trained with, as far as the
        checkpoint says so.

    Raises:
        FileNotFoundError: If a local file does not exist.
        ValueError: If it does not load, or keys or shapes do not match; lists the first ones.
    """
    check_exists(path)
    try:
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except Exception as error:  # A download, an archive or an unpickler may fail in any way.
        message = f'model.teacher_ckpt: {path!r} does not load: {error}'
        raise ValueError(message) from error
    weights = checkpoint.get('state_dict', checkpoint)
    # As MMEngine's own loader does: the prefix is left by DataParallel.
    weights = {re.sub(r'^module\.', '', key): value for key, value in weights.items()}

    # MMPretrain's backbones may rename keys of a checkpoint on loading, so that the match can
    # only be judged by loading. PyTorch reports differing shapes by an error of its own.
    try:
        missing, unexpected = teacher.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        message = f'model.teacher_ckpt: {path!r} does not fit the teacher: {error}'
        raise ValueError(message) from None

    expected = len(teacher.state_dict())
    # Not `len(missing) == expected`: batch norm fills in a missing `num_batches_tracked` itself.
    useless = len(unexpected) == len(weights)
    if useless or (strict and (missing or unexpected)):
        hint = ''
        if any(key.startswith('architecture.') for key in unexpected):
            hint = '; it is an MMRazor checkpoint: write its student to a file of its own with '
            hint += 'tools/export_student.py'
        elif not useless:
            hint = '; give a checkpoint of this network, or set `model.teacher_ckpt_strict=False` '
            hint += 'if some of its weights are meant to be left out'
        raise ValueError(
            f'model.teacher_ckpt: {path!r} does not fit the teacher: of its {expected} keys '
            f'{len(missing)} are missing {missing[:SHOWN]}, and {len(unexpected)} others are '
            f'unexpected {unexpected[:SHOWN]}{hint}'
        )
    # Keeps the loaded weights from being initialised again.
    teacher._is_init = True
    teacher._dataset_meta = dict(classes=recorded_classes(checkpoint))
    return recorded_preprocessor(checkpoint)


def recorded_preprocessor(checkpoint: dict) -> dict | None:
    """What the config that MMEngine saves with a checkpoint says of the ``data_preprocessor``.

    The config is read and never run: a checkpoint may come from anywhere.

    Returns:
        dict | None: The settings in ``SETTINGS``, and ``type``; None if the config does not tell,
            or names a preprocessor of another kind.
    """
    text = (checkpoint.get('meta') or {}).get('cfg')
    try:
        statements = ast.parse(text).body
    except (SyntaxError, TypeError, ValueError):
        return None
    config = {
        statement.targets[0].id: statement.value
        for statement in statements
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }
    model = entries(config.get('model'))
    # As the Runner does: the model's own, if it has one.
    found = model.get('data_preprocessor', config.get('data_preprocessor'))
    # The config that `cfg_path` names may have another one, which wins.
    if 'cfg_path' in model or not isinstance(found, (ast.Call, ast.Dict)):
        return None
    settings = entries(found)
    try:
        kind = ast.literal_eval(settings.pop('type', ast.Constant('ClsDataPreprocessor')))
        # Known by its last name alone: to look another up would import what the file names.
        kind = KINDS[str(kind).rpartition('.')[2]]
        known = {key: ast.literal_eval(settings[key]) for key in SETTINGS if key in settings}
    except (KeyError, ValueError):
        return None
    return dict(known, type=kind)


def entries(node: ast.AST | None) -> dict[str, ast.AST]:
    """The entries of ``dict(key=value)`` or ``dict({'key': value})``, not yet evaluated."""
    if isinstance(node, ast.Call) and node.args:
        (node, *_) = node.args
    if isinstance(node, ast.Dict):
        keys = [getattr(key, 'value', None) for key in node.keys]
        return dict(zip(keys, node.values, strict=True))
    return {entry.arg: entry.value for entry in getattr(node, 'keywords', [])}
