"""Errors in a line, and what to write instead."""

import re

from mmengine.config import Config

from ..cli.downloads import failed_download
from ..config.errors import ConfigError, one_line


def describe(error: Exception, cfg: Config | None = None) -> str:
    """An error in one line: its config key where it is about one, or where it was raised."""
    if (text := failed_download(error)) is not None:
        return ' '.join(text.splitlines())
    if isinstance(error, ConfigError):
        error.locate(cfg)
        return ' '.join(str(error).split())
    return one_line(error)


def advice(text: str) -> str:
    """What to write where something fails, if it is not what the error's text ends in."""
    if 'shapes cannot be multiplied' in text or 'size of tensor' in text:
        return (
            'a connector whose widths fit, see configs/_base_/distillers/amkd_teacher_embedding.py'
        )
    return (re.findall(r'`([\w.]+=[^`]+)`', text) or [''])[-1]
