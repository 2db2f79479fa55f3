"""A plane through three images, and what a network decides in it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class InputPlane(NamedTuple):
    """A plane in the space of images, with orthonormal axes.

    A length in the plane is an L2 distance between images, in the units of their values.

    Attributes:
        origin (Tensor): An image, (C, H, W), float64.
        axes (Tensor): Two orthonormal directions, (2, C * H * W), float64.
    """

    origin: Tensor
    axes: Tensor

    @classmethod
    def through(cls, origin: Tensor, first: Tensor, second: Tensor) -> 'InputPlane':
        """The plane through three images, by Gram and Schmidt.

        Args:
            origin (Tensor): At (0, 0), (C, H, W).
            first (Tensor): On the positive half of the first axis, (C, H, W).
            second (Tensor): Above the first axis, (C, H, W).

        Raises:
            ValueError: If the images lie on a line.
        """
        origin, first, second = (image.cpu().double() for image in (origin, first, second))
        across, up = (first - origin).flatten(), (second - origin).flatten()
        length, reach = across.norm(), up.norm()
        across = across / length
        up = up - (up @ across) * across
        if not (length > 0 and up.norm() > 1e-6 * reach):
            raise ValueError('a plane needs three images that do not lie on a line')
        return cls(origin, torch.stack([across, up / up.norm()]))

    def coordinates(self, images: Tensor) -> Tensor:
        """Where images (N, C, H, W), or their projections, lie in the plane, (N, 2) float64."""
        return (images.cpu().double() - self.origin).flatten(1) @ self.axes.T

    def images(self, coordinates: Tensor) -> Tensor:
        """The images at coordinates (N, 2), (N, C, H, W) float64."""
        return self.origin + (coordinates.double() @ self.axes).reshape(-1, *self.origin.shape)


class PlaneRegions(NamedTuple):
    """What networks decide in a part of a plane.

    Attributes:
        xs (ndarray): Coordinates of the columns, (G,), increasing.
        ys (ndarray): Coordinates of the rows, (G,), increasing.
        points (ndarray): Coordinates of the three images, (3, 2).
        classes (dict[str, ndarray]): Name of a network to the class at each point, (G, G) int64,
            the first index being that of ``ys``.
    """

    xs: np.ndarray
    ys: np.ndarray
    points: np.ndarray
    classes: dict[str, np.ndarray]


def plane_regions(
    plane: InputPlane,
    images: Tensor,
    networks: dict[str, Callable[[Tensor], Tensor]],
    size: int = 81,
    batch_size: int = 256,
) -> PlaneRegions:
    """Ask networks for their decisions in a square around images of a plane.

    Args:
        plane (InputPlane): Where.
        images (Tensor): Those that the square must hold, (M, C, H, W). The larger side of the
            box around them is half of the square's.
        networks (dict[str, Callable]): Name to a function from images (N, C, H, W), float32 and in
            the units of ``images``, to logits (N, K). It is asked about values outside the
            range of pixels too.
        size (int): Points a side, G. Defaults to 81.
        batch_size (int): Most images that a network is asked about at once. Defaults to 256.

    Returns:
        PlaneRegions: See there.
    """
    points = plane.coordinates(images)
    low, high = points.amin(0), points.amax(0)
    middle, half = (low + high) / 2, (high - low).max()
    steps = torch.linspace(-1, 1, size, dtype=torch.float64) * half
    xs, ys = middle[0] + steps, middle[1] + steps
    grid = torch.stack(torch.meshgrid(xs, ys, indexing='xy'), -1).reshape(-1, 2)
    classes = {name: [] for name in networks}
    with torch.no_grad():
        for piece in grid.split(batch_size):
            batch = plane.images(piece).float().to(images.device)
            for name, classify in networks.items():
                classes[name].append(classify(batch).argmax(1).cpu())
    found = {name: torch.cat(pieces).reshape(size, size) for name, pieces in classes.items()}
    return PlaneRegions(
        xs.numpy(), ys.numpy(), points.numpy(), {name: c.numpy() for name, c in found.items()}
    )
