"""A resumed training draws the random numbers that an uninterrupted one draws."""

import random
from uuid import uuid4

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from amkd_mm.hooks import step_seed_hook


class Network(BaseModel):
    """Draws random numbers in each step, as Dropout and Mixup do."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(192, 10)
        self.seen = []

    def forward(self, inputs, data_samples, mode='tensor'):
        images = torch.stack(list(inputs)).float().flatten(1) / 16
        self.seen.append(images.clone())
        logits = self.layer(nn.functional.dropout(images, 0.2) * np.random.rand() + random.random())
        labels = torch.cat([sample.gt_label for sample in data_samples])
        return dict(loss=nn.functional.cross_entropy(logits, labels))


class Stop(Hook):
    """Ends the training as a kill would, within a step."""

    def __init__(self, at):
        self.at = at

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == self.at:
            raise KeyboardInterrupt


# Four batches an epoch, and a checkpoint every four.
EPOCHS, BATCHES = 3, 4


def train(work_dir, workers, persistent, by_epoch, stop=None, resume=False, seed=0, hook=True):
    # What another process would begin with.
    random.seed(uuid4().int)
    np.random.seed(uuid4().int % 2**32)
    torch.manual_seed(uuid4().int % 2**32)
    length = dict(max_epochs=EPOCHS) if by_epoch else dict(max_iters=EPOCHS * BATCHES)
    hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1 if by_epoch else BATCHES))
    hooks['checkpoint']['by_epoch'] = by_epoch
    if hook:
        hooks['step_seed'] = dict(type='mmrazor.StepSeedHook')
    torch.manual_seed(0)
    model = Network()
    torch.manual_seed(uuid4().int % 2**32)
    runner = Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=8,
            num_workers=workers,
            persistent_workers=persistent,
            collate_fn=dict(type='pseudo_collate'),
            sampler=dict(type='DefaultSampler' if by_epoch else 'InfiniteSampler', shuffle=True),
            dataset=dict(
                type='mmpretrain.Digits',
                split='train',
                indices=8 * BATCHES,
                pipeline=[
                    dict(type='mmpretrain.RandomCrop', crop_size=8, padding=2),
                    dict(type='mmpretrain.RandomFlip', prob=0.5),
                    dict(type='mmpretrain.PackInputs'),
                ],
            ),
        ),
        train_cfg=dict(by_epoch=by_epoch, **length),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=hooks,
        custom_hooks=[Stop(stop)],
        randomness=dict(seed=seed),
        resume=resume,
        default_scope='mmengine',
        experiment_name=uuid4().hex,
        log_level='ERROR',
    )
    if stop is None:
        runner.train()
    else:
        with pytest.raises(KeyboardInterrupt):
            runner.train()
    return runner.model


KINDS = [(0, False), (2, False), (2, True)]


@pytest.mark.parametrize('by_epoch', [True, False], ids=['epochs', 'iterations'])
@pytest.mark.parametrize(('workers', 'persistent'), KINDS)
def test_resumed_equals_uninterrupted(tmp_path, workers, persistent, by_epoch):
    kind = (workers, persistent, by_epoch)
    plain = train(tmp_path / 'plain', *kind)
    # In the second step after the first checkpoint.
    train(tmp_path / 'run', *kind, stop=BATCHES + 1)

    resumed = train(tmp_path / 'run', *kind, resume=True)

    for name, value in plain.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    for before, after in zip(plain.seen[BATCHES:], resumed.seen, strict=True):
        assert torch.equal(before, after)


def test_a_training_without_a_seed_resumes_with_that_of_the_first(tmp_path):
    kind = (2, True, True)
    train(tmp_path / 'run', *kind, stop=BATCHES + 1, seed=None)
    checkpoint = torch.load(tmp_path / 'run/epoch_1.pth', weights_only=False)
    plain = train(tmp_path / 'plain', *kind, seed=checkpoint['meta']['seed'])

    resumed = train(tmp_path / 'run', *kind, resume=True, seed=None)

    assert torch.equal(resumed.layer.weight, plain.layer.weight)


@pytest.mark.parametrize('by_epoch', [True, False], ids=['epochs', 'iterations'])
@pytest.mark.parametrize(('workers', 'persistent'), KINDS)
def test_no_epoch_repeats_the_augmentation_of_another(tmp_path, workers, persistent, by_epoch):
    seen = torch.stack(train(tmp_path, workers, persistent, by_epoch).seen)
    epochs = seen.reshape(EPOCHS, BATCHES * 8, -1)
    # How each image of the data set was cropped in the epochs: by its sorted brightness.
    sums = [epoch.flatten().sort().values for epoch in epochs]
    assert not torch.equal(sums[0], sums[1])
    assert not torch.equal(sums[1], sums[2])
    assert not torch.equal(epochs[0].sum(0), epochs[1].sum(0))


def test_processes_augment_by_numbers_of_their_own(tmp_path, monkeypatch):
    """All batches of them, and not the first of an epoch alone; their steps draw the same."""
    seen = {}
    for rank in (0, 1):
        # Of another process the hook knows the rank alone, so that both see the same images.
        monkeypatch.setattr(step_seed_hook, 'get_rank', lambda rank=rank: rank)
        seen[rank] = train(tmp_path / str(rank), 0, False, True).seen
    pairs = list(zip(seen[0], seen[1], strict=True))
    assert len(pairs) == EPOCHS * BATCHES
    assert not any(torch.equal(first, second) for first, second in pairs)
