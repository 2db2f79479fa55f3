"""Checkpoint files: which a config names, whether they are there and whole, and reading them."""

import logging
import os.path as osp
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader

from .file_hash import check_hash

# How MMEngine's CheckpointHook names what it saves.
NUMBERED = re.compile(r'(?:epoch|iter)_(\d+)\.pth')
# How a pickle begins.
PICKLE = b'\x80'


def exists(path: str) -> bool:
    """Whether ``path`` is a URL, or a local file that exists."""
    return '://' in path or osp.isfile(osp.expanduser(path))


def read_checkpoint(key: str, path: str) -> dict:
    """Read a checkpoint on the CPU.

    Args:
        key (str): The setting or option that names it, for messages.
        path (str): A local path, or whatever MMEngine's ``CheckpointLoader`` understands.

    Returns:
        dict: What the file holds.

    Raises:
        FileNotFoundError: If a local file does not exist.
        ValueError: If the file is not what the hash in its name says, does not load, or holds no
            dict.
    """
    if not exists(path):
        raise FileNotFoundError(f'{key}: no such file: {path}')
    try:
        check_hash(path)
    except ValueError as error:
        raise ValueError(f'{key}: {error}') from None
    try:
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except Exception as error:  # A download, an archive or an unpickler may fail in any way.
        raise ValueError(f'{key}: {path!r} does not load: {cause_of(path, error)}') from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{key}: {path!r} holds a {type(checkpoint).__name__} and no checkpoint')
    return checkpoint


def cause_of(path: str, error: Exception) -> str:
    """Why a checkpoint did not load; of a damaged local file, what PyTorch does not say."""
    if '://' not in path and not is_whole(path):
        empty = not Path(path).expanduser().stat().st_size
        return 'the file is empty' if empty else 'the file is damaged or was not written to its end'
    return f'{type(error).__name__}: {error}' if str(error) else type(error).__name__


def is_whole(path: str | Path) -> bool:
    """Whether a local file is a complete zip archive, as PyTorch writes them, of intact parts.

    The pickles that PyTorch wrote before 1.6 are taken for whole.
    """
    path = Path(path).expanduser()
    try:
        with path.open('rb') as file:
            if file.read(1) == PICKLE:
                return True
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, EOFError):
        return False


def newest_whole(work_dir: str | Path) -> str | None:
    """The newest checkpoint of a training that is not damaged.

    MMEngine believes the path in ``last_checkpoint``, which is wrong once the folder has moved and
    may name a file that a full disk or a kill left incomplete. Here it counts as written only if
    the work folder has no checkpoint, as by ``CheckpointHook(out_dir=...)``. What is no local file,
    such as a folder that DeepSpeed wrote, is not judged.

    Args:
        work_dir (str | Path): The training's work folder.

    Returns:
        str | None: Its path or URL; None if there is none in the folder, and none elsewhere that
        ``last_checkpoint`` names.

    Raises:
        ValueError: If there are checkpoints, and all of them are damaged.
    """
    work_dir = Path(work_dir)
    damaged = []
    for path in candidates(work_dir):
        if '://' in path or osp.isdir(path) or is_whole(path):
            if damaged:
                print_log(
                    f'{", ".join(damaged)} cannot be read: the training goes on from the newest '
                    f'whole checkpoint, {path}',
                    logger='current',
                    level=logging.WARNING,
                )
            return path
        damaged.append(path)
    if damaged:
        raise ValueError(
            f'no checkpoint of {work_dir} can be read: {", ".join(damaged)} are empty, damaged or '
            'were not written to their end; remove them to begin anew'
        )
    return None


def candidates(work_dir: Path) -> list[str]:
    """Checkpoints of a work folder: what ``last_checkpoint`` names, then the newest first."""
    note = work_dir / 'last_checkpoint'
    text = note.read_text(encoding='utf-8', errors='replace').strip() if note.is_file() else ''
    # By name: the folder may have been moved, or copied.
    noted = [work_dir / Path(text).name] if text else []
    others = [path for path in work_dir.glob('*.pth') if NUMBERED.fullmatch(path.name)]
    others.sort(key=lambda path: int(NUMBERED.fullmatch(path.name)[1]), reverse=True)
    own = [str(path) for path in dict.fromkeys([*noted, *others]) if path.exists()]
    # Without any of its own they may be in a folder elsewhere.
    return own or [path for path in [text] if '://' in path or osp.exists(path)]


def named_checkpoints(cfg: dict) -> Iterator[tuple[str, str]]:
    """The checkpoints that a config names: the dotted keys of the settings, and the paths.

    ``load_from``, ``teacher_ckpt``, which may have several, the ``ckpt_path`` of data-free methods'
    teachers, and the ``checkpoint`` of every ``init_cfg=dict(type='Pretrained', ...)``.
    """
    if cfg.get('load_from'):
        yield 'load_from', cfg['load_from']
    yield from _named_below('model', cfg.get('model'))


def teacher_checkpoints(model: Mapping) -> Iterator[tuple[str, str]]:
    """``teacher_ckpt`` of a model's config, or its entry for each of several teachers.

    Yields:
        tuple[str, str]: Its key in ``model``, and the path.
    """
    given = model.get('teacher_ckpt')
    entries = given if isinstance(given, Mapping) else {'': given}
    for name, path in entries.items():
        if isinstance(path, str) and path:
            yield f'teacher_ckpt.{name}'.rstrip('.'), path


def _named_below(key: str, node) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for name, path in teacher_checkpoints(node):
            yield f'{key}.{name}', path
        names = ['ckpt_path']
        if node.get('type') in ('Pretrained', 'PretrainedInit'):
            names.append('checkpoint')
        for name, value in node.items():
            if name in names and isinstance(value, str) and value:
                yield f'{key}.{name}', value
            yield from _named_below(f'{key}.{name}', value)
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _named_below(f'{key}.{index}', value)
