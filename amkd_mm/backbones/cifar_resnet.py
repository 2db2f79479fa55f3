from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmpretrain.models.backbones.resnet import BasicBlock
from mmpretrain.models.backbones.resnet_cifar import ResNet_CIFAR
from mmpretrain.registry import MODELS
from torch import nn


class ZeroPadShortcut(nn.Module):
    """Option A of He et al.: a shortcut without parameters where a block changes the shape.

    Keeps every ``stride``-th row and column, beginning with the first, and appends channels
    of zeros: (N, C, H, W) -> (N, C + ``extra_channels``, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, extra_channels: int, stride: int):
        super().__init__()
        self.extra_channels = extra_channels
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.extra_channels))


class CifarBasicBlock(BasicBlock):
    """MMPretrain's basic block, made safe for recorders.

    The original runs one in-place ReLU module twice and adds the shortcut in place. A recorder
    on it then holds two records for each forward call, and whatever it recorded before the
    addition is overwritten. Here nothing is in place and every module runs once: ``relu1``
    follows ``bn1``, and ``relu`` follows the addition, so that its input is the pre-activation
    of the block and its output is the block's output.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, act_cfg=dict(type='ReLU', inplace=False), **kwargs)
        self.relu1 = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu1(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        return self.relu(out + identity)


@MODELS.register_module()
class CifarResNet(ResNet_CIFAR):
    """The small ResNets of the CIFAR literature (He et al. 2016, section 4.2).

    `Deep Residual Learning for Image Recognition <https://arxiv.org/abs/1512.03385>`_

    A 3x3 stem with 16 channels, batch norm and ReLU, then three stages of n basic blocks with 16,
    32 and 64 channels and strides 1, 2, 2, so that ``depth`` = 6n + 2. Where a block changes the
    shape, its shortcut has no parameters (option A): every second row and column, with the new
    channels zero-padded after the old ones. This is the network that Boundary Supporting Samples
    (Heo et al. 2019, `arXiv:1805.05532 <https://arxiv.org/abs/1805.05532>`_) published as ResNet8,
    14 and 26. MMPretrain's ``ResNet_CIFAR`` is another family (ResNet18 and up, 64 to 512
    channels).

    The literature on distillation since Contrastive Representation Distillation (Tian et al. 2020,
    `arXiv:1910.10699 <https://arxiv.org/abs/1910.10699>`_) has ``shortcut='B'`` on CIFAR-100, and
    its ResNet8x4 and 32x4 have ``stem_channels=32`` and ``base_channels=64``, too.

    Modules for recorders: ``conv1``, ``bn1``, ``relu``, then ``layer{1,2,3}.{0..n-1}``, each with
    ``conv1``, ``bn1``, ``relu1``, ``conv2``, ``bn2`` and ``relu``. Every one runs once per forward
    call and none works in place. For the feature map of the last stage record
    ``ModuleOutputs`` of ``backbone.layer3``; for its pre-activation, ``ModuleInputs`` of
    ``backbone.layer3.{n-1}.relu``.

    Args:
        depth (int): One of 8, 14, 20, 26, 32, 44, 56, 110.
        in_channels (int): Number of input image channels. Defaults to 3.
        stem_channels (int): Number of channels of the stem. Defaults to 16.
        base_channels (int): Number of channels of the first stage; each further stage has twice
            those of the stage before. Defaults to 16.
        shortcut (str): Of blocks that change the shape, in the terms of He et al.: 'A' pads with
            zeros, 'B' is a 1x1 convolution and batch norm (``downsample``). Defaults to 'A'.
        out_indices (Sequence[int]): The stages whose feature maps are returned, out of 0, 1, 2.
            Defaults to ``(2, )``.
        frozen_stages (int): -1 freezes nothing, 0 the stem, i the stem and the first i stages
            (no gradients, batch norm in eval mode). Defaults to -1.
        norm_cfg (dict, optional): Config of the norm layers. Defaults to ``dict(type='BN')``.
        norm_eval (bool): Whether batch norm keeps its running statistics during training.
            Defaults to False.
        zero_init_residual (bool): Whether the last norm layer of every block begins at zero.
            Neither paper does so, unlike MMPretrain's other ResNets. Defaults to False.
        init_cfg (dict | list[dict], optional): Defaults to Kaiming normal (fan out) convolutions
            and norm layers of one, as BSS does.

    Raises:
        ValueError: If ``depth``, ``shortcut``, ``out_indices`` or ``frozen_stages`` has another
            value, or if option A would have to drop channels.

    Example:
        >>> import torch
        >>> from amkd_mm.backbones import CifarResNet
        >>> outs = CifarResNet(depth=20, out_indices=(0, 1, 2))(torch.rand(1, 3, 32, 32))
        >>> [tuple(out.shape) for out in outs]
        [(1, 16, 32, 32), (1, 32, 16, 16), (1, 64, 8, 8)]
    """

    arch_settings = {6 * n + 2: (CifarBasicBlock, (n, n, n)) for n in (1, 2, 3, 4, 5, 7, 9, 18)}

    def __init__(
        self,
        depth: int,
        in_channels: int = 3,
        stem_channels: int = 16,
        base_channels: int = 16,
        shortcut: str = 'A',
        out_indices: Sequence[int] = (2,),
        frozen_stages: int = -1,
        norm_cfg: dict | None = None,
        norm_eval: bool = False,
        zero_init_residual: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        if depth not in self.arch_settings:
            raise ValueError(
                f'CifarResNet: `depth` must be one of {list(self.arch_settings)}, got {depth!r}'
            )
        if shortcut not in ('A', 'B'):
            raise ValueError(
                "CifarResNet: `shortcut` must be 'A' (zero-padded) or 'B' (a 1x1 convolution), "
                f'got {shortcut!r}'
            )
        if shortcut == 'A' and stem_channels > base_channels:
            raise ValueError(
                f'CifarResNet: no zero-padded shortcut leads from {stem_channels} channels to '
                f'{base_channels}: set `stem_channels` to at most `base_channels`, or '
                "`shortcut='B'`"
            )
        if (
            not isinstance(out_indices, (list, tuple))
            or not out_indices
            or any(i not in (0, 1, 2) for i in out_indices)
        ):
            raise ValueError(
                'CifarResNet: `out_indices` must be a non-empty sequence of stages '
                f'out of 0, 1 and 2, such as (2, ), got {out_indices!r}'
            )
        if frozen_stages not in (-1, 0, 1, 2, 3):
            raise ValueError(
                'CifarResNet: `frozen_stages` must be -1 (nothing), 0 (the stem), '
                f'1, 2 or 3, got {frozen_stages!r}'
            )
        # The parent makes its layers while it is initialised. Of plain types this is allowed.
        self.shortcut = shortcut
        super().__init__(
            depth=depth,
            in_channels=in_channels,
            stem_channels=stem_channels,
            base_channels=base_channels,
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            norm_cfg=norm_cfg or dict(type='BN'),
            norm_eval=norm_eval,
            zero_init_residual=zero_init_residual,
            init_cfg=init_cfg
            or [
                dict(type='Kaiming', layer=['Conv2d']),
                dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
            ],
        )
        # The parent's works in place and would overwrite a recorded `bn1`.
        self.relu = nn.ReLU()

    def make_res_layer(self, **kwargs) -> nn.Sequential:
        layer = super().make_res_layer(**kwargs)
        if self.shortcut == 'A' and layer[0].downsample is not None:
            # The parent's shortcut is option B, a 1x1 convolution.
            layer[0].downsample = ZeroPadShortcut(
                kwargs['out_channels'] - kwargs['in_channels'], kwargs['stride']
            )
        return layer

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute the feature maps.

        Args:
            x (Tensor): Normalised images, (N, ``in_channels``, H, W), float.

        Returns:
            tuple[Tensor]: For every stage i of ``out_indices``, in ascending order, the map after
            its last ReLU, (N, ``base_channels`` * 2**i, ceil(H / 2**i), ceil(W / 2**i)), not
            negative.
        """
        return super().forward(x)

    def train(self, mode: bool = True) -> CifarResNet:
        super().train(mode)
        return self  # As every module; the parent returns None.
