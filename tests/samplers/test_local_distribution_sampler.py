"""LocalDistributionSampler on tensors: where the particles are, and of which images."""

import torch
import torch.nn.functional as F

from amkd_mm.samplers import LocalDistributionSampler
from clean_batches import clean_batch


def losses(batch, inputs, labels):
    with torch.no_grad():
        return F.cross_entropy(batch.teacher(inputs), labels, reduction='none')


def test_particles_are_in_the_ball_apart_and_adversarial():
    radius, count = 0.02, 4
    batch = clean_batch(rows=6, size=8)
    sampler = LocalDistributionSampler(count, radius, num_steps=8, num_samples=1.0)
    found = sampler(batch, torch.Generator().manual_seed(0))
    clean, moved = (batch.normalizer.denormalize(part) for part in (batch.inputs, found.inputs))
    assert moved.min() >= 0 and moved.max() <= 255
    # Exactly, of normalised inputs: pixels are clamped on the way back.
    low, high = batch.normalizer.bounds
    assert (found.inputs >= low - 1e-6).all() and (found.inputs <= high + 1e-6).all()
    assert sorted(found.rows.tolist()) == sorted(list(range(6)) * count)
    assert torch.equal(found.labels, batch.labels[found.rows])
    assert torch.equal(found.origins, batch.inputs[found.rows])
    distances = (moved - clean[found.rows]).flatten(1).abs().amax(1)
    assert (distances > 0).all() and (distances <= radius * 255 * 1.001).all()
    for base in range(6):
        assert torch.pdist(moved[found.rows == base].flatten(1)).min() > 0.1
    # Particles repel each other, so that not each of them climbs.
    before, after = (
        losses(batch, inputs, found.labels) for inputs in (found.origins, found.inputs)
    )
    assert (after > before).float().mean() > 0.7
    draws = torch.rand(moved.shape, generator=torch.Generator().manual_seed(0))
    noise = clean[found.rows] + (draws * 2 - 1) * radius * 255
    noisy = losses(batch, batch.normalizer.normalize(noise), found.labels)
    assert after.log().mean() > noisy.log().mean() + 0.1


def test_some_images_only():
    sampler = LocalDistributionSampler(3, 0.02, num_steps=1, num_samples=2)
    rows = sampler(clean_batch(rows=6), torch.Generator().manual_seed(0)).rows.tolist()
    assert len(rows) == 2 * 3
    assert rows[:3] == [rows[0]] * 3 and rows[3:] == [rows[3]] * 3
    assert rows[0] != rows[3]


def test_the_logged_loss_is_that_of_the_particles():
    batch = clean_batch(rows=6)
    # So small a ball that the loss is as good as that of the images.
    found = LocalDistributionSampler(2, 1e-6, num_steps=1, num_samples=1.0)(
        batch, torch.Generator()
    )
    expected = losses(batch, batch.inputs, batch.labels).mean()
    torch.testing.assert_close(found.statistics['loss'], expected, rtol=1e-3, atol=0)
