"""One training a work folder: a lock that ends with the processes that hold it."""

import errno
import os
from pathlib import Path
from typing import IO

from filelock import lock_descriptor

NAME = '.lock'
# Environment variable: the folder that the process above holds for this one.
HELD = 'AMKD_MM_HELD_FOLDER'
# Where launchers say which process this is.
RANKS = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')
# What drives answer that cannot lock files, as some network drives cannot.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)

_held = {}


def lock(path: Path) -> IO | None:
    """Lock a file for as long as it is open here or in a child; None if another process has it.

    ``filelock.FileLock`` cannot be handed to a child, so this locks an open file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, 'w')  # noqa: SIM115 - the caller closes it
    try:
        if not lock_descriptor(file.fileno(), blocking=False):
            file.close()
            return None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return file


def held_for_child(folder: Path) -> dict[str, str]:
    """Environment variables that let a training start in a folder that this process locked."""
    return {HELD: str(folder.resolve())}


def hold(folder: str | Path, launcher: str = 'none') -> None:
    """Lock a work folder until this process ends, however it does.

    Of a distributed training, the process of rank 0 holds it for all. Processes that this one
    forks, such as workers of a dataloader, do not hold it any longer than this one.

    Raises:
        ValueError: If another training holds it.
    """
    folder = Path(folder)
    if os.environ.get(HELD) == str(folder.resolve()) or folder.resolve() in _held:
        return
    if int(os.environ.get(RANKS.get(launcher, ''), 0)):
        return
    locked = lock(folder / NAME)
    if locked is None:
        raise ValueError(
            f'{folder}: another training writes to this folder: wait for its end, or give another '
            '`--work-dir`'
        )
    _held[folder.resolve()] = locked
    if hasattr(os, 'register_at_fork'):
        os.register_at_fork(after_in_child=locked.close)
