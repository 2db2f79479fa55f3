from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.models.backbones.vgg import VGG
from mmpretrain.registry import MODELS
from torch import nn

from .staged_backbone import KAIMING, StagedBackbone, conv_norm


@MODELS.register_module()
class CifarVGG(StagedBackbone):
    """VGG with batch norm for images of 32 x 32, as in the literature on distillation.

    `Very Deep Convolutional Networks for Large-Scale Image Recognition
    <https://arxiv.org/abs/1409.1556>`_ has the stages, and the code of Contrastive Representation
    Distillation (Tian et al. 2020, `arXiv:1910.10699 <https://arxiv.org/abs/1910.10699>`_) this
    form of them, which later work compares with.

    Five stages of 3x3 convolutions with 64, 128, 256, 512 and 512 channels, each with batch norm
    and ReLU. Stages 2, 3 and 4 begin with a 2x2 max pooling, so that the last two see 4 x 4 of 32 x
    32. In place of the hidden layers of the original comes a global average of 512 channels.

    Modules for recorders: ``layer1`` to ``layer5``. Every module runs once per forward call and
    none works in place.

    Args:
        depth (int): One of 8, 11, 13, 16, 19, which count three layers of a classifier that is
            not there. VGG8 has one convolution a stage.
        out_indices (Sequence[int]): The stages whose feature maps are returned, out of 0 to 4.
            Defaults to ``(4, )``.
        frozen_stages (int): See :class:`StagedBackbone`; there is no stem. Defaults to -1.
        norm_eval (bool): See :class:`StagedBackbone`. Defaults to False.
        init_cfg (dict | list[dict], optional): Defaults to Kaiming normal (fan out) convolutions
            and norm layers of one.

    Raises:
        ValueError: If ``depth``, ``out_indices`` or ``frozen_stages`` has another value.

    Example:
        >>> import torch
        >>> from amkd_mm.backbones import CifarVGG
        >>> outs = CifarVGG(depth=8, out_indices=(0, 4))(torch.rand(1, 3, 32, 32))
        >>> [tuple(out.shape) for out in outs]
        [(1, 64, 32, 32), (1, 512, 4, 4)]
    """

    arch_settings = {8: (1, 1, 1, 1, 1), **VGG.arch_settings}

    def __init__(
        self,
        depth: int,
        out_indices: Sequence[int] = (4,),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | list[dict] | None = KAIMING,
    ):
        if depth not in self.arch_settings:
            raise ValueError(
                f'CifarVGG: `depth` must be one of {list(self.arch_settings)}, got {depth!r}'
            )
        before, stages = 3, {}
        for index, number in enumerate(self.arch_settings[depth]):
            channels = min(64 * 2**index, 512)
            layers = [nn.MaxPool2d(2)] if index in (1, 2, 3) else []
            for _ in range(number):
                layers.append(conv_norm(before, channels, 3))
                before = channels
            stages[f'layer{index + 1}'] = nn.Sequential(*layers)
        super().__init__(
            stem={},
            stages=stages,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            init_cfg=init_cfg,
        )
