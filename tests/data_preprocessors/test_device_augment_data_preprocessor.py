"""The data preprocessor that augments: what it leaves alone, its errors, and a resumed training."""

import random
from uuid import uuid4

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.registry import MODELS, TRANSFORMS
from mmpretrain.structures import DataSample
from torch import nn

from amkd_mm.data_preprocessors import DeviceAugmentDataPreprocessor
from amkd_mm.data_preprocessors import device_augment_data_preprocessor as module

NORMALIZATION = dict(mean=[125.3, 123.0, 113.9], std=[51.6, 50.8, 51.3], to_rgb=True)
CROP = dict(type='RandomCrop', crop_size=8, padding=2)
FLIP = dict(type='RandomFlip', prob=0.5, direction='horizontal')


def build(*augments, **settings):
    config = dict(type='DeviceAugmentDataPreprocessor', device_augments=list(augments))
    return MODELS.build({**config, **NORMALIZATION, **settings})


def make_batch(number=16, size=8):
    pixels = torch.randint(256, (number, 3, size, size), generator=torch.Generator().manual_seed(1))
    samples = [DataSample().set_gt_label(index % 3) for index in range(number)]
    return dict(inputs=pixels.byte(), data_samples=samples)


def test_as_the_pipeline_and_the_preprocessor_of_mmpretrain():
    """Bit for bit: the padding, too, is 0 before normalisation, and images are BGR until then."""
    batch = make_batch(200)
    found = build(CROP, FLIP)(batch, True)['inputs']
    crop = TRANSFORMS.build(dict(CROP, type='mmpretrain.RandomCrop'))
    normalize = ClsDataPreprocessor(**NORMALIZATION)
    for pixels, made in zip(batch['inputs'][:20], found[:20], strict=True):
        possible = []
        for top in range(5):
            for left in range(5):
                crop.rand_crop_params = lambda image, place=(top, left): (*place, 8, 8)
                image = crop.transform(dict(img=pixels.numpy().transpose(1, 2, 0)))['img']
                image = torch.from_numpy(image.transpose(2, 0, 1).copy())
                possible += [image, image.flip(2)]
        possible = normalize(dict(inputs=torch.stack(possible)))['inputs']
        assert sum(torch.equal(made, one) for one in possible) == 1
    assert found.dtype == torch.float32


def test_evaluation_is_that_of_mmpretrain():
    batch = make_batch()
    preprocessor, plain = build(CROP, FLIP), ClsDataPreprocessor(**NORMALIZATION)
    state = torch.get_rng_state()
    for kwargs in (dict(training=False), dict()):
        found = preprocessor(dict(batch), **kwargs)['inputs']
        assert torch.equal(found, plain(dict(batch), False)['inputs'])
    assert torch.equal(torch.get_rng_state(), state)
    # Off by default.
    plain = MODELS.build(dict(type='DeviceAugmentDataPreprocessor', **NORMALIZATION))
    assert torch.equal(plain(dict(batch), True)['inputs'], found)


def test_labels_and_batch_are_left_alone():
    batch = make_batch()
    pixels, before = batch['inputs'], batch['inputs'].clone()
    output = build(CROP, FLIP)(batch, True)
    assert batch['inputs'] is pixels and torch.equal(pixels, before)
    labels = [sample.gt_label.item() for sample in output['data_samples']]
    assert labels == [index % 3 for index in range(len(labels))]


def test_lists_of_images():
    """What `pseudo_collate` gives."""
    batch, preprocessor = make_batch(), build(CROP, FLIP)
    torch.manual_seed(0)
    stacked = preprocessor(batch, True)['inputs']
    torch.manual_seed(0)
    listed = preprocessor(dict(batch, inputs=list(batch['inputs'])), True)['inputs']
    assert torch.equal(stacked, listed)
    sizes = dict(batch, inputs=[torch.zeros(3, size, size) for size in (8, 9)])
    with pytest.raises(TypeError, match='device_augments needs images of one size'):
        preprocessor(sizes, True)


def test_padding_of_the_network_and_mixing_come_after():
    batch = make_batch()
    augments = dict(augments=[dict(type='Mixup', alpha=0.8)])
    preprocessor = build(
        dict(CROP, crop_size=7), pad_size_divisor=8, batch_augments=augments, num_classes=3
    )
    output = preprocessor(batch, True)
    assert output['inputs'].shape == (16, 3, 8, 8)
    assert not output['inputs'][:, :, 7].any() and not output['inputs'][..., 7].any()
    assert all(len(sample.gt_score) == 3 for sample in output['data_samples'])


def test_draws_follow_seed_and_process(monkeypatch):
    batch, preprocessor = make_batch(), build(CROP, FLIP)

    def draw(seed, rank=0):
        monkeypatch.setattr(module, 'get_rank', lambda: rank)
        torch.manual_seed(seed)
        return [preprocessor(batch, True)['inputs'] for _ in range(2)]

    first, again, other, process = draw(0), draw(0), draw(1), draw(0, rank=1)
    for step in range(2):
        assert torch.equal(first[step], again[step])
        assert not torch.equal(first[step], other[step])
        assert not torch.equal(first[step], process[step])
    assert not torch.equal(*first)


