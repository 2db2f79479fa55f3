"""How the images of a library's pretrained networks were normalised."""

import logging
from collections.abc import Mapping

import torch
from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor
from torch import nn

from ..data_preprocessors.normalizer import Normalizer


def expected_normalization(network: nn.Module, settings: Mapping) -> dict | None:
    """Mean and standard deviation that the pretrained weights of a network were trained with.

    Args:
        network (nn.Module): A classifier.
        settings (Mapping): Its config, which says whether it is pretrained.

    Returns:
        dict | None: ``mean`` and ``std`` of RGB images in [0, 255]; None of a network that is not
        pretrained, or whose library does not say.
    """
    if settings.get('in_chans', 3) != 3:
        # timm makes weights for these of those for RGB.
        return None
    weights = getattr(network, 'weights', None)
    if weights is not None:  # TorchVisionClassifier
        known = weights.transforms()
        return scaled(known.mean, known.std)
    for part, place in (('model', settings), ('backbone', settings.get('backbone') or {})):
        # TimmClassifier keeps the network of timm in `model`, TIMMBackbone in `timm_model`.
        module = getattr(network, part, None)
        known = getattr(getattr(module, 'timm_model', module), 'pretrained_cfg', None)
        if known and place.get('pretrained'):
            return scaled(known['mean'], known['std'])
    return None


def scaled(mean: tuple, std: tuple) -> dict:
    """Numbers of images in [0, 1] as those of images in [0, 255], as MMPretrain writes them."""
    return {
        name: [round(255 * value, 3) for value in values]
        for name, values in (('mean', mean), ('std', std))
    }


def warn_of_other_normalization(
    key: str, network: nn.Module, settings: Mapping, preprocessor: BaseDataPreprocessor
) -> None:
    """Warn if a pretrained network gets images normalised in another way.

    Args:
        key (str): Where the config has the network, such as ``'model'``.
        network (nn.Module): A classifier.
        settings (Mapping): Its config.
        preprocessor (BaseDataPreprocessor): Makes its inputs.
    """
    expected = expected_normalization(network, settings)
    if expected is None or not hasattr(preprocessor, 'device'):
        return
    given = Normalizer(preprocessor)
    wanted = [torch.tensor(expected[name]) for name in ('mean', 'std')]
    found = [values.detach().cpu().flatten().float() for values in (given.mean, given.std)]
    # Written as 0.485 * 255 or as 123.675; one number may stand for all channels.
    pairs = zip(found, wanted, strict=True)
    if all(torch.allclose(one.expand_as(other), other, rtol=1e-2) for one, other in pairs):
        return
    mean, std = ([round(value, 3) for value in values.tolist()] for values in found)
    print_log(
        f'{key}: the pretrained weights of {settings.get("model_name", "the backbone")} were '
        f'trained on images with mean={expected["mean"]} and std={expected["std"]}, but '
        f'`data_preprocessor` has mean={mean} and std={std}: they are worth more with '
        f'`data_preprocessor=dict(mean={expected["mean"]}, std={expected["std"]})`',
        logger='current',
        level=logging.WARNING,
    )
