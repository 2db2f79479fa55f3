"""An image that cannot be used is named."""

import pickle
from functools import partial

import numpy as np
import pytest
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner
from PIL import Image


def batches(root, workers=0):
    loader = Runner.build_dataloader(
        dict(
            batch_size=4,
            num_workers=workers,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(
                type='mmpretrain.CustomDataset',
                data_root=str(root),
                pipeline=[
                    dict(type='mmcv.LoadImageFromFile'),
                    dict(type='mmpretrain.PackInputs'),
                ],
            ),
        )
    )
    return list(loader)


@pytest.fixture
def root(tmp_path):
    for label in 'ab':
        (tmp_path / label).mkdir()
        for number in range(4):
            image = np.full((8, 8, 3), 10 * number, dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / label / f'{number}.png')
    return tmp_path


@pytest.mark.parametrize('content', [b'', b'no image', None], ids=['empty', 'text', 'cut off'])
def test_an_unreadable_image_is_named(root, content):
    path = root / 'b/2.png'
    path.write_bytes(path.read_bytes()[:20] if content is None else content)

    with pytest.raises(ValueError, match='b/2.png cannot be read as an image: replace the file'):
        batches(root)


def test_a_missing_image_is_named(root):
    data = dict(type='mmcv.LoadImageFromFile')
    from mmcv.transforms import LoadImageFromFile

    with pytest.raises(FileNotFoundError, match='c/1.png'):
        LoadImageFromFile().transform(dict(data, img_path=str(root / 'c/1.png')))


@pytest.mark.parametrize('workers', [0, 1])
def test_an_image_of_another_size_is_named(root, workers):
    Image.fromarray(np.zeros((9, 8, 3), dtype=np.uint8)).save(root / 'b/1.png')

    with pytest.raises(ValueError, match=r'most have \(3, 8, 8\), but 1 .*b/1.png \(3, 9, 8\)'):
        batches(root, workers)


def test_images_of_one_size_are_collated(root):
    first, second = batches(root)

    assert first['inputs'].shape == second['inputs'].shape == (4, 3, 8, 8)
    assert [int(image[0, 0, 0]) for image in first['inputs']] == [0, 10, 20, 30]


def test_the_collate_function_reaches_spawned_workers():
    """A spawned worker gets what ``Runner.build_dataloader`` makes of it as a pickle."""
    collate = FUNCTIONS.get('default_collate')
    assert pickle.loads(pickle.dumps(partial(collate))).func is collate
