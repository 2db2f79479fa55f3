"""FeatureFusionConnector: feature maps of all stages, fused from deep to shallow."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_int, check_kind


class Attention(nn.Module):
    """Channel and then spatial attention as in CBAM (Woo et al., ECCV 2018).

    Args:
        channels (int): Channels of the map.
        reduction (int): How much narrower the hidden layer of the channel attention is. Defaults
            to 16, as in CBAM.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.channel = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1)
        )
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, feature: Tensor) -> Tensor:
        """Weigh a map, (N, C, H, W), by what is between 0 and 1."""
        pooled = feature.mean((2, 3), keepdim=True), feature.amax((2, 3), keepdim=True)
        feature = feature * sum(map(self.channel, pooled)).sigmoid()
        pooled = feature.mean(1, keepdim=True), feature.amax(1, keepdim=True)
        return feature * self.spatial(torch.cat(pooled, 1)).sigmoid()


@MODELS.register_module()
class FeatureFusionConnector(BaseConnector):
    """Fuses the feature maps of a network's stages, from the deepest to the shallowest.

    For Multistage feature fusion knowledge distillation (Li et al., Scientific Reports 14, 2024).
    Published, as far as could be read (abstract): a symmetric framework fuses features across the
    stages of student and teacher, and attention enhances what is fused. Ours: each stage goes
    through a 1x1 convolution and batch norm to one width; the fused map of the next deeper stage is
    enlarged to its size (nearest) and added; the attention is CBAM's, and what it enhances is
    handed on to the next shallower stage. Both networks have such a connector, trained with
    the loss.

    The record is that of ``dict(type='Stages', sources=[...])``.

    Args:
        in_channels (Sequence[int]): Channels of the stages, from shallow to deep.
        out_channels (int): Channels of the fused maps. Defaults to 128.
        init_cfg (dict, optional): See ``BaseConnector``.

    Raises:
        ValueError: If the maps are not those of ``in_channels``.
    """

    def __init__(
        self, in_channels: Sequence[int], out_channels: int = 128, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        key = 'FeatureFusionConnector: in_channels'
        check_kind(key, in_channels, (list, tuple), '[16, 32, 64]')
        for channels in in_channels:
            check_int(key, channels, minimum=1)
        check_int('FeatureFusionConnector: out_channels', out_channels, minimum=1)
        self.in_channels = tuple(in_channels)
        self.project = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
            )
            for channels in in_channels
        )
        self.attention = nn.ModuleList(Attention(out_channels) for _ in in_channels)

    def forward_train(self, feature: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Fused maps.

        Args:
            feature (Sequence[Tensor]): Maps of the stages, each (N, C_i, H_i, W_i), from shallow
                to deep.

        Returns:
            tuple[Tensor, ...]: As many, each (N, ``out_channels``, H_i, W_i).
        """
        found = tuple(each.size(1) if each.dim() == 4 else tuple(each.shape) for each in feature)
        if found != self.in_channels:
            raise ValueError(
                'FeatureFusionConnector: in_channels must be the channels of the recorded maps '
                f'(N, C, H, W), here {found}, not {self.in_channels}'
            )
        fused: list[Tensor] = []
        for stage in reversed(range(len(feature))):
            current = self.project[stage](feature[stage])
            if fused:
                current = current + F.interpolate(fused[-1], size=current.shape[2:])
            fused.append(self.attention[stage](current))
        return tuple(reversed(fused))
