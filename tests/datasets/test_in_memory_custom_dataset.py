"""Images read once are those that MMPretrain's data set reads in each epoch."""

import shutil

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmpretrain.datasets import CustomDataset
from mmpretrain.registry import DATASETS, TRANSFORMS
from PIL import Image

from amkd_mm.datasets import InMemoryCustomDataset

pytestmark = pytest.mark.usefixtures('mmpretrain_scope')

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomCrop', crop_size=8, padding=2),
    dict(type='PackInputs'),
]


@TRANSFORMS.register_module()
class Blacken:
    """A transform that works in place."""

    def __call__(self, results):
        results['seen'] = int(results['img'].max())
        results['img'][:] = 0
        return results


@pytest.fixture
def folder(tmp_path):
    state = np.random.RandomState(0)
    for label in ('ant', 'bee'):
        (tmp_path / label).mkdir()
        for index in range(4):
            # Of several sizes.
            pixels = state.randint(256, size=(8, 8 + index, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f'{index}.png')
    return tmp_path


@pytest.mark.parametrize(
    'settings', [dict(), dict(serialize_data=False), dict(indices=3), dict(lazy_init=True)], ids=str
)
@pytest.mark.parametrize('first', [PIPELINE[0], dict(PIPELINE[0], color_type='grayscale')], ids=str)
def test_as_the_data_set_of_mmpretrain(folder, settings, first):
    pipeline = [first, *PIPELINE[1:]]
    plain = CustomDataset(data_root=str(folder), pipeline=pipeline, **settings)
    dataset = InMemoryCustomDataset(data_root=str(folder), pipeline=pipeline, **settings)
    for one in (plain, dataset):
        one.full_init()
    assert dataset.metainfo == plain.metainfo and len(dataset) == len(plain) > 0
    for epoch in range(2):
        for index in range(len(plain)):
            np.random.seed(10 * epoch + index)
            expected = plain[index]
            np.random.seed(10 * epoch + index)
            found = dataset[index]
            assert torch.equal(found['inputs'], expected['inputs'])
            assert found['data_samples'].gt_label == expected['data_samples'].gt_label
            metainfo = expected['data_samples'].metainfo
            assert found['data_samples'].metainfo == metainfo
            assert metainfo['img_path'].startswith(str(folder))


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('serialize', [True, False])
def test_files_are_not_needed_again(folder, workers, serialize):
    """And what a transform does to an image in place is gone in the next epoch."""
    dataset = dict(
        type='InMemoryCustomDataset',
        data_root=str(folder),
        serialize_data=serialize,
        pipeline=[PIPELINE[0], dict(type='Blacken'), dict(type='PackInputs', meta_keys=['seen'])],
    )
    loader = Runner.build_dataloader(
        dict(
            batch_size=3,
            num_workers=workers,
            collate_fn=dict(type='pseudo_collate'),
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=dataset,
        )
    )
    shutil.rmtree(folder / 'ant')
    shutil.rmtree(folder / 'bee')
    for _ in range(2):
        samples = [sample for batch in loader for sample in batch['data_samples']]
        assert len(samples) == 8
        assert all(sample.seen > 200 for sample in samples)


def test_unreadable_files(folder):
    (folder / 'ant' / 'broken.png').write_bytes(b'')
    ignoring = [dict(PIPELINE[0], ignore_empty=True), *PIPELINE[1:]]
    dataset = InMemoryCustomDataset(data_root=str(folder), pipeline=ignoring)
    assert [dataset[index] is not None for index in range(len(dataset))] == [True] * 8


@pytest.mark.parametrize('pipeline', [[], PIPELINE[1:], [dict(type='LoadImage')]])
def test_pipelines_that_do_not_begin_by_loading(folder, pipeline):
    config = dict(type='InMemoryCustomDataset', data_root=str(folder), pipeline=pipeline)
    with pytest.raises(ValueError, match=r"must begin with dict\(type='LoadImageFromFile'\)"):
        DATASETS.build(config)
