"""CodeClusters by examples made by hand."""

import pytest
import torch

from amkd_mm.losses import CodeClusters

# Two clusters: bits 0 and 1 tell them apart. Of the first, bit 2 is half of the time 1, and bit 3
# three times of four; of the second it is the other way round.
CODES = torch.tensor(
    [
        [1, 1, 1, 1],
        [1, 1, -1, 1],
        [1, 1, 1, 1],
        [1, 1, -1, -1],
        [-1, -1, -1, 1],
        [-1, -1, -1, -1],
        [-1, -1, -1, 1],
        [-1, -1, 1, -1],
    ]
).float()


def fitted(margin):
    clusters = CodeClusters(2, margin)
    clusters.fit(CODES, seed=0)
    # K-means numbers them as it likes.
    return clusters, clusters.members[0].item(), clusters.members[4].item()


def test_members_and_centers():
    clusters, one, other = fitted(0.5)
    assert clusters.members.tolist() == [one] * 4 + [other] * 4 and one != other
    assert clusters.centers[one].tolist() == [1, 1, 0, 0.5]
    assert clusters.centers[other].tolist() == [-1, -1, -0.5, 0]


@pytest.mark.parametrize(
    ('margin', 'first', 'second'),
    [
        (0.0, [1, 1, 1, 1], [1, 1, 1, 1]),
        (0.5, [1, 1, 0, 1], [1, 1, 1, 0]),
        (0.6, [1, 1, 0, 0], [1, 1, 0, 0]),
        (1.0, [1, 1, 0, 0], [1, 1, 0, 0]),
    ],
)
def test_masks_keep_what_the_images_of_a_cluster_have_in_common(margin, first, second):
    clusters, one, other = fitted(margin)
    assert clusters.masks[one].tolist() == first
    assert clusters.masks[other].tolist() == second


def test_nearest_center():
    clusters, one, other = fitted(0.5)
    codes = torch.tensor([[1.0, 1, -1, -1], [-1, -1, 1, 1], [-1, 1, 1, 1], [-1, 1, -1, -1]])
    # Squared distances of the last two: 4 + 1 + 0.25 and 4 + 2.25 + 1; 4 + 1 + 2.25 and 4.25 + 1.
    assert clusters.nearest(codes).tolist() == [one, other, one, other]


def test_the_same_seed_gives_the_same_clusters():
    codes = torch.randn(60, 8, generator=torch.manual_seed(0)).sign()
    found = []
    for seed in (3, 3, 2**40):
        clusters = CodeClusters(5, 0.5)
        clusters.fit(codes, seed)
        found.append(clusters.members)
    assert torch.equal(found[0], found[1])


def test_saved_and_loaded():
    clusters, _, _ = fitted(0.5)
    module = torch.nn.ModuleDict(dict(clusters=CodeClusters(2, 0.5)))
    assert not module['clusters'].is_fitted
    module.load_state_dict(torch.nn.ModuleDict(dict(clusters=clusters)).state_dict())
    assert module['clusters'].is_fitted
    for name, buffer in clusters.named_buffers():
        loaded = getattr(module['clusters'], name)
        assert torch.equal(loaded, buffer) and loaded.dtype == buffer.dtype


def test_fewer_codes_than_clusters():
    clusters = CodeClusters(3, 0.5)
    with pytest.raises(ValueError, match='num_clusters is 3, but the teacher has only 2'):
        clusters.fit(CODES[[0, 4, 0, 4]], seed=0)


@pytest.mark.parametrize('margin', [-0.1, 1.1])
def test_margin_out_of_range(margin):
    with pytest.raises(ValueError, match='margin must be'):
        CodeClusters(3, margin)
