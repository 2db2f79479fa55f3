"""Distillations of a network by itself, and without data."""

import re

import pytest

from digit_networks import CONFIGS, table


def test_self_distillation(run):
    status, text = run(CONFIGS / 'byot/byot_resnet8_1xb64_digits.py')
    rows = table(text)
    assert (status, text.splitlines()[-1]) == (0, 'OK')
    assert rows['network'] == ['CifarResNet'] and rows['classes'] == ['10']
    parts = [
        float(cells[0]) for name, cells in rows.items() if re.match(r'(student|distill)\.', name)
    ]
    assert len(parts) == 6 and float(rows['loss'][0]) == pytest.approx(sum(parts), rel=1e-3)


@pytest.mark.parametrize('method', ['dafl', 'zskt', 'dfad'])
def test_data_free(run, trained, method):
    config = CONFIGS / f'{method}/{method}_resnet26_resnet8_1xb64_digits.py'
    options = [
        f'model.teachers.teacher.ckpt_path={trained}',
        'model.teachers.teacher.build_cfg.backbone.depth=8',
    ]
    status, text = run(config, *options)
    rows = table(text)
    assert (status, text.splitlines()[-1]) == (0, 'OK'), text
    assert rows['classes'] == ['10', '10']
    assert rows['generator'][0].startswith('8x8, 3 channels; mean')
    assert 'of 256 images' in rows['teacher accuracy'][0]
    assert {'generator.loss', 'distill.loss'} <= set(rows)


def test_data_free_problems(run, trained):
    config = CONFIGS / 'dafl/dafl_resnet26_resnet8_1xb64_digits.py'
    options = [
        'model.teachers.teacher.ckpt_path=nowhere.pth',
        'model.generator.img_size=16',
        'model.architecture.head.num_classes=7',
        'optim_wrapper.architecture.optimizer.lr=0.1',
    ]
    status, text = run(config, *options)
    flat = ' '.join(text.split())
    assert status == 1
    assert "model.teachers.teacher.ckpt_path: 'nowhere.pth' does not exist" in flat
    assert 'generator makes images of 16x16 and 3 channels, and the data has 8x8' in flat
    assert 'write: model.generator.img_size=8' in flat
    assert "the student has 7 classes and the teacher 'teacher' 10" in flat
    assert 'write: model.architecture.head.num_classes=10' in flat
