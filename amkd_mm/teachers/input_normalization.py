"""How the images of a teacher were normalised, and giving it such."""

import logging
from collections.abc import Sequence

from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor
from torch import nn

from ..checkpoints.recorded_config import check_normalization
from ..data_preprocessors.building import build_preprocessor
from ..data_preprocessors.normalizer import Normalizer
from .input_adapter import InputAdapter
from .keys import SINGLE, TeacherKeys


def configured_preprocessor(teacher: dict | nn.Module) -> dict | nn.Module | None:
    """The ``data_preprocessor`` of a model's config, or that a built model has."""
    if isinstance(teacher, nn.Module):
        return teacher.data_preprocessor if says_something(teacher.data_preprocessor) else None
    configured = teacher.get('data_preprocessor')
    # Building the model adds to a dict.
    return dict(configured) if isinstance(configured, dict) else configured


def says_something(preprocessor: nn.Module) -> bool:
    """Whether a preprocessor normalises images or swaps channels; one by default does neither."""
    return (
        getattr(preprocessor, '_enable_normalize', False) or Normalizer(preprocessor).swaps_channels
    )


def adapt_inputs(
    teacher: nn.Module,
    preprocessor: BaseDataPreprocessor,
    configured: dict | nn.Module | None,
    recorded: dict | None,
    size: int | Sequence[int] | None,
    pretrained: dict | None = None,
    keys: TeacherKeys = SINGLE,
    has_weights: bool = True,
) -> InputAdapter:
    """Give the teacher the inputs it was trained on, whatever the student gets.

    Args:
        teacher (nn.Module): Changed in place.
        preprocessor (BaseDataPreprocessor): The student's.
        configured (dict | nn.Module, optional): ``model.teacher.data_preprocessor`` of the config.
        recorded (dict, optional): What the teacher's checkpoint says.
        size (int | Sequence[int], optional): Height and width the teacher expects.
        pretrained (dict, optional): ``mean`` and ``std`` that its library says of its weights.
        keys (TeacherKeys): Where the config has the teacher. Defaults to those of a single one.
        has_weights (bool): Whether it was trained on other images before. Defaults to True.

    Returns:
        InputAdapter: What the teacher now does first, if there is anything to do.

    Raises:
        ValueError: If no image can be normalised as the checkpoint says.
    """
    if recorded is not None:
        try:
            check_normalization(
                recorded,
                f"{keys.checkpoint}: `data_preprocessor` of the checkpoint's config, which "
                f'`{keys.settings}.data_preprocessor=dict(...)` replaces',
            )
        except ValueError:
            if configured is None:
                raise
            recorded = None
    own, source = teacher.data_preprocessor, 'config'
    if configured is not None:
        # MMEngine ignores it beside `cfg_path`.
        own = build_preprocessor(configured)
        padding = dict(pad_size_divisor=Normalizer(own).divisor)
        known = own if recorded is None else build_preprocessor({**recorded, **padding})
        if InputAdapter(own, known, keys=keys).renormalizes:
            print_log(
                f'`{keys.settings}.data_preprocessor` is {configured}, which is used, but '
                f'{keys.title} was trained with {recorded}, as its checkpoint says',
                logger='current',
                level=logging.WARNING,
            )
    elif recorded is not None:
        own, source = build_preprocessor(recorded), 'checkpoint'
    elif pretrained is not None:
        # Its channels are as the student's, for only the data tells in which order they come.
        given = Normalizer(preprocessor)
        rest = dict(to_rgb=given.swaps_channels, pad_size_divisor=given.divisor)
        own, source = build_preprocessor({**pretrained, **rest}), 'library'
    elif not says_something(own):
        own, source = preprocessor, None
        if has_weights:
            print_log(
                f'Neither the config nor the checkpoint says how the images of {keys.title} were '
                'normalised: it gets those of the student. If it was trained on others, set '
                f'`{keys.settings}.data_preprocessor=dict(mean=..., std=..., to_rgb=...)`',
                logger='current',
                level=logging.WARNING,
            )
    inputs = InputAdapter(preprocessor, own, size, source, keys)
    if inputs.renormalizes or inputs.size:
        inputs.attach(teacher)
    if inputs.renormalizes:
        text = f'The inputs of {keys.title} are normalised as its {source} says'
        print_log(text, logger='current')
    return inputs
