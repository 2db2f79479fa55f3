"""Short trainings on a GPU do what the same trainings do on a CPU."""

import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.hooks import EMAHook

pytestmark = pytest.mark.cuda
ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device('cpu')
ACCUMULATION = {'optim_wrapper.accumulative_counts': 2}


def moved(run, other=None):
    """How far the weights of two trainings are apart, of the way that the second went."""
    start = torch.load(run.runner._load_from, map_location='cpu')['state_dict']
    names = [name for name, value in run.state.items() if value.is_floating_point()]

    def difference(a, b):
        return math.sqrt(sum((a(n) - b(n)).double().square().sum().item() for n in names))

    def begun(name):
        found = [key for key in start if key.endswith(name) and not key.startswith('teacher')]
        return start[found[0]]

    way = difference(run.state.__getitem__, begun)
    return way if other is None else difference(run.state.__getitem__, other.state.get) / way


def assert_alike(found, expected, tolerance=0.01):
    """Losses of clean samples step by step; of boundary samples, some of which differ, roughly."""
    assert len(found.losses) == len(expected.losses) == 8
    for ours, theirs in zip(found.losses, expected.losses, strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            of_boundary = 'boundary' in name or 'triplet' in name or name == 'loss'
            assert ours[name] == pytest.approx(
                value, rel=0.15 if of_boundary else tolerance, abs=0.01
            ), name
    assert moved(expected) > 0
    assert moved(expected, found) <= 0.2


@pytest.mark.parametrize('method', ['amkd', 'bss', 'kd'])
def test_losses_and_weights_are_those_of_the_cpu(method, digits, train, device):
    expected, found = (train(digits(method), place) for place in (CPU, device))
    assert_alike(found, expected)
    assert len(found.attacks) == (0 if method == 'kd' else 8)
    # The first attack meets the same weights: the same base samples, and nearly all end alike.
    for ours, theirs in zip(found.attacks[:1], expected.attacks[:1], strict=True):
        ours, theirs = (type(one)(*(t.cpu() for t in one)) for one in (ours, theirs))
        assert torch.equal(ours.targets, theirs.targets)
        apart = (ours.inputs - theirs.inputs).abs().flatten(1).amax(1)
        assert (apart <= 1e-3).float().mean() >= 0.75
    for attack in found.attacks:
        attacked = attack.targets >= 0
        assert attacked.any()
        assert torch.isfinite(attack.inputs).all()


def test_gradient_accumulation(digits, train, device):
    expected, found = (train(digits(**ACCUMULATION), place) for place in (CPU, device))
    assert_alike(found, expected)
    # The weights move every second step.
    same = [torch.equal(a, b) for a, b in zip(found.weights, found.weights[1:], strict=False)]
    assert same == [False, True, False, True, False, True, False]


def test_moving_average(digits, train, device):
    """The averaged weights are the average of the weights."""
    hooks = []

    def prepare(runner):
        hooks.append(EMAHook(momentum=0.2))
        runner.register_hook(hooks[-1])

    found = train(digits(), device, prepare)
    average = found.weights[0]
    for weight in found.weights[1:]:
        average = 0.8 * average + 0.2 * weight
    ema = hooks[0].ema_model.module.student.backbone.conv1.weight
    # EMAHook exchanges the two at the end of an epoch and back before the next.
    assert ema.device.type == device.type
    candidates = ema.cpu(), found.state['backbone.conv1.weight']
    assert any(torch.allclose(one, average, rtol=1e-4, atol=1e-6) for one in candidates)


def test_student_in_channels_last(digits, train, device):
    def prepare(runner):
        runner.model.student.to(memory_format=torch.channels_last)

    expected = train(digits(), CPU)
    assert_alike(train(digits(), device, prepare), expected)


@pytest.mark.parametrize('allowed', [False, True])
def test_tf32(allowed, digits, train, gpu):
    expected = train(digits(), CPU)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=allowed):
        found = train(digits(), gpu)
    assert_alike(found, expected, tolerance=0.05 if allowed else 0.01)


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_mixed_precision(dtype, digits, train, gpu):
    """The student's layers work in half precision, and the attack in full."""
    expected = train(digits(), CPU)
    seen = set()

    def prepare(runner):
        runner.model.student.backbone.conv1.register_forward_hook(
            lambda module, args, output: seen.add(output.dtype) if module.training else None
        )

    options = {'optim_wrapper.type': 'AmpOptimWrapper', 'optim_wrapper.dtype': dtype}
    if dtype == 'float16':
        options['optim_wrapper.loss_scale'] = 'dynamic'
    found = train(digits(**options), gpu, prepare)
    assert seen == {getattr(torch, dtype)}
    assert all(attack.logits.dtype == torch.float32 for attack in found.attacks)
    assert all(math.isfinite(value) for step in found.losses for value in step.values())
    assert found.losses[0]['loss'] == pytest.approx(expected.losses[0]['loss'], rel=0.1)
    # A dynamic scale may skip the first steps.
    assert not torch.equal(found.weights[0], found.weights[-1])


@pytest.mark.parametrize(
    'options', [dict(), dict(mode='reduce-overhead')], ids=['default', 'cuda_graphs']
)
def test_compiled_teacher(options, digits, train, device):
    if device.type == 'cpu':
        if options:
            pytest.skip('has no meaning on a CPU')
        # Without a compiler for C++, but through the same steps up to it.
        options = dict(backend='eager')
    expected = train(digits(), CPU)
    assert_alike(train(digits(**{'model.teacher_compile': options or True}), device), expected)


def test_resumed_training_is_bit_for_bit_the_uninterrupted_one(digits, train, device):
    try:
        whole = train(digits(**{'randomness.deterministic': True}), device)
        again = digits(**{'randomness.deterministic': True})
        again.resume, again.load_from = True, f'{whole.runner.work_dir}/epoch_1.pth'
        resumed = train(again, device)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.deterministic = False
    assert len(whole.losses) == 8
    assert resumed.losses == whole.losses[4:]
    assert all(torch.equal(value, whole.state[name]) for name, value in resumed.state.items())


def test_launcher_with_one_process(digits, train, device, tmp_path):
    """``tools/train.py --launcher pytorch``, with NCCL on a GPU, trains as without it."""
    cfg = digits()
    cfg.pop('experiment_name')
    cfg.log_level = 'INFO'
    cfg.dump(tmp_path / 'config.py')
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    environment = dict(
        os.environ,
        PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]),
        RANK='0',
        LOCAL_RANK='0',
        WORLD_SIZE='1',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )
    if device.type == 'cpu':
        environment['CUDA_VISIBLE_DEVICES'] = ''
    words = ['tools/train.py', str(tmp_path / 'config.py'), '--launcher', 'pytorch']
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    backend = 'gloo' if device.type == 'cpu' else 'nccl'
    (dumped,) = Path(cfg.work_dir).glob('config.py')
    assert f"backend='{backend}'" in dumped.read_text()
    saved = torch.load(f'{cfg.work_dir}/epoch_2.pth', map_location='cpu', weights_only=False)
    expected = train(digits(), device)
    names = {name for name in saved['state_dict'] if name.startswith('architecture.')}
    assert len(names) == len(expected.state)
    for name in names:
        torch.testing.assert_close(
            saved['state_dict'][name].cpu(),
            expected.state[name.removeprefix('architecture.')],
            rtol=0.05,
            atol=0.01,
        )
