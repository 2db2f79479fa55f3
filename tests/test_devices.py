"""The options that move tests to another device."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
TESTS = """
import pytest
import torch

def test_drawn_here_and_put_there():
    drawn = torch.randn(3, generator=torch.Generator().manual_seed(0))
    assert drawn.device.type == 'meta'
    assert torch.zeros(3).device.type == 'meta'
    assert torch.tensor([1.0], requires_grad=True).device.type == 'meta'
    assert torch.randn(2, requires_grad=True).is_leaf
    assert torch.zeros(3, device='cpu').device.type == 'cpu'
    assert torch.nn.Linear(2, 2).weight.device.type == 'meta'

def test_mixes_devices():
    raise RuntimeError('Expected all tensors to be on the same device, but found two')

def test_code_mixes_devices():
    import amkd_mm.tests_of_devices as module
    module.fail()

@pytest.mark.cuda
def test_of_a_gpu(device):
    assert device.type == 'cpu'
"""
CODE = """
def fail():
    raise RuntimeError('Expected all tensors to be on the same device, but found two')
"""


def outcomes(folder, *options):
    """Outcome of each test of a repository with this conftest."""
    words = ['-m', 'pytest', '-rA', '-q', '--import-mode=importlib', *options]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env=dict(os.environ, CUDA_VISIBLE_DEVICES='', PYTHONPATH=str(folder)),
    )
    lines = done.stdout.splitlines()
    kinds = ('PASSED', 'FAILED', 'SKIPPED')
    return [line for line in lines if line.startswith(kinds)], done.stdout


@pytest.fixture
def repository(tmp_path):
    (tmp_path / 'tests').mkdir()
    (tmp_path / 'amkd_mm').mkdir()
    (tmp_path / 'tests/conftest.py').write_text((ROOT / 'tests/conftest.py').read_text())
    (tmp_path / 'tests/test_some.py').write_text(TESTS)
    (tmp_path / 'amkd_mm/__init__.py').touch()
    (tmp_path / 'amkd_mm/tests_of_devices.py').write_text(CODE)
    (tmp_path / 'pytest.ini').write_text('[pytest]\nmarkers = cuda\npythonpath = .\n')
    return tmp_path


@pytest.mark.skipif(not hasattr(torch, 'compile'), reason='needs PyTorch 2')
def test_default_device(repository):
    """Tests that mix devices are told apart from code that does."""
    found, text = outcomes(repository, '--default-device=meta', '-m', 'not cuda', 'tests')
    passed = [line for line in found if line.startswith('PASSED')]
    failed = [line for line in found if line.startswith('FAILED')]
    skipped = [line for line in found if line.startswith('SKIPPED')]
    assert len(passed) == 1 and 'drawn_here' in passed[0], text
    assert len(failed) == 1 and 'test_code_mixes_devices' in failed[0], text
    assert len(skipped) == 1 and 'the test mixes devices' in skipped[0], text


def test_tests_of_a_gpu(repository):
    """Skipped without one, unless they are to run elsewhere."""
    found, text = outcomes(repository, '-m', 'cuda', 'tests')
    assert [line.split()[0] for line in found] == ['SKIPPED'], text
    assert 'needs a GPU' in found[0]
    found, text = outcomes(repository, '-m', 'cuda', '--device=cpu', 'tests')
    assert [line.split()[0] for line in found] == ['PASSED'], text
