"""Files whose name ends in the beginning of their SHA-256, as OpenMMLab and PyTorch publish them.

``torch.load`` notices a file that was cut off, but not a changed byte within a tensor.
"""

import hashlib
import re
from pathlib import Path

# Hexadecimal digits in a name, as `publish_model.py` of MMPretrain has them and `check_hash` of
# `torch.hub` looks for.
DIGITS = 8
# Not digits alone, which are a date more often than a hash.
SUFFIX = re.compile(rf'-(?=[0-9]*[a-f])([0-9a-f]{{{DIGITS}}})\.pth$')


def sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    found = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(2**20):
            found.update(block)
    return found.hexdigest()


def name_by_hash(path: str | Path) -> Path:
    """Rename ``student.pth`` to ``student-<8 digits>.pth``; returns the new path."""
    path = Path(path)
    return path.replace(path.with_name(f'{path.stem}-{sha256(path)[:DIGITS]}{path.suffix}'))


def check_hash(path: str | Path) -> None:
    """Raise ``ValueError`` if a local file is not what the hash in its name says.

    A name without one says nothing, nor does one of eight digits without a letter, as dates are.
    """
    named = SUFFIX.search(str(path))
    path = Path(path).expanduser()
    if named and path.is_file() and not (found := sha256(path)).startswith(named[1]):
        raise ValueError(
            f'{path}: its SHA-256 begins with {found[:DIGITS]}, but its name says {named[1]}: it '
            'was damaged or changed; copy or download it again, or rename it if that part of its '
            'name is no hash'
        )
