import hashlib
import sys

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS, MODELS
from sklearn.datasets import load_digits

from amkd_mm.datasets import Digits


def arrays(split):
    dataset = Digits(split=split)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return np.stack([info['img'] for info in infos]), np.array([info['gt_label'] for info in infos])


def test_splits_are_the_whole_source_without_overlap():
    """Every source image is in exactly one split, with its own label and its own grey levels."""
    source = load_digits()
    expected = {}
    for image, label in zip(source.images, source.target, strict=True):
        # 0 to 255 in 16 steps keeps the 17 levels apart, so the source can be had back.
        key = image.astype(int).tobytes(), int(label)
        expected[key] = expected.get(key, 0) + 1

    found = {}
    for split in ('train', 'test'):
        for image, label in zip(*arrays(split), strict=True):
            assert (image == image[..., :1]).all()
            levels = np.rint(image[..., 0] / 255 * 16).astype(int)
            key = levels.tobytes(), int(label)
            found[key] = found.get(key, 0) + 1
    assert found == expected


def test_values():
    images, labels = arrays('train')
    assert images.dtype == np.uint8 and images.shape == (1437, 8, 8, 3)
    assert images.min() == 0 and images.max() == 255
    # The figures of the docstring.
    assert images.mean() == pytest.approx(78.0, abs=0.05)
    assert images.std() == pytest.approx(96.0, abs=0.05)
    assert np.bincount(labels).min() == 138 and np.bincount(labels).max() == 147


def test_split_is_stratified_and_never_changes():
    images, labels = arrays('test')
    assert np.bincount(labels).tolist() == [36] * 10
    digest = hashlib.sha256(images.tobytes() + labels.astype('<i8').tobytes()).hexdigest()
    assert digest == '58b2e449a4a919fee803cecc359d80fe9c2f2a3e2f4f387d31039d21fe3d1a9c'


def test_training_images_predict_test_labels():
    """A nearest-centroid classifier is right on about 9 of 10 digits."""
    images, labels = arrays('train')
    centroids = np.stack([images[labels == i].mean(0) for i in range(10)])
    images, labels = arrays('test')
    distances = ((images[:, None].astype(float) - centroids[None]) ** 2).sum((2, 3, 4))
    assert (distances.argmin(1) == labels).mean() > 0.85


def test_through_dataloader_and_classifier():
    loader = Runner.build_dataloader(
        dict(
            batch_size=32,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(
                type='Digits',
                split='test',
                indices=64,
                pipeline=[dict(type='Resize', scale=32), dict(type='PackInputs')],
                _scope_='mmpretrain',
            ),
        )
    )
    preprocessor = MODELS.build(
        dict(type='ClsDataPreprocessor', mean=[78.0] * 3, std=[96.0] * 3, num_classes=10)
    )
    images, labels = arrays('test')
    seen = []
    for batch in loader:
        batch = preprocessor(batch)
        assert batch['inputs'].shape == (32, 3, 32, 32)
        seen += [int(sample.gt_label) for sample in batch['data_samples']]
    assert seen == labels[:64].tolist()

    dataset = Digits(split='test', pipeline=[dict(type='PackInputs')])
    packed = dataset[5]['inputs']
    assert torch.equal(packed, torch.from_numpy(images[5]).permute(2, 0, 1))


def test_base_dataset_arguments():
    dataset = DATASETS.build(dict(type='Digits', indices=7, classes=list('abcdefghij')))
    assert len(dataset) == 7
    assert ''.join(dataset.CLASSES) == 'abcdefghij'
    assert ''.join(Digits(lazy_init=True).CLASSES) == '0123456789'
    assert 'train' in repr(dataset)


def test_wrong_split():
    with pytest.raises(ValueError, match="`split` must be 'train' or 'test', got 'val'"):
        Digits(split='val')


def test_missing_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn', None)
    monkeypatch.setitem(sys.modules, 'sklearn.datasets', None)
    with pytest.raises(ImportError, match='pip install scikit-learn'):
        Digits()
