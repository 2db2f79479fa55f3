"""Dropping finished samples and masking them: the same results, and what each costs."""

from functools import partial

import pytest
import torch
from torch import nn

from amkd_mm.attacks import BoundarySearch, BSSAttack
from amkd_mm.attacks.working_rows import rows_by_kind
from synchronisations import counted_synchronisations

CLASSES = 5
# Of the marked samples the logits are constant, no numbers, or flat beyond a box.
CONSTANT, BROKEN, BOXED = 3.0, 4.0, 5.0
ATTACKS = {
    'search': partial(BoundarySearch),
    'search, exact': partial(BoundarySearch, tolerance=1e-3, max_steps=12),
    'search, straight': partial(BoundarySearch, overshoot=0.0, max_steps=3),
    'bss': partial(BSSAttack),
    'bss, small steps': partial(BSSAttack, step_size=0.02, num_steps=5),
    'bss, large steps': partial(BSSAttack, step_size=1.0),
}


@pytest.fixture(scope='module')
def model():
    """Logits of a small network, except of samples that are marked by their first value."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(12, 24), nn.Tanh(), nn.Linear(24, CLASSES)).double().eval()
    nn.init.normal_(network[-1].weight)
    nn.init.zeros_(network[0].weight[:, 0].detach())  # So that no attack moves the mark.

    def ask(x):
        x = x.flatten(1)
        mark = x[:, :1].detach()
        logits = torch.where(mark == BOXED, network(x.clamp(-0.5, 0.5)), network(x))
        logits = torch.where(mark == CONSTANT, logits.detach() * 0 + torch.arange(CLASSES), logits)
        return logits.masked_fill(mark == BROKEN, float('nan'))

    return ask


def task(model, seed, number):
    """Inputs, labels, targets and bounds: some samples marked, left alone, wrong, or inside."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(number, 3, 2, 2, generator=generator).double().clamp(-2, 2)
    marks = torch.randint(0, 20, (number,), generator=generator)
    inputs[:, 0, 0, 0] = 0
    for place, mark in enumerate((CONSTANT, BROKEN, BOXED, BOXED, BOXED)):
        inputs[marks == place, 0, 0, 0] = mark
    with torch.no_grad():
        labels = model(inputs).argmax(1)
    steps = torch.randint(1, CLASSES, (number,), generator=generator)
    targets = (labels + steps) % CLASSES
    fate = torch.randint(0, 12, (number,), generator=generator)
    targets = torch.where(fate == 0, -1, targets)
    targets = torch.where(fate == 1, labels, targets)
    labels = torch.where(fate == 2, targets.clamp_min(0), labels)
    bounds = ((-2.0, 5.0), None, (-torch.full((3, 1, 1), 2.1).double(), 5.0))[seed % 3]
    return inputs, labels, targets, bounds


@pytest.mark.parametrize('name', ATTACKS)
def test_both_give_the_same(model, name):
    drops, masks = (ATTACKS[name](drop_finished=choice) for choice in (True, False))
    moved = 0
    for seed in range(40):
        inputs, *others = task(model, seed, number=1 if seed % 4 == 3 else 40)
        dropped, masked = (attack(model, inputs, *others) for attack in (drops, masks))
        # Margins are float32, whatever the network's precision.
        torch.testing.assert_close(masked.inputs, dropped.inputs, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            masked.logits, dropped.logits, rtol=1e-4, atol=1e-4, equal_nan=True
        )
        assert torch.equal(masked.reached, dropped.reached)
        assert torch.equal(masked.targets, dropped.targets)
        moved += (dropped.inputs != inputs).flatten(1).any(1).sum()
    assert moved > 500


@pytest.mark.parametrize(
    ('attack', 'calls', 'gradients'), [(BoundarySearch(max_steps=6), 6, 5), (BSSAttack(), 11, 10)]
)
def test_masking_keeps_the_shape(model, attack, calls, gradients):
    attack.drop_finished = False
    seen = []

    def watching(x):
        seen.append((len(x), x.requires_grad and torch.is_grad_enabled()))
        return model(x)

    attack(watching, *task(model, seed=1, number=20))
    assert seen == [(20, True)] * gradients + [(20, False)] * (calls - gradients)


