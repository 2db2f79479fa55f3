"""What both attacks promise whatever the model: defined results and untouched models."""

import pytest
import torch
from torch import nn

from amkd_mm.attacks import BoundarySearch, BSSAttack

ATTACKS = [BSSAttack, BoundarySearch]


@pytest.fixture(params=ATTACKS)
def attack(request):
    return request.param()


@pytest.fixture
def network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
    nn.init.normal_(net[-1].weight)
    return net.eval()


def start(network, number=30):
    inputs = torch.randn(number, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    labels = network(inputs).argmax(1)
    return inputs, labels, (labels + 1) % 4


def test_no_gradient_reaches_the_parameters(attack, network):
    inputs, labels, targets = start(network)
    before = [p.detach().clone() for p in network.parameters()]
    with torch.no_grad():  # As MMRazor runs its teacher; the attack needs gradients all the same.
        result = attack(network, inputs, labels, targets)
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert all(torch.equal(p, b) for p, b in zip(network.parameters(), before, strict=False))
    assert not result.inputs.requires_grad
    assert not result.logits.requires_grad
    assert (result.inputs != inputs).flatten(1).any(1).all()


def test_inputs_are_not_changed_in_place(attack, network):
    inputs, labels, targets = start(network)
    copy = inputs.clone()
    attack(network, inputs, labels, targets)
    assert torch.equal(inputs, copy)


def test_one_sample_is_attacked_as_in_a_batch(attack, network):
    inputs, labels, targets = start(network)
    together = attack(network, inputs, labels, targets)
    for i in range(5):
        alone = attack(network, inputs[i : i + 1], labels[i : i + 1], targets[i : i + 1])
        torch.testing.assert_close(alone.inputs[0], together.inputs[i], rtol=1e-4, atol=1e-5)
        assert alone.reached[0] == together.reached[i]


def test_empty_batch(attack, network):
    none = torch.zeros(0, dtype=torch.int64)
    result = attack(network, torch.zeros(0, 3, 2, 2), none, none)
    assert result.inputs.shape == (0, 3, 2, 2)
    assert result.reached.shape == result.targets.shape == (0,)
    assert result.reached.dtype == torch.bool


def test_zero_gradient_leaves_the_sample(attack):
    """Constant logits; also without any graph at all. The published code gives NaN."""
    inputs = torch.randn(3, 3, 2, 2)
    labels, targets = torch.tensor([0, 0, 0]), torch.tensor([1, 2, 3])
    logits = torch.tensor([3.0, 1.0, 0.0, -1.0])
    for model in (lambda x: x.flatten(1)[:, :4] * 0 + logits, lambda x: logits.repeat(len(x), 1)):
        result = attack(model, inputs, labels, targets)
        assert torch.equal(result.inputs, inputs)
        assert not result.reached.any()


def test_tied_logits_are_finite(attack):
    """A margin of exactly 0 with a gradient."""
    weight = torch.randn(12, 3)

    def model(x):
        scores = x.flatten(1) @ weight
        return scores - scores.detach()

    inputs = torch.randn(4, 3, 2, 2)
    result = attack(model, inputs, torch.zeros(4).long(), torch.ones(4).long())
    assert torch.isfinite(result.inputs).all()


def test_target_equal_to_the_base_class(attack, network):
    """Nothing to cross: unchanged, and the argmax is the target class indeed."""
    inputs, labels, _ = start(network)
    result = attack(network, inputs, labels, labels)
    assert torch.equal(result.inputs, inputs)
    assert result.reached.all()


def test_one_class(attack):
    """There is no boundary: unchanged, and in the only class there is."""
    weight = torch.randn(12, 1)
    inputs = torch.randn(4, 3, 2, 2)
    none = torch.zeros(4, dtype=torch.int64)
    result = attack(lambda x: x.flatten(1) @ weight, inputs, none, none)
    assert torch.equal(result.inputs, inputs)
    assert result.reached.all()


def test_inputs_beyond_the_boundary_stay(attack, network):
    inputs, labels, _ = start(network)
    wrong = (labels + 2) % 4  # The network does not give the base class to begin with.
    result = attack(network, inputs, wrong, labels)
    assert torch.equal(result.inputs, inputs)
    assert result.reached.all()


def test_unreachable_target_is_flagged(attack, network):
    inputs, labels, targets = start(network)
    result = attack(network, inputs, labels, targets, bounds=(inputs[:1] * 0 - 1e-3, 1e-3))
    assert result.inputs.abs().max() <= 1e-3
    assert torch.isfinite(result.inputs).all()
    with torch.no_grad():
        found = network(result.inputs).argmax(1) == targets
    assert not found.all()
    assert torch.equal(result.reached, found)


def test_targets_chosen_from_the_first_logits(attack, network):
    """A chooser costs no evaluation, and a negative target leaves the sample alone."""
    inputs, labels, targets = start(network)
    sizes = []

    def model(x):
        sizes.append(len(x))
        return network(x)

    def chooser(logits):
        torch.testing.assert_close(logits, network(inputs).detach())
        assert not logits.requires_grad
        return torch.where(torch.arange(len(inputs)) % 3 == 0, -torch.ones_like(targets), targets)

    result = attack(model, inputs, labels, chooser)
    skipped = result.targets < 0
    assert torch.equal(skipped, torch.arange(len(inputs)) % 3 == 0)
    assert torch.equal(result.inputs[skipped], inputs[skipped])
    assert not result.reached[skipped].any()

    expected = attack(network, inputs, labels, targets)
    torch.testing.assert_close(result.inputs[~skipped], expected.inputs[~skipped])
    assert sizes[0] == len(inputs)
    assert max(sizes[1:]) <= int((~skipped).sum())


@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16])
def test_other_precisions(attack, network, dtype):
    inputs, labels, targets = start(network)
    network = network.to(dtype)
    result = attack(network, inputs.to(dtype), labels, targets)
    assert result.inputs.dtype == dtype
    assert torch.isfinite(result.inputs).all()
    with torch.no_grad():
        found = network(result.inputs).argmax(1) == targets
    # bfloat16 has three digits: batches of another size may round across the boundary.
    agreement = (found == result.reached).float().mean()
    assert agreement == 1 if dtype == torch.float64 else agreement > 0.8


