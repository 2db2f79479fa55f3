"""FoldedTeacher against the teacher itself: values, gradients, precisions, and what it refuses."""

import copy
from functools import partial

import pytest
import torch
from mmengine.utils import digit_version
from mmpretrain.registry import MODELS
from torch import nn

from amkd_mm.attacks import BoundarySearch, BSSAttack
from amkd_mm.teachers.folded_teacher import FoldedTeacher


def network(backbone, in_channels, head='LinearClsHead', neck=True):
    """An evaluated classifier whose batch norm is not the identity."""
    torch.manual_seed(0)
    net = MODELS.build(
        dict(
            _scope_='mmpretrain',
            type='ImageClassifier',
            backbone=backbone,
            neck=dict(type='GlobalAveragePooling') if neck else None,
            head=dict(type=head, num_classes=10, in_channels=in_channels),
        )
    )
    net.init_weights()
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    # Logits that spread as those of a trained network do.
    for name, parameter in net.head.named_parameters():
        if name.endswith('weight'):
            nn.init.normal_(parameter, 0, 0.1)
    return net.eval()


NETWORKS = dict(
    thin_resnet=lambda: network(dict(type='CifarResNet', depth=14), 64),
    resnet=lambda: network(dict(type='ResNet', depth=18, stem_channels=8, base_channels=8), 64),
    depthwise=lambda: network(dict(type='MobileNetV2', widen_factor=0.25), 1280),
    channel_shuffle=lambda: network(dict(type='ShuffleNetV2', widen_factor=0.5), 1024),
    # Batch norm before the convolution, so that only some of it can be folded.
    pre_activation=lambda: network(
        dict(type='DenseNet', arch=dict(growth_rate=4, depths=[2, 2], init_channels=8)), 16
    ),
    vit=lambda: network(
        dict(
            type='VisionTransformer',
            arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64),
            img_size=32,
            patch_size=8,
        ),
        32,
        head='VisionTransformerClsHead',
        neck=False,
    ),
)
FOLDED = [name for name in NETWORKS if name != 'vit']


@pytest.fixture(params=NETWORKS)
def teacher(request):
    return NETWORKS[request.param]()