@pytest.mark.parametrize(
    'augment, kind, message',
    [
        (dict(type='RandomCropp'), KeyError, r'device_augments\.0\.type: .*RandomCrop.*RandomFlip'),
        (dict(type='ColorJitter'), KeyError, r'leave it in the `pipeline` of `train_dataloader`'),
        (dict(prob=0.5), KeyError, r'device_augments\.0\.type: None'),
        ('RandomFlip', TypeError, r'device_augments\.0 must be such as dict'),
        (dict(type='RandomFlip', prb=0.5), TypeError, r"augments\.0\.prb: .*\['prob'\]"),
        (dict(FLIP, prob=1.5), ValueError, r'device_augments\.0: prob must be <= 1, not 1\.5'),
        (dict(FLIP, prob=-0.1), ValueError, r'device_augments\.0: prob must be >= 0'),
        (dict(FLIP, prob=[0.2, 0.3]), TypeError, r'device_augments\.0: prob must be a number'),
        (dict(FLIP, direction='up'), ValueError, r"one of \['horizontal', 'vertical'"),
        (dict(type='RandomCrop'), TypeError, r"device_augments\.0: .*needs \['crop_size'\]"),
        (dict(CROP, crop_size=0), ValueError, r'0: crop_size must be >= 1, not 0'),
        (dict(CROP, crop_size='8'), TypeError, r'0: crop_size must be a number or a list'),
        (dict(CROP, crop_size=(8, 8, 8)), ValueError, r'0: crop_size must have 1 or 2 numbers'),
        (dict(CROP, padding=(1, 2, 3)), ValueError, r'0: padding must have 1 or 2 or 4 numbers'),
        (dict(CROP, padding=-1), ValueError, r'0: padding must be >= 0, not -1'),
        (dict(CROP, pad_val=300), ValueError, r'0: pad_val must be <= 255, not 300'),
        (dict(CROP, pad_val=[]), ValueError, r'0: pad_val must have at least 1 numbers'),
        (dict(CROP, padding_mode='edge'), TypeError, r'augments\.0\.padding_mode: RandomCrop has'),
    ],
)
def test_errors_name_the_key(augment, kind, message):
    with pytest.raises(kind, match=message) as error:
        build(augment)
    assert 'device_augments.0' in str(error.value)


def test_errors_of_the_whole():
    with pytest.raises(TypeError, match='data_preprocessor.device_augments must be such as'):
        MODELS.build(dict(type='DeviceAugmentDataPreprocessor', device_augments=FLIP))
    preprocessor = build(dict(CROP, pad_val=(1, 2)))
    with pytest.raises(ValueError, match='2 values, but the images have 3 channels'):
        preprocessor(make_batch(), True)


@pytest.mark.parametrize('scope', ['mmpretrain.', 'mmcv.', ''])
def test_entries_of_a_pipeline_are_taken_as_they_are(scope):
    preprocessor = build(dict(FLIP, type=f'{scope}RandomFlip'), dict(CROP, _scope_='mmpretrain'))
    flip, crop = preprocessor.device_augments
    assert (flip.prob, flip.direction) == (0.5, 'horizontal')
    assert (crop.crop_size, crop.padding) == ((8, 8), (2, 2, 2, 2))


class Network(BaseModel):
    """Keeps the inputs of its training steps."""

    def __init__(self, data_preprocessor):
        super().__init__(data_preprocessor)
        self.layer = nn.Linear(192, 10)
        self.seen = []

    def forward(self, inputs, data_samples, mode='tensor'):
        self.seen.append(inputs.clone())
        labels = torch.cat([sample.gt_label for sample in data_samples])
        logits = self.layer(nn.functional.dropout(inputs.flatten(1), 0.2))
        return dict(loss=nn.functional.cross_entropy(logits, labels))


class Stop(Hook):
    """Ends the training as a kill would, within an epoch."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == BATCHES + 1:
            raise KeyboardInterrupt


EPOCHS, BATCHES = 3, 4


def train(work_dir, workers=0, stop=False, resume=False, shuffle=True):
    # What another process would begin with.
    random.seed(uuid4().int)
    np.random.seed(uuid4().int % 2**32)
    torch.manual_seed(0)
    model = Network(build(CROP, FLIP))
    torch.manual_seed(uuid4().int % 2**32)
    runner = Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=8,
            num_workers=workers,
            persistent_workers=bool(workers),
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=shuffle),
            dataset=dict(
                type='mmpretrain.Digits',
                indices=8 * BATCHES,
                pipeline=[dict(type='mmpretrain.PackInputs')],
            ),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=EPOCHS),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1),
            step_seed=dict(type='mmrazor.StepSeedHook'),
        ),
        custom_hooks=[Stop()] if stop else [],
        randomness=dict(seed=0),
        resume=resume,
        default_scope='mmengine',
        experiment_name=uuid4().hex,
        log_level='ERROR',
    )
    if stop:
        with pytest.raises(KeyboardInterrupt):
            runner.train()
    else:
        runner.train()
    return runner.model


@pytest.mark.parametrize('workers', [0, 2])
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, workers):
    plain = train(tmp_path / 'plain', workers)
    train(tmp_path / 'run', workers, stop=True)
    resumed = train(tmp_path / 'run', workers, resume=True)

    for name, value in plain.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    assert len(resumed.seen) == (EPOCHS - 1) * BATCHES
    for before, after in zip(plain.seen[BATCHES:], resumed.seen, strict=True):
        assert torch.equal(before, after)


def test_no_epoch_repeats_the_augmentation_of_another(tmp_path):
    seen = torch.stack(train(tmp_path, shuffle=False).seen)
    first, second, third = seen.reshape(EPOCHS, -1)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    assert not torch.equal(first, third)


def test_of_the_package():
    assert isinstance(build(), DeviceAugmentDataPreprocessor)
    assert isinstance(build(), ClsDataPreprocessor)
