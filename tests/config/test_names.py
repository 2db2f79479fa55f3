"""Names of configs on a command line."""

import shutil
import sys
from pathlib import Path
from runpy import run_path

import amkd_mm

import mmpretrain
import pytest

from amkd_mm.config.names import find_config

CONFIGS = Path(amkd_mm.__file__).parent / '.mim' / 'configs'
KD = 'kd/kd_logits_resnet26_resnet8_1xb64_digits.py'
TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.mark.parametrize('name', [f'amkd_mm::{KD}', KD, f'configs/{KD}'])
def test_config_of_this_package(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Path(find_config(name)).samefile(CONFIGS / KD)


def test_file_of_the_current_folder_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'kd').mkdir()
    shutil.copy(CONFIGS / KD, tmp_path / KD)
    assert find_config(KD) == KD
    assert Path(find_config(f'amkd_mm::{KD}')).samefile(CONFIGS / KD)


def test_config_of_another_package():
    name = 'resnet/resnet18_8xb32_in1k.py'
    configs = Path(mmpretrain.__file__).parent / '.mim' / 'configs'
    assert Path(find_config(f'mmpretrain::{name}')) == configs / name


@pytest.mark.parametrize(
    'name, message',
    [
        ('absent.py', r'no such file: absent\.py$'),
        (
            'kd/kd_logits_resnet26_resnet8_1xb64_digit.py',
            f'no such file: .*; did you mean amkd_mm::{KD}',
        ),
        (
            'mmpretrain::resnet/resnet18_8xb32_in1.py',
            r'no such config: .* mean mmpretrain::resnet/resnet18_8xb32_in1k\.py',
        ),
        ('amkd_mm::alone.py', r'no such config: amkd_mm::alone\.py$'),
        ('nowhere::a/b.py', 'no such package with configs: nowhere'),
    ],
)
def test_what_is_not_there_is_named(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=message):
        find_config(name)


# What else each tool must be given; `{}` is the config.
ARGUMENTS = {
    'train.py': '{}',
    'test.py': '{} none',
    'benchmark.py': '{}',
    'export_student.py': '{} absent.pth out.pth',
    'check_pair.py': '{}',
    'benchmark_attack.py': '{} absent.pth',
    'benchmark_dataloader.py': '{}',
    'benchmark_step.py': '{}',
    'visualize_boundary.py': '{} absent.pth',
    'confusion_matrix.py': '{} absent.pth',
    'browse_dataset.py': '{} --not-show --output-dir out',
    'vis_cam.py': 'absent.png {} absent.pth',
    'vis_scheduler.py': '{} --not-show --save-path out.png',
}
CONVERTERS = {'bss2mmpretrain.py', 'mdistiller2mmpretrain.py'}
WITHOUT_CONFIG = {'quickstart.py', 'analyze_logs.py', *CONVERTERS}


def test_all_tools_are_tried():
    assert {path.name for path in TOOLS.rglob('*.py')} == {*ARGUMENTS, *WITHOUT_CONFIG}


@pytest.mark.parametrize('tool', ARGUMENTS)
def test_tool_looks_its_config_up(tool, tmp_path, monkeypatch, capsys):
    (path,) = TOOLS.rglob(tool)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(path.parent))
    monkeypatch.setenv('LOCAL_RANK', '0')  # `train.py` sets it; this restores it.
    words = ARGUMENTS[tool].format('amkd_mm::kd/absent.py').split()
    monkeypatch.setattr(sys, 'argv', [str(path), *words])
    with pytest.raises((SystemExit, FileNotFoundError)) as ended:
        run_path(str(path), run_name='__main__')
    text = capsys.readouterr().err + str(ended.value)
    assert 'no such config: amkd_mm::kd/absent.py' in text
