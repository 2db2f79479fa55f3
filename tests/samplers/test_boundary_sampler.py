"""BoundarySampler on tensors: base samples, statistics, and how often the host waits for a GPU."""

import pytest
import torch
from mmpretrain.models import ClsDataPreprocessor
from torch import nn

from amkd_mm.attacks import AttackResult, BoundaryAttack, BoundarySearch
from amkd_mm.attacks.base import choose
from amkd_mm.attacks.targets import runner_up_target
from amkd_mm.data_preprocessors.normalizer import Normalizer
from amkd_mm.samplers import BoundarySampler, CleanBatch
from synchronisations import counted_synchronisations

K = 4


def clean_batch(rows=12, seed=0):
    """A batch, about half of which a linear teacher gets right, and a student of noise."""
    generator = torch.Generator().manual_seed(seed)
    normalizer = Normalizer(ClsDataPreprocessor(mean=[120.0] * 3, std=[60.0] * 3))
    inputs = torch.rand(rows, 3, 4, 4, generator=generator) * 2 - 1
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        teacher = nn.Sequential(nn.Flatten(), nn.Linear(48, K))
    with torch.no_grad():
        logits = teacher(inputs)
    labels = logits.argmax(1)
    labels[::2] = (labels[::2] + 1) % K
    student = torch.randn(rows, K, generator=generator)
    return CleanBatch(inputs, labels, logits, student, teacher, normalizer)


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
    batch = clean_batch()
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
            gap=sum(gaps) / len(gaps),
            l2=sum(distances) / len(distances),
        )
    )


def test_no_suitable_row():
    batch = clean_batch()
    batch = batch._replace(labels=(batch.teacher_logits.argmax(1) + 1) % K)
    found = BoundarySampler(BoundarySearch(), 1.0, runner_up_target)(batch, torch.Generator())
    assert len(found.inputs) == len(found.rows) == 0 and found.statistics['attacked'] == 0
    assert all(found.statistics[name].isnan() for name in ('reached', 'gap', 'l2'))


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
