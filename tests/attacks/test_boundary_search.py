"""BoundarySearch on problems whose boundary is known, and on networks."""

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from sklearn.datasets import load_digits
from torch import nn

from amkd_mm.attacks import BoundarySearch


def linear_model(classes=4, width=12, seed=0):
    """Logits W x + b, and the weights: every boundary is a known hyperplane."""
    torch.manual_seed(seed)
    weight, bias = torch.randn(classes, width), torch.randn(classes)
    return (lambda x: x.flatten(1) @ weight.t() + bias), weight, bias


def test_linear_model_lands_at_the_hyperplane():
    """With two classes the nearest boundary point is the orthogonal projection."""
    model, weight, bias = linear_model(classes=2)
    inputs = torch.randn(50, 3, 2, 2)
    labels = model(inputs).argmax(1)
    targets = 1 - labels

    result = BoundarySearch(tolerance=0.01)(model, inputs, labels, targets)

    normal = weight[1] - weight[0]
    distance = (inputs.flatten(1) @ normal + bias[1] - bias[0]).abs() / normal.norm()
    moved = (result.inputs - inputs).flatten(1)
    assert result.reached.all()
    # Along the normal, and a little further than the boundary, by the tolerance in probability.
    cosine = torch.cosine_similarity(moved, normal[None], dim=1).abs()
    assert cosine.min() > 0.999
    beyond = moved.norm(dim=1) - distance
    assert beyond.min() > 0
    # A probability lead of 0.01 is a logit margin of 0.02 between two classes.
    assert (beyond * normal.norm()).max() < 0.0201


