"""Attacks on a GPU find what they find on a CPU, close to the boundary in every precision."""

from contextlib import contextmanager, nullcontext
from copy import deepcopy

import pytest
import torch

from amkd_mm.attacks import BoundarySearch, BSSAttack
from amkd_mm.teachers.folded_teacher import FoldedTeacher

pytestmark = pytest.mark.cuda
BOUNDS = (-78 / 96, (255 - 78) / 96)


def targets_of(trained):
    """Classes drawn from the teacher's softmax without the base class."""
    with torch.no_grad():
        logits = trained.teacher(trained.images, mode='tensor')
    others = logits.scatter(1, trained.labels[:, None], -float('inf')).softmax(1)
    return torch.multinomial(others, 1, generator=torch.Generator().manual_seed(0)).squeeze(1)


def attack_on(device, attack, trained, dtype=torch.float32, ask=None):
    """The attack's result on a device, on the CPU."""
    teacher = deepcopy(trained.teacher).to(device, dtype)
    model = ask(teacher) if ask else lambda x: teacher(x, mode='tensor')
    inputs, labels, targets = trained.images.to(dtype), trained.labels, targets_of(trained)
    result = attack(model, *(t.to(device) for t in (inputs, labels, targets)), BOUNDS)
    assert result.inputs.device.type == device.type
    return type(result)(*(value.cpu() for value in result))


@pytest.mark.parametrize('attack', [BoundarySearch(), BSSAttack()], ids=['search', 'bss'])
@pytest.mark.parametrize(
    ('dtype', 'tolerance', 'share'),
    # In float32, rounding moves an activation past the kink of a ReLU now and then.
    [(torch.float64, 1e-6, 0.98), (torch.float32, 1e-3, 0.85)],
)
def test_same_samples_as_on_the_cpu(attack, dtype, tolerance, share, trained, device):
    expected = attack_on(torch.device('cpu'), attack, trained, dtype)
    found = attack_on(device, attack, trained, dtype)
    assert torch.equal(found.targets, expected.targets)
    apart = (found.inputs - expected.inputs).abs().flatten(1).amax(1)
    assert (apart <= tolerance).float().mean() >= share
    assert (found.reached == expected.reached).float().mean() >= 0.98


@contextmanager
def tf32(on):
    """Tensor cores for float32, in convolutions and matrix products, or not."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = on
    try:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=on):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def plain(teacher):
    return lambda inputs: teacher(inputs, mode='tensor')


def channels_last(teacher):
    teacher = teacher.to(memory_format=torch.channels_last)
    return lambda inputs: teacher(
        inputs.contiguous(memory_format=torch.channels_last), mode='tensor'
    )


def compiled(**options):
    return lambda teacher: FoldedTeacher(teacher, compile=options)


HALF = dict(reached=0.9, median=0.1)
FULL = dict(reached=0.97, median=0.03)
# What the model is asked by, the context, whether only a GPU has it, and the goals
VARIANTS = dict(
    float32=(plain, lambda device: tf32(False), False, FULL),
    tf32=(plain, lambda device: tf32(True), True, dict(reached=0.9, median=0.05)),
    folded_teacher=(FoldedTeacher, lambda device: tf32(False), False, FULL),
    channels_last=(channels_last, lambda device: tf32(False), False, FULL),
    # As `amp=True` and `--amp`
    float16=(FoldedTeacher, lambda device: torch.autocast(device.type, torch.float16), True, HALF),
    bfloat16=(
        FoldedTeacher,
        lambda device: torch.autocast(device.type, torch.bfloat16),
        False,
        dict(reached=0.6, median=0.1),
    ),
    compiled=(compiled(), lambda device: nullcontext(), True, FULL),
    # `mode='reduce-overhead'` records CUDA graphs.
    cuda_graphs=(compiled(mode='reduce-overhead'), lambda device: nullcontext(), True, FULL),
)


@pytest.mark.parametrize('variant', VARIANTS)
def test_lands_close_to_the_boundary(variant, trained, device, record_property):
    """The goals of the attack, by the teacher of the CPU in double precision."""
    ask, context, only_on_a_gpu, goals = VARIANTS[variant]
    if only_on_a_gpu and device.type != 'cuda':
        pytest.skip('has no meaning on a CPU')
    with context(device):
        found = attack_on(device, BoundarySearch(), trained, ask=ask)
    assert torch.isfinite(found.inputs).all()
    assert found.inputs.dtype == torch.float32
    teacher = deepcopy(trained.teacher).double()
    with torch.no_grad():
        probabilities = teacher(found.inputs.double(), mode='tensor').softmax(1)
    target = probabilities.gather(1, found.targets[:, None]).squeeze(1)
    others = probabilities.scatter(1, found.targets[:, None], 0).amax(1)
    reached, gap = (target > others).float().mean(), (target - others).abs()
    record_property('reached', f'{reached.item():.1%}')
    record_property('gap median', f'{gap.median().item():.4f}')
    record_property('gap 90%', f'{gap.quantile(0.9).item():.4f}')
    assert reached >= goals['reached']
    assert gap.median() <= goals['median']
    if goals is FULL:
        assert gap[target > others].quantile(0.9) <= 0.1


def test_replayed_graph_of_the_teacher_gives_its_logits(trained, gpu):
    """A captured forward pass of the folded teacher, on images it was not captured with."""
    teacher = deepcopy(trained.teacher).to(gpu)
    fast = FoldedTeacher(teacher)
    images = trained.images[:64].to(gpu)
    fast.update(images)
    static, stream = images.clone(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.no_grad(), torch.cuda.stream(stream):
        for _ in range(3):
            fast(static)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        logits = fast(static)
    for rows in (slice(0, 64), slice(64, 128)):
        static.copy_(trained.images[rows])
        graph.replay()
        with torch.no_grad():
            expected = trained.teacher(trained.images[rows], mode='tensor')
        torch.testing.assert_close(logits.cpu(), expected, rtol=1e-3, atol=1e-3)
