"""The pure Python config is the text config, and trains without a `_scope_` at any network."""

from pathlib import Path

import amkd_mm  # noqa: F401

# isort: split
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
    hooks, others = (without_types(cfg.to_dict()['custom_hooks']) for cfg in (pure, text))
    assert hooks == others
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'train_dataloader'):
        assert pure[key] == text[key]


def without_types(node):
    if isinstance(node, dict):
        # As MMRazor's KLDivergence has it by default.
        return {k: without_types(v) for k, v in node.items() if k != 'type' and (k, v) != ONE}
    return [without_types(value) for value in node] if isinstance(node, list) else node


ONE = ('loss_weight', 1.0)


def test_it_trains_in_any_default_scope(tmp_path):
    for scope in ('mmpretrain', None):
        cfg = read(FOLDER / 'pure_python' / NAME)
        cfg.work_dir = str(tmp_path / str(scope))
        cfg.model.teacher.backbone.depth = 8
        for loader in (cfg.train_dataloader, cfg.val_dataloader):
            loader.dataset.indices = 64
        cfg.train_cfg.max_epochs = 1
        if scope is None:
            # As in a config without text bases: the classes alone say what is meant.
            name_by_class(cfg)
            cfg.pop('default_scope')
        runner = Runner.from_cfg(cfg)
        runner.model.init_weights()
        before = runner.model.student.head.fc.weight.clone()
        runner.train()
        assert not torch.equal(runner.model.student.head.fc.weight, before)
        assert {'student.accuracy/top1', 'teacher.accuracy/top1'} & set(
            runner.message_hub.log_scalars
        ) or 'val/accuracy/top1' in runner.message_hub.log_scalars


def name_by_class(cfg):
    """Replace the names in the bases by classes."""
    from mmengine.dataset import DefaultSampler, default_collate
    from mmpretrain.datasets import PackInputs, RandomCrop
    from mmpretrain.evaluation import Accuracy
    from mmpretrain.models import ClsDataPreprocessor

    from amkd_mm.datasets import Digits

    kinds = [DefaultSampler, default_collate, PackInputs, RandomCrop, Accuracy, Digits]
    names = {kind.__name__: kind for kind in (*kinds, ClsDataPreprocessor)}

    def walk(node):
        if isinstance(node, dict):
            kind = node.get('type')
            if isinstance(kind, str) and kind.rpartition('.')[2] in names:
                node['type'] = names[kind.rpartition('.')[2]]
        for value in node.values() if isinstance(node, dict) else node:
            if isinstance(value, (dict, list)):
                walk(value)

    for key in ('data_preprocessor', 'train_dataloader', 'val_dataloader', 'val_evaluator'):
        walk(cfg[key])