def test_third_class_is_steered_back():
    """Crossing into a third class on the way does not end the search."""
    # On the axis from class 0 to class 2, class 1 wins in between.
    weight = torch.tensor([[-2.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
    bias = torch.tensor([0.0, 1.0, 0.0])

    def model(x):
        return x.flatten(1) @ weight.t() + bias

    inputs = torch.tensor([-2.0, 0.0]).reshape(1, 2, 1, 1)
    result = BoundarySearch()(model, inputs, torch.tensor([0]), torch.tensor([2]))
    assert result.reached.item()
    # Class 2 begins where 2 x > 1.
    assert 0.5 < result.inputs[0, 0].item() < 0.6


NETWORKS = dict(
    # With batch norm.
    resnet=dict(
        type='ImageClassifier',
        backbone=dict(type='CifarResNet', depth=8),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=64),
    ),
    # Without, and smooth.
    vit=dict(
        type='ImageClassifier',
        backbone=dict(
            type='VisionTransformer',
            arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64),
            img_size=16,
            patch_size=4,
        ),
        head=dict(type='VisionTransformerClsHead', num_classes=10, in_channels=32),
    ),
)


@pytest.fixture(params=NETWORKS)
def classifier(request):
    """An evaluated network with logits about as far apart as those of a trained one."""
    torch.manual_seed(0)
    network = MODELS.build(dict(_scope_='mmpretrain', **NETWORKS[request.param])).eval()
    network.init_weights()
    nn.init.normal_(network.head.fc.weight if request.param == 'resnet' else head_of(network))
    inputs = torch.randn(64, 3, 16, 16)
    with torch.no_grad():
        scale = network(inputs, mode='tensor').std()
    return lambda x: network(x, mode='tensor') * 4 / scale


def head_of(network):
    return network.head.layers.head.weight


def task(model, seed=0):
    """Inputs, the classes the model gives them, and targets drawn from its softmax."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(64, 3, 16, 16, generator=generator)
    with torch.no_grad():
        logits = model(inputs)
    labels = logits.argmax(1)
    others = logits.scatter(1, labels[:, None], -float('inf')).softmax(1)
    return inputs, labels, torch.multinomial(others, 1, generator=generator).squeeze(1)


def lead(model, inputs, targets):
    """The target's probability minus that of the best other class, recomputed."""
    with torch.no_grad():
        probabilities = model(inputs).double().softmax(1)
    target = probabilities.gather(1, targets[:, None]).squeeze(1)
    return target - probabilities.scatter(1, targets[:, None], 0).amax(1)


def newton_reference(model, inputs, labels, targets, steps=50):
    """Targeted Newton steps with 2% overshoot, the plain way, for the length to compare with."""
    x = inputs.clone()
    for _ in range(steps):
        x.requires_grad_()
        logits = model(x)
        margins = logits.gather(1, labels[:, None]) - logits.gather(1, targets[:, None])
        margins = margins.squeeze(1)
        (gradient,) = torch.autograd.grad(margins.sum(), x)
        norm = gradient.flatten(1).square().sum(1)
        step = torch.where(margins > 0, 1.02 * margins / norm, torch.zeros_like(norm))
        x = (x - step[:, None, None, None] * gradient).detach()
    return x


def test_lands_on_the_boundary(classifier):
    inputs, labels, targets = task(classifier)
    result = BoundarySearch()(classifier, inputs, labels, targets)

    assert torch.isfinite(result.inputs).all()
    assert result.reached.float().mean() >= 0.97
    leads = lead(classifier, result.inputs, targets)[result.reached]
    assert leads.min() > 0
    # Some come close at once and end anywhere within the tolerance, the others near an eighth.
    assert leads.median() <= 0.6 * BoundarySearch().tolerance
    assert leads.max() <= BoundarySearch().tolerance + 1e-5
    # Just inside, the base class and the target are nearly equally likely.
    with torch.no_grad():
        torch.testing.assert_close(result.logits, classifier(result.inputs), rtol=1e-4, atol=1e-4)
    reference = newton_reference(classifier, inputs, labels, targets)
    lengths = [(x - inputs).flatten(1).norm(dim=1).mean() for x in (result.inputs, reference)]
    assert lengths[0] <= 1.15 * lengths[1]


@pytest.fixture(scope='module')
def trained():
    """A small network with batch norm that knows its digits, and those that it gets right."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
    labels = torch.tensor(digits.target)
    torch.manual_seed(0)
    widths = (1, 16, 32, 32)
    blocks = [
        nn.Sequential(nn.Conv2d(i, o, 3, stride, 1), nn.BatchNorm2d(o), nn.ReLU())
        for i, o, stride in zip(widths, widths[1:], (1, 2, 2), strict=False)
    ]
    network = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(network.parameters(), 0.005)
    for start in list(range(0, 1280, 64)) * 6:
        batch = slice(start, start + 64)
        optimizer.zero_grad()
        F.cross_entropy(network(images[batch]), labels[batch]).backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        right = network(images).argmax(1) == labels
    assert right[1280:].float().mean() > 0.9
    return network, images[right][:512], labels[right][:512]


def test_quality_on_a_trained_network(trained):
    """Close, on the right side and not far, with targets drawn from the softmax."""
    network, inputs, labels = trained
    with torch.no_grad():
        others = network(inputs).scatter(1, labels[:, None], -float('inf')).softmax(1)
    targets = torch.multinomial(others, 1, generator=torch.Generator().manual_seed(0)).squeeze(1)
    result = BoundarySearch()(network, inputs, labels, targets)
    assert torch.isfinite(result.inputs).all()
    assert result.reached.float().mean() >= 0.97
    leads = lead(network, result.inputs, targets)[result.reached]
    assert leads.median() <= 0.03
    assert leads.quantile(0.9) <= 0.1
    reference = newton_reference(network, inputs, labels, targets)
    lengths = [(x - inputs).flatten(1).norm(dim=1).mean() for x in (result.inputs, reference)]
    assert lengths[0] <= 1.15 * lengths[1]


def test_tolerance_is_kept(classifier):
    inputs, labels, targets = task(classifier)
    for tolerance in (0.2, 0.01):
        search = BoundarySearch(tolerance=tolerance, max_steps=30)
        result = search(classifier, inputs, labels, targets)
        assert lead(classifier, result.inputs, targets)[result.reached].max() <= tolerance + 1e-5


def test_stays_within_bounds_and_still_arrives(classifier):
    inputs, labels, targets = task(classifier)
    low, high = torch.full((3, 1, 1), -1.0), torch.full((3, 1, 1), 1.0)
    # Many values start at a bound, as black and white pixels do.
    inputs = inputs.clamp(-1, 1)
    labels = classifier(inputs).argmax(1)
    targets = torch.where(targets == labels, (labels + 1) % 10, targets)
    result = BoundarySearch(max_steps=20)(classifier, inputs, labels, targets, (low, high))
    assert result.inputs.min() >= -1
    assert result.inputs.max() <= 1
    assert result.reached.float().mean() >= 0.9
    assert lead(classifier, result.inputs, targets)[result.reached].min() > 0


def test_few_gradients(classifier):
    """After two points most samples are only looked at; a gradient is asked of few, once more."""
    inputs, labels, targets = task(classifier)
    calls = []

    def watching(batch):
        calls.append((batch.detach().clone(), batch.requires_grad and torch.is_grad_enabled()))
        return classifier(batch)

    BoundarySearch(tolerance=1e-3)(watching, inputs, labels, targets)
    assert [with_gradient for _, with_gradient in calls[:3]] == [True, True, False]
    looks = repeats = 0
    for (before, _), (batch, with_gradient) in zip(calls[1:], calls[2:], strict=False):
        if not with_gradient:
            looks += len(batch)
        elif len(batch) > 4:
            # These points were looked at in the call before.
            assert (batch[:, None] == before[None]).flatten(2).all(2).any(1).all()
            repeats += len(batch)
    assert repeats < looks / 3


def test_second_step_has_a_gradient_of_its_own(classifier):
    """A sample that is still outside does not go on in the direction of the first step."""
    inputs, labels, targets = task(classifier)
    one = BoundarySearch(max_steps=2)(classifier, inputs, labels, targets)
    result = BoundarySearch()(classifier, inputs, labels, targets)
    turned = ~one.reached & result.reached
    assert turned.any()
    ways = [(r.inputs - inputs)[turned].double().flatten(1) for r in (one, result)]
    assert (torch.cosine_similarity(*ways) < 1 - 1e-6).all()


@pytest.mark.parametrize('start', [0.01, 0.02, 0.03])
def test_bent_margin(start):
    """Between a flat and a steep end plain regula falsi would crawl."""

    def model(x):
        margin = 0.1 - 80 * x.flatten(1) ** 2
        return torch.cat([margin, torch.zeros_like(margin)], 1)

    inputs = torch.tensor(start).reshape(1, 1, 1, 1)
    labels, targets = torch.tensor([0]), torch.tensor([1])
    search = BoundarySearch(tolerance=0.01, max_steps=14)
    result = search(model, inputs, labels, targets)
    assert result.reached.all()
    assert lead(model, result.inputs, targets).item() <= 0.01 + 1e-6


def test_asks_nothing_in_vain():
    """Samples that are inside already, or have no gradient, cost one look."""
    sizes = []
    flat = torch.tensor([[1.0, 0.0, 0.0]])

    def constant(x):
        sizes.append(len(x))
        return x.flatten(1).sum(1, keepdim=True) * 0 + flat

    inputs, labels = torch.randn(6, 3, 2, 2), torch.zeros(6, dtype=torch.int64)
    for targets in (labels + 1, labels):
        BoundarySearch()(constant, inputs, labels, targets)
        assert sizes == [6]
        sizes.clear()


def test_sample_ends_as_soon_as_it_is_close(classifier):
    """No point is asked about after a sample is within the tolerance."""
    inputs, labels, targets = task(classifier)
    search = BoundarySearch(tolerance=0.1, max_steps=30)
    result = search(classifier, inputs, labels, targets)
    for steps in (1, 2, 4, 6):
        early = BoundarySearch(tolerance=0.1, max_steps=steps)(classifier, inputs, labels, targets)
        done = early.reached & (lead(classifier, early.inputs, targets) <= 0.1 - 1e-4)
        torch.testing.assert_close(early.inputs[done], result.inputs[done], rtol=0, atol=1e-4)
        # A sample that is inside the class never leaves it again.
        assert (result.reached | ~early.reached).all()


@pytest.mark.parametrize(
    'arguments',
    [
        dict(tolerance=0),
        dict(tolerance=1),
        dict(overshoot=-0.1),
        dict(overshoot=float('nan')),
        dict(max_steps=0),
    ],
)
def test_wrong_arguments(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        BoundarySearch(**arguments)
