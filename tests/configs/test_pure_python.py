"""The pure Python config is the text config, and trains without a `_scope_` at any network."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmrazor.registry import MODELS
from mmrazor.utils import register_all_modules

FOLDER = Path(__file__).resolve().parents[2] / 'configs/amkd'
NAME = 'amkd_resnet26_resnet8_1xb64_digits.py'


def read(path):
    register_all_modules(False)
    cfg = Config.fromfile(path)
    cfg.model.teacher_ckpt = None
    return cfg


def build(cfg):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor})
    model.init_weights()
    return model


def test_it_is_the_text_config():
    """The same settings of losses and hooks, and by the same seed the same weights."""
    pure, text = (read(FOLDER / part / NAME) for part in ('pure_python', '.'))
    ours, theirs = build(pure), build(text)
    for (name, tensor), (other, expected) in zip(
        ours.state_dict().items(), theirs.state_dict().items(), strict=True
    ):
        assert name == other
        torch.testing.assert_close(tensor, expected, rtol=0, atol=0)
    for part in ('distill_losses', 'student_recorders', 'loss_forward_mappings'):
        found, expected = (cfg.model.distiller[part].to_dict() for cfg in (pure, text))
        assert without_types(found) == without_types(expected)
    hooks, others = (without_types(cfg.to_dict()['default_hooks']) for cfg in (pure, text))
    assert hooks == others and list(hooks) == list(others)
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'train_dataloader', 'env_cfg'):
        assert pure[key] == text[key]


def without_types(node):
    if isinstance(node, dict):
        # As MMRazor's KLDivergence has it by default.
        return {k: without_types(v) for k, v in node.items() if k != 'type' and (k, v) != ONE}
    return [without_types(value) for value in node] if isinstance(node, list) else node


ONE = ('loss_weight', 1.0)


def few(cfg, work_dir):
    """The config's training in seconds: one epoch, 64 images, a small teacher."""
    cfg.work_dir = str(work_dir)
    cfg.model.teacher.backbone.depth = 8
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.indices = 64
    cfg.train_cfg.max_epochs = 1
    return cfg


@pytest.mark.parametrize('has_scope', [True, False])
def test_it_trains_in_any_default_scope(tmp_path, has_scope):
    text = (FOLDER / 'pure_python' / NAME).read_text()
    path = FOLDER / 'pure_python' / NAME
    if not has_scope:
        start, end = text.index('with read_base'), text.index('student = ')
        path = tmp_path / NAME
        path.write_text(text[:start] + DATA + text[end:].replace('test_cfg = dict()\n', ''))
    cfg = few(read(path), tmp_path)
    assert ('default_scope' in cfg) == has_scope
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    before = runner.model.student.head.fc.weight.clone()
    runner.train()
    assert not torch.equal(runner.model.student.head.fc.weight, before)
    assert any(name.endswith('accuracy/top1') for name in runner.message_hub.log_scalars)


# What the bases say, by classes: then no name is left to look up, and there is no default scope.
DATA = """
from mmengine.dataset import DefaultSampler, default_collate
from mmengine.optim import OptimWrapper
from mmpretrain.datasets import PackInputs
from mmpretrain.evaluation import Accuracy
from mmpretrain.models import ClsDataPreprocessor
from torch.optim import SGD

from amkd_mm.datasets import Digits

data_preprocessor = dict(type=ClsDataPreprocessor, num_classes=10, mean=[78.0], std=[96.0])
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    collate_fn=dict(type=default_collate),
    dataset=dict(type=Digits, split='train', pipeline=[dict(type=PackInputs)]),
    sampler=dict(type=DefaultSampler, shuffle=True),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    collate_fn=dict(type=default_collate),
    dataset=dict(type=Digits, split='test', pipeline=[dict(type=PackInputs)]),
    sampler=dict(type=DefaultSampler, shuffle=False),
)
val_evaluator = dict(type=Accuracy, topk=(1,))
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=0.05))
train_cfg = dict(by_epoch=True, max_epochs=1)
default_hooks = dict()
"""
