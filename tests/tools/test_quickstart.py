"""The quickstart as a user runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_quickstart_writes_what_it_promises(tmp_path):
    run = subprocess.run(
        [sys.executable, ROOT / 'tools/quickstart.py'],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    folder = tmp_path / 'work_dirs/quickstart'
    rows = re.findall(r'^\| (.*?) \| ([\d.]+) \|', (folder / 'results.md').read_text(), re.M)
    assert [name for name, _ in rows] == [
        'teacher, ResNet26',
        'ResNet8 alone',
        'ResNet8 by KD',
        'ResNet8 by AMKD',
    ]
    # Chance is 10%; a linear classifier gets about 95%.
    assert all(float(accuracy) > 95 for _, accuracy in rows)
    for name in ('accuracy.png', 'boundary_samples.png'):
        assert (folder / name).read_bytes().startswith(b'\x89PNG')
    assert 'INFO' not in run.stdout
    assert len(run.stdout.splitlines()) < 25
