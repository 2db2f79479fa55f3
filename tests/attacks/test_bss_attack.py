"""BSSAttack against the published loop."""

import pytest
import torch
from mmrazor.registry import TASK_UTILS
from torch import nn

from amkd_mm.attacks import BSSAttack


def published_loop(model, inputs, targets, step_size=0.3, eps=1e-4, num_steps=10, bounds=None):
    """The published arithmetic, one sample at a time and one operation a line."""
    results = []
    for start, target in zip(inputs, targets, strict=False):
        x = start[None].clone()
        base = model(x).argmax().item()
        for _ in range(num_steps):
            x.requires_grad_()
            logits = model(x)[0]
            if logits.argmax().item() != base:
                break
            margin = logits[base] - logits[target]
            (gradient,) = torch.autograd.grad(margin, x)
            x = x.detach() - step_size * (margin.item() + eps) * gradient / gradient.norm()
            if bounds is not None:
                x = x.clamp(*bounds)
        results.append(x.detach())
    return torch.cat(results)


@pytest.fixture
def network():
    """A small network with batch norm, evaluated, whose classes are not too far apart."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(8 * 9, 5),
    )
    nn.init.normal_(net[-1].weight)
    return net.eval()


def start(network, number=40):
    """Inputs, the classes the network gives them, and other classes."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(number, 3, 8, 8, generator=generator)
    labels = network(inputs).argmax(1)
    steps = torch.randint(1, 5, (number,), generator=generator)
    return inputs, labels, (labels + steps) % 5


@pytest.mark.parametrize('bounds', [None, (-2.5, 2.5), (-1.0, 1.0)])
@pytest.mark.parametrize('num_steps', [1, 3, 10])
def test_equals_the_published_loop(network, bounds, num_steps):
    inputs, labels, targets = start(network)
    # The bounds hold for the start points, as pixels do.
    inputs = inputs if bounds is None else inputs.clamp(*bounds)
    labels = network(inputs).argmax(1)
    targets = torch.where(targets == labels, (labels + 1) % 5, targets)
    expected = published_loop(network, inputs, targets, num_steps=num_steps, bounds=bounds)

    result = BSSAttack(num_steps=num_steps)(network, inputs, labels, targets, bounds)

    torch.testing.assert_close(result.inputs, expected, rtol=1e-4, atol=1e-5)
    logits = network(expected)
    torch.testing.assert_close(result.logits, logits, rtol=1e-3, atol=1e-3)
    # Where two classes have the same score but for rounding, either answer is right.
    first, second = logits.topk(2).values.T
    decided = first - second > 5e-5
    assert decided.float().mean() > 0.4
    assert torch.equal(result.reached[decided], (logits.argmax(1) == targets)[decided])


def test_reaches_some_targets_and_leaves_others(network):
    """The comparison above would be empty if all samples did the same."""
    result = BSSAttack(num_steps=10)(network, *start(network, 200))
    assert 0.2 < result.reached.float().mean() < 0.98


def test_arguments_change_the_arithmetic(network):
    inputs, labels, targets = start(network)
    for arguments in (dict(step_size=0.05), dict(eps=0.5)):
        expected = published_loop(network, inputs, targets, **arguments)
        result = BSSAttack(**arguments)(network, inputs, labels, targets)
        torch.testing.assert_close(result.inputs, expected, rtol=1e-4, atol=1e-5)


def test_finished_samples_leave_the_batch(network):
    """The network sees just the evaluations that a loop over single samples needs."""
    inputs, labels, targets = start(network)
    seen = []

    def counting(batch):
        seen.append(len(batch))
        return network(batch)

    BSSAttack(num_steps=10)(counting, inputs, labels, targets)
    assert seen[0] == len(inputs)
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < seen[0]


def test_gradients_only_for_samples_that_go_on(network):
    """After the first step the network is asked again, with a gradient, about no others."""
    inputs, labels, targets = start(network)
    calls = []

    def watching(batch):
        calls.append((len(batch), batch.requires_grad and torch.is_grad_enabled()))
        return network(batch)

    # So large a step that most samples leave their class at once.
    BSSAttack(step_size=1.0)(watching, inputs, labels, targets)
    (first, with_gradient), *others = calls
    assert first == len(inputs) and with_gradient
    looks = [number for number, with_gradient in others if not with_gradient]
    again = [number for number, with_gradient in others if with_gradient]
    # Those who go on after a look are all whom the next look is about.
    assert again == looks[1:]
    assert sum(again) < sum(looks)


def test_registered():
    attack = TASK_UTILS.build(dict(type='BSSAttack', step_size=0.5))
    assert isinstance(attack, BSSAttack)
    assert attack.step_size == 0.5


@pytest.mark.parametrize(
    'arguments', [dict(step_size=0), dict(eps=-1), dict(step_size=float('nan')), dict(num_steps=0)]
)
def test_wrong_arguments(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        BSSAttack(**arguments)
