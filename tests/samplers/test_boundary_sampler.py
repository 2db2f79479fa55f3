"""BoundarySampler on tensors: base samples, statistics, and how often the host waits for a GPU."""

from collections import Counter

import pytest
import torch

from amkd_mm.attacks import AttackResult, BoundaryAttack, BoundarySearch, BSSAttack
from amkd_mm.attacks.base import choose
from amkd_mm.attacks.targets import random_target, runner_up_target, sample_target
from amkd_mm.samplers import BoundarySampler, discrepancy
from clean_batches import clean_batch, mislabelled
from synchronisations import counted_synchronisations

K = 4
# Ends where it started.
STAY = BSSAttack(num_steps=1, step_size=1e-6)


class Half(BoundaryAttack):
    """Moves every second attacked sample, by one in each coordinate."""

    def search(self, model, inputs, labels, targets, bounds):
        reached = torch.arange(len(inputs)) % 2 == 0
        targets = choose(targets, model(inputs).detach())
        moved = inputs + reached[:, None, None, None]
        with torch.no_grad():
            return AttackResult(moved, reached & (targets >= 0), model(moved), targets)


@pytest.mark.parametrize('keep_unreached', [False, True])
def test_samples_and_statistics(keep_unreached):
    batch = mislabelled(clean_batch(num_classes=K), range(0, 12, 2))
    sampler = BoundarySampler(Half(), 1.0, runner_up_target, keep_unreached=keep_unreached)
    found = sampler(batch, torch.Generator().manual_seed(3))
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3)).tolist()
    # The teacher is wrong about the even rows, and the attack moves those at even places.
    attacked = [row for row in order if row % 2]
    reached = [row for place, row in enumerate(order) if row % 2 and place % 2 == 0]
    expected = attacked if keep_unreached else reached
    assert found.rows.tolist() == expected and 0 < len(reached) < len(attacked) == 6
    assert torch.equal(found.origins, batch.inputs[expected])
    assert torch.equal(found.labels, batch.labels[expected])
    distances, gaps = [], []
    for sample, row, target, logits in zip(
        found.inputs, expected, found.targets.tolist(), found.teacher_logits, strict=True
    ):
        step = float(row in reached)
        torch.testing.assert_close(sample, batch.inputs[row] + step)
        torch.testing.assert_close(logits, batch.teacher(sample[None])[0].detach())
        others = batch.teacher_logits[row].clone()
        others[batch.labels[row]] = -torch.inf
        assert target == others.argmax()
        p = logits.softmax(0)
        gaps.append(abs(p[batch.labels[row]] - p[target]).item())
        distances.append(step * 48**0.5)
    statistics = {name: value.item() for name, value in found.statistics.items()}
    assert statistics == pytest.approx(
        dict(
            attacked=6,
            reached=len(reached) / 6,
            probability_gap=sum(gaps) / len(gaps),
            l2=sum(distances) / len(distances),
        )
    )


def test_no_suitable_row():
    batch = mislabelled(clean_batch(), range(12))
    found = BoundarySampler(BoundarySearch(), 1.0, runner_up_target)(batch, torch.Generator())
    assert len(found.inputs) == len(found.rows) == 0 and found.statistics['attacked'] == 0
    assert all(found.statistics[name].isnan() for name in ('reached', 'probability_gap', 'l2'))


@pytest.mark.parametrize('choice', [dict(base='discrepancy'), dict(student_correct=True)])
def test_who_looks_at_the_student_says_so(choice):
    """To the algorithm by an attribute; without the student's logits by an error."""
    sampler = BoundarySampler(STAY, 1.0, runner_up_target, **choice)
    assert sampler.needs_student
    batch = clean_batch(num_classes=K)._replace(student_logits=None)
    with pytest.raises(ValueError, match='must say so: `needs_student`'):
        sampler(batch, torch.Generator())
    other = BoundarySampler(STAY, 1.0, runner_up_target)
    assert not other.needs_student
    other(batch, torch.Generator())


def moved_rows(sampler, batch, seed=0):
    return sampler(batch, torch.Generator().manual_seed(seed)).rows.tolist()


