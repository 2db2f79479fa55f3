"""ReviewKDConnector: a student's maps, each fused with what comes of the deeper ones."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_int, check_kind, check_size
from ..losses.feature_maps import as_map


class AttentionFusion(nn.Module):
    """Fuses a map with that of the next deeper stage, by attention over the two.

    Args:
        in_channels (int): Channels of the map.
        mid_channels (int): Channels of what is fused.
        out_channels (int): Channels of what is compared with the teacher.
        is_deepest (bool): Whether there is no deeper stage.
    """

    def __init__(
        self, in_channels: int, mid_channels: int, out_channels: int, is_deepest: bool
    ) -> None:
        super().__init__()
        self.reduce = nn.Sequential(
            nn.Conv2d(in_channels, mid_channels, 1, bias=False), nn.BatchNorm2d(mid_channels)
        )
        self.attention = None if is_deepest else nn.Conv2d(2 * mid_channels, 2, 1)
        self.expand = nn.Sequential(
            nn.Conv2d(mid_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        for branch in (self.reduce, self.expand):
            nn.init.kaiming_uniform_(branch[0].weight, a=1)

    def forward(
        self, feature: Tensor, deeper: Tensor | None, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """The map to compare, and the one to fuse with the next shallower.

        Args:
            feature (Tensor): (N, ``in_channels``, H, W).
            deeper (Tensor, optional): (N, ``mid_channels``, H', W') of the next deeper stage.
            size (tuple[int, int]): Height and width of both maps that are returned.
        """
        fused = self.reduce(feature)
        if self.attention is not None:
            deeper = F.interpolate(deeper, fused.shape[2:])
            share = self.attention(torch.cat([fused, deeper], 1)).sigmoid()
            fused = fused * share[:, :1] + deeper * share[:, 1:]
        if tuple(fused.shape[2:]) != size:
            fused = F.interpolate(fused, size)
        return self.expand(fused), fused


@MODELS.register_module()
class ReviewKDConnector(BaseConnector):
    """Reviews a student's stages from deep to shallow, for ``ReviewKDLoss``.

    Distilling Knowledge via Knowledge Review (Chen et al., CVPR 2021): a 1x1 convolution with batch
    norm brings the map of a stage to a common width, attention weighs it and the fused map of the
    next deeper stage, which is enlarged to its size (nearest), and a 3x3 convolution with batch
    norm makes of their sum what is compared with the teacher's map.

    The record is that of ``dict(type='Stages', sources=[...])``, whose last entry is the embedding,
    as in the authors' code.

    Args:
        in_channels (Sequence[int]): Channels of the student's stages, from shallow to deep.
        out_channels (Sequence[int]): Those of the teacher's.
        mid_channels (int, optional): Channels of what is fused. Defaults to None, as the authors'
            code: those of the student's last stage, at most 512.
        out_sizes (Sequence[int | Sequence[int]], optional): Edge, or height and width, of the
            teacher's maps, where they are not those of the student. Defaults to None, the same.
        init_cfg (dict, optional): See ``BaseConnector``.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If there are not as many stages in all arguments, or if the maps are not those
            of ``in_channels``.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: Sequence[int],
        mid_channels: int | None = None,
        out_sizes: Sequence[int | Sequence[int]] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        for name, channels in dict(in_channels=in_channels, out_channels=out_channels).items():
            check_kind(f'ReviewKDConnector: {name}', channels, (list, tuple), '[16, 32, 64, 64]')
            for number in channels:
                check_int(f'ReviewKDConnector: {name}', number, minimum=1)
        if not in_channels:
            raise ValueError('ReviewKDConnector: in_channels must have a stage, such as [64]')
        sizes = [None] * len(in_channels) if out_sizes is None else out_sizes
        check_kind('ReviewKDConnector: out_sizes', sizes, (list, tuple), '[32, 16, 8, 1]')
        for name, given in dict(out_channels=out_channels, out_sizes=sizes).items():
            if len(given) != len(in_channels):
                raise ValueError(
                    f'ReviewKDConnector: {name} must have an entry for each of the '
                    f'{len(in_channels)} stages of in_channels, not {len(given)}'
                )
        if mid_channels is None:
            mid_channels = min(512, in_channels[-1])
        check_int('ReviewKDConnector: mid_channels', mid_channels, minimum=1)
        self.in_channels = tuple(in_channels)
        key = 'ReviewKDConnector: out_sizes'
        self.out_sizes = [None if size is None else check_size(key, size) for size in sizes]
        last = len(in_channels) - 1
        self.stages = nn.ModuleList(
            AttentionFusion(in_channels[i], mid_channels, out_channels[i], i == last)
            for i in range(len(in_channels))
        )

    def forward_train(self, feature: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps to compare.

        Args:
            feature (Sequence[Tensor]): Maps of the stages, each (N, C_i, H_i, W_i), from shallow
                to deep; an embedding, (N, C), is a map of one place.

        Returns:
            tuple[Tensor, ...]: As many, each (N, ``out_channels[i]``, H_i, W_i), or of
            ``out_sizes[i]``.
        """
        maps = [as_map(each) for each in feature]
        found = tuple(each.size(1) if each.dim() == 4 else tuple(each.shape) for each in maps)
        if found != self.in_channels:
            raise ValueError(
                'ReviewKDConnector: in_channels must be the channels of the recorded maps, here '
                f'{found}, not {self.in_channels}'
            )
        compared: list[Tensor] = []
        fused = None
        for i in reversed(range(len(maps))):
            size = self.out_sizes[i] or tuple(maps[i].shape[2:])
            out, fused = self.stages[i](maps[i], fused, size)
            compared.append(out)
        return tuple(reversed(compared))
