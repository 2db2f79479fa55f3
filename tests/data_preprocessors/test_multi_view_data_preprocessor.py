"""MultiViewDataPreprocessor: views one behind the other."""

import torch
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

SETTINGS = dict(mean=[10.0, 20.0, 30.0], std=[2.0, 3.0, 4.0], to_rgb=True)


def test_views_of_a_batch():
    """All first views, then all second, each as MMPretrain makes it."""
    generator = torch.manual_seed(0)
    views = [torch.randint(256, (3, 3, 4, 4), generator=generator) for _ in range(2)]
    samples = [DataSample().set_gt_label(i) for i in range(3)]
    ours = MODELS.build(dict(type='MultiViewDataPreprocessor', **SETTINGS))
    found = ours(dict(inputs=views, data_samples=samples), training=True)
    plain = ClsDataPreprocessor(**SETTINGS)
    for view, part in zip(views, found['inputs'].chunk(2), strict=True):
        torch.testing.assert_close(part, plain(dict(inputs=view))['inputs'])
    assert found['data_samples'] is samples


def test_one_view():
    """A tensor, or images of several sizes, as MMPretrain takes them."""
    images = torch.randint(256, (2, 3, 4, 4), generator=torch.manual_seed(0))
    ours = MODELS.build(dict(type='MultiViewDataPreprocessor', **SETTINGS))
    plain = ClsDataPreprocessor(**SETTINGS)
    for inputs in (images, [images[0], images[1][:, :3]]):
        expected = plain(dict(inputs=inputs))['inputs']
        torch.testing.assert_close(ours(dict(inputs=inputs))['inputs'], expected)
