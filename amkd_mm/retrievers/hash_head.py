"""HashHead: binary codes of images."""

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ..config.argument_checks import check_int


class Hash(nn.Module):
    """The sign of logits, with the gradient of their sigmoid.

    As BRCD's authors do: ``sign(sigmoid(x) - 0.5)``, through whose sign gradients pass unchanged.
    A logit of 0 is 1 here, so that every bit is -1 or 1.
    """

    def forward(self, logits: Tensor) -> Tensor:
        """Codes of -1 and 1, of the shape of the logits."""
        soft = logits.sigmoid()
        return torch.where(logits < 0, -1.0, 1.0).to(soft) + (soft - soft.detach())


@MODELS.register_module()
class HashHead(BaseModule):
    """Turns the features of any backbone into codes of bits, for :class:`HashRetriever`.

    A recorder of codes has ``source='head.hash'``, one of their logits ``source='head.fc'``.

    Args:
        num_bits (int): Bits of a code, B.
        in_channels (int): Width of the features.
        hidden_channels (int, optional): Width of a layer with ReLU in between. Defaults to None,
            no such layer.
        loss (dict): Loss of codes and their logits. Defaults to ``dict(type='CIBHashLoss')``.
        init_cfg (dict, optional): As in MMEngine. Defaults to None.

    Raises:
        TypeError: If a number is no int.
        ValueError: If a number is below 1.
    """

    def __init__(
        self,
        num_bits: int,
        in_channels: int,
        hidden_channels: int | None = None,
        loss: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        check_int('HashHead: num_bits', num_bits, minimum=1)
        check_int('HashHead: in_channels', in_channels, minimum=1)
        self.num_bits = num_bits
        self.fc: nn.Module = nn.Linear(hidden_channels or in_channels, num_bits)
        if hidden_channels is not None:
            check_int('HashHead: hidden_channels', hidden_channels, minimum=1)
            hidden = nn.Linear(in_channels, hidden_channels)
            self.fc = nn.Sequential(hidden, nn.ReLU(), self.fc)
        self.hash = Hash()
        self.loss_module = MODELS.build(loss or dict(type='CIBHashLoss'))

    def forward(self, feats: Tensor | tuple[Tensor, ...]) -> Tensor:
        """Codes of features.

        Args:
            feats (Tensor | tuple[Tensor]): Features (N, D), or those of several stages, of which
                the last are taken, as in MMPretrain's heads.

        Returns:
            Tensor: Codes of -1 and 1, (N, B) float.
        """
        return self.hash(self.fc(last(feats)))

    def loss(
        self, feats: Tensor | tuple[Tensor, ...], data_samples: list[DataSample]
    ) -> dict[str, Tensor]:
        """Losses of a batch of two views of each image.

        Args:
            feats (Tensor | tuple[Tensor]): Features of all first and then all second views.
            data_samples (list[DataSample]): N data samples; labels are not read.

        Returns:
            dict[str, Tensor]: What the loss gives by name.

        Raises:
            ValueError: If the images do not have two views each.
        """
        feats = last(feats)
        if len(feats) != 2 * len(data_samples):
            raise ValueError(
                f'HashHead learns from two views of each image, but got {len(feats)} views of '
                f"{len(data_samples)} images: write dict(type='MultiView', num_views=2, "
                'transforms=[[...]]) into `train_pipeline`, and '
                "data_preprocessor=dict(type='MultiViewDataPreprocessor', ...)"
            )
        logits = self.fc(feats)
        return self.loss_module(self.hash(logits), logits)


def last(feats: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Features of the last stage."""
    return feats[-1] if isinstance(feats, (tuple, list)) else feats
