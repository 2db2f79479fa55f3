"""A short distillation on the digits, for tests of what is done with its checkpoints."""

from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/amkd/amkd_resnet26_resnet8_1xb64_digits.py'
METRICS = ('accuracy/top1', 'teacher.accuracy/top1')


def train_distillation(folder):
    """Train a teacher for 4 epochs and a student for 2.

    Returns:
        tuple: The folder with ``epoch_1.pth`` and ``epoch_2.pth`` of the student, and its last
        metrics by their names.
    """
    teacher = Config.fromfile(ROOT / 'configs/vanilla/resnet26_1xb64_digits.py')
    student = Config.fromfile(CONFIG)
    student.model.teacher_ckpt = str(folder / 'teacher/epoch_4.pth')
    for name, cfg, epochs in (('teacher', teacher, 4), ('student', student, 2)):
        cfg.merge_from_dict(
            dict(
                work_dir=str(folder / name),
                train_cfg=dict(max_epochs=epochs, val_interval=epochs),
                param_scheduler=None,
                randomness=dict(seed=0),
            )
        )
        runner = Runner.from_cfg(cfg)
        runner.train()
    metrics = {name: runner.message_hub.get_scalar(f'val/{name}').current() for name in METRICS}
    return folder / 'student', metrics
