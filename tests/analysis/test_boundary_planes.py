"""Planes through an image and its boundary samples."""

import torch
from mmpretrain.models import ClsDataPreprocessor

from amkd_mm.analysis import Mover, boundary_planes
from amkd_mm.attacks import BoundarySearch
from amkd_mm.data_preprocessors.normalizer import Normalizer

NAMES = ('teacher', 'student')


def linear_networks(classes):
    """A mover of linear networks, images, and their logits."""
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: torch.randn(12, classes, generator=generator)
        for name in ('teacher', 'compared', 'student')
    }
    weights['student'] = weights['teacher'] + 0.3 * weights['student']
    networks = {n: (lambda x, w=w: 0.1 * x.flatten(1) @ w) for n, w in weights.items()}
    normalizer = Normalizer(ClsDataPreprocessor(mean=[128.0] * 3, std=[64.0] * 3))
    pixels = 128 + 30 * torch.randn(8, 3, 2, 2, generator=generator)
    mover = Mover(BoundarySearch(), normalizer, networks)
    logits = {name: mover.logits(name, pixels) for name in networks}
    labels = logits['teacher'].argmax(1)
    row = int((logits['student'].argmax(1) == labels).nonzero()[0])
    one = slice(row, row + 1)
    return mover, pixels[one], labels[one], {name: found[one] for name, found in logits.items()}


def test_two_classes():
    """There the plane goes through the boundary samples of both networks."""
    mover, pixels, labels, logits = linear_networks(2)
    (plane,) = boundary_planes(mover, NAMES, pixels, labels, 1 - labels, logits, 9)
    assert plane.owners == NAMES and plane.classes == [int(labels), 1 - int(labels)]
    assert plane.regions.points.shape == (3, 2) and set(plane.regions.classes) == set(logits)
    # A network that gets the image wrong has no boundary sample of it, and then there is no plane.
    wrong = dict(logits, student=-logits['student'])
    assert not boundary_planes(mover, NAMES, pixels, labels, 1 - labels, wrong, 9)


def test_more_classes():
    """A plane of each network, through its own boundary samples towards two classes."""
    mover, pixels, labels, logits = linear_networks(4)
    order = logits['teacher'][0].argsort(descending=True).tolist()
    target = torch.tensor([order[2]])
    found = boundary_planes(mover, NAMES, pixels, labels, target, logits, 9)
    assert [plane.owners for plane in found] == [('teacher',), ('student',)]
    for plane in found:
        # Towards the target, and towards the second class of the teacher.
        assert plane.classes == [order[0], order[2], order[1]]
        ends = [
            mover(plane.owners[0], pixels, labels, torch.tensor([c])).inputs
            for c in plane.classes[1:]
        ]
        lengths = [float((end - pixels).norm()) for end in ends]
        points = torch.tensor(plane.regions.points)
        torch.testing.assert_close((points[1:] - points[0]).norm(dim=1).tolist(), lengths)
    wrong = dict(logits, student=-logits['student'])
    (plane,) = boundary_planes(mover, NAMES, pixels, labels, target, wrong, 9)
    assert plane.owners == ('teacher',)
    wrong = dict(logits, teacher=-logits['teacher'])
    assert not boundary_planes(mover, NAMES, pixels, labels, target, wrong, 9)
