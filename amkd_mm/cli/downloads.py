"""What to do about a download that failed: the setting, the file, and where to put it by hand.

Weights and data sets are downloaded in many places: by MMEngine, MMPretrain, torchvision, timm and
Hugging Face. They all go through the few functions below, whose arguments tell the file. They are
read from the traceback, so that nothing of the libraries is replaced.
"""

import logging
import os
import os.path as osp
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from operator import eq
from pickle import UnpicklingError
from types import FrameType, TracebackType
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch.hub import HASH_REGEX

from ..checkpoints.file_hash import sha256

# What a network raises, and a server; those of Hugging Face and below by their package.
FAILURES = (URLError, HTTPException, ConnectionError, TimeoutError)
PACKAGES = ('huggingface_hub', 'httpx', 'httpcore', 'requests', 'urllib3')
# What reading a part of a file raises.
UNREADABLE = (EOFError, OSError, UnpicklingError, RuntimeError)
# What says in a config that something is to be downloaded, and stands beside `type`.
SWITCHES = ('pretrained', 'weights', 'data_root', 'model_name')


class Download(NamedTuple):
    """A file that was to be downloaded.

    Attributes:
        source (str): Its URL, or its name and the repository.
        remedy (str): What to do without a network, as an order.
    """

    source: str
    remedy: str


def from_url(url: str, dst: str, **_: Any) -> Download:
    """A file in the cache of torch."""
    return Download(url, f'save it as {dst}')


def from_archive(url: str, download_root: str, filename: str, **_: Any) -> Download:
    """An archive of MMPretrain's data sets, which it unpacks itself."""
    place = osp.join(download_root, filename or osp.basename(url))
    remedy = f'save it as {place}, or give the folder that has the data as `data_root`'
    return Download(url, remedy)


def from_server(filepath: str, **_: Any) -> Download:
    """A file that MMEngine reads from a server, such as an image."""
    return Download(str(filepath), 'copy the files to a folder and name that instead')


