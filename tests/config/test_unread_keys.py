"""Settings at the top of a config that nothing reads."""

from pathlib import Path

import mmpretrain
import pytest
from mmengine.config import Config

from amkd_mm.config.unread_keys import unread_keys

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / 'configs/amkd/amkd_resnet26_resnet8_1xb64_digits.py'
MMPRETRAIN = Path(mmpretrain.__file__).parent / '.mim/configs'
# One of each kind of our configs, and MMPretrain's with variables that resemble a setting.
SAMPLE = [
    *(next(folder.glob('*_digits*.py')) for folder in sorted((ROOT / 'configs').glob('[a-z]*'))),
    ROOT / 'configs/amkd/amkd_resnet50_resnet18_8xb32_in1k.py',
    MMPRETRAIN / 'lenet/lenet5_mnist.py',
    MMPRETRAIN / 'mobilenet_v3/mobilenet-v3-large_8xb128_in1k.py',
    MMPRETRAIN / 'mobileone/deploy/mobileone-s1_deploy_8xb32_in1k.py',
    MMPRETRAIN / 'resnet/resnet50_8xb8_cub.py',
    MMPRETRAIN / 'swin_transformer/swin-tiny_16xb64_in1k.py',
]


@pytest.fixture
def write(tmp_path):
    """Writes a config that inherits from that of AMKD on digits."""

    def write(text, base=DIGITS):
        path = tmp_path / 'config.py'
        path.write_text(f"_base_ = ['{base}']\n{text}\n")
        return path

    return write


@pytest.mark.parametrize(
    'text, key, place',
    [
        ("custom_hook = [dict(type='EMAHook')]", 'custom_hook', 'custom_hooks'),
        ('optim_wraper = dict(optimizer=dict(lr=1))', 'optim_wraper', 'optim_wrapper'),
        ('param_schedulers = []', 'param_schedulers', 'param_scheduler'),
        ("load_form = 'x.pth'", 'load_form', 'load_from'),
        ('train_loader = dict(batch_size=8)', 'train_loader', 'train_dataloader'),
        ('find_unused_parameter = True', 'find_unused_parameter', 'find_unused_parameters'),
        (
            "vis_backends = [dict(type='TensorboardVisBackend')]",
            'vis_backends',
            'visualizer.vis_backends',
        ),
        ("teacher_ckpt = 'x.pth'", 'teacher_ckpt', 'model.teacher_ckpt'),
        ('max_epochs = 7', 'max_epochs', 'train_cfg.max_epochs'),
        ('seed = 7', 'seed', 'randomness.seed'),
        ("optimizer = dict(type='Adam')", 'optimizer', 'optim_wrapper.optimizer'),
    ],
)
def test_what_nothing_reads_is_found(write, text, key, place):
    assert unread_keys(Config.fromfile(write(text))) == {key: place}


@pytest.mark.parametrize(
    'text',
    [
        # Helper variables, used here or by whoever reads the config.
        'bgr_mean = [1, 2, 3]',
        "data_settings = dict(x=1)\ndataset_type = 'Digits'",
        "hooks = [dict(type='SyncBuffersHook')]\ncustom_hook = dict(type='EMAHook')\n"
        'custom_hooks = hooks + [custom_hook]',
        "vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]\n"
        'visualizer = dict(vis_backends=vis_backends)',
        "optimizer = dict(type='Adam', lr=0.1)\n"
        'optim_wrapper = dict(optimizer=dict(_delete_=True, **optimizer))',
        'randomness = dict(seed=1)',
    ],
)
def test_a_variable_is_no_setting(write, text):
    assert unread_keys(Config.fromfile(write(text))) == {}


def test_a_variable_overridden_on_the_command_line_is_no_setting(write):
    cfg = Config.fromfile(write("teacher_ckpt = 'x.pth'\nmodel = dict(teacher_ckpt=teacher_ckpt)"))
    cfg.merge_from_dict({'model.teacher_ckpt': 'other.pth'})
    assert unread_keys(cfg) == {}


@pytest.mark.parametrize('path', SAMPLE, ids=lambda path: f'{path.parent.name}-{path.stem}')
def test_shipped_configs_give_no_alarm(path):
    assert unread_keys(Config.fromfile(path, import_custom_modules=False)) == {}
