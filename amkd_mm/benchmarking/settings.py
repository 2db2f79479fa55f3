"""What configs say: how long they train, what they start from, and whether they are the same."""

import argparse
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from mmengine.config import Config, DictAction

from ..checkpoints.files import is_whole, named_checkpoints


class BenchmarkError(Exception):
    """A mistake of the user's, to be shown without a traceback."""


def load_config(
    path: Path, options: Iterable[str] = (), import_custom_modules: bool = False
) -> Config:
    """A config with ``KEY=VALUE`` options applied; importing its modules may take long."""
    try:
        cfg = Config.fromfile(path, import_custom_modules=import_custom_modules)
        if options:
            # MMEngine's own reader, so that they mean what they mean in train.py.
            reader = argparse.ArgumentParser(exit_on_error=False)
            reader.add_argument('--options', nargs='+', action=DictAction)
            cfg.merge_from_dict(reader.parse_args(['--options', *options]).options)
    except Exception as error:
        raise BenchmarkError(f'{path}: {type(error).__name__}: {error}') from error
    for key in ('model', 'train_cfg', 'val_dataloader'):
        if not cfg.get(key):
            raise BenchmarkError(f'{path}: there is no `{key}`')
    return cfg


def span_of(train_cfg: dict) -> tuple[str, int]:
    """Unit ('epoch' or 'iter') and number of them that a training loop does."""
    loop = str(train_cfg.get('type', ''))
    by_iter = 'IterBased' in loop or (not loop and not train_cfg.get('by_epoch', True))
    return ('iter', train_cfg['max_iters']) if by_iter else ('epoch', train_cfg['max_epochs'])


def check_logs(config: Path, cfg: Config) -> None:
    """Raise ``BenchmarkError`` if a training by iterations is logged and saved by epochs.

    All of its validations would be logged as those of the same epoch.
    """
    if span_of(cfg.train_cfg)[0] == 'epoch':
        return
    for hook, key in (('logger', 'log_metric_by_epoch'), ('checkpoint', 'by_epoch')):
        if (cfg.get('default_hooks', {}).get(hook) or {}).get(key, True):
            raise BenchmarkError(
                f'{config}: `train_cfg` counts iterations, and `default_hooks.{hook}` epochs: set '
                f'`default_hooks.{hook}.{key}=False` and `log_processor.by_epoch=False`'
            )


def is_written(checkpoint: Path) -> bool:
    """Whether a checkpoint is there, and whole if a benchmark trains it."""
    trained_here = (checkpoint.parent / 'settings.json').exists()
    return checkpoint.exists() and (not trained_here or is_whole(checkpoint))


def digest(value) -> str:
    """The same for equal values of plain types."""
    return hashlib.sha1(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """The same for files of the same content."""
    found = hashlib.sha1()
    with open(path, 'rb') as file:
        while block := file.read(2**20):
            found.update(block)
    return found.hexdigest()


def fingerprint(cfg: Config, processes: int = 1) -> str:
    """Identifies all that decides results but the seed, the contents of checkpoints included.

    Args:
        cfg (Config): With all options applied.
        processes (int): That train together; they decide the size of a batch. Defaults to 1.
    """
    cfg = cfg.copy()
    cfg.pop('work_dir', None)
    randomness = cfg.pop('randomness', None) or {}
    randomness.pop('seed', None)
    if randomness:
        cfg.randomness = randomness
    return digest([cfg.pretty_text, list(map(file_digest, checkpoints_read(cfg))), processes])


def checkpoints_read(cfg: Config) -> list[Path]:
    """The local checkpoints that training a config starts from."""
    local = (path for _, path in named_checkpoints(cfg) if '://' not in path)
    return [Path(path).expanduser() for path in dict.fromkeys(local)]


def config_that_writes(checkpoint: Path, config: Path, shipped: Path) -> Path:
    """The config that has the checkpoint's folder as its default work directory.

    Args:
        checkpoint (Path): ``<work directory>/<name of the config>/<file>``.
        config (Path): The config that reads it. The folder ``configs`` that it is in, or else its
            own folder, is searched first.
        shipped (Path): The folder to search after that.
    """
    name, config = f'{checkpoint.parent.name}.py', config.resolve()
    root = next((parent for parent in config.parents if parent.name == 'configs'), None)
    own = root.rglob(name) if root else [config.with_name(name)]
    for candidates in (own, shipped.rglob(name)):
        found = sorted(path for path in candidates if path.is_file())
        if len(found) > 1:
            names = ', '.join(map(str, found))
            raise BenchmarkError(f'{checkpoint} could be written by any of {names}')
        if found:
            return found[0]
    raise BenchmarkError(
        f'{config} reads {checkpoint}, which does not exist and which no config writes: there is '
        f'no {name}. Correct the path in the config or by --cfg-options'
    )


def find_prerequisites(
    config: Path, cfg: Config, shipped: Path, found: dict, path: tuple = ()
) -> dict[Path, Path]:
    """Find the missing checkpoints that a config needs, and those that these need in turn.

    Args:
        config (Path): File of the config.
        cfg (Config): The same, with options applied. They do not apply to what it needs.
        shipped (Path): Folder of configs.
        found (dict[Path, Path]): Gets the config that writes a checkpoint, by checkpoint; those
            needed by others first.
        path (tuple[Path]): Checkpoints that need this config.

    Returns:
        dict[Path, Path]: ``found``.
    """
    for checkpoint in checkpoints_read(cfg):
        if checkpoint in path:
            raise BenchmarkError(f'training {checkpoint} would need {checkpoint} first')
        if is_written(checkpoint) or checkpoint in found:
            continue
        writer = config_that_writes(checkpoint, config, shipped)
        needed = load_config(writer)
        check_logs(writer, needed)
        last = '{}_{}.pth'.format(*span_of(needed.train_cfg))
        if checkpoint.name != last:
            raise BenchmarkError(f'{config} reads {checkpoint}, but {writer} ends with {last}')
        find_prerequisites(writer, needed, shipped, found, (*path, checkpoint))
        found[checkpoint] = writer
    return found
