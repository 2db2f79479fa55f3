from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule
from mmpretrain.models.backbones.shufflenet_v2 import ShuffleNetV2
from mmpretrain.registry import MODELS
from torch import nn

from .staged_backbone import conv_norm


@MODELS.register_module()
class CifarShuffleNetV2(ShuffleNetV2):
    """ShuffleNetV2 for small images, as in the literature on distillation.

    `ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design
    <https://arxiv.org/abs/1807.11164>`_ in the form of the code of Contrastive Representation
    Distillation (Tian et al. 2020, `arXiv:1910.10699 <https://arxiv.org/abs/1910.10699>`_), which
    later work compares with: MMPretrain's network, but a stem of a 1x1 convolution without stride
    and pooling, and PyTorch's initialisation.

    Modules for recorders: ``conv1`` and ``layers.0`` to ``layers.3``, the last of which is the 1x1
    convolution before the classifier. Every module runs once per forward call and none works in
    place.

    Args:
        widen_factor (float): One of 0.5, 1.0, 1.5, 2.0. Defaults to 1.0.
        out_indices (Sequence[int]): The stages whose feature maps are returned, out of 0 to 3.
            Defaults to ``(3, )``.
        frozen_stages (int): -1 freezes nothing, 0 the stem, i the stem and the first i stages
            (no gradients, batch norm in eval mode). Defaults to -1.
        norm_eval (bool): Whether batch norm keeps its running statistics during training.
            Defaults to False.
        init_cfg (dict | list[dict], optional): Defaults to None, PyTorch's initialisation.

    Raises:
        ValueError: If ``widen_factor``, ``out_indices`` or ``frozen_stages`` has another value.

    Example:
        >>> import torch
        >>> from amkd_mm.backbones import CifarShuffleNetV2
        >>> outs = CifarShuffleNetV2(out_indices=(0, 3))(torch.rand(1, 3, 32, 32))
        >>> [tuple(out.shape) for out in outs]
        [(1, 116, 16, 16), (1, 1024, 4, 4)]
    """

    def __init__(
        self,
        widen_factor: float = 1.0,
        out_indices: Sequence[int] = (3,),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(
            widen_factor=widen_factor,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            # Or the parent's would work in place and overwrite recorded outputs of batch norm.
            act_cfg=dict(type='ReLU', inplace=False),
            norm_eval=norm_eval,
            init_cfg=init_cfg,
        )
        self.conv1 = conv_norm(3, self.conv1.out_channels, 1)
        self.maxpool = nn.Identity()

    def init_weights(self) -> None:
        """Initialise as ``init_cfg`` says; the parent draws weights of its own beside it."""
        BaseModule.init_weights(self)

    def train(self, mode: bool = True) -> CifarShuffleNetV2:
        super().train(mode)
        return self  # As every module; the parent returns None.
