"""Settings for all tests, and the options that move them to a GPU.

``pytest -m cuda`` runs the tests marked ``cuda``, which are skipped without a GPU;
``--device cpu`` runs them there as far as they mean anything. ``--default-device cuda`` runs all
other tests with their tensors on the GPU.
"""

import gc
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

# First, because it makes MMRazor importable on current PyTorch; the tests need not do it again.
import amkd_mm  # noqa: F401

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
# What PyTorch says where a test compares a tensor here with one there, or draws for the other.
DEVICES_MIXED = (
    'Expected all tensors to be on the same device',
    'Tensors on same device',
    "can't convert cuda",
    "device type for generator but found 'c",
    'indices should be either on cpu or on the same device',
    'The values for attribute',
    'Input type (torch.',
)

# Tests that compile: `torch.compile` does not trace through what puts tensors elsewhere. Those of
# tests/gpu compile, too.
COMPILING = ('test_compiled',)

# The tests' networks are small: a second thread costs more by waiting than it brings.
torch.set_num_threads(1)


def pytest_addoption(parser):
    parser.addoption('--device', default='cuda', help='where tests marked `cuda` run')
    parser.addoption('--default-device', help='where all other tests put their tensors')


def pytest_collection_modifyitems(config, items):
    if config.getoption('--device') == 'cuda' and not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker('cuda'):
                item.add_marker(pytest.mark.skip(reason='needs a GPU'))
    if config.getoption('--default-device'):
        for item in items:
            if item.name in COMPILING:
                item.add_marker(pytest.mark.skip(reason='torch.compile with a default device'))


def pytest_collection_finish():
    """Each data set of MMEngine collects garbage: not among all that is imported, half a second."""
    gc.freeze()


@pytest.fixture(scope='session', autouse=True)
def no_pause_between_epochs():
    """MMEngine's loop by iterations sleeps for two seconds wherever its data begin anew."""
    with patch('mmengine.runner.loops.time', SimpleNamespace(sleep=lambda seconds: None)):
        yield


@pytest.fixture
def device(request):
    """Where a test marked `cuda` runs."""
    return torch.device(request.config.getoption('--device'))


@pytest.fixture
def gpu(device):
    """Skips what has no meaning on a CPU."""
    if device.type != 'cuda':
        pytest.skip('has no meaning on a CPU')
    return device


@pytest.fixture(scope='session')
def distillation(tmp_path_factory):
    """The folder of a short distillation's checkpoints, and its last metrics."""

    from digit_distillation import train_distillation  # isort: skip

    return train_distillation(tmp_path_factory.mktemp('distillation'))


@pytest.fixture(autouse=True)
def no_scope_is_left():
    """A Runner sets the default scope of registries for good; the next test begins without."""
    yield
    from mmengine.registry import DefaultScope

    DefaultScope._instance_dict.clear()


@pytest.fixture
def mmpretrain_scope(no_scope_is_left):
    """Types without a scope are MMPretrain's, as in its configs."""
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.fixture(scope='module', autouse=True)
def garbage_is_collected():
    """Networks and Runners refer to themselves, and Python seldom looks for such garbage."""
    yield
    gc.collect()


@pytest.fixture(scope='session', autouse=True)
def default_device(request):
    """New tensors are on `--default-device`, as after :func:`torch.set_default_device`.

    But random ones are drawn on the CPU, by its generators, and then moved: a test's data are
    then those of a CPU, and generators of the CPU stay usable.
    """
    name = request.config.getoption('--default-device')
    if name is None:
        yield
        return
    with on_device(torch.device(name)):
        yield


def on_device(device):
    """A context in which factories of tensors work on a device (PyTorch 2.0 or newer)."""
    from torch.overrides import TorchFunctionMode
    from torch.utils._device import _device_constructors

    constructors = _device_constructors()
    drawing = {torch.rand, torch.randn, torch.randint, torch.randperm}

    class OnDevice(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            kwargs = dict(kwargs or {})
            if function not in constructors or kwargs.get('device') is not None:
                return function(*args, **kwargs)
            if function not in drawing:
                return function(*args, **{**kwargs, 'device': device})
            generator, leaf = kwargs.get('generator'), kwargs.pop('requires_grad', False)
            source = torch.device('cpu') if generator is None else generator.device
            found = function(*args, **{**kwargs, 'device': source}).to(device)
            return found.requires_grad_() if leaf else found

    return OnDevice()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Tell a test that was not written for two devices apart from code that fails on one.

    With `--default-device cuda`, a test that mixes the devices itself is skipped with that reason;
    it fails if the innermost line of this repository is one of the package.
    """
    result = yield
    report = result.get_result()
    if not item.config.getoption('--default-device') or not report.failed or call.excinfo is None:
        return
    message = str(call.excinfo.value)
    here = [entry.path for entry in call.excinfo.traceback if ROOT in Path(entry.path).parents]
    of_test = here and ROOT / 'tests' in Path(here[-1]).parents
    if of_test and any(text in message for text in DEVICES_MIXED):
        report.outcome = 'skipped'
        where = item.location[0], item.location[1] or 0
        first = message.splitlines()[0][:120]
        report.longrepr = (str(where[0]), where[1], f'Skipped: the test mixes devices: {first}')