def from_repository(
    repo_id: str, filename: str, library_name: str | None = None, **_: Any
) -> Download:
    """A file of a repository of Hugging Face."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = osp.join(HF_HUB_CACHE, 'models--' + repo_id.replace('/', '--'))
    if library_name == 'timm':
        local = "a local file: `pretrained_cfg_overlay=dict(file='FILE')`"
    else:
        local = "a folder with the files of the repository: `model_name='FOLDER'`"
    return Download(
        f'{filename} of the Hugging Face repository {repo_id}',
        f'copy {folder} from a machine that has it, or give {local}',
    )


DOWNLOADS: dict[tuple[str, str], Callable[..., Download]] = {
    ('torch.hub', 'download_url_to_file'): from_url,
    ('mmpretrain.datasets.utils', 'download_and_extract_archive'): from_archive,
    ('mmengine.fileio.backends.http_backend', 'get'): from_server,
    ('mmengine.fileio.backends.http_backend', 'get_text'): from_server,
    ('huggingface_hub.file_download', 'hf_hub_download'): from_repository,
}


def explain_failed_downloads() -> None:
    """Let this process end with two lines where a download fails; the traceback is in the log.

    All other errors, and the exit status, are as ever.
    """
    others = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = failed_download(error)
        if text is None:
            others(kind, error, trace)
            return
        write_to_log(text, error)
        print(f'\n{text}', file=sys.stderr)

    sys.excepthook = hook


def write_to_log(text: str, error: BaseException) -> None:
    """Write an error and its traceback to the log files, and not to the screen."""
    logger = MMLogger.get_current_instance()
    where = (type(error), error, error.__traceback__)
    record = logger.makeRecord(logger.name, logging.ERROR, __file__, 0, text, (), where)
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


def failed_download(error: BaseException) -> str | None:
    """Two lines on a download that failed, or None if that is not what an error is about.

    Args:
        error (BaseException): As it was raised, with its traceback and its causes.

    Returns:
        str | None: The setting, the file and the reason; then what to do.
    """
    chain = list(causes(error))
    frames = [frame for one in chain for frame, _ in traceback.walk_tb(one.__traceback__)]
    download = next(filter(None, map(download_of, reversed(frames))), None)
    setting = setting_of(frames)
    if download is None and any('http_backend.py' in str(one) for one in chain):
        # Of an error in a worker of the data loader there is only the text.
        last = str(chain[0]).strip().splitlines()[-1]
        return (
            f'download: an image could not be read from its server: {last}\n'
            f'Without a network: {from_server("").remedy}.'
        )
    if download and any(map(is_failure, chain)):
        key = setting or 'download'
        return (
            f'{key}: {download.source} could not be downloaded: {reason(chain)}\n'
            f'Without a network: {download.remedy}{local_path(setting)}.'
        )
    if (path := damaged_file(frames, chain)) is not None:
        return (
            f'{setting or "download"}: {path}, which was downloaded before, is not whole: '
            f'{first_line(chain[-1])}\n'
            'Delete this file, so that it is downloaded again, or replace it by a whole one.'
        )
    return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what caused it, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def name_of(frame: FrameType) -> tuple[str, str]:
    """Module and function of a frame."""
    return frame.f_globals.get('__name__', ''), frame.f_code.co_name


def download_of(frame: FrameType) -> Download | None:
    """What a call was to download, if it is one that does."""
    found = DOWNLOADS.get(name_of(frame))
    return found(**frame.f_locals) if found else None


def is_failure(error: BaseException) -> bool:
    """Whether an error is of the network, the server, or of a file that came in part."""
    package = type(error).__module__.partition('.')[0]
    is_part = isinstance(error, RuntimeError) and 'invalid hash value' in str(error)
    return isinstance(error, FAILURES) or package.startswith(PACKAGES) or is_part


def reason(chain: list[BaseException]) -> str:
    """The innermost cause of a failure, in one line."""
    error = [one for one in chain if is_failure(one)][-1]
    if isinstance(error, HTTPError):
        return f'HTTP status {error.code} ({error.reason})'
    return first_line(error.reason if isinstance(error, URLError) else error)


def first_line(error: Any) -> str:
    """The first line of what an error says, or its kind."""
    return next(iter(str(error).strip().splitlines()), '') or type(error).__name__


def setting_of(frames: list[FrameType]) -> str | None:
    """The key of the config that asked for what these calls do, or None."""
    values = (value for frame in frames for value in frame.f_locals.values())
    # The outermost is that of the tool.
    cfg = next((value for value in values if isinstance(value, Config)), None)
    for frame in reversed(frames):
        place, values = name_of(frame), frame.f_locals
        if place == ('mmengine.runner.checkpoint', 'load_checkpoint') and 'cls' in values:
            key = find(cfg, eq, values.get('filename'))
        elif place == ('mmengine.hub.hub', 'get_model'):
            key = find(cfg, eq, values.get('cfg_path'))
            # Whether its weights are wanted stands beside the network.
            key = key and key.replace('.cfg_path', '.pretrained')
        elif place == ('mmengine.registry.build_functions', 'build_from_cfg'):
            settings = values.get('cfg') or {}
            key = find(cfg, describes, settings)
            switch = next((name for name in SWITCHES if settings.get(name)), None)
            key = f'{key}.{switch}' if key and switch else None
        else:
            continue
        if key:
            return key
    return None


def find(node: Any, matches: Callable[[Any, Any], bool], wanted: Any, key: str = '') -> str | None:
    """The key of the first entry of a config that matches what is wanted, or None."""
    if isinstance(node, Config):
        node = node.to_dict()
    if key and matches(node, wanted):
        return key
    entries = node.items() if isinstance(node, Mapping) else ()
    entries = enumerate(node) if isinstance(node, (list, tuple)) else entries
    for name, value in entries:
        if found := find(value, matches, wanted, f'{key}.{name}'.lstrip('.')):
            return found
    return None


def describes(node: Any, settings: Mapping) -> bool:
    """Whether an entry of the config is what was built; building may have added settings."""
    if not isinstance(node, Mapping) or 'type' not in node:
        return False
    kinds = (str, int, float, type)
    plain = {name: value for name, value in node.items() if isinstance(value, kinds)}
    return all(settings.get(name) == value for name, value in plain.items())


def local_path(setting: str | None) -> str:
    """What else helps where the setting itself may be a path."""
    if setting is None or setting.rpartition('.')[2] in SWITCHES:
        return ''
    return f', or give a local path: {setting}=PATH'


def damaged_file(frames: list[FrameType], chain: list[BaseException]) -> str | None:
    """The file in a library's cache that could not be read because it is not whole, or None."""
    is_safetensors = any(type(one).__name__ == 'SafetensorError' for one in chain)
    reads = any(name_of(frame)[0] == 'torch.serialization' for frame in frames)
    if not is_safetensors and not (reads and isinstance(chain[-1], UNREADABLE)):
        return None
    for frame in reversed(frames):
        for value in frame.f_locals.values():
            if isinstance(value, (str, os.PathLike)) and is_cached(os.fspath(value)):
                path = os.fspath(value)
                return path if is_safetensors or not is_whole(path, chain[-1]) else None
    return None


def is_cached(path: str) -> bool:
    """Whether a path is of a file in the cache of torch or Hugging Face."""
    folders = [torch.hub.get_dir()]
    # The package does not import it by itself.
    if constants := sys.modules.get('huggingface_hub.constants'):
        folders.append(constants.HF_HUB_CACHE)
    return any(path.startswith(osp.join(folder, '')) for folder in folders) and osp.isfile(path)


def is_whole(path: str, error: BaseException) -> bool:
    """Whether a file is as its name says; without a hash there, whether the error allows that."""
    wanted = HASH_REGEX.search(osp.basename(path))
    if wanted is None:
        # A whole file with objects that are refused.
        return 'Unsupported' in str(error)
    return sha256(path).startswith(wanted[1])