def test_hard_samples_are_not_asked_about_twice(attack, network):
    """Where a look shows that most go on, the next call keeps what the gradient needs."""
    inputs, labels, targets = start(network)
    calls = []

    def model(x):
        calls.append((len(x), x.requires_grad and torch.is_grad_enabled()))
        # A boundary that moves away as the samples come nearer.
        return network(x) + 50 * torch.nn.functional.one_hot(torch.full((len(x),), 0), 4)

    inputs, targets = inputs * 1e-3, torch.full_like(targets, 1)
    attack(model, inputs, torch.zeros_like(labels), targets, (-1e-2, 1e-2))
    looks = sum(not with_gradient for _, with_gradient in calls)
    assert looks <= 2
    assert len(calls) <= 12


class InfiniteGradient(torch.autograd.Function):
    """The identity, whose gradient overflows at the first value of each sample."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.clone()
        gradient[:, 0, 0, 0] = float('inf')
        return gradient


def test_infinite_gradient_leaves_the_sample(attack, network):
    """As half precision may give it; infinity times zero is not a number."""
    inputs, labels, targets = start(network)
    result = attack(lambda x: network(InfiniteGradient.apply(x)), inputs, labels, targets)
    assert torch.equal(result.inputs, inputs)
    assert not result.reached.any()


def test_logits_that_are_no_numbers_reach_nothing(attack):
    """Their argmax is the first class."""
    inputs = torch.randn(4, 3, 2, 2)
    labels, targets = torch.ones(4).long(), torch.zeros(4).long()
    result = attack(lambda x: x.flatten(1)[:, :3] * float('nan'), inputs, labels, targets)
    assert not result.reached.any()
    assert torch.isfinite(result.inputs).all()


def test_samples_left_alone_reach_nothing(attack, network):
    """Also those whose class is the first."""
    inputs, labels, _ = start(network)

    def rolled(x):
        return network(x).roll(1, 1)  # So that the common class 3 is class 0.

    labels = (labels + 1) % 4
    assert (labels == 0).any()
    result = attack(rolled, inputs, labels, torch.full_like(labels, -1))
    assert not result.reached.any()
    assert torch.equal(result.inputs, inputs)


def test_inference_mode(attack, network):
    """A caller's inference tensors, within the mode and after it."""
    expected = attack(network, *start(network))
    with torch.inference_mode():
        task = tuple(tensor.clone() for tensor in start(network))
        within = attack(network, *task)
    for result in (within, attack(network, *task)):
        torch.testing.assert_close(result.inputs, expected.inputs)
        assert torch.equal(result.reached, expected.reached)


def test_bounds_per_channel(attack, network):
    inputs, labels, targets = start(network)
    high = torch.tensor([0.5, 1.0, 1.5]).view(3, 1, 1)
    inputs = torch.max(torch.min(inputs, high), -high)
    labels = network(inputs).argmax(1)
    result = attack(network, inputs, labels, (labels + 1) % 4, (-high, high))
    reach = result.inputs.abs().amax((0, 2, 3))
    assert (reach <= high.flatten()).all()
    # The widest channel uses more room than the narrowest has.
    assert reach[2] > 0.5


def test_wrong_arguments(attack, network):
    inputs, labels, targets = start(network)
    with pytest.raises(TypeError, match='floating point'):
        attack(network, inputs.to(torch.uint8), labels, targets)
    with pytest.raises(ValueError, match='labels'):
        attack(network, inputs, labels[:-1], targets)
    with pytest.raises(ValueError, match='targets'):
        attack(network, inputs, labels, targets[:, None])
    with pytest.raises(ValueError, match='the chooser gave'):
        attack(network, inputs, labels, lambda logits: targets[:, None])
    with pytest.raises(ValueError, match='below the 4 classes'):
        attack(network, inputs, labels, targets + 4)
    with pytest.raises(ValueError, match='low <= high'):
        attack(network, inputs, labels, targets, (1.0, -1.0))
    with pytest.raises(ValueError, match='same for all samples'):
        attack(network, inputs, labels, targets, (inputs - 1, inputs + 1))
