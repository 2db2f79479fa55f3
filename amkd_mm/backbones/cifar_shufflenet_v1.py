from __future__ import annotations

from collections.abc import Sequence

import torch
from mmpretrain.models.utils import channel_shuffle
from mmpretrain.registry import MODELS
from torch import nn

from .staged_backbone import StagedBackbone, conv_norm


class ShuffleUnit(nn.Module):
    """Grouped 1x1 convolution, shuffle, 3x3 of each channel and grouped 1x1, with a shortcut.

    With stride 2 the shortcut is an average pooling, whose channels come after the new ones. The
    unit in MMPretrain has them first, shuffles later and makes its bottleneck a quarter of all
    channels instead of the new ones.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, groups: int, first: bool):
        super().__init__()
        new_channels = out_channels - in_channels if stride == 2 else out_channels
        bottleneck = new_channels // 4
        # The input of the first unit is too narrow to be grouped.
        self.groups = 1 if first else groups
        self.conv1 = conv_norm(in_channels, bottleneck, 1, groups=self.groups)
        self.conv2 = conv_norm(bottleneck, bottleneck, 3, stride=stride, groups=bottleneck)
        self.conv3 = conv_norm(bottleneck, new_channels, 1, act_cfg=None, groups=groups)
        self.pool = nn.AvgPool2d(3, 2, padding=1) if stride == 2 else None
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = channel_shuffle(self.conv1(x), self.groups)
        out = self.conv3(self.conv2(out))
        out = out + x if self.pool is None else torch.cat([out, self.pool(x)], 1)
        return self.relu(out)


@MODELS.register_module()
class CifarShuffleNetV1(StagedBackbone):
    """ShuffleNet with three groups for small images, as in the literature on distillation.

    `ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices
    <https://arxiv.org/abs/1707.01083>`_ in the form of the code of Contrastive Representation
    Distillation (Tian et al. 2020, `arXiv:1910.10699 <https://arxiv.org/abs/1910.10699>`_), which
    later work compares with: a stem of a 1x1 convolution with 24 channels and without pooling,
    then three stages of 4, 8 and 4 units with 240, 480 and 960 channels, each of which halves
    height and width. Its units differ from MMPretrain's (see :class:`ShuffleUnit`).

    Modules for recorders: ``conv1`` and ``layer1`` to ``layer3``. Every module runs once per
    forward call and none works in place.

    Args:
        out_indices (Sequence[int]): The stages whose feature maps are returned, out of 0, 1, 2.
            Defaults to ``(2, )``.
        frozen_stages (int): See :class:`StagedBackbone`. Defaults to -1.
        norm_eval (bool): See :class:`StagedBackbone`. Defaults to False.
        init_cfg (dict | list[dict], optional): Defaults to None, PyTorch's initialisation.

    Raises:
        ValueError: If ``out_indices`` or ``frozen_stages`` has another value.

    Example:
        >>> import torch
        >>> from amkd_mm.backbones import CifarShuffleNetV1
        >>> outs = CifarShuffleNetV1(out_indices=(0, 1, 2))(torch.rand(1, 3, 32, 32))
        >>> [tuple(out.shape) for out in outs]
        [(1, 240, 16, 16), (1, 480, 8, 8), (1, 960, 4, 4)]
    """

    def __init__(
        self,
        out_indices: Sequence[int] = (2,),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        before, stages = 24, {}
        for index, number in enumerate((4, 8, 4)):
            channels = 240 * 2**index
            units = [ShuffleUnit(before, channels, stride=2, groups=3, first=index == 0)]
            units += [
                ShuffleUnit(channels, channels, stride=1, groups=3, first=False)
                for _ in range(number - 1)
            ]
            stages[f'layer{index + 1}'] = nn.Sequential(*units)
            before = channels
        super().__init__(
            stem=dict(conv1=conv_norm(3, 24, 1)),
            stages=stages,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            init_cfg=init_cfg,
        )
