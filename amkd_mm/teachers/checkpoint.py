"""Loading a teacher that really is the teacher."""

import ast
from collections.abc import Iterator

from mmengine.logging import print_log
from mmengine.model import PretrainedInit
from torch import nn

from ..checkpoints.files import exists, read_checkpoint
from ..checkpoints.fit import TEACHER, choose, weights_in
from ..checkpoints.recorded_config import assignments, literal
from ..checkpoints.weight_checks import check_weights
from ..datasets.class_numbers import recorded_classes

# How many keys an error lists.
SHOWN = 5
# Data preprocessors that a checkpoint may name.
KINDS = dict(
    ClsDataPreprocessor='mmpretrain.ClsDataPreprocessor',
    # Its augmentation is for training images alone.
    DeviceAugmentDataPreprocessor='mmpretrain.ClsDataPreprocessor',
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


def check_exists(path: str, key: str = 'model.teacher_ckpt') -> None:
    """Raise ``FileNotFoundError`` if ``path`` is a local file that does not exist."""
    if not exists(path):
        raise FileNotFoundError(
            f'{key}: {path!r} does not exist; train the teacher first, or give the '
            'path or URL of its checkpoint'
        )


def load_teacher(
    teacher: nn.Module, path: str, strict: bool = True, key: str = 'model.teacher_ckpt'
) -> dict | None:
    """Load a teacher's weights, and insist that they fit.

    MMRazor only logs keys that do not match, and distils from a random teacher.

    Args:
        teacher (nn.Module): The built teacher.
        path (str): Checkpoint of a classifier, or of a distillation, of which the student becomes
            the teacher, or its teacher does if that fits better; or a plain state dict. A local
            path or whatever MMEngine's ``CheckpointLoader`` understands.
        strict (bool): Whether every key must match. Otherwise one is enough.
        key (str): Where the config names the file. Defaults to ``'model.teacher_ckpt'``.

    Returns:
        dict | None: The ``data_preprocessor`` that the teacher was trained with, as far as the
        checkpoint says so.

    Raises:
        FileNotFoundError: If a local file does not exist.
        ValueError: If it is not what the hash in its name says, does not load, or keys or shapes do
            not match; lists the first ones.
    """
    check_exists(path, key)
    checkpoint = read_checkpoint(key, path)
    chosen = choose(weights_in(checkpoint), teacher)
    weights = chosen.weights
    check_weights(weights, teacher.state_dict(), f'{key}: {path!r}')

    # MMPretrain's backbones may rename keys of a checkpoint on loading, so that the match can
    # only be judged by loading. PyTorch reports differing shapes by an error of its own.
    try:
        missing, unexpected = teacher.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        message = f'{key}: {path!r} does not fit the teacher: {error}'
        raise ValueError(message) from None

    expected = len(teacher.state_dict())
    # Not `len(missing) == expected`: batch norm fills in a missing `num_batches_tracked` itself.
    useless = len(unexpected) == len(weights)
    if useless or (strict and (missing or unexpected)):
        hint = f'; {chosen.what}' if chosen.what else ''
        if not useless:
            hint += '; give a checkpoint of this network, or set `model.teacher_ckpt_strict=False` '
            hint += 'if some of its weights are meant to be left out'
        raise ValueError(
            f'{key}: {path!r} does not fit the teacher: of its {expected} keys '
            f'{len(missing)} are missing {missing[:SHOWN]}, and {len(unexpected)} others are '
            f'unexpected {unexpected[:SHOWN]}{hint}'
        )
    if chosen.what:
        print_log(f'{key}: {chosen.what}', logger='current')
    # Keeps the loaded weights from being initialised again.
    teacher._is_init = True
    teacher._dataset_meta = dict(classes=recorded_classes(checkpoint))
    return recorded_preprocessor(checkpoint, chosen.part)


def initial_preprocessor(teacher: nn.Module, settings: str = 'model.teacher') -> dict | None:
    """What the checkpoint of a teacher's ``init_cfg`` says of its ``data_preprocessor``.

    Its weights are loaded later, when the Runner initialises the model.

    Args:
        teacher (nn.Module): The built teacher.
        settings (str): Where the config has it. Defaults to ``'model.teacher'``.

    Returns:
        dict | None: As :func:`recorded_preprocessor`; None if no ``init_cfg`` of the teacher or its
        backbone names a checkpoint.

    Raises:
        FileNotFoundError: If a local file does not exist.
        ValueError: If it does not load.
    """
    for key, module, init_cfg in initial_checkpoints(teacher):
        path = init_cfg['checkpoint']
        checkpoint = read_checkpoint(f'{settings}.{key}init_cfg.checkpoint', path)
        part = init_cfg.get('prefix') or choose(weights_in(checkpoint), teacher).part
        if module is teacher:
            teacher._dataset_meta = dict(classes=recorded_classes(checkpoint))
        return recorded_preprocessor(checkpoint, part)
    return None


def initial_checkpoints(teacher: nn.Module) -> Iterator[tuple[str, nn.Module, dict]]:
    """Every ``init_cfg`` of a teacher or its backbone with a checkpoint: its place, and whose."""
    for key, module in (('', teacher), ('backbone.', getattr(teacher, 'backbone', None))):
        written = getattr(module, 'init_cfg', None) or []
        for init_cfg in [written] if isinstance(written, dict) else written:
            if init_cfg.get('type') in ('Pretrained', PretrainedInit):
                yield key, module, init_cfg


def recorded_preprocessor(checkpoint: dict, part: str = '') -> dict | None:
    """What the config that MMEngine saves with a checkpoint says of the ``data_preprocessor``.

    The config is read and never run: a checkpoint may come from anywhere.

    Args:
        checkpoint (dict): As MMEngine saves it.
        part (str): The part that is asked for of a distillation, ``'architecture.'`` or
            ``'teacher.'``. Defaults to ``''``, the checkpoint is of a classifier.

    Returns:
        dict | None: The settings in ``SETTINGS``, and ``type``; None if the config does not tell,
            or names a preprocessor of another kind.
    """
    text = (checkpoint.get('meta') or {}).get('cfg')
    try:
        config = assignments(text)
    except ValueError:
        return None
    model = entries(config.get('model'))
    own = entries(model.get(part.partition('.')[0])).get('data_preprocessor')
    # As the Runner does: the model's own, if it has one.
    found = model.get('data_preprocessor', config.get('data_preprocessor', own))
    if part.startswith(TEACHER):
        # It may have been trained on other images than the student.
        found = own
    # The config that `cfg_path` names may have another one, which wins.
    if 'cfg_path' in model or not isinstance(found, (ast.Call, ast.Dict)):
        return None
    settings = entries(found)
    try:
        kind = literal(settings.pop('type', ast.Constant('ClsDataPreprocessor')))
        # Known by its last name alone: to look another up would import what the file names.
        kind = KINDS[str(kind).rpartition('.')[2]]
        known = {key: literal(settings[key]) for key in SETTINGS if key in settings}
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
