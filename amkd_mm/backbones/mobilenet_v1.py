from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.registry import MODELS
from torch import nn

from .staged_backbone import KAIMING, StagedBackbone, conv_norm


def separable(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """A 3x3 convolution of each channel, and a 1x1 convolution, each with batch norm and ReLU."""
    return nn.Sequential(
        conv_norm(in_channels, in_channels, 3, stride=stride, groups=in_channels),
        conv_norm(in_channels, out_channels, 1),
    )


@MODELS.register_module()
class MobileNetV1(StagedBackbone):
    """MobileNet of full width for ImageNet (Howard et al. 2017), which MMPretrain lacks.

    `MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications
    <https://arxiv.org/abs/1704.04861>`_

    A 3x3 convolution with 32 channels and stride 2, then five stages of 1, 2, 2, 6 and 2 separable
    convolutions with 64, 128, 256, 512 and 1024 channels, all but the first with stride 2.

    Modules for recorders: ``conv1`` and ``layer1`` to ``layer5``. Every module runs once per
    forward call and none works in place.

    Args:
        out_indices (Sequence[int]): The stages whose feature maps are returned, out of 0 to 4.
            Defaults to ``(4, )``.
        frozen_stages (int): See :class:`StagedBackbone`. Defaults to -1.
        norm_eval (bool): See :class:`StagedBackbone`. Defaults to False.
        init_cfg (dict | list[dict], optional): Defaults to Kaiming normal (fan out) convolutions
            and norm layers of one.

    Raises:
        ValueError: If ``out_indices`` or ``frozen_stages`` has another value.

    Example:
        >>> import torch
        >>> from amkd_mm.backbones import MobileNetV1
        >>> outs = MobileNetV1(out_indices=(0, 4))(torch.rand(1, 3, 224, 224))
        >>> [tuple(out.shape) for out in outs]
        [(1, 64, 112, 112), (1, 1024, 7, 7)]
    """

    def __init__(
        self,
        out_indices: Sequence[int] = (4,),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | list[dict] | None = KAIMING,
    ):
        before, stages = 32, {}
        for index, number in enumerate((1, 2, 2, 6, 2)):
            channels = 64 * 2**index
            blocks = [separable(before, channels, stride=2 if index else 1)]
            blocks += [separable(channels, channels, stride=1) for _ in range(number - 1)]
            stages[f'layer{index + 1}'] = nn.Sequential(*blocks)
            before = channels
        super().__init__(
            stem=dict(conv1=conv_norm(3, 32, 3, stride=2)),
            stages=stages,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            init_cfg=init_cfg,
        )
