import shutil

import numpy as np
import pytest
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS, MODELS
from PIL import Image

from amkd_mm.datasets import TinyImageNet

# Line order differs from alphabetical order, as in the original.
WNIDS = ['n03', 'n01', 'n02']
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


def save(path, rgb):
    """Save a 64x64 JPEG of one colour, of one channel where ``rgb`` is a number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = 'RGB' if isinstance(rgb, tuple) else 'L'
    Image.new(mode, (64, 64), rgb).save(path, format='JPEG', quality=95)


def colour(wnid, i):
    """A colour that tells the class (red) and the image (green)."""
    return (60 * int(wnid[1:]), 40 * i, 10)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / 'tiny-imagenet-200'
    for wnid in WNIDS:
        # 10 comes before 2 in string order.
        for i in (0, 2, 10):
            save(root / 'train' / wnid / 'images' / f'{wnid}_{i}.JPEG', colour(wnid, i % 6))
    save(root / 'train' / 'n01' / 'images' / 'n01_3.JPEG', 200)
    (root / 'wnids.txt').write_text('\n'.join(WNIDS) + '\n')
    # More words than classes, and none for n02.
    (root / 'words.txt').write_text('n00\tentity\nn01\tgoldfish, Carassius auratus\nn03\tzebra\n')
    lines = []
    for i, wnid in enumerate(['n02', 'n03', 'n02', 'n01']):
        save(root / 'val' / 'images' / f'val_{i}.JPEG', colour(wnid, i))
        lines.append(f'val_{i}.JPEG\t{wnid}\t0\t32\t44\t62\n')
    (root / 'val' / 'val_annotations.txt').write_text(''.join(lines))
    return root


def names_and_labels(dataset):
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [
        (info['img_path'].replace('\\', '/').rsplit('/', 1)[1], info['gt_label']) for info in infos
    ]


def test_train(root):
    # Files that the original has and that are no images.
    (root / 'train' / 'n01' / 'n01_boxes.txt').write_text('n01_0.JPEG\t0\t0\t9\t9\n')
    (root / 'train' / 'n01' / 'images' / 'Thumbs.db').write_text('')
    (root / 'test' / 'images').mkdir(parents=True)
    dataset = TinyImageNet(data_root=str(root))
    assert names_and_labels(dataset) == [
        ('n03_0.JPEG', 0),
        ('n03_10.JPEG', 0),
        ('n03_2.JPEG', 0),
        ('n01_0.JPEG', 1),
        ('n01_10.JPEG', 1),
        ('n01_2.JPEG', 1),
        ('n01_3.JPEG', 1),
        ('n02_0.JPEG', 2),
        ('n02_10.JPEG', 2),
        ('n02_2.JPEG', 2),
    ]
    assert dataset.CLASSES == ('zebra', 'goldfish, Carassius auratus', 'n02')
    assert dataset.metainfo['wnids'] == ('n03', 'n01', 'n02')


def test_val(root):
    shutil.rmtree(root / 'train')  # Each split needs only its own folder.
    dataset = TinyImageNet(data_root=root, split='val')
    assert names_and_labels(dataset) == [
        ('val_0.JPEG', 2),
        ('val_1.JPEG', 0),
        ('val_2.JPEG', 2),
        ('val_3.JPEG', 1),
    ]


@pytest.mark.parametrize('split', ['train', 'val'])
def test_images_belong_to_their_labels(root, split):
    """The red channel carries the class; every image reaches the network with its own label."""
    loader = Runner.build_dataloader(
        dict(
            batch_size=3,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=dict(
                type='TinyImageNet',
                data_root=str(root),
                split=split,
                pipeline=PIPELINE,
                _scope_='mmpretrain',
            ),
        ),
        seed=0,
    )
    preprocessor = MODELS.build(dict(type='ClsDataPreprocessor', to_rgb=True, num_classes=3))
    seen = 0
    for batch in loader:
        batch = preprocessor(batch)
        assert batch['inputs'].shape[1:] == (3, 64, 64)
        for image, sample in zip(batch['inputs'].float(), batch['data_samples'], strict=True):
            seen += 1
            red, green, blue = image.mean((1, 2)).tolist()
            if 'n01_3' in sample.img_path:  # The greyscale one: three equal channels.
                assert red == green == blue == pytest.approx(200, abs=2)
                assert int(sample.gt_label) == 1
            else:
                assert WNIDS[int(sample.gt_label)] == f'n0{round(red / 60)}'
                assert blue == pytest.approx(10, abs=4)
    assert seen == (10 if split == 'train' else 4)


def test_class_names(root):
    assert TinyImageNet(root, classes=['a', 'b', 'c']).CLASSES == ('a', 'b', 'c')
    assert TinyImageNet(root, metainfo=dict(classes=('d', 'e', 'f'))).CLASSES == ('d', 'e', 'f')
    (root / 'words.txt').unlink()
    assert TinyImageNet(root).CLASSES == ('n03', 'n01', 'n02')
    # One dataset's names must not leak into the class attribute and so into the next dataset.
    assert 'classes' not in TinyImageNet.METAINFO


def test_base_dataset_arguments(root):
    dataset = DATASETS.build(
        dict(type='TinyImageNet', data_root=str(root), split='val', indices=2, lazy_init=True)
    )
    assert len(dataset) == 2
    assert np.array_equal(dataset.get_gt_labels(), [2, 0])
    assert str(root) in repr(dataset) and 'val' in repr(dataset)


@pytest.mark.parametrize(
    'split, missing',
    [
        ('train', ''),
        ('train', 'wnids.txt'),
        ('train', 'train'),
        ('train', 'train/n02/images'),
        ('val', 'wnids.txt'),
        ('val', 'val/val_annotations.txt'),
        ('val', 'val/images'),
        ('val', 'val/images/val_2.JPEG'),
    ],
)
def test_missing_part_of_the_layout(root, split, missing):
    path = root / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError) as error:
        TinyImageNet(data_root=str(root), split=split)
    message = str(error.value).replace('\\', '/')
    assert str(path).replace('\\', '/') in message
    assert '`data_root`' in message and 'train/<wnid>/images' in message


def test_class_without_images(root):
    for file in (root / 'train' / 'n01' / 'images').iterdir():
        file.unlink()
    with pytest.raises(FileNotFoundError, match='no image in .*n01'):
        TinyImageNet(root)


@pytest.mark.parametrize('line', ['val_9.JPEG\tn99\t0\t0\t9\t9', 'val_9.JPEG'])
def test_annotation_without_known_class(root, line):
    with (root / 'val' / 'val_annotations.txt').open('a') as f:
        f.write(f'{line}\n')
    with pytest.raises(ValueError, match='line 5 of .*val_annotations.txt') as error:
        TinyImageNet(root, split='val')
    assert repr(line) in str(error.value)


def test_wrong_split(root):
    with pytest.raises(ValueError, match="`split` must be 'train' or 'val', got 'test'"):
        TinyImageNet(root, split='test')
