from __future__ import annotations

from collections.abc import Sequence

import torch
from mmpretrain.registry import MODELS
from torch import nn

from .staged_backbone import KAIMING, StagedBackbone


class PreActivationBlock(nn.Module):
    """Two 3x3 convolutions, each after batch norm and ReLU, and a shortcut around them.

    Where the block changes the number of channels, the shortcut is a 1x1 convolution of what the
    first convolution gets; elsewhere it is the input itself.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.downsample = None
        if in_channels != out_channels:
            self.downsample = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        activated = self.relu1(self.bn1(x))
        identity = x if self.downsample is None else self.downsample(activated)
        out = self.conv1(activated)
        return identity + self.conv2(self.relu2(self.bn2(out)))


@MODELS.register_module()
class CifarWideResNet(StagedBackbone):
    """The wide residual networks for small images (Zagoruyko and Komodakis 2016), without dropout.

    `Wide Residual Networks <https://arxiv.org/abs/1605.07146>`_

    A 3x3 convolution with 16 channels, then three stages of n pre-activation blocks with 16k, 32k
    and 64k channels and strides 1, 2, 2, then batch norm and ReLU: ``depth`` = 6n + 4, and k is
    ``widen_factor``. WRN-40-2 of the literature is depth 40 and factor 2. MMRazor's ``WideResNet``
    is the same function with the same names of weights, but adds and activates in place and gives
    no feature map but the last. MMPretrain's Wide-ResNet-50 is another family.

    Modules for recorders: ``conv1``, then ``layer{1,2,3}.{0..n-1}``, each with ``bn1``, ``relu1``,
    ``conv1``, ``bn2``, ``relu2`` and ``conv2``, then ``bn1`` and ``relu``. Every one runs once per
    forward call and none works in place. What a stage gives is a sum of convolutions, of any sign;
    its activation is that of the block that follows, or ``relu`` after the last.

    Args:
        depth (int): 6n + 4, such as 16, 28 or 40.
        widen_factor (int): At least 1. Defaults to 1.
        out_indices (Sequence[int]): The stages whose feature maps are returned, out of 0, 1, 2:
            of the last after ``bn1`` and ``relu``. Defaults to ``(2, )``.
        frozen_stages (int): See :class:`StagedBackbone`. Defaults to -1.
        norm_eval (bool): See :class:`StagedBackbone`. Defaults to False.
        init_cfg (dict | list[dict], optional): Defaults to Kaiming normal (fan out) convolutions
            and norm layers of one, as the authors do.

    Raises:
        ValueError: If ``depth``, ``widen_factor``, ``out_indices`` or ``frozen_stages`` has
            another value.

    Example:
        >>> import torch
        >>> from amkd_mm.backbones import CifarWideResNet
        >>> outs = CifarWideResNet(depth=16, widen_factor=2)(torch.rand(1, 3, 32, 32))
        >>> [tuple(out.shape) for out in outs]
        [(1, 128, 8, 8)]
    """

    def __init__(
        self,
        depth: int,
        widen_factor: int = 1,
        out_indices: Sequence[int] = (2,),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | list[dict] | None = KAIMING,
    ):
        if not isinstance(depth, int) or depth < 10 or depth % 6 != 4:
            raise ValueError(
                f'CifarWideResNet: `depth` must be 6n + 4, such as 16, 28 or 40, got {depth!r}'
            )
        if not isinstance(widen_factor, int) or widen_factor < 1:
            raise ValueError(
                'CifarWideResNet: `widen_factor` must be an int of at least 1, '
                f'got {widen_factor!r}'
            )
        before, stages = 16, {}
        for index, stride in enumerate((1, 2, 2)):
            channels = 16 * 2**index * widen_factor
            blocks = [PreActivationBlock(before, channels, stride)]
            blocks += [PreActivationBlock(channels, channels, 1) for _ in range(depth // 6 - 1)]
            stages[f'layer{index + 1}'] = nn.Sequential(*blocks)
            before = channels
        super().__init__(
            stem=dict(conv1=nn.Conv2d(3, 16, 3, padding=1, bias=False)),
            stages=stages,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            init_cfg=init_cfg,
            tail=dict(bn1=nn.BatchNorm2d(before), relu=nn.ReLU()),
        )
