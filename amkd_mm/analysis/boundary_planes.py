"""Planes through an image and its boundary samples."""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from ..attacks.targets import runner_up_target
from .boundary_samples import Mover
from .input_plane import InputPlane, PlaneRegions, plane_regions


class BoundaryPlane(NamedTuple):
    """A plane through an image and two boundary samples.

    Attributes:
        owners (tuple[str]): Whose boundary samples they are: those of one network towards two
            classes, or, where there are only two classes, one of each of two networks.
        regions (PlaneRegions): What the networks decide. Its first point is the image.
        classes (list[int]): The class of the image and those that it is moved towards.
    """

    owners: tuple[str, ...]
    regions: PlaneRegions
    classes: list[int]


def boundary_planes(
    mover: Mover,
    networks: tuple[str, str],
    image: Tensor,
    label: Tensor,
    target: Tensor,
    logits: dict[str, Tensor],
    grid: int = 81,
) -> list[BoundaryPlane]:
    """The planes of an image: through a teacher's boundary samples, and through a student's.

    There is none of a student that misclassifies the image, or whose boundary is not reached, and
    none at all where the teacher's is not.

    Args:
        mover (Mover): Knows the networks.
        networks (tuple[str, str]): Names of the teacher and of the student.
        image (Tensor): In [0, 255], (1, C, H, W).
        label (Tensor): Its class, (1,).
        target (Tensor): The class to move it towards, (1,); the other is the most probable one
            besides these for the teacher.
        logits (dict[str, Tensor]): Name of a network to its logits of the image, (1, K).
        grid (int): Points a side at which the networks are asked. Defaults to 81.

    Returns:
        list[BoundaryPlane]: At most one of each network.
    """
    teacher, student = networks
    is_binary = logits[teacher].size(1) == 2
    targets = [target]
    if not is_binary:
        others = logits[teacher].scatter(1, target[:, None], -float('inf'))
        targets.append(runner_up_target(others, label))
    ends = {}
    for name in networks:
        found = [mover(name, image, label, towards) for towards in targets]
        is_right = logits[name].argmax(1) == label
        if is_right and all(result.reached for result in found):
            ends[name] = [result.inputs for result in found]
    # With two classes, each network has but one boundary sample.
    if teacher not in ends or is_binary and student not in ends:
        return []
    corners = {(name,): found for name, found in ends.items()}
    if is_binary:
        corners = {networks: [*ends[teacher], *ends[student]]}

    asked = {name: partial(mover.logits, name) for name in mover.networks}
    planes = []
    for owners, found in corners.items():
        three = torch.cat([image.float(), *found])
        try:
            plane = InputPlane.through(*three)
        except ValueError:  # They lie on a line.
            continue
        regions = plane_regions(plane, three, asked, grid)
        planes.append(BoundaryPlane(owners, regions, [int(label), *map(int, targets)]))
    return planes
