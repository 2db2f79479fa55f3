"""Networks of ten digits, and what a check says of them."""

import re
from pathlib import Path

from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
# ResNet8 twice, so that the teacher is soon trained.
CONFIGS = ROOT / 'configs'
DIGITS = CONFIGS / 'amkd/amkd_resnet26_resnet8_1xb64_digits.py'
SMALL = 'model.teacher.backbone.depth=8'
PREPROCESSOR = dict(type='ClsDataPreprocessor', mean=[78.0] * 3, std=[96.0] * 3)


def classifier(backbone, head):
    return dict(type='ImageClassifier', backbone=backbone, head=dict(num_classes=10, **head))


RESNET = dict(
    classifier(dict(type='CifarResNet', depth=8), dict(type='LinearClsHead', in_channels=64)),
    neck=dict(type='GlobalAveragePooling'),
)
VIT = classifier(
    dict(
        type='VisionTransformer',
        arch=dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16),
        img_size=32,
        patch_size=4,
    ),
    dict(type='VisionTransformerClsHead', in_channels=16),
)
# MMPretrain's LeViT has no smaller architecture.
LEVIT = dict(
    classifier(
        dict(type='LeViT', arch='128s', img_size=64, out_indices=(2,)),
        dict(type='LeViTClsHead', in_channels=384, distillation=False),
    ),
    neck=dict(type='GlobalAveragePooling'),
)


def build(network):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(dict(network))


def table(text):
    """The cells of each row."""
    rows = [re.split(r'\s{2,}', line) for line in text.split('\n\n')[0].splitlines()]
    return {label: cells for label, *cells in rows}


def other_problems(text):
    """How many there are besides a teacher that guesses, as those with random weights do."""
    found = re.findall(r'^(\d+) problem', text, re.MULTILINE)
    return sum(map(int, found)) - ' '.join(text.split()).count('which is guessing among')
