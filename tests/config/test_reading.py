"""Configs that a command line names."""

import pytest

from amkd_mm.config.reading import read_config, read_distillation
from digit_networks import CONFIGS, DIGITS

VANILLA = CONFIGS / 'vanilla/resnet8_1xb64_digits.py'


def test_options_are_applied():
    cfg = read_config('config', str(DIGITS), {'model.teacher.backbone.depth': 14})
    assert cfg.model.teacher.backbone.depth == 14
    assert read_config('config', str(DIGITS)).model.teacher.backbone.depth == 26


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / 'broken.py').write_text('model = dict(type="AMKD")\nx = model["typ"]\n')
    with pytest.raises(ValueError, match='^--compare: .*broken.py cannot be read: typ [(]KeyError'):
        read_config('--compare', str(tmp_path / 'broken.py'))
    with pytest.raises(FileNotFoundError, match='^STUDENT_CFG: no such file: absent.py'):
        read_config('STUDENT_CFG', 'absent.py')
    pipeline = 'train_dataloader.dataset.pipeline'
    with pytest.raises(ValueError, match='^--cfg-options: Index 9'):
        read_config('config', str(DIGITS), {f'{pipeline}.9.x': 1})


def test_distillation_by_a_teacher():
    assert read_distillation('config', str(DIGITS)).model.type.endswith('AMKD')
    with pytest.raises(ValueError, match='--compare: it has no `model.architecture` and'):
        read_distillation('--compare', str(VANILLA))
    # Of itself.
    with pytest.raises(ValueError, match='`model.teacher`'):
        read_distillation('config', str(CONFIGS / 'byot/byot_resnet8_1xb64_digits.py'))
