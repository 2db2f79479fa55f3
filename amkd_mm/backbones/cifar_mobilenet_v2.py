from __future__ import annotations

from collections.abc import Sequence

import torch
from mmpretrain.registry import MODELS
from torch import nn

from .staged_backbone import KAIMING, RELU, StagedBackbone, conv_norm


class InvertedResidual(nn.Module):
    """1x1 convolution to a multiple of the channels, 3x3 of each channel, and 1x1 to the output.

    MMPretrain's block of this name has no first convolution where the multiple is 1.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, expand_ratio: int, act_cfg: dict
    ):
        super().__init__()
        hidden = in_channels * expand_ratio
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.conv = nn.Sequential(
            conv_norm(in_channels, hidden, 1, act_cfg),
            conv_norm(hidden, hidden, 3, act_cfg, stride=stride, groups=hidden),
            conv_norm(hidden, out_channels, 1, act_cfg=None),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.conv(x)
        return x + out if self.has_shortcut else out


@MODELS.register_module()
class CifarMobileNetV2(StagedBackbone):
    """MobileNetV2 for small images, as in the literature on distillation.

    `MobileNetV2: Inverted Residuals and Linear Bottlenecks <https://arxiv.org/abs/1801.04381>`_ in
    the form of the code of Contrastive Representation Distillation (Tian et al. 2020,
    `arXiv:1910.10699 <https://arxiv.org/abs/1910.10699>`_), which later work compares with at half
    width. Its differences from MMPretrain's ``MobileNetV2``: the stage of 24 channels does not
    stride, numbers of channels are cut to an int and not rounded to multiples of 8, the activation
    is ReLU, and the first block expands, too.

    Modules for recorders: ``conv1``, ``layer1`` to ``layer7`` (16, 24, 32, 64, 96, 160 and 320
    channels times the width) and ``conv2`` (1280). Every module runs once per forward call and
    none works in place.

    Args:
        widen_factor (float): Multiplies the channels, of ``conv2`` only if above 1. Defaults to 1.
        stem_kernel_size (int): 1 or 3; the padding is 1 for both. Defaults to 3.
        stem_stride (int): Defaults to 2.
        strides (Sequence[int]): Of the first block of each stage. Defaults to
            ``(1, 1, 2, 2, 1, 2, 1)``.
        act_cfg (dict): The activation. Defaults to ``dict(type='ReLU')``.
        out_indices (Sequence[int]): The feature maps that are returned, 0 to 6 of ``layer1`` to
            ``layer7`` and 7 of ``conv2``. Defaults to ``(7, )``.
        frozen_stages (int): See :class:`StagedBackbone`; ``conv2`` is stage 8. Defaults to -1.
        norm_eval (bool): See :class:`StagedBackbone`. Defaults to False.
        init_cfg (dict | list[dict], optional): Defaults to Kaiming normal (fan out) convolutions
            and norm layers of one.

    Raises:
        ValueError: If ``widen_factor`` leaves a stage without channels, if ``strides`` are not
            seven, or if ``out_indices`` or ``frozen_stages`` names a stage that there is not.

    Example:
        >>> import torch
        >>> from amkd_mm.backbones import CifarMobileNetV2
        >>> outs = CifarMobileNetV2(0.5, out_indices=(1, 6, 7))(torch.rand(1, 3, 32, 32))
        >>> [tuple(out.shape) for out in outs]
        [(1, 12, 16, 16), (1, 160, 2, 2), (1, 1280, 2, 2)]
    """

    # Expansion, channels and number of blocks of each stage.
    arch_settings = (
        (1, 16, 1),
        (6, 24, 2),
        (6, 32, 3),
        (6, 64, 4),
        (6, 96, 3),
        (6, 160, 3),
        (6, 320, 1),
    )

    def __init__(
        self,
        widen_factor: float = 1.0,
        stem_kernel_size: int = 3,
        stem_stride: int = 2,
        strides: Sequence[int] = (1, 1, 2, 2, 1, 2, 1),
        act_cfg: dict = RELU,
        out_indices: Sequence[int] = (7,),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | list[dict] | None = KAIMING,
    ):
        if not 16 * widen_factor >= 1:
            raise ValueError(
                f'CifarMobileNetV2: `widen_factor` must be at least 1/16, got {widen_factor!r}'
            )
        if len(strides) != len(self.arch_settings):
            raise ValueError(
                f'CifarMobileNetV2: `strides` must be {len(self.arch_settings)} numbers, one a '
                f'stage, got {strides!r}'
            )
        before = int(32 * widen_factor)
        stem = conv_norm(3, before, stem_kernel_size, act_cfg, stride=stem_stride, padding=1)
        stages = {}
        for index, (ratio, width, number) in enumerate(self.arch_settings):
            channels = int(width * widen_factor)
            blocks = []
            for block in range(number):
                stride = strides[index] if block == 0 else 1
                blocks.append(InvertedResidual(before, channels, stride, ratio, act_cfg))
                before = channels
            stages[f'layer{index + 1}'] = nn.Sequential(*blocks)
        stages['conv2'] = conv_norm(before, int(1280 * max(1, widen_factor)), 1, act_cfg)
        super().__init__(
            stem=dict(conv1=stem),
            stages=stages,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            init_cfg=init_cfg,
        )
