"""Each repair of `amkd_mm.compat`, tested by the symptom that it removes."""

import copy
from pathlib import Path

import mmrazor.models.losses
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from mmrazor.models.algorithms import DataFreeDistillation, SingleTeacherDistill
from mmrazor.models.architectures.generators import DAFLGenerator
from mmrazor.models.distillers import OFDDistiller
from mmrazor.registry import MODELS
from scipy import stats
from torch import nn

from amkd_mm.compat import distillers as repairs
from amkd_mm.losses import repaired

repairs.apply()

ROOT = Path(__file__).resolve().parents[2]


def test_applying_again_changes_nothing():
    def patched():
        return (
            DataFreeDistillation.train_student,
            SingleTeacherDistill.train,
        )

    before = patched()
    repairs.apply()
    assert patched() == before


def finite(*tensors):
    return all(torch.isfinite(tensor).all() for tensor in tensors)


# --- Losses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', repaired.__all__)
def test_repaired_losses_are_what_configs_name_or_import(name):
    ours = getattr(repaired, name)
    assert MODELS.get(name) is ours is getattr(mmrazor.models.losses, name)


# --- Connectors -----------------------------------------------------------------------------------


def test_ofd_margin_is_the_mean_below_zero():
    bn = nn.BatchNorm2d(4)
    bn.weight.data[:] = torch.tensor([0.5, -2, 1, 0.1])
    bn.bias.data[:] = torch.tensor([0.3, -1, 0, 1])
    margin = OFDDistiller()._get_margin_from_BN(bn)
    assert margin.shape == (1, 4, 1, 1)
    expected = [
        stats.truncnorm(float('-inf'), -mean / std, mean, std).mean()
        for mean, std in ((0.3, 0.5), (-1, 2), (0, 1))
    ]
    # As good as never below zero: three deviations.
    torch.testing.assert_close(margin.flatten(), torch.tensor([*expected, -0.3]).float())


def test_ofd_margin_of_a_block_that_begins_at_zero():
    bn = nn.BatchNorm2d(3)
    bn.weight.data.zero_()
    bn.bias.data[:] = torch.tensor([-2.0, 0, 2])
    margin = OFDDistiller()._get_margin_from_BN(bn)
    torch.testing.assert_close(margin.flatten(), torch.tensor([-2.0, 0, 0]))


def test_ofd_finds_the_last_batch_norm_of_a_block():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn1, self.bn2, self.relu = nn.BatchNorm2d(1), nn.BatchNorm2d(1), nn.ReLU()

    model = nn.Sequential(Block(), nn.Sequential(nn.ReLU()))
    find = repairs._batch_norm_of
    assert find(model, '0.bn1') is model[0].bn1
    assert find(model, '0.relu') is model[0].bn2
    with pytest.raises(ValueError, match="at or beside '1.0'"):
        find(model, '1.0')


# --- Algorithms -----------------------------------------------------------------------------------


def build(name):
    """The model of a Digits config without its checkpoints, its optimiser, and a batch."""
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(ROOT / f'configs/{name}.py')
    if 'teacher' in cfg.model:
        cfg.model.teacher_ckpt = None
    for teacher in cfg.model.get('teachers', {}).values():
        teacher.pop('ckpt_path')
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).train()
    data = dict(
        inputs=list(torch.randint(0, 256, (4, 3, 8, 8))),
        data_samples=[DataSample().set_gt_label(index) for index in range(4)],
    )
    return model, build_optim_wrapper(model, cfg.optim_wrapper), data


def test_a_generator_is_its_own_module():
    generator = DAFLGenerator(img_size=8, latent_dim=5, hidden_channels=4)
    assert generator.module.latent_dim == 5
    assert not any(name.startswith('module') for name in generator.state_dict())
    assert all(name != 'module' for name, _ in generator.named_modules())


@pytest.mark.parametrize('method', ['zskt', 'dfad'])
def test_students_take_no_gradients_from_the_generator_step(method, monkeypatch):
    model, optimizers, data = build(f'{method}/{method}_resnet26_resnet8_1xb64_digits')
    left = []
    update = OptimWrapper.update_params

    def look(self, loss, **kwargs):
        if self is optimizers['architecture']:
            left.append([p.grad is None or not p.grad.any() for p in model.student.parameters()])
        return update(self, loss, **kwargs)

    monkeypatch.setattr(OptimWrapper, 'update_params', look)
    for _ in range(2):
        model.train_step(data, optimizers)
    assert len(left) == 2 * model.student_iter and all(map(all, left))


def test_an_untrained_student_keeps_its_statistics():
    name = 'factor_transfer/factor_transfer_resnet26_resnet8_1xb64_digits'
    for stage, stays in (('pretrain', True), ('train', False)):
        model, optimizer, data = build(f'{name}_{stage}')
        before = copy.deepcopy(model.student.state_dict())
        model.train_step(data, optimizer)
        after = model.student.state_dict()
        same = [torch.equal(after[key], value) for key, value in before.items()]
        assert all(same) if stays else not any(same)
