"""What the small networks of the distillation literature have in common."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from mmcv.cnn import build_activation_layer
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

KAIMING = [
    dict(type='Kaiming', layer=['Conv2d']),
    dict(type='Constant', val=1, layer=['_BatchNorm']),
]
"""Kaiming normal (fan out) convolutions and batch norm of one, as most networks begin."""
RELU = dict(type='ReLU')


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    act_cfg: dict | None = RELU,
    **kwargs,
) -> nn.Sequential:
    """A convolution without bias, batch norm and an activation: ``conv``, ``bn``, ``activate``.

    The names are those of MMCV's ``ConvModule``. That works in place and overwrites what a recorder
    keeps of ``bn``, and initialises itself, whatever ``init_cfg`` of the backbone says.

    Args:
        in_channels (int): Number of channels of the input.
        out_channels (int): Number of channels of the output.
        kernel_size (int): Odd; the padding keeps the size, unless ``padding`` is given.
        act_cfg (dict, optional): The activation, None for none. Defaults to ReLU.
        **kwargs: Of :class:`torch.nn.Conv2d`, such as ``stride`` and ``groups``.
    """
    kwargs.setdefault('padding', kernel_size // 2)
    modules = OrderedDict(
        conv=nn.Conv2d(in_channels, out_channels, kernel_size, bias=False, **kwargs),
        bn=nn.BatchNorm2d(out_channels),
    )
    if act_cfg is not None:
        modules['activate'] = build_activation_layer(act_cfg)
    return nn.Sequential(modules)


class StagedBackbone(BaseBackbone):
    """Modules that run one after the other: a stem, and stages whose outputs are feature maps.

    Args:
        stem (Mapping[str, nn.Module]): By name, in the order in which they run.
        stages (Mapping[str, nn.Module]): The same, after the stem.
        tail (Mapping[str, nn.Module], optional): The same, of what the last stage gives, before it
            is returned. Defaults to none.
        out_indices (Sequence[int]): The stages whose outputs are returned, counted from 0.
        frozen_stages (int): -1 freezes nothing, 0 the stem, i the stem and the first i stages
            (no gradients, batch norm in eval mode).
        norm_eval (bool): Whether batch norm keeps its running statistics during training.
        init_cfg (dict | list[dict], optional): Config of the initialisation; None leaves PyTorch's.

    Raises:
        ValueError: If ``out_indices`` or ``frozen_stages`` names a stage that there is not.
    """

    def __init__(
        self,
        stem: Mapping[str, nn.Module],
        stages: Mapping[str, nn.Module],
        out_indices: Sequence[int],
        frozen_stages: int,
        norm_eval: bool,
        init_cfg: dict | list[dict] | None,
        tail: Mapping[str, nn.Module] | None = None,
    ):
        super().__init__(init_cfg)
        tail = tail or {}
        name, last = type(self).__name__, len(stages) - 1
        if (
            not isinstance(out_indices, (list, tuple))
            or not out_indices
            or any(index not in range(len(stages)) for index in out_indices)
        ):
            raise ValueError(
                f'{name}: `out_indices` must be a non-empty sequence of stages from 0 to {last}, '
                f'such as ({last}, ), got {out_indices!r}'
            )
        if frozen_stages not in range(-1, len(stages) + 1):
            raise ValueError(
                f'{name}: `frozen_stages` must be -1 (nothing), 0 (the stem) or a number of stages '
                f'up to {len(stages)}, got {frozen_stages!r}'
            )
        # The tail first: after the convolution of the stem, a batch norm in it would be for MMCV
        # (`fuse_conv_bn`) that of this convolution.
        for key, module in {**tail, **stem, **stages}.items():
            self.add_module(key, module)
        self.stem, self.stages, self.tail = tuple(stem), tuple(stages), tuple(tail)
        """Names of the modules."""
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self._freeze()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute the feature maps.

        Args:
            x (Tensor): Normalised images, (N, 3, H, W), float.

        Returns:
            tuple[Tensor]: The output of every stage of ``out_indices``, in ascending order,
            (N, channels of the stage, height, width).
        """
        for name in self.stem:
            x = getattr(self, name)(x)
        outs = []
        for index, name in enumerate(self.stages):
            x = getattr(self, name)(x)
            if index in self.out_indices:
                outs.append(x)
        if len(self.stages) - 1 in self.out_indices:
            for name in self.tail:
                outs[-1] = getattr(self, name)(outs[-1])
        return tuple(outs)

    def train(self, mode: bool = True) -> StagedBackbone:
        """See :class:`torch.nn.Module`; what is frozen stays in eval mode."""
        super().train(mode)
        self._freeze()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _freeze(self) -> None:
        if self.frozen_stages >= 0:
            for name in (*self.stem, *self.stages[: self.frozen_stages]):
                getattr(self, name).eval().requires_grad_(False)
