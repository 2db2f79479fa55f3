"""The distillation of two networks that have configs of their own."""

from mmengine.config import Config

from amkd_mm.config.reading import read_config
from amkd_mm.diagnostics import check, pair_config
from digit_networks import CONFIGS, table


def test_two_configs(trained, tmp_path):
    """The student's data and preprocessor, and the teacher's own normalisation."""
    teacher = Config.fromfile(CONFIGS / 'vanilla/resnet26_1xb64_digits.py')
    teacher.model.backbone.depth = 8
    teacher.data_preprocessor.mean = [50.0] * 3
    teacher.train_dataloader.dataset.pipeline[0].crop_size = 12
    teacher.dump(tmp_path / 'teacher.py')
    student = read_config('student', 'amkd_mm::vanilla/resnet14_1xb64_digits.py')
    distillation = Config.fromfile(CONFIGS / '_base_/distillers/amkd.py')
    cfg = pair_config(distillation, Config.fromfile(tmp_path / 'teacher.py'), student)
    cfg.model.teacher_ckpt = str(trained)
    report = check(cfg)
    text = str(report)
    rows = table(text)
    assert not report.problems, text
    assert rows['mean'] == ['78, 78, 78', '50, 50, 50']
    assert float(rows['parameters'][0].split()[0]) > float(rows['parameters'][1].split()[0])
    assert 'distill.loss_kl' in rows
    assert 'write: model.teacher_input_size=12' in text
