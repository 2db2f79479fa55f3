"""ReusingSampler against a memory kept in plain lists."""

import copy
from collections import Counter

import pytest
import torch

from amkd_mm.attacks import BoundarySearch
from amkd_mm.attacks.targets import sample_target
from amkd_mm.samplers import BoundarySampler, ReusingSampler, Sampler, Samples
from clean_batches import clean_batch


class Numbered(Sampler):
    """Makes samples whose pixels, labels, targets and logits all tell which one it is."""

    def __init__(self, counts, size=4):
        self.counts = iter(counts)
        self.size = size
        self.made = 0
        self.needs_student = True

    def __call__(self, batch, generator):
        count = next(self.counts)
        numbers = torch.arange(self.made, self.made + count)
        self.made += count
        images = numbers.float().view(-1, 1, 1, 1).expand(-1, 3, self.size, self.size)
        logits = numbers[:, None].expand(-1, 5).float()
        # As an attack on no row at all gives them.
        logits = logits if count else torch.zeros(0, 0)
        found = dict(attacked=torch.tensor(count))
        return Samples(images, -images, numbers, numbers, numbers + 1000, logits, found)


def draw(sampler, seed, batch=None):
    return sampler(batch or clean_batch(rows=8), torch.Generator().manual_seed(seed))


def numbers_of(samples):
    """Which samples they are, if all of a sample is of one."""
    numbers = samples.labels
    assert samples.rows.tolist() == [-1] * len(numbers)
    assert torch.equal(samples.targets, numbers + 1000)
    assert (samples.inputs == numbers.view(-1, 1, 1, 1)).all()
    assert (samples.origins == -numbers.view(-1, 1, 1, 1)).all()
    assert (samples.teacher_logits == numbers[:, None]).all()
    return numbers.tolist()


@pytest.mark.parametrize('num_samples', [2, 0.25])
@pytest.mark.parametrize('reuse', [1, 2, 3])
def test_what_is_drawn_is_among_the_newest(num_samples, reuse):
    """Of 8 images two are made at a time, and two are drawn in each call."""
    counts = [2, 1, 2, 0, 2, 2, 2, 2]
    sampler = ReusingSampler(Numbered(counts), num_samples, reuse)
    memory = []
    for call in range(8 * reuse):
        is_due = call % reuse == 0
        assert sampler.needs_student == is_due
        if is_due:
            count = counts[call // reuse]
            first = sum(counts[: call // reuse])
            memory = [*memory, *range(first, first + count)][-2 * reuse :]
        found = draw(sampler, seed=call)
        order = torch.randperm(len(memory), generator=torch.Generator().manual_seed(call))
        assert numbers_of(found) == [memory[place] for place in order.tolist()[:2]]
        assert found.statistics['attacked'] == count


def test_each_sample_is_used_so_many_times():
    sampler = ReusingSampler(Numbered([4] * 500), 4, reuse=4)
    used = Counter()
    for call in range(2000):
        used.update(numbers_of(draw(sampler, seed=call)))
    # The first 16 fill the memory; then each is drawn with probability 1/4 in 16 calls.
    counts = torch.tensor([used[number] for number in range(16, 1984)], dtype=torch.float64)
    assert counts.mean() == pytest.approx(4, abs=0.05)
    # Of a binomial distribution: 16 * 1/4 * 3/4.
    assert counts.var() == pytest.approx(3, rel=0.15)


def test_nothing_found_yet():
    sampler = ReusingSampler(Numbered([0, 2]), 2, reuse=2)
    for call in range(2):
        assert numbers_of(draw(sampler, seed=call)) == []
    assert sorted(numbers_of(draw(sampler, seed=2))) == [0, 1]


def test_images_of_another_size_replace_the_memory():
    maker = Numbered([2, 2])
    sampler = ReusingSampler(maker, 2, reuse=1)
    draw(sampler, seed=0)
    maker.size = 6
    found = draw(sampler, seed=1, batch=clean_batch(rows=8, size=6))
    assert sorted(numbers_of(found)) == [2, 3] and found.inputs.shape[-1] == 6


def test_a_state_goes_on_as_if_nothing_had_been():
    sampler = ReusingSampler(Numbered([2] * 9), 2, reuse=3)
    for call in range(7):
        draw(sampler, seed=call)
    state = copy.deepcopy(sampler.state_dict())
    # The new samples of the seventh call are number 4 and 5.
    other = Numbered([2] * 9)
    other.made = 6
    resumed = ReusingSampler(other, 2, reuse=3)
    resumed.load_state_dict(state)
    for call in range(7, 18):
        expected, found = draw(sampler, seed=call), draw(resumed, seed=call)
        assert numbers_of(found) == numbers_of(expected)
        assert found.statistics == expected.statistics


def test_reused_samples_lie_on_the_boundary_of_the_teacher():
    batch = clean_batch(rows=12)
    inner = BoundarySampler(BoundarySearch(), 4, sample_target)
    sampler = ReusingSampler(inner, 4, reuse=4)
    for seed in range(8):
        other = clean_batch(rows=12, seed=seed)._replace(teacher=batch.teacher)
        with torch.no_grad():
            logits = batch.teacher(other.inputs)
        other = other._replace(teacher_logits=logits, labels=logits.argmax(1))
        found = draw(sampler, seed, other)
        with torch.no_grad():
            logits = batch.teacher(found.inputs)
        torch.testing.assert_close(found.teacher_logits, logits)
        assert logits.argmax(1).equal(found.targets)
        probabilities = logits.softmax(1).sort(1, descending=True).values
        assert (probabilities[:, 0] - probabilities[:, 1]).max() <= 0.07