def images(number=6, seed=1):
    return torch.randn(number, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def logits_and_gradient(model, inputs):
    """Logits, and the gradient of each sample's margin between its first two classes."""
    leaf = inputs.clone().requires_grad_()
    logits = model(leaf)
    (gradient,) = torch.autograd.grad((logits[:, 0] - logits[:, 1]).sum(), leaf)
    return logits.detach(), gradient


def error(found, expected):
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


def test_equals_the_teacher(teacher):
    """Logits and input gradients, on images it was not checked on."""
    fast = FoldedTeacher(teacher)
    fast(images())
    found = logits_and_gradient(fast, images(seed=2))
    expected = logits_and_gradient(lambda x: teacher(x, mode='tensor'), images(seed=2))
    assert error(found[0], expected[0]) < 1e-5
    assert error(found[1], expected[1]) < 1e-4


@pytest.mark.parametrize('name', NETWORKS)
def test_equals_the_teacher_in_bfloat16(name):
    """Folding loses no more than bfloat16 does anyway."""
    if name == 'depthwise' and digit_version(torch.__version__) < digit_version('2.0'):
        pytest.skip('ReLU6 has no bfloat16 gradient there')
    teacher = NETWORKS[name]()
    fast = FoldedTeacher(teacher)
    inputs = images(32, seed=2)
    exact = logits_and_gradient(lambda x: teacher(x, mode='tensor'), inputs)
    with torch.autocast('cpu', torch.bfloat16):
        slow = logits_and_gradient(lambda x: teacher(x, mode='tensor'), inputs)
        found = logits_and_gradient(fast, inputs)
    assert (fast._folded is teacher) == (name == 'vit')  # Compared in full precision
    assert found[0].dtype == slow[0].dtype
    for index in (0, 1):
        assert error(slow[index], exact[index]) > 0
        assert error(found[index], exact[index]) < 1.5 * error(slow[index], exact[index])


def attacked(name, attack, dtype):
    """Results of an attack on the teacher and on its fast copy, and the teacher."""
    teacher = NETWORKS[name]().to(dtype)
    inputs = images(32).to(dtype)
    slow = partial(teacher, mode='tensor')
    with torch.no_grad():
        # The nearest boundary: on long ways through random networks rounding grows without end.
        labels, targets = slow(inputs).topk(2)[1].unbind(1)
    results = [attack(model, inputs, labels, targets) for model in (slow, FoldedTeacher(teacher))]
    return *results, slow, inputs


# Not the deep ones, whose random weights hardly leave a gradient.
ATTACKED = ['thin_resnet', 'resnet', 'pre_activation', 'vit']


@pytest.mark.parametrize('name', ATTACKED)
@pytest.mark.parametrize('attack', [BSSAttack(), BoundarySearch()])
def test_attacks_end_at_the_same_points(name, attack):
    """In double precision: ReLUs have a new gradient where rounding moves a point past a kink."""
    expected, found, _, _ = attacked(name, attack, torch.float64)
    torch.testing.assert_close(found.inputs, expected.inputs, rtol=1e-6, atol=1e-6)
    assert torch.equal(found.reached, expected.reached)


@pytest.mark.parametrize('name', ATTACKED)
@pytest.mark.parametrize('attack', [BSSAttack(), BoundarySearch()])
def test_attacks_are_as_good_in_single_precision(name, attack):
    expected, found, slow, inputs = attacked(name, attack, torch.float32)
    with torch.no_grad():
        logits = slow(found.inputs)
    assert torch.equal(logits.argmax(1) == found.targets, found.reached)
    torch.testing.assert_close(found.logits, logits, rtol=1e-4, atol=1e-4)
    assert found.reached.sum() >= expected.reached.sum() - 1
    lengths = [(r.inputs - inputs).flatten(1).norm(dim=1).mean().item() for r in (found, expected)]
    assert lengths[0] == pytest.approx(lengths[1], rel=0.01)


@pytest.mark.parametrize('name', FOLDED)
def test_folds_batch_norm(name):
    teacher = NETWORKS[name]()
    fast = FoldedTeacher(teacher)
    fast(images())
    count = lambda net: sum(isinstance(m, nn.BatchNorm2d) for m in net.modules())  # noqa: E731
    before, after = count(teacher), count(fast._folded)
    assert fast.parts == ['backbone']
    assert after < before if name == 'pre_activation' else after == 0 < before
    assert not any(p.requires_grad for p in fast._folded.backbone.parameters())


def test_leaves_the_teacher_alone(teacher):
    before = copy.deepcopy(teacher.state_dict())
    modules = [(name, type(module)) for name, module in teacher.named_modules()]
    FoldedTeacher(teacher)(images())
    assert [(name, type(module)) for name, module in teacher.named_modules()] == modules
    assert all(p.requires_grad and p.grad is None for p in teacher.parameters())
    after = teacher.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert all(value.is_contiguous() for value in after.values())


def test_nothing_to_fold_is_the_teacher_itself():
    teacher = NETWORKS['vit']()
    fast = FoldedTeacher(teacher)
    fast(images())
    assert fast.parts == []
    assert fast._folded is teacher


def test_shares_what_has_no_batch_norm():
    """Recorders hang on the modules of neck and head."""
    teacher = NETWORKS['thin_resnet']()
    fast = FoldedTeacher(teacher)
    fast.update(images())
    shapes = []
    teacher.neck.register_forward_hook(lambda *args: shapes.append(args[1][0][0].is_contiguous()))
    teacher.head.register_forward_hook(lambda *args: shapes.append(tuple(args[2].shape)))
    fast(images())
    assert shapes == [True, (6, 10)]


def load_other(teacher, assign):
    other = NETWORKS['thin_resnet']()
    other.backbone.layer1[0].conv1.weight.data.mul_(2)
    arguments = dict(assign=True) if assign else {}
    teacher.load_state_dict(other.state_dict(), **arguments)


def replace_backbone(teacher):
    teacher.backbone = NETWORKS['thin_resnet']().backbone
    teacher.backbone.bn1.bias.data.add_(1)


CHANGES = dict(
    weights=lambda teacher: load_other(teacher, assign=False),
    statistics=lambda teacher: teacher.backbone.bn1.running_mean.add_(1),
    assigned=lambda teacher: load_other(teacher, assign=True),
    module=replace_backbone,
    dtype=lambda teacher: teacher.double(),
)


@pytest.mark.parametrize('change', CHANGES)
def test_follows_the_teacher(change):
    """A checkpoint that is loaded later, other modules, another precision (or device)."""
    if change == 'assigned' and digit_version(torch.__version__) < digit_version('2.1'):
        pytest.skip('load_state_dict cannot assign there')
    teacher = NETWORKS['thin_resnet']()
    fast = FoldedTeacher(teacher)
    inputs = images()
    before = fast(inputs)
    CHANGES[change](teacher)
    inputs = inputs.double() if change == 'dtype' else inputs
    fast.update(inputs)
    after = fast(inputs)
    assert error(after, teacher(inputs, mode='tensor')) < (1e-12 if change == 'dtype' else 1e-5)
    if change != 'dtype':
        assert error(after, before) > 1e-3
    kept = fast._folded
    assert kept is not teacher
    fast.update(inputs)
    assert fast._folded is kept


def test_inference_mode_decides_nothing():
    teacher = NETWORKS['thin_resnet']()
    fast = FoldedTeacher(teacher)
    with torch.inference_mode():
        torch.testing.assert_close(fast(images()), teacher(images(), mode='tensor'))
    fast(images())
    assert fast._folded is not teacher


class Unfoldable(nn.Module):
    """A backbone that the folding misunderstands: an activation between the pair."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.bn = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.BatchNorm2d(8)

    def forward(self, x):
        return (self.bn(self.relu(self.conv(x))),)


class WithoutStatistics(nn.Module):
    """A backbone that cannot be folded at all: batch norm of the batch."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False)

    def forward(self, x):
        return (self.bn(self.conv(x)),)


@pytest.mark.parametrize(
    ('backbone', 'reason'), [(Unfoldable, 'would be off by'), (WithoutStatistics, 'TypeError')]
)
def test_refuses_what_it_does_not_understand(backbone, reason, monkeypatch):
    teacher = network(dict(type='CifarResNet', depth=8), 8)
    teacher.backbone = backbone().eval()
    nn.init.normal_(teacher.backbone.bn.bias)
    log = []
    monkeypatch.setattr(
        'amkd_mm.teachers.folded_teacher.print_log', lambda text, **_: log.append(text)
    )
    fast = FoldedTeacher(teacher)
    torch.testing.assert_close(fast(images()), teacher(images(), mode='tensor'))
    assert fast._folded is teacher
    fast(images())
    (text,) = log
    assert reason in text


class Views(nn.Module):
    """A backbone whose code works in the usual memory layout only."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)

    def forward(self, x):
        return (self.bn(self.conv(x)).view(len(x), -1),)


def test_views_are_folded_in_the_usual_layout():
    teacher = network(dict(type='CifarResNet', depth=8), 8 * 30 * 30, neck=False)
    teacher.backbone = Views().eval()
    fast = FoldedTeacher(teacher)
    assert error(fast(images()), teacher(images(), mode='tensor')) < 1e-5
    assert fast._folded is not teacher


class NotInPlace(nn.Module):
    """A backbone that needs what its activation would overwrite."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.relu = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()

    def forward(self, x):
        x = self.bn(self.conv(x))
        return (self.relu(x) + x,)


def test_activations_in_place_only_where_it_makes_no_difference():
    teacher = network(dict(type='CifarResNet', depth=8), 8)
    teacher.backbone = NotInPlace().eval()
    fast = FoldedTeacher(teacher)
    assert error(fast(images()), teacher(images(), mode='tensor')) < 1e-5
    assert fast._folded is not teacher
    assert not fast._folded.backbone.relu.inplace
    teacher = NETWORKS['thin_resnet']()
    fast = FoldedTeacher(teacher)
    fast(images())
    assert fast._folded.backbone.relu.inplace
    assert not teacher.backbone.relu.inplace


@pytest.mark.skipif(not hasattr(torch, 'compile'), reason='needs PyTorch 2')
def test_compiled():
    teacher = NETWORKS['thin_resnet']()
    compiled = []

    def backend(graph, example_inputs):
        compiled.append(graph)
        return graph.forward

    fast = FoldedTeacher(teacher, compile=dict(backend=backend))
    found = logits_and_gradient(fast, images())
    expected = logits_and_gradient(lambda x: teacher(x, mode='tensor'), images())
    assert compiled
    assert error(found[0], expected[0]) < 1e-5
    assert error(found[1], expected[1]) < 1e-4


@pytest.mark.skipif(not hasattr(torch, 'compile'), reason='needs PyTorch 2')
def test_mistakes_of_compilation_are_errors():
    with pytest.raises(TypeError, match='mod'):
        FoldedTeacher(NETWORKS['thin_resnet'](), compile=dict(mod='reduce-overhead'))(images())


@pytest.mark.skipif(not hasattr(torch, 'compile'), reason='needs PyTorch 2')
def test_warns_if_there_is_nothing_to_compile(monkeypatch):
    log = []
    monkeypatch.setattr(
        'amkd_mm.teachers.folded_teacher.print_log', lambda text, **_: log.append(text)
    )
    FoldedTeacher(NETWORKS['vit']())
    assert not log
    FoldedTeacher(NETWORKS['vit'](), compile=True)
    assert 'teacher_compile' in log[0]


def test_compiling_needs_pytorch_2(monkeypatch):
    monkeypatch.delattr(torch, 'compile', raising=False)
    with pytest.raises(ValueError, match='teacher_compile'):
        FoldedTeacher(NETWORKS['thin_resnet'](), compile=True)


def test_empty_batch_decides_nothing():
    teacher = NETWORKS['thin_resnet']()
    fast = FoldedTeacher(teacher)
    fast.update(images(0))
    fast(images())
    assert fast._folded is not teacher
