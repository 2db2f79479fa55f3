"""HashRetriever: what it finds, and when it looks at the database anew."""

import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, DefaultScope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from amkd_mm.classifiers import find_outputs, num_classes
from amkd_mm.retrievers import HashRetriever

CODES = torch.tensor([[1, 1, 1, 1], [1, 1, 1, -1], [-1, -1, -1, -1], [1, 1, -1, 1]]).float()
LABELS = [[0], [1, 2], [0], [2]]


@DATASETS.register_module()
class Points(BaseDataset):
    """Images of one pixel and four channels, which say the code."""

    def load_data_list(self):
        return [
            dict(code=code.reshape(4, 1, 1), gt_label=label)
            for code, label in zip(CODES, LABELS, strict=True)
        ]

    def prepare_data(self, index):
        info = self.get_data_info(index)
        sample = DataSample().set_gt_label(info['gt_label'])
        sample.set_field(info['sample_idx'], 'sample_idx', field_type='metainfo')
        return dict(inputs=info['code'], data_samples=sample)


DATABASE = dict(
    batch_size=3,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='mmengine.Points'),
)


def build(prototype, num_bits=4, **settings):
    """A retriever whose code is its image."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='HashRetriever',
                image_encoder=nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.Flatten()),
                head=dict(type='HashHead', num_bits=num_bits, in_channels=4),
                prototype=prototype,
                **settings,
            )
        )
    model.image_encoder[0].weight.data = torch.eye(4).reshape(4, 4, 1, 1)
    if num_bits == 4:
        model.head.fc.weight.data, model.head.fc.bias.data = torch.eye(4), torch.zeros(4)
    return model.eval()


def images_of(codes):
    return torch.as_tensor(codes).float().reshape(-1, 4, 1, 1)


def test_nearest_first_and_equals_in_order():
    model = build(CODES)
    queries = [[1, 1, 1, 1], [-1, -1, 1, 1]]
    samples = model(images_of(queries), mode='predict')
    for query, sample in zip(queries, samples, strict=True):
        distances = [
            sum(a != b for a, b in zip(query, code, strict=True)) for code in CODES.tolist()
        ]
        order = sorted(range(4), key=lambda place, known=distances: (known[place], place))
        assert sample.pred_label.tolist() == order
        assert sample.pred_score.tolist() == [4 - 2 * distance for distance in distances]


def test_relevant_are_images_that_share_a_label():
    model = build(DATABASE)
    samples = [DataSample().set_gt_label(label) for label in ([0], [2], [0, 1])]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        found = model(images_of(CODES[:3]), samples, mode='predict')
    assert [sample.gt_score.tolist() for sample in found] == [
        [1, 0, 1, 0],
        [0, 1, 0, 1],
        [1, 1, 1, 0],
    ]
    # The dataloader shuffles.
    assert torch.equal(model.prototype_vecs, CODES)


def test_no_more_than_topk():
    samples = build(CODES, topk=2)(images_of(CODES[:1]), mode='predict')
    assert samples[0].pred_label.tolist() == [0, 1]


def test_codes_of_the_database_follow_the_training():
    model = build(DATABASE)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model(images_of(CODES[:1]), mode='predict')
        model.head.fc.weight.data *= -1
        # Within one evaluation they are computed once.
        model(images_of(CODES[:1]), mode='predict')
        assert torch.equal(model.prototype_vecs, CODES)
        model.train().eval()
        model(images_of(CODES[:1]), mode='predict')
    assert torch.equal(model.prototype_vecs, -CODES)
    assert not any('prototype' in name for name in model.state_dict())


def test_codes_of_another_network(tmp_path):
    """A student that searches its teacher's codes."""
    path = str(tmp_path / 'codes.pth')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        build(DATABASE).dump_prototype(path)
    model = build(path)
    model.head.fc.weight.data *= -1
    sample = DataSample().set_gt_label([2])
    (found,) = model(images_of(CODES[2:3]), [sample], mode='predict')
    assert found.pred_label[0] == 0 and found.gt_score.tolist() == [0, 1, 0, 1]


def test_codes_of_other_length():
    with pytest.raises(ValueError, match='codes of 4 bits, but `head.num_bits` is 8'):
        build(CODES, num_bits=8)(images_of(CODES), mode='predict')


def test_another_head():
    with pytest.raises(TypeError, match='HashHead'):
        HashRetriever(
            dict(type='GlobalAveragePooling'),
            dict(type='LinearClsHead', num_classes=4, in_channels=4),
            CODES,
        )


def test_it_is_no_classifier():
    """So that nobody takes its bits for classes."""
    model = build(CODES)
    assert num_classes(model) is None
    with pytest.raises(ValueError, match='HashRetriever finds images and has no class scores'):
        find_outputs(model)
