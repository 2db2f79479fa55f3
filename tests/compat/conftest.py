"""A distillation of two small networks on some Digits, for tests in a real Runner."""

from uuid import uuid4

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS, MODELS
from mmrazor.utils import register_all_modules

from distillers import logit_distiller
from networks import classifier

IMAGES, BATCH = 40, 16


def loader(split):
    dataset = dict(
        type='mmpretrain.Digits',
        split=split,
        indices=IMAGES,
        pipeline=[dict(type='mmpretrain.PackInputs')],
    )
    return dict(
        batch_size=BATCH,
        num_workers=0,
        dataset=dataset,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
    )


@pytest.fixture(scope='session')
def teacher_checkpoint(tmp_path_factory):
    """A teacher that knows the training images, so that there are samples at its boundary."""
    register_all_modules(False)
    torch.manual_seed(0)
    teacher = MODELS.build(classifier(14, num_classes=10))
    items = list(DATASETS.build(loader('train')['dataset']))
    images = (torch.stack([item['inputs'] for item in items]) - 78.0) / 96.0
    samples = [item['data_samples'] for item in items]
    optimizer = torch.optim.Adam(teacher.parameters(), lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        teacher(images, samples, mode='loss')['loss'].backward()
        optimizer.step()
    path = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    torch.save(dict(state_dict=teacher.state_dict()), path)
    return str(path)


@pytest.fixture
def make_runner(tmp_path, teacher_checkpoint):
    """Makes a Runner of a distillation with changes to its config, and with more hooks."""

    def make(changes=None, hooks=(), compile=None, **options):
        register_all_modules(False)
        config = Config(
            dict(
                default_scope='mmpretrain',
                work_dir=str(tmp_path),
                model=dict(
                    _scope_='mmrazor',
                    type='AMKD',
                    data_preprocessor=dict(
                        type='mmpretrain.ClsDataPreprocessor',
                        num_classes=10,
                        mean=[78.0] * 3,
                        std=[96.0] * 3,
                    ),
                    architecture=classifier(num_classes=10),
                    teacher=classifier(14, num_classes=10),
                    teacher_ckpt=teacher_checkpoint,
                    distiller=logit_distiller(loss_kl=0, loss_boundary=1),
                ),
                custom_hooks=[
                    dict(
                        type='mmrazor.BoundarySampleHook',
                        attack=dict(type='BoundarySearch'),
                        num_samples=0.25,
                    )
                ],
                train_dataloader=loader('train'),
                val_dataloader=loader('test'),
                test_dataloader=loader('test'),
                val_evaluator=dict(type='mmpretrain.Accuracy', topk=(1,)),
                test_evaluator=dict(type='mmpretrain.Accuracy', topk=(1,)),
                optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9)),
                train_cfg=dict(by_epoch=True, max_epochs=1, val_interval=1),
                val_cfg=dict(type='mmrazor.SingleTeacherDistillValLoop'),
                test_cfg=dict(),
                default_hooks=dict(checkpoint=None, logger=None),
                randomness=dict(seed=0),
                log_level='ERROR',
                experiment_name=uuid4().hex,
            )
        )
        config.custom_hooks.extend(hooks)
        config.merge_from_dict({**(changes or {}), **options})
        # Not `from_cfg`, which formats the config several times.
        return Runner(**config, cfg=Config(dict(compile=compile)))

    return make
