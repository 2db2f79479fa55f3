"""What `train.py`, `test.py` and `check_pair.py` say of a config before they start."""

import json
import logging
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from amkd_mm.diagnostics import check

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / 'configs/amkd/amkd_resnet26_resnet8_1xb64_digits.py'


@pytest.fixture
def write(tmp_path):
    """Writes a config that inherits from that of AMKD on digits."""

    def write(text):
        path = tmp_path / 'config.py'
        path.write_text(f"_base_ = ['{DIGITS}']\n{text}\n")
        return path

    return write


def test_the_tools_say_so_once(write, tmp_path, load_tool, monkeypatch):
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    MMLogger.get_current_instance().addHandler(handler)
    path = write('vis_backends = []\ncustom_hook = []\nmodel = dict(teacher_ckpt=None)')
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    for tool in ('train.py', 'test.py'):
        module = load_tool(tool)
        monkeypatch.setattr(module.ConsoleRunner, 'from_cfg', lambda cfg: sys.exit(0))
        arguments = [str(path), *(['none'] if tool == 'test.py' else [])]
        monkeypatch.setattr(sys, 'argv', [tool, *arguments, '--work-dir', str(tmp_path)])
        with pytest.raises(SystemExit):
            module.main()
        (output,) = [line for line in lines if line.startswith('Nothing reads these settings')]
        lines.clear()
        assert '`vis_backends` (write `visualizer.vis_backends`)' in output
        assert '`custom_hook` (write `custom_hooks`)' in output
        DefaultScope._instance_dict.clear()
    MMLogger.get_current_instance().removeHandler(handler)
    report = check(Config.fromfile(path))
    assert 'nothing reads `custom_hook` at the top of the config' in report.notes


def run_training(load_tool, monkeypatch, tmp_path, path, *options):
    """Train for an epoch on 64 images, as `train.py CONFIG --cfg-options OPTIONS`."""
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    arguments = [str(path), '--work-dir', str(tmp_path), '--cfg-options', *options]
    few = [f'{part}_dataloader.dataset.indices=64' for part in ('train', 'val')]
    arguments += ['train_cfg.max_epochs=1', 'model.teacher.backbone.depth=8', *few]
    monkeypatch.setattr(sys, 'argv', ['train.py', *arguments])
    load_tool('train.py').main()


def test_tensorboard(load_tool, monkeypatch, tmp_path, write):
    """Both backends are named on the command line, and the event file has what the log has."""
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path = write('model = dict(teacher_ckpt=None)')
    backends = 'visualizer.vis_backends=[LocalVisBackend,TensorboardVisBackend]'
    run_training(load_tool, monkeypatch, tmp_path, path, backends)
    (folder,) = tmp_path.glob('2*/vis_data')
    events = EventAccumulator(str(folder)).Reload()
    lines = [json.loads(line) for line in (folder / 'scalars.json').read_text().splitlines()]
    (accuracy,) = [line for line in lines if 'accuracy/top1' in line]
    for name in ('accuracy/top1', 'teacher.accuracy/top1'):
        (event,) = events.Scalars(name)
        assert event.value == pytest.approx(accuracy[name])


def test_a_backend_is_named_alone(load_tool, monkeypatch, tmp_path, write, capsys):
    with pytest.raises(SystemExit) as end:
        run_training(
            load_tool,
            monkeypatch,
            tmp_path,
            write('model = dict(teacher_ckpt=None)'),
            "visualizer.vis_backends=[dict(type='TensorboardVisBackend')]",
        )
    assert end.value.code == 2
    assert 'write visualizer.vis_backends="[LocalVisBackend,' in capsys.readouterr().err
