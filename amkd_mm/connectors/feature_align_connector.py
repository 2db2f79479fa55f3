"""FeatureAlignConnector: a feature map or tokens in the width, size and form of another's."""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_choice, check_int, check_size

FORMS = ('map', 'tokens')


@MODELS.register_module()
class FeatureAlignConnector(BaseConnector):
    """Gives features the width, size and form of another network's, so that losses compare them.

    For feature losses between networks of any kind, such as a ViT and a CNN (ours). Maps
    (N, C, H, W) and token sequences (N, L, C), as a layer of a ViT gives them, are told apart by
    their dimensions. Tokens are laid out as a map, row by row, without the first ``extra_tokens``.
    The map is brought to ``size``, by adaptive average pooling where no edge grows and else
    bilinearly, then to ``out_channels`` by a 1x1 convolution with batch norm, and then to the form
    of ``output``. On the student's side it projects; on the teacher's, without ``out_channels``,
    it has no weights and only resizes and reshapes.

    Args:
        in_channels (int, optional): Channels of what is recorded. Needed beside ``out_channels``,
            else only checked. Defaults to None.
        out_channels (int, optional): Channels of the other network's features. Defaults to None,
            no convolution.
        size (int | Sequence[int], optional): Edge, or height and width, of the other map. Defaults
            to None, as it is.
        extra_tokens (int): How many tokens come before those of the image: 1 for a class token,
            2 with a distillation token, 0 for a Swin Transformer. Of maps there are none.
            Defaults to 1.
        grid (Sequence[int], optional): Rows and columns of the tokens. Defaults to None, a square.
        output (str): ``'map'`` or ``'tokens'``, without extra ones. Defaults to ``'map'``.
        init_cfg (dict, optional): See ``BaseConnector``.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range, or the features do not fit the arguments;
            the message names the argument.

    Examples:
        A CNN's map of 512 channels and 7x7 places in the space of a ViT's 14x14 tokens of 768:

        >>> connectors = dict(
        ...     student=dict(type='FeatureAlignConnector', in_channels=512, out_channels=768,
        ...                  size=14),
        ...     teacher=dict(type='FeatureAlignConnector'))
    """

    def __init__(
        self,
        in_channels: int | None = None,
        out_channels: int | None = None,
        size: int | Sequence[int] | None = None,
        extra_tokens: int = 1,
        grid: Sequence[int] | None = None,
        output: str = 'map',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        name = type(self).__name__
        if out_channels is not None:
            check_int(f'{name}: out_channels', out_channels, minimum=1)
            check_int(f'{name}: in_channels', in_channels, minimum=1)
        elif in_channels is not None:
            check_int(f'{name}: in_channels', in_channels, minimum=1)
        check_int(f'{name}: extra_tokens', extra_tokens)
        check_choice(f'{name}: output', output, FORMS)
        self.in_channels = in_channels
        self.size = None if size is None else check_size(f'{name}: size', size)
        self.extra_tokens = extra_tokens
        self.grid = None if grid is None else check_size(f'{name}: grid', grid)
        self.output = output
        self.project = nn.Identity()
        if out_channels is not None:
            self.project = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward_train(self, feature: Tensor) -> Tensor:
        """Features as the other network has them.

        Args:
            feature (Tensor): A map, (N, C, H, W), or tokens, (N, L, C).

        Returns:
            Tensor: A map, (N, C', H', W'), or tokens, (N, H' * W', C').
        """
        if feature.dim() not in (3, 4):
            raise ValueError(
                'FeatureAlignConnector needs a feature map, (N, C, H, W), or tokens, (N, L, C), '
                f'not {tuple(feature.shape)}: record a layer before they are pooled'
            )
        maps = feature if feature.dim() == 4 else self.laid_out(feature)
        if self.in_channels not in (None, maps.size(1)):
            raise ValueError(
                f'FeatureAlignConnector: in_channels must be {maps.size(1)}, the width of what is '
                f'recorded, {tuple(feature.shape)}, not {self.in_channels}'
            )
        maps = self.project(self.resized(maps))
        return maps if self.output == 'map' else maps.flatten(2).transpose(1, 2)

    def laid_out(self, tokens: Tensor) -> Tensor:
        """Tokens, (N, L, C), as a map, (N, C, H, W)."""
        number = tokens.size(1) - self.extra_tokens
        edge = math.isqrt(max(number, 0))
        rows, columns = self.grid or (edge, edge)
        if number < 1 or rows * columns != number:
            raise ValueError(
                f'FeatureAlignConnector: {tokens.size(1)} tokens without extra_tokens='
                f'{self.extra_tokens} are {number}, which '
                + (f'grid={self.grid} does not hold' if self.grid else 'fill no square')
                + ': set `extra_tokens` (class and distillation tokens), and `grid=(rows, '
                'columns)` where the image is no square'
            )
        image = tokens[:, self.extra_tokens :]
        return image.transpose(1, 2).unflatten(2, (rows, columns))

    def resized(self, maps: Tensor) -> Tensor:
        """A map, (N, C, H, W), of ``size``."""
        given = tuple(maps.shape[2:])
        if self.size in (None, given):
            return maps
        if all(new <= old for new, old in zip(self.size, given, strict=True)):
            return F.adaptive_avg_pool2d(maps, self.size)
        return F.interpolate(maps, self.size, mode='bilinear', align_corners=False)
