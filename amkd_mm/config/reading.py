"""Configs that a command line names, read with their overrides."""

from collections.abc import Mapping
from textwrap import shorten
from typing import Any

from mmengine.config import Config

from .errors import one_line
from .names import find_config


def read_config(key: str, name: str, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config.

    Args:
        key (str): The argument that names it, for messages.
        name (str): As :func:`~amkd_mm.config.names.find_config` takes it.
        options (Mapping, optional): As of :func:`merge_options`. Defaults to None.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it cannot be read, or an option leads to nowhere.
    """
    try:
        path = find_config(name)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{key}: {error}') from None
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # A config is a program.
        raise ValueError(f'{key}: {name} cannot be read: {one_line(error)}') from error
    merge_options(cfg, options)
    return cfg


def read_distillation(key: str, name: str, options: Mapping[str, Any] | None = None) -> Config:
    """Read the config of a distillation by a teacher; arguments as of :func:`read_config`.

    Raises:
        FileNotFoundError: As :func:`read_config`.
        ValueError: As :func:`read_config`, and if the config is another one.
    """
    cfg = read_config(key, name, options)
    model = cfg.get('model') or {}
    if not (model.get('architecture') and model.get('teacher')):
        raise ValueError(
            f'{key}: it has no `model.architecture` and `model.teacher`; give that of a '
            'distillation by a teacher, which the checkpoint is of'
        )
    return cfg


def merge_options(cfg: Config, options: Mapping[str, Any] | None) -> None:
    """Apply what ``--cfg-options`` says to a config.

    Args:
        cfg (Config): Is changed.
        options (Mapping | None): Dotted keys and values.

    Raises:
        ValueError: If an option leads to nowhere.
    """
    try:
        cfg.merge_from_dict(options or {})
    except (KeyError, TypeError) as error:
        raise ValueError(f'--cfg-options: {shorten(one_line(error), 300)}') from error
