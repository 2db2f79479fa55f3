"""The config and the commands of docs/metrics.md, run as they stand there but for fewer epochs."""

import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / 'docs/metrics.md').read_text()
EPOCHS = 2


def run(command, monkeypatch, *options):
    """Run a command of the document in this process, which has imported everything already."""
    _, tool, *args = shlex.split(command)
    args = [str(ROOT / arg) if arg.startswith('configs/') else arg for arg in args]
    args = [arg.replace('epoch_12', f'epoch_{EPOCHS}') for arg in args]
    if options and '--cfg-options' not in args:
        args.append('--cfg-options')
    monkeypatch.setattr(sys, 'argv', [tool, *args, *options])
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    runpy.run_path(str(ROOT / tool), run_name='__main__')


def blocks(language):
    return [part.split('```')[0] for part in TEXT.split(f'```{language}\n')[1:]]


@pytest.mark.slow
def test_config_and_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (config,), (commands, pictures) = blocks('python'), blocks('shell')
    # Where the package is not installed, its configs have no name.
    config = config.replace('amkd_mm::', f'{ROOT.as_posix()}/configs/')
    (tmp_path / 'metrics.py').write_text(config)
    teacher, distil, test = commands.splitlines()
    short = f'train_cfg.max_epochs={EPOCHS}'
    of_teacher = f'model.teacher_ckpt=work_dirs/resnet26_1xb64_digits/epoch_{EPOCHS}.pth'
    run(teacher, monkeypatch, short)
    run(distil, monkeypatch, short, of_teacher)
    run(test, monkeypatch)
    run(pictures.strip(), monkeypatch, short, of_teacher, 'work_dir=pictures')

    logs = sorted(Path('work_dirs/metrics').glob('*/vis_data/scalars.json'))
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    logged = set().union(*lines)
    (tested,) = Path('work_dirs/metrics').glob('*/2*.json')
    tested = json.loads(tested.read_text())
    # The tables name what is there, and all of it.
    tables = re.findall(r'^\| (`.*?) \|', TEXT, re.M)
    named = {name for cell in tables for name in re.findall(r'`(.*?)`', cell)}
    for name in named:
        pattern = re.escape(name).replace(r'\*', '.*')
        assert any(re.fullmatch(pattern, key) for key in logged), name
    for name in ('calibration', 'boundary_similarity', 'agreement', 'pgd'):
        keys = {key for key in logged if key.startswith(f'{name}/')}
        assert keys and keys <= named and keys <= set(tested)
    assert 'teacher.calibration/ece' in logged
    assert len(list(Path('pictures').glob('*/vis_data/vis_image/boundary_samples_1.png'))) == 1


def test_plain_classifiers_have_a_calibration_error(tmp_path, monkeypatch):
    """As an exported student has."""
    monkeypatch.chdir(tmp_path)
    base = (ROOT / 'configs/vanilla/resnet8_1xb64_digits.py').as_posix()
    evaluator = "[dict(type='ExpectedCalibrationError')]"
    (tmp_path / 'plain.py').write_text(f"_base_ = ['{base}']\ntest_evaluator = {evaluator}\n")
    run('python tools/test.py plain.py none', monkeypatch, 'log_level=ERROR')
    (tested,) = Path('work_dirs/plain').glob('*/2*.json')
    assert 0 < json.loads(tested.read_text())['calibration/ece'] < 100
