"""Images drawn from the validation data."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from amkd_mm.analysis import draw_validation_images
from amkd_mm.datasets import Digits
from digit_networks import DIGITS


def draw(cfg, number, seed=0):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        generator = torch.Generator().manual_seed(seed)
        return draw_validation_images(cfg, number, generator, 'a test')


def test_each_image_keeps_its_label():
    """No image is drawn twice, and other seeds draw others."""
    cfg = Config.fromfile(DIGITS)
    found = draw(cfg, 1000)
    data = Digits(split='test', pipeline=[])
    assert len(found.labels) == len(data) == 360
    known = sorted((item['img'].tobytes(), int(item['gt_label'])) for item in data)
    drawn = found.pixels.permute(0, 2, 3, 1).numpy()
    rows = zip(drawn, found.labels.tolist(), strict=True)
    assert sorted((image.tobytes(), label) for image, label in rows) == known
    few = draw(cfg, 9)
    assert (few.pixels == found.pixels[:9]).all() and few.class_names == found.class_names
    assert draw(cfg, 9, seed=1).labels.tolist() != few.labels.tolist()


def test_no_images():
    cfg = Config.fromfile(DIGITS)
    cfg.val_dataloader.dataset.update(indices=0, serialize_data=False)
    with pytest.raises(ValueError, match='the data set of `val_dataloader` is empty'):
        draw(cfg, 9)
    cfg.val_dataloader = None
    with pytest.raises(ValueError, match='it has no `val_dataloader`'):
        draw(cfg, 9)