@pytest.mark.parametrize(('kind', 'looks'), [(BoundarySearch, 3), (BSSAttack, 2)])
def test_what_is_done_stays(model, kind, looks):
    """Masked samples are asked about again, and what the model then says changes nothing."""
    results = []
    inputs, labels, targets, _ = task(model, seed=1, number=40)
    for choice in (True, False):
        calls = []

        def fickle(x, calls=calls):
            calls.append(len(x))
            return model(x) * (-1 if len(calls) == looks else 1)

        steps = dict(max_steps=3) if kind is BoundarySearch else dict(num_steps=1)
        results.append(kind(**steps, drop_finished=choice)(fickle, inputs, labels, targets))
        assert len(calls) == looks
    dropped, masked = results
    torch.testing.assert_close(masked.inputs, dropped.inputs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(masked.logits, dropped.logits, rtol=1e-4, atol=1e-4, equal_nan=True)
    assert torch.equal(masked.reached, dropped.reached)


@pytest.mark.parametrize('steps', [1, 2, 5, 9])
@pytest.mark.parametrize('drop_finished', [True, False])
def test_synchronisations(model, steps, drop_finished):
    """At most one in each step if samples are dropped, none if they are masked."""
    # Such that some samples need all steps.
    search = BoundarySearch(tolerance=1e-4, max_steps=steps, drop_finished=drop_finished)
    attack = BSSAttack(step_size=0.02, num_steps=steps, drop_finished=drop_finished)
    inputs, labels, targets, _ = task(model, seed=1, number=40)
    # After the last look there is nothing to decide.
    for method, most in ((search, steps - 1), (attack, steps)):
        with counted_synchronisations() as found:
            method(model, inputs, labels, lambda logits: targets, (-2.0, 5.0))
        assert found.number == (most if drop_finished else 0), found.where


@pytest.mark.parametrize('kind', [BoundarySearch, BSSAttack])
def test_synchronisations_of_checks(model, kind):
    """One of targets that are given, and one of bounds, when they are new."""
    attack = kind(drop_finished=False)
    inputs, labels, targets, _ = task(model, seed=1, number=40)
    bounds = torch.tensor(-2.0), torch.tensor(5.0)
    numbers = []
    for given, limits in (
        (targets, None),
        (lambda logits: targets, bounds),
        (lambda logits: targets, bounds),
        (lambda logits: targets, (bounds[0].clone(), bounds[1])),
        (targets, (-2.0, 5.0)),
    ):
        with counted_synchronisations() as found:
            attack(model, inputs, labels, given, limits)
        numbers.append(found.number)
    assert numbers == [1, 1, 0, 1, 1]


@pytest.mark.parametrize('kind', [BoundarySearch, BSSAttack])
def test_other_bounds_are_checked(model, kind):
    """Also if the bounds of the call before were right."""
    attack = kind()
    inputs, labels, targets, _ = task(model, seed=1, number=4)
    low, high = torch.tensor(-2.0), torch.tensor(5.0)
    attack(model, inputs, labels, targets, (low, high))
    for wrong in ((high, low), (5.0, -2.0), (high, -2.0), (low, torch.full((1, 2, 2), -3.0))):
        with pytest.raises(ValueError, match='low <= high'):
            attack(model, inputs, labels, targets, wrong)


def test_rows_by_kind():
    kinds = torch.tensor([2, 0, 3, 0, 2, 2])
    rows = rows_by_kind(kinds, 4)
    assert [each.tolist() for each in rows] == [[1, 3], [], [0, 4, 5], [2]]
    assert [len(each) for each in rows_by_kind(kinds[:0], 2)] == [0, 0]


@pytest.mark.parametrize('kind', [BoundarySearch, BSSAttack])
def test_wrong_argument(kind):
    with pytest.raises(TypeError, match=f'{kind.__name__}: drop_finished'):
        kind(drop_finished='yes')
