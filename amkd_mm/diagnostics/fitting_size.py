"""Whether the networks take images of a size, and which they would take."""

from collections.abc import Callable, Mapping
from contextlib import suppress

import torch
from mmengine.config import Config
from mmengine.hub import get_config
from torch import Tensor, nn

from ..classifiers import members_of, predict_logits
from ..classifiers.modes import evaluation_mode
from ..teachers import InputAdapter
from ..teachers.keys import TeacherKeys
from ..teachers.settings import member_settings
from .errors import describe
from .images import dataset_settings
from .report import Report
from .sizes import Size, declared_size, pipeline_size, shown, written

# Sizes to try on a network that refuses the images.
USUAL_SIZES = [(size, size) for size in (224, 256, 384, 192, 32, 64, 448, 512)]


def logits_of(network: nn.Module, images: Tensor) -> Tensor:
    """Logits (N, K) of preprocessed images in evaluation mode."""
    with evaluation_mode(network), torch.no_grad():
        return predict_logits(network, images)


def fit(
    report: Report,
    key: str,
    network: nn.Module,
    images: Tensor,
    size: Size,
    resize: Callable[[Size], Tensor],
    write: str,
) -> tuple[Tensor, Size | None]:
    """Ask a network about images, and about those of other sizes until it answers.

    Args:
        report (Report): Gets a problem where the network refuses the images.
        key (str): What the network is, for messages.
        network (nn.Module): The network.
        images (Tensor): Preprocessed, (N, C, H, W).
        size (tuple[int, int]): That the network gets of them.
        resize (Callable): Maps another size to images that the network then gets in it.
        write (str): What to write in the config, with ``{}`` for the size.

    Returns:
        tuple: Logits, and the size that the network needs or None.

    Raises:
        ValueError: If it takes no usual size.
    """
    try:
        return logits_of(network, images), None
    except Exception as error:  # Networks refuse in many ways.
        text = f'the {key} refuses images of {shown(size)}: {describe(error)}'
    for other in filter(None, [declared_size(network), *USUAL_SIZES]):
        with suppress(Exception):
            logits = logits_of(network, resize(other))
            text += f' It takes {shown(other)}, which is tried here.'
            report.problem(text, write.format(written(other)))
            return logits, other
    raise ValueError(f'{text} It takes none of the usual sizes.')


def fit_teachers(
    report: Report, algorithm: nn.Module, images: Tensor, cfg: Config
) -> dict[str, Tensor]:
    """Logits of each teacher by name; its adapter gets the size that it needs."""
    adapters, settings = (
        getattr(algorithm, 'input_adapters', {}),
        member_settings(cfg.model.teacher),
    )
    return {
        name: fit_teacher(
            report, teacher, adapters.get(name), images, cfg, settings[name], TeacherKeys(name)
        )
        for name, teacher in members_of(algorithm.teacher).items()
    }


def fit_teacher(
    report: Report,
    teacher: nn.Module,
    adapter: InputAdapter | None,
    images: Tensor,
    cfg: Config,
    settings: Mapping,
    keys: TeacherKeys,
) -> Tensor:
    """Logits of a teacher; its adapter gets the size that it needs."""

    def resize(size):
        if not adapter.renormalizes and not adapter.size:
            adapter.attach(teacher)
        adapter.size = size
        return images

    size = tuple(getattr(adapter, 'size', None) or images.shape[-2:])
    write = f'{keys.input_size}={{}}'
    logits, other = fit(
        report, keys.title.removeprefix('the '), teacher, images, size, resize, write
    )
    path, own = settings.get('cfg_path'), declared_size(teacher)
    plain = get_config(path) if path else cfg.get('teacher_cfg', {})
    expected = own or pipeline_size(dataset_settings(plain).get('pipeline'))
    if other is None and expected not in (None, size):
        text = f'{keys.title} is made for images of {shown(expected)}, as its '
        text += f'{"`img_size`" if own else "own config"} says, and gets {shown(size)}'
        (report.problem if own else report.note)(text, write.format(written(expected)))
    return logits
