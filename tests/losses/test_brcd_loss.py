"""BRCDLoss against a plain loop over rows and columns."""

import math

import pytest
import torch
from mmpretrain.structures import DataSample

from amkd_mm.losses import BRCDLoss

BITS = 6
CENTERS = torch.tensor([[1, 1, 0, 0, 0.5, 1], [-1, 0, -1, 0, 0.5, 0], [0, -1, 0.2, -1, -1, -0.8]])
MASKS = (CENTERS.abs() >= 0.5).float()


def cosine(first, second):
    lengths = math.hypot(*first) * math.hypot(*second)
    return sum(a * b for a, b in zip(first, second, strict=True)) / lengths


def expected(student, teacher, own, other, masks, alpha, temperature):
    """The definition of the paper and the authors' code, image by image."""
    count = len(student) // 2
    first, second = teacher[:count], teacher[count:]

    def masked(code, image):
        return [a * b for a, b in zip(code, masks[own[image]], strict=True)]

    # What is told apart: the student's codes of first views, the teacher's of second views.
    codes = [masked(student[i], i) for i in range(count)]
    codes += [masked(second[i], i) for i in range(count)]
    clusters = [*own, *other]
    total = 0
    for row in range(2 * count):
        image = row % count
        weight = alpha if own[image] == other[image] else 1
        pull = weight * cosine(student[image], first[image])
        pull += (1 - weight) * cosine(codes[image], codes[count + image])
        scores = [math.exp(pull / temperature)]
        for column in range(2 * count):
            if column % count != image and clusters[column] != own[image]:
                scores.append(math.exp(cosine(codes[row], codes[column]) / temperature))
        total -= math.log(scores[0] / sum(scores))
    return total / (2 * count)


@pytest.fixture
def batch():
    """Ten codes of five images: the student's, and the teacher's near to centres."""
    generator = torch.manual_seed(0)
    members = [0, 1, 1, 2, 0]
    # The second view of image 2 went over to cluster 0.
    views = [0, 1, 0, 2, 0]
    noise = torch.randn(10, BITS, generator=generator) / 4
    teacher = (CENTERS[members + views] + noise).sign()
    student = torch.randn(10, BITS, generator=generator).sign()
    return student, teacher, members, views


def with_clusters(members, **settings):
    loss = BRCDLoss(num_clusters=3, **settings)
    loss.clusters.centers, loss.clusters.masks = CENTERS, MASKS
    loss.clusters.members = torch.tensor(members)
    return loss


def samples_of(numbers):
    samples = [DataSample() for _ in numbers]
    for sample, number in zip(samples, numbers, strict=True):
        sample.set_field(number, 'sample_idx', field_type='metainfo')
    return samples


def test_against_a_loop(batch):
    student, teacher, members, views = batch
    loss = with_clusters(members, temperature=0.4, alpha=0.7, loss_weight=0.6)
    assert loss.clusters.nearest(teacher[5:]).tolist() == views
    found = loss(student, teacher, samples_of(range(5)))
    goal = expected(student.tolist(), teacher.tolist(), members, views, MASKS.tolist(), 0.7, 0.4)
    assert found.item() == pytest.approx(0.6 * goal, rel=1e-5)


def test_clusters_of_images_by_their_numbers(batch):
    """Whatever their place in the batch."""
    student, teacher, members, views = batch
    numbers = [7, 2, 0, 5, 3]
    table = [9] * 8
    for number, member in zip(numbers, members, strict=True):
        table[number] = member
    found = with_clusters(table)(student, teacher, samples_of(numbers))
    assert found.item() == pytest.approx(
        with_clusters(members)(student, teacher, samples_of(range(5))).item()
    )


def test_without_clusters(batch):
    """One cluster for each code, all bits: nothing leaves, nothing is left out."""
    student, teacher, _, _ = batch
    found = BRCDLoss(num_clusters=None, alpha=0.7)(student, teacher)
    own, masks = list(range(5)), [[1] * BITS] * 5
    goal = expected(student.tolist(), teacher.tolist(), own, own, masks, 0.7, 0.3)
    assert found.item() == pytest.approx(goal, rel=1e-5)


@pytest.mark.parametrize(('members', 'left'), [([0, 1, 2], True), ([1, 2, 0], False)])
def test_a_view_that_left_its_cluster_does_not_pull(batch, members, left):
    """Then all is the same whatever the weight of the second view."""
    student, teacher = batch[0][:6], batch[1][:6].clone()
    # The second views of the three images are of clusters 1, 2 and 0.
    teacher[3:] = CENTERS[[1, 2, 0]].sign()
    found = [
        with_clusters(members, alpha=alpha)(student, teacher, samples_of(range(3))).item()
        for alpha in (0.2, 0.9)
    ]
    assert (found[0] == found[1]) == left


def test_images_of_one_cluster_do_not_push(batch):
    student, loss = batch[0][:4], with_clusters([0, 0])
    codes = torch.where(CENTERS[0] == 0, 1.0, CENTERS[0].sign()).repeat(4, 1)
    assert loss(student, codes, samples_of([0, 1])).item() == 0


def test_only_the_first_views_of_the_student_are_changed(batch):
    student, teacher, members, _ = batch
    student, teacher = student.requires_grad_(), teacher.requires_grad_()
    with_clusters(members)(student, teacher, samples_of(range(5))).backward()
    assert teacher.grad is None
    assert (student.grad[:5].abs().sum(1) > 0).all() and not student.grad[5:].any()


def test_a_cluster_without_a_bit_in_common(batch):
    """Its mask is empty, and no number is NaN."""
    student, teacher, members, _ = batch
    student.requires_grad_()
    loss = with_clusters(members)
    loss.clusters.masks = torch.zeros_like(MASKS)
    value = loss(student, teacher, samples_of(range(5)))
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(student.grad).all()


def test_codes_of_other_length():
    with pytest.raises(ValueError, match='num_bits` to the same number'):
        BRCDLoss(num_clusters=None)(torch.ones(4, 8), torch.ones(4, 16))


def test_before_there_are_clusters(batch):
    with pytest.raises(ValueError, match='CodeClusterHook'):
        BRCDLoss()(*batch[:2], samples_of(range(5)))


def test_without_numbers_of_images(batch):
    student, teacher, members, _ = batch
    for samples in (None, [DataSample()] * 5):
        with pytest.raises(ValueError, match='`sample_idx`'):
            with_clusters(members)(student, teacher, samples)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(temperature=0), 'temperature must be > 0'),
        (dict(alpha=1.1), 'alpha must be <= 1'),
        (dict(num_clusters=0), 'num_clusters must be >= 1'),
        (dict(margin=2), 'margin must be <= 1'),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        BRCDLoss(**settings)
