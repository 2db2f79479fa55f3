"""Configs by the names that a command line gives them."""

import os.path as osp
from argparse import ArgumentParser
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config
from mmengine.utils import get_installed_path

# `configs/...`, of a wheel, too.
SHIPPED = Path(__file__).parents[1] / '.mim'


def find_config(name: str) -> str:
    """Find a config.

    Args:
        name (str): A file; or ``package::folder/name.py``, as in ``_base_``, a config that an
            installed package brings; or ``folder/name.py`` or ``configs/folder/name.py``, one of
            this package, if there is no such file in the current folder.

    Returns:
        str: Path of the file.

    Raises:
        FileNotFoundError: If there is none. The message names those that are like it.
    """
    if osp.isfile(name):
        return name
    package, is_of_package, rest = name.partition('::')
    if not is_of_package:
        for folder in (SHIPPED / 'configs', SHIPPED):
            if (folder / name).is_file():
                return str(folder / name)
        raise FileNotFoundError(f'no such file: {name}{_likely("amkd_mm", name)}')
    try:
        # MMEngine's own way of reading such a name.
        return Config._get_cfg_path(name, '')[0]
    except Exception:  # MMEngine and setuptools say in many ways what there is not.
        if find_spec(package) is None or not is_configured(package):
            raise FileNotFoundError(f'no such package with configs: {package} ({name})') from None
        raise FileNotFoundError(f'no such config: {name}{_likely(package, rest)}') from None


def config_argument(parser: ArgumentParser, value: str, name: str = 'config') -> str:
    """:func:`find_config` of an argument, which ends the program as its parser does."""
    try:
        return find_config(value)
    except FileNotFoundError as error:
        parser.error(f'{name}: {error}')


def is_configured(package: str) -> bool:
    """Whether a package brings configs in OpenMMLab's way."""
    return (Path(get_installed_path(package)) / '.mim' / 'configs').is_dir()


def _likely(package, name):
    """Configs of a package that may be meant, as the end of a message."""
    folder = Path(get_installed_path(package)) / '.mim' / 'configs'
    names = {path.name: path for path in folder.rglob('*.py') if not path.name.startswith('_')}
    near = get_close_matches(osp.basename(name), names, 2, 0.8)
    found = ' or '.join(f'{package}::{names[n].relative_to(folder).as_posix()}' for n in near)
    return f'; did you mean {found}?' if found else ''
