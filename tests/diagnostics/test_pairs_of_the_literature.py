"""The pairs that the literature compares on fit, as their configs have them."""

import pytest
import torch
from mmengine.registry import init_default_scope
from mmrazor.registry import MODELS

from amkd_mm.config.reading import read_config
from digit_networks import CONFIGS, table

TABLE = [
    *('resnet56_resnet20', 'resnet110_resnet20', 'resnet110_resnet32', 'resnet32x4_resnet8x4'),
    *('wrn-40-2_wrn-16-2', 'wrn-40-2_wrn-40-1', 'vgg13_vgg8', 'vgg13_mobilenet-v2'),
    *('resnet50_mobilenet-v2', 'resnet50_vgg8', 'resnet32x4_shufflenet-v1'),
    *('resnet32x4_shufflenet-v2', 'wrn-40-2_shufflenet-v1'),
]
# With the number of classes.
PAIRS = {f'{pair}_1xb64_cifar100': 100 for pair in TABLE}
PAIRS['resnet18_mobilenet-v2_1xb256_tiny-imagenet'] = 200
PAIRS['resnet34_resnet18_8xb32_in1k'] = 1000
PAIRS['resnet50_mobilenet-v1_8xb32_in1k'] = 1000


@pytest.mark.slow
@pytest.mark.parametrize(('pair', 'classes'), PAIRS.items())
def test_pair_fits(pair, classes, run, tmp_path):
    """By AMKD, whose step has all that a pair is needed for, an attack included."""
    path = CONFIGS / f'amkd/amkd_{pair}.py'
    config = read_config('config', str(path), None)
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    teacher = MODELS.build(config.model.teacher)
    # With statistics and scores that let it tell images apart.
    for module in teacher.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        teacher.train()(torch.randn(8, 3, 32, 32), mode='tensor')
    torch.nn.init.normal_(teacher.head.fc.weight)
    torch.save(dict(state_dict=teacher.state_dict()), tmp_path / 'teacher.pth')
    options = [f'model.teacher_ckpt={tmp_path}/teacher.pth']
    # There is no data here: the check takes random images.
    status, text = run(path, *options, batch_size=8)
    rows = table(text)
    assert rows['classes'] == [str(classes)] * 2
    assert rows['logits'] == [f'8x{classes}'] * 2
    assert 'folded copy' in rows['teacher runs in'][0]
    # Those of boundary samples are there if the attack on random weights made some.
    assert 'distill.loss_kl' in rows
    total = sum(float(cells[0]) for name, cells in rows.items() if '.loss' in name)
    assert float(rows['loss'][0]) == pytest.approx(total, rel=1e-2)
    assert (status, text.splitlines()[-1]) == (0, 'OK'), text