@pytest.mark.parametrize('student_correct', [True, False])
@pytest.mark.parametrize('base', ['random', 'discrepancy'])
def test_base_samples_are_those_that_both_classify_correctly(base, student_correct):
    wrong = (0, 5, 9)
    batch = mislabelled(clean_batch(rows=32, num_classes=K), wrong)
    student = batch.student_logits.argmax(1) == batch.labels
    suitable = {
        row for row in range(32) if row not in wrong and (student[row] or not student_correct)
    }
    sampler = BoundarySampler(STAY, 1.0, runner_up_target, base, student_correct, True)
    rows = moved_rows(sampler, batch)
    assert set(rows) == suitable and len(rows) == len(suitable) > 4
    assert student_correct == bool(student[rows].all())
    # And fewer where there is room for fewer.
    sampler.num_samples = 4
    few = moved_rows(sampler, batch)
    assert set(few) < suitable
    if base == 'discrepancy':
        assert few == rows[:4]


def test_unreached_samples_are_left_out_unless_asked_for():
    batch = mislabelled(clean_batch(), [1, 2])
    sampler = BoundarySampler(STAY, 1.0, runner_up_target)
    assert moved_rows(sampler, batch) == []
    sampler.keep_unreached = True
    # Not even now those that the teacher misclassifies.
    assert sorted(moved_rows(sampler, batch)) == [0, *range(3, 12)]


def test_random_takes_each_equally_often():
    count, num_samples, steps = 12, 3, 200
    batch = clean_batch(count)
    sampler = BoundarySampler(STAY, num_samples, runner_up_target, keep_unreached=True)
    found = [moved_rows(sampler, batch, seed) for seed in range(steps)]
    assert all(len(set(rows)) == num_samples for rows in found)
    frequency = Counter(row for rows in found for row in rows)
    expected = steps * num_samples / count
    statistic = sum((frequency[row] - expected) ** 2 / expected for row in range(count))
    assert statistic < 31.3  # 99.9% of chi-square with 11 degrees of freedom


@pytest.mark.parametrize(
    ('num_samples', 'expected'),
    [(3, 3), (64, 16), (0.25, 4), (0.5, 8), (1.0, 16), (1, 1), (0.01, 1)],
)
@pytest.mark.parametrize('base', ['random', 'discrepancy'])
def test_num_samples(base, num_samples, expected):
    sampler = BoundarySampler(STAY, num_samples, runner_up_target, base, keep_unreached=True)
    assert len(moved_rows(sampler, clean_batch(16))) == expected


@pytest.mark.parametrize('choose_targets', [sample_target, runner_up_target, random_target])
def test_samples_have_the_chosen_class(choose_targets):
    """Of whatever rows, in whatever order."""
    batch, steps = clean_batch(16, num_classes=K), 100
    sampler = BoundarySampler(STAY, 1.0, choose_targets, keep_unreached=True)
    counts, generator = torch.zeros(16, K), torch.Generator().manual_seed(0)
    for _ in range(steps):
        found = sampler(batch, generator)
        assert torch.equal(found.rows.sort().values, torch.arange(16))
        counts[found.rows, found.targets] += 1
    others = torch.ones(16, K).scatter(1, batch.labels[:, None], 0)
    logits = batch.teacher_logits.masked_fill(others == 0, -torch.inf)
    expected = {
        sample_target: logits.softmax(1),
        random_target: others / (K - 1),
        runner_up_target: (logits == logits.amax(1, keepdim=True)).float(),
    }[choose_targets]
    assert (counts[expected == 0] == 0).all()
    # One on average, give or take 0.3; each of the other two ways gives more than ten.
    variance = (expected * (1 - expected) * steps).sum()
    assert (counts - expected * steps).square().sum() <= 2 * variance


def test_discrepancy_is_that_of_bss():
    generator = torch.Generator().manual_seed(0)
    teacher, student = (torch.randn(9, 5, generator=generator) for _ in range(2))
    labels = torch.arange(9) % 5
    found = discrepancy(teacher, student, labels)
    for i in range(9):
        p, q = teacher[i].softmax(0), student[i].softmax(0)
        expected = sum((p[k] - q[k]) ** 2 for k in range(5) if k != labels[i])
        assert found[i].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    ('base', 'student_correct', 'number'),
    # How many samples there are; which rows are suitable, where that has a bearing on how many.
    [('random', False, 1), ('random', True, 2), ('discrepancy', True, 2)],
)
def test_the_host_waits_for_the_gpu_once_or_twice_beside_the_attack(base, student_correct, number):
    sampler = BoundarySampler(BoundarySearch(), 0.5, runner_up_target, base, student_correct)
    batch = clean_batch(rows=64)
    assert batch.normalizer.bounds
    with counted_synchronisations() as found:
        samples = sampler(batch, torch.Generator())
    assert len(samples.rows) > 4
    of_sampler = {place: n for place, n in found.where.items() if 'attacks/' not in place}
    assert sum(of_sampler.values()) == number, found.where
