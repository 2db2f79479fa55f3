"""Take one AMKD step with every architecture of MMPretrain, as teacher and as student.

    python .dev_scripts/architecture_matrix.py [NAME...] [--write]

Without names all cases run, and ``--write`` writes ``docs/architectures.md``.
"""

import argparse
import gc
import importlib.util
import logging
import math
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import amkd_mm

import mmcv
import mmengine
import mmpretrain
import mmrazor
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import set_random_seed
from mmpretrain.models.classifiers import TimmClassifier
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from mmrazor.utils import register_all_modules
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from amkd_mm.classifiers import class_layers, embedding_width, num_classes, to_logits
from amkd_mm.diagnostics.trial_step import TrialStep, try_step

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs/architectures.md'
SHIPPED = Path(mmpretrain.__file__).parent / '.mim/configs'
BASE = '_base_/models/'
ROLES = ('teacher', 'student')
NUM_IMAGES, NUM_BOUNDARY = 4, 2
# Images for the statistics of the teacher's batch norm
NUM_STATISTICS = 16
# Standard deviation of the teacher's logits
LOGIT_STD = 2.0


class Case(NamedTuple):
    """An architecture.

    Attributes:
        name (str): What the table calls it.
        model (str | dict): A config shipped with MMPretrain, or one of the model.
        size (int): Height and width of the images.
        settings (dict): What is set in the config, by dotted keys.
        teacher, student (dict): What is set in one role only.
        channels (int): Those of the images.
        needs (str): A package that is not among the dependencies.
        not_a_student (str): Why it cannot be a student here.
        note (str): For the table.
    """

    name: str
    model: str | dict
    size: int = 64
    settings: dict = {}
    teacher: dict = {}
    student: dict = {}
    channels: int = 3
    needs: str = ''
    not_a_student: str = ''
    note: str = ''


def classifier(backbone: dict, head: dict | int, neck: dict | None = None) -> dict:
    """Config of an ``ImageClassifier``; a number is the width of pooled features."""
    if isinstance(head, int):
        neck = dict(type='GlobalAveragePooling')
        head = dict(type='LinearClsHead', num_classes=10, in_channels=head)
    return dict(type='ImageClassifier', backbone=backbone, neck=neck, head=head)


SMALL_VIT = {'backbone.arch': 'deit-tiny', 'backbone.img_size': 64, 'head.in_channels': 192}
NEIGHBOURS = 'with random weights, rounding changes which patches are neighbours'
CASES = [
    # Convolutional networks
    Case('AlexNet', classifier(dict(type='AlexNet', num_classes=10), dict(type='ClsHead')), 224),
    Case(
        'LeNet-5',
        'lenet/lenet5_mnist.py',
        32,
        channels=1,
        note='one channel',
    ),
    Case(
        'VGG-11',
        classifier(dict(type='VGG', depth=11), 512),
        32,
        note='without its three linear layers, which alone are 490 MB',
    ),
    Case(
        'VGG-11-BN',
        classifier(dict(type='VGG', depth=11, norm_cfg=dict(type='BN')), 512),
        32,
        note='likewise',
    ),
    Case('ResNet-18', BASE + 'resnet18.py'),
    Case('ResNet-34, GeM', BASE + 'resnet34_gem.py'),
    Case('ResNet-50', BASE + 'resnet50.py'),
    Case('ResNet-50, label smoothing', BASE + 'resnet50_label_smooth.py'),
    Case(
        'ResNet-18, caffe style, checkpointing',
        BASE + 'resnet18.py',
        settings={'backbone.with_cp': True, 'backbone.style': 'caffe'},
        note='`with_cp=True`, switched off in the teacher',
    ),
    Case(
        'ResNet-18, SyncBN',
        BASE + 'resnet18.py',
        settings={'backbone.norm_cfg': dict(type='SyncBN')},
        not_a_student='SyncBatchNorm of PyTorch trains on GPUs only; not tried on one',
        note='turned into plain batch norm in the teacher',
    ),
    Case(
        'ResNet-18, frozen stages',
        BASE + 'resnet18.py',
        settings={'backbone.frozen_stages': 1, 'backbone.norm_eval': True},
        note='`frozen_stages=1`, `norm_eval=True`',
    ),
    Case(
        'ResNet-18, ArcFace',
        BASE + 'resnet18.py',
        settings={
            'head': dict(_delete_=True, type='ArcFaceClsHead', num_classes=10, in_channels=512)
        },
    ),
    Case(
        'ResNet-18, linear neck',
        BASE + 'resnet18.py',
        settings={
            'neck': [
                dict(type='GlobalAveragePooling'),
                dict(type='LinearNeck', in_channels=512, out_channels=64),
            ],
            'head.in_channels': 64,
        },
    ),
    Case('ResNet-18 (CIFAR)', BASE + 'resnet18_cifar.py', 32),
    Case('ResNetV1c-50', BASE + 'resnetv1c50.py'),
    Case('ResNetV1d-50', BASE + 'resnetv1d50.py'),
    Case('Wide ResNet-50', BASE + 'wide-resnet50.py'),
    Case('ResNeXt-50', BASE + 'resnext50_32x4d.py'),
    Case('SE-ResNet-50', BASE + 'seresnet50.py'),
    Case('SE-ResNeXt-50', BASE + 'seresnext50_32x4d.py'),
    Case('ResNeSt-50', BASE + 'resnest50.py', note='its loss allows 1000 classes only'),
    Case('Res2Net-50', BASE + 'res2net50-w14-s8.py'),
    Case('RegNetX-400MF', BASE + 'regnet/regnetx_400mf.py'),
    Case('DenseNet-121', BASE + 'densenet/densenet121.py'),
    Case(
        'DenseNet-121, checkpointing',
        BASE + 'densenet/densenet121.py',
        settings={'backbone.memory_efficient': True},
        note='`memory_efficient=True`, switched off in the teacher',
    ),
    Case('CSPDarkNet-50', 'cspnet/cspdarknet50_8xb32_in1k.py'),
    Case('CSPResNet-50', 'cspnet/cspresnet50_8xb32_in1k.py'),
    Case('CSPResNeXt-50', 'cspnet/cspresnext50_8xb32_in1k.py'),
    Case('HRNet-W18', BASE + 'hrnet/hrnet-w18.py'),
    Case('Inception v3', BASE + 'inception_v3.py', 96),
    Case(
        'Inception v3, auxiliary logits',
        BASE + 'inception_v3.py',
        299,
        {'backbone.aux_logits': True},
        note="MMPretrain's head ignores the auxiliary logits",
    ),
    Case('MobileNetV2', BASE + 'mobilenet_v2_1x.py'),
    Case('MobileNetV3-Small', BASE + 'mobilenet_v3/mobilenet_v3_small_050_imagenet.py'),
    Case('MobileNetV3-Small (CIFAR)', BASE + 'mobilenet_v3/mobilenet_v3_small_cifar.py', 32),
    Case('ShuffleNetV1', BASE + 'shufflenet_v1_1x.py'),
    Case('ShuffleNetV2', BASE + 'shufflenet_v2_1x.py'),
    Case('EfficientNet-B0', BASE + 'efficientnet_b0.py'),
    Case('EfficientNet-ES', BASE + 'efficientnet_es.py'),
    Case('EfficientNetV2-B0', BASE + 'efficientnet_v2/efficientnetv2_b0.py'),
    Case('MobileOne-S0', BASE + 'mobileone/mobileone_s0.py'),
    Case('RepVGG-A0', BASE + 'repvgg-A0_in1k.py'),
    Case(
        'RepVGG-A0, Mixup',
        BASE + 'repvgg-B3_lbs-mixup_in1k.py',
        settings={'backbone.arch': 'A0', 'head.in_channels': 1280},
        note='its Mixup off; its loss allows 1000 classes only',
    ),
    Case(
        'RepLKNet, small',
        BASE + 'replknet-31B_in1k.py',
        settings={
            'backbone.arch': dict(
                _delete_=True,
                large_kernel_sizes=[31, 29, 27, 13],
                layers=[1, 1, 2, 1],
                channels=[32, 64, 128, 256],
                small_kernel=5,
                dw_ratio=1,
            ),
            'head.in_channels': 256,
        },
    ),
    Case('ConvNeXt-T', BASE + 'convnext/convnext-tiny.py'),
    Case('ConvNeXt V2-A', BASE + 'convnext_v2/atto.py'),
    Case(
        'ConvMixer, small',
        BASE + 'convmixer/convmixer-768-32.py',
        settings={
            'backbone.arch': dict(
                _delete_=True, embed_dims=128, depth=8, patch_size=7, kernel_size=7
            ),
            'head.in_channels': 128,
        },
    ),
    Case('HorNet-T', BASE + 'hornet/hornet-tiny.py'),
    Case(
        'HorNet-T-GF',
        BASE + 'hornet/hornet-tiny-gf.py',
        224,
        note='Fourier transforms',
    ),
    Case('VAN-T', BASE + 'van/van_tiny.py'),
    Case('PoolFormer-S12', BASE + 'poolformer/poolformer_s12.py'),
    Case('RIFormer-S12', 'riformer/riformer-s12_8xb128_in1k.py'),
    # Perceptrons and graphs
    Case(
        'MLP-Mixer-S',
        BASE + 'mlp_mixer_base_patch16.py',
        settings={'backbone.arch': 's', 'backbone.img_size': 64, 'head.in_channels': 512},
    ),
    Case('RepMLP-B', BASE + 'repmlp-base_224.py', 224),
    Case('ViG-Ti', BASE + 'vig/vig_tiny.py', 224, note=NEIGHBOURS),
    Case('Pyramid ViG-Ti', BASE + 'vig/pyramid_vig_tiny.py', 224, note=NEIGHBOURS),
    # Transformers
    Case('ViT-Ti/16', BASE + 'vit-base-p16.py', settings=SMALL_VIT),
    Case(
        'ViT-Ti/16, hidden layer',
        BASE + 'vit-base-p16.py',
        settings={**SMALL_VIT, 'head.hidden_dim': 128},
    ),
    Case(
        'ViT-Ti/16, pooled patches',
        BASE + 'vit-base-p16.py',
        settings={
            **SMALL_VIT,
            'backbone.out_type': 'avg_featmap',
            'head.type': 'LinearClsHead',
        },
    ),
    Case('DeiT-Ti', 'deit/deit-tiny_4xb256_in1k.py', settings={'backbone.img_size': 64}),
    Case(
        'DeiT-Ti, distilled',
        'deit/deit-tiny-distilled_4xb256_in1k.py',
        settings={'backbone.img_size': 64},
    ),
    Case('DeiT III-S', BASE + 'deit3/deit3-small-p16-224.py', settings={'backbone.img_size': 64}),
    Case(
        'BEiT-Ti',
        'beit/benchmarks/beit-base-p16_8xb128-coslr-100e_in1k.py',
        settings={**SMALL_VIT, 'backbone.init_cfg': None},
    ),
    Case(
        'EVA-Ti',
        BASE + 'eva/eva-l.py',
        56,
        {**SMALL_VIT, 'backbone.img_size': 56},
        note='a BEiT of absolute positions',
    ),
    Case('EVA-02-Ti', 'eva02/eva02-tiny-p14_in1k.py', 56, {'backbone.img_size': 56}),
    Case(
        'ViT-SAM, small',
        classifier(
            dict(
                type='ViTSAM',
                arch=dict(
                    embed_dims=96,
                    num_layers=4,
                    num_heads=3,
                    feedforward_channels=192,
                    global_attn_indexes=[1, 3],
                ),
                img_size=64,
                out_channels=64,
                out_type='avg_featmap',
                use_rel_pos=True,
                window_size=2,
            ),
            dict(type='LinearClsHead', num_classes=10, in_channels=64),
        ),
    ),
    Case(
        'RevViT-Ti',
        BASE + 'revvit/revvit-small.py',
        settings={**SMALL_VIT, 'head.in_channels': 384},
    ),
    Case('T2T-ViT-14', BASE + 't2t-vit-t-14.py', settings={'backbone.img_size': 64}),
    Case('TNT-S', BASE + 'tnt_s_patch16_224.py', settings={'backbone.img_size': 64}),
    Case('Conformer-Ti', BASE + 'conformer/tiny-p16.py', note='logits of two branches'),
    Case(
        'Swin-T',
        BASE + 'swin_transformer/tiny_224.py',
        settings={'backbone.img_size': 64, 'backbone.pad_small_map': True},
    ),
    Case(
        'Swin-T, checkpointing',
        BASE + 'swin_transformer/tiny_224.py',
        settings={
            'backbone.img_size': 64,
            'backbone.pad_small_map': True,
            'backbone.with_cp': True,
        },
        note='`with_cp=True`, switched off in the teacher',
    ),
    Case(
        'Swin V2-T',
        BASE + 'swin_transformer_v2/tiny_256.py',
        settings={'backbone.img_size': 64, 'backbone.pad_small_map': True},
    ),
    Case(
        'MixMIM, small',
        BASE + 'mixmim/mixmim_base.py',
        settings={
            'backbone.img_size': 64,
            'backbone.arch': dict(
                _delete_=True, embed_dims=32, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8]
            ),
            'backbone.window_size': [2, 2, 2, 2],
            'head.in_channels': 256,
        },
    ),
    Case('HiViT-T', BASE + 'hivit/tiny_224.py', settings={'backbone.img_size': 64}),
    Case('MViTv2-T', BASE + 'mvit/mvitv2-tiny.py', settings={'backbone.img_size': 64}),
    Case(
        'Twins-PCPVT-S',
        BASE + 'twins_pcpvt_base.py',
        settings={'backbone.arch': 'small'},
    ),
    Case(
        'Twins-SVT-S',
        BASE + 'twins_svt_base.py',
        settings={'backbone.arch': 'small', 'head.in_channels': 512},
    ),
    Case('XCiT-N12', 'xcit/xcit-nano-12-p16_8xb128_in1k.py'),
    Case('DaViT-T', BASE + 'davit/davit-tiny.py', settings={'backbone.pad_small_map': True}),
    Case('MobileViT-XXS', BASE + 'mobilevit/mobilevit_xxs.py'),
    Case('EdgeNeXt-XXS', BASE + 'edgenext/edgenext-xxsmall.py'),
    Case('TinyViT-5M', BASE + 'tinyvit/tinyvit-5m.py', 224),
    Case(
        'LeViT-128S',
        BASE + 'levit-256-p16.py',
        settings={'backbone.arch': '128s', 'backbone.img_size': 64, 'head.in_channels': 384},
        student={'head.distillation': False},
        note='student with `distillation=False`',
    ),
    Case(
        'EfficientFormer-L1',
        BASE + 'efficientformer-l1.py',
        224,
        student={'head.distillation': False},
        note='student with `distillation=False`',
    ),
    # Networks of timm
    Case(
        'timm backbone: resnet18',
        classifier(dict(type='TIMMBackbone', model_name='resnet18'), 512),
        needs='timm',
    ),
    Case(
        'timm backbone: mobilenetv3_small_050',
        classifier(dict(type='TIMMBackbone', model_name='mobilenetv3_small_050'), 1024),
        needs='timm',
    ),
    Case(
        'timm: resnet18',
        dict(type='TimmClassifier', model_name='resnet18', num_classes=10),
        needs='timm',
    ),
    Case(
        'timm: convnext_atto',
        dict(type='TimmClassifier', model_name='convnext_atto', num_classes=10),
        needs='timm',
    ),
    Case(
        'timm: vit_tiny_patch16_224',
        dict(type='TimmClassifier', model_name='vit_tiny_patch16_224', num_classes=10, img_size=64),
        needs='timm',
    ),
    Case(
        'timm: deit_tiny_distilled_patch16_224',
        dict(
            type='TimmClassifier',
            model_name='deit_tiny_distilled_patch16_224',
            num_classes=10,
            img_size=64,
        ),
        needs='timm',
    ),
]

SPARK = 'for the pre-training SparK: its layers need a mask of patches that only SparK sets'
MULTI_LABEL = 'several labels per image; AMKD refuses it when it is built'
PRETRAINING = 'a loss of self-supervised pre-training, no class scores'
MULTI_MODAL = 'compares or writes text, no class scores'
UNTRAINABLE = {
    'CSPNet': 'the base class of the three other CSP networks, which MMPretrain does not register',
    'SparseResNet': SPARK,
    'SparseConvNeXt': SPARK,
    'MultiLabelClsHead': MULTI_LABEL,
    'MultiLabelLinearClsHead': MULTI_LABEL,
    'CSRAClsHead': MULTI_LABEL,
    'MultiTaskHead': 'several tasks per image; AMKD refuses it when it is built',
    'RegressionHead': "numbers instead of classes; in OneDL's MMPretrain only",
    **dict.fromkeys(
        [
            'BEiTV1Head',
            'BEiTV2Head',
            'CAEHead',
            'ContrastiveHead',
            'LatentCrossCorrelationHead',
            'LatentPredictHead',
            'MAEPretrainHead',
            'MIMHead',
            'MixMIMPretrainHead',
            'MoCoV3Head',
            'SimMIMHead',
            'SparKPretrainHead',
            'SwAVHead',
            'iTPNClipHead',
        ],
        PRETRAINING,
    ),
    **dict.fromkeys(
        ['GroundingHead', 'ITCHead', 'ITMHead', 'SeqGenerationHead', 'VQAGenerationHead'],
        MULTI_MODAL,
    ),
}
"""Backbones and heads of MMPretrain that no case can have, and why."""


class Verdict(NamedTuple):
    """What came of a case in one role.

    Attributes:
        status (str): ``passed``, ``failed``, or ``skipped`` for a reason outside this project.
        text (str): How many boundary samples were found, or what stood in the way.
        facts (dict): Backbone, head, classes and width of the embedding.
        notes (list[str]): What is worth knowing.
    """

    status: str
    text: str
    facts: dict = {}
    notes: list = []


def model_config(case: Case, role: str) -> dict:
    """The model of a case in a role."""
    if isinstance(case.model, str):
        model = Config.fromfile(SHIPPED / case.model).model
    else:
        model = deepcopy(case.model)
    cfg = Config(dict(model=model))
    changes = {**case.settings, **getattr(case, role)}
    cfg.merge_from_dict({f'model.{key}': deepcopy(value) for key, value in changes.items()})
    return dict(cfg.model.to_dict(), data_preprocessor=preprocessor(case), _scope_='mmpretrain')


def counterpart(case: Case, classes: int) -> dict:
    """The other network: a ResNet-18."""
    return dict(
        classifier(
            dict(type='ResNet', depth=18, in_channels=case.channels),
            dict(type='LinearClsHead', num_classes=classes, in_channels=512),
            dict(type='GlobalAveragePooling'),
        ),
        data_preprocessor=preprocessor(case),
        _scope_='mmpretrain',
    )


def preprocessor(case: Case) -> dict:
    """Normalises the images of both networks."""
    return dict(
        type='mmpretrain.ClsDataPreprocessor',
        mean=[120.0] * case.channels,
        std=[60.0] * case.channels,
        batch_augments=None,
    )


def make_images(case: Case, number: int) -> Tensor:
    """Smooth random images, uint8: pooled features of pure noise are all alike."""
    coarse = torch.rand(number, case.channels, 4, 4)
    smooth = F.interpolate(coarse, (case.size, case.size), mode='bicubic')
    return (255 * (smooth + 0.1 * torch.randn_like(smooth))).clamp(0, 255).to(torch.uint8)


@torch.no_grad()
def enliven(teacher: nn.Module, images: Tensor) -> None:
    """Give a teacher random weights that tell images apart.

    Many networks begin with layers, or with scales of whole branches, that are zero or nearly so,
    and most random networks see the same class in all images.
    """
    for name, parameter in teacher.named_parameters():
        if name.endswith('bias') or parameter.std() > 0 or parameter.abs().max() > 0.1:
            continue
        if parameter.squeeze().dim() == 1:
            parameter.uniform_(0.1, 0.4)
        else:
            parameter.normal_(std=0.02)
    layers = [
        layer
        for head in class_layers(teacher)
        for layer in head.modules()
        if isinstance(layer, (nn.Linear, nn.Conv2d))
    ]
    for layer in layers:
        nn.init.normal_(layer.weight, std=0.02)

    # Statistics of batch norm that fit the weights, and scores around zero for each class
    norms = [module for module in teacher.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    hooks = [layer.register_forward_hook(center) for layer in layers]
    teacher(images, mode='tensor')
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval()
        norm.momentum = momentum
    for hook in hooks:
        hook.remove()
    scale = LOGIT_STD / to_logits(teacher(images, mode='tensor')).std()
    for layer in layers:
        layer.weight *= scale
        if layer.bias is not None:
            layer.bias *= scale


def center(layer: nn.Module, args: tuple, scores: Tensor) -> None:
    """Forward hook: move a layer's bias so that its mean scores would have been zero."""
    if layer.bias is not None:
        layer.bias -= scores.transpose(0, 1).flatten(1).mean(1)


def build(case: Case, role: str) -> nn.Module:
    """AMKD of the case in its role and a ResNet-18 in the other."""
    network = MODELS.build(model_config(case, role))
    other = MODELS.build(counterpart(case, num_classes(network)))
    student, teacher = (other, network) if role == 'teacher' else (network, other)
    for model in (student, teacher):
        # The networks of timm draw their weights when they are built.
        if not isinstance(model, TimmClassifier):
            model.init_weights()
        # Or the Runner would draw them once more.
        model._is_init = True
    cfg = Config.fromfile(ROOT / 'configs/_base_/distillers/amkd.py')
    return MODELS.build(
        dict(
            cfg.model,
            architecture=student,
            teacher=teacher,
            data_preprocessor=preprocessor(case),
        )
    )


def try_case(case: Case, role: str) -> Verdict:
    """Take the step of a case in a role.

    Whatever goes wrong is a verdict, too.
    """
    if case.needs and importlib.util.find_spec(case.needs) is None:
        return Verdict('skipped', f'{case.needs} is not installed')
    if role == 'student' and case.not_a_student:
        return Verdict('skipped', case.not_a_student)
    set_random_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return judge(case, role)
    except Exception as error:
        traceback.print_exc()
        return Verdict('failed', f'{type(error).__name__}: {error}')
    finally:
        gc.collect()


def judge(case: Case, role: str) -> Verdict:
    """Take the step and look at what it did."""
    register_all_modules(False)
    algorithm = build(case, role)
    student, teacher = algorithm.student, algorithm.teacher
    network = teacher if role == 'teacher' else student
    images = make_images(case, NUM_STATISTICS)
    enliven(teacher, algorithm.data_preprocessor(dict(inputs=images))['inputs'])
    images = images[:NUM_IMAGES]
    inputs = algorithm.data_preprocessor(dict(inputs=images))['inputs']
    algorithm.folded_teacher.update(inputs)
    with torch.no_grad():
        labels = algorithm.folded_teacher(inputs).argmax(1).tolist()
    assert len(set(labels)) > 1, 'the random teacher sees one class in all images'
    items = [
        dict(inputs=image, data_samples=DataSample().set_gt_label(label))
        for image, label in zip(images, labels, strict=True)
    ]
    # What MMPretrain alone would leave without a gradient
    unused = without_gradient(student, inputs, [item['data_samples'] for item in items])
    before = {name: value.cpu().clone() for name, value in teacher.state_dict().items()}

    hook = dict(
        type='BoundarySampleHook',
        attack=dict(type='BoundarySearch'),
        num_samples=NUM_BOUNDARY,
        student_correct=False,
    )
    step = try_step(algorithm, items, [hook])

    # The step moves the networks to a GPU, where there is one.
    after = {name: value.cpu() for name, value in teacher.state_dict().items()}
    changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
    found = int(step.boundary['samples'])
    problems = find_problems(algorithm, step, unused, changed)
    notes = []
    if found < NUM_BOUNDARY:
        notes.append(why_not_found(role, algorithm, inputs))
    if role == 'student' and step.without_gradient:
        notes.append(f'without gradient: {shorten(step.without_gradient)}')
    if role == 'teacher' and runs_as_it_is(algorithm):
        notes.append('runs as it is')
    facts = dict(
        backbone=backbone_name(network),
        head=type(network.head).__name__ if hasattr(network, 'head') else '',
        classes=num_classes(network),
        width=embedding_width(network),
    )
    if problems:
        return Verdict('failed', '; '.join(problems), facts, notes)
    count = f'{found} of {NUM_BOUNDARY}' if found else 'none'
    return Verdict('passed', count, facts, notes)


def without_gradient(student: nn.Module, inputs: Tensor, samples: list[DataSample]) -> set[str]:
    """Names of the trainable parameters that MMPretrain's own loss does not depend on."""
    student.train()
    losses = student(inputs, samples, mode='loss')
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    named = list(student.named_parameters())
    missing = {name for name, value in named if value.requires_grad and value.grad is None}
    student.zero_grad(set_to_none=True)
    return missing


def find_problems(
    algorithm: nn.Module, step: TrialStep, unused: set[str], changed: list[str]
) -> list[str]:
    """What a step did wrong."""
    problems = []
    if not step.is_finite:
        problems.append(f'losses {step.losses}')
    expected = ['student.', 'distill.']
    if step.boundary['samples']:
        expected += algorithm.boundary_losses
    absent = [name for name in expected if not any(name in loss for loss in step.losses)]
    if absent:
        problems.append(f'no losses {absent}, only {list(step.losses)}')
    lost = [name for name in step.without_gradient if name not in unused]
    if lost:
        problems.append(f'has a gradient in MMPretrain and none here: {shorten(lost)}')
    gradients = [p.grad for p in algorithm.student.parameters() if p.grad is not None]
    if not any(gradient.any() for gradient in gradients):
        problems.append('the student gets no gradient')
    if not all(gradient.isfinite().all() for gradient in gradients):
        problems.append('gradients of the student are not finite')
    if step.teacher_gradients:
        problems.append(f'the teacher gets gradients: {shorten(step.teacher_gradients)}')
    if changed:
        problems.append(f'the teacher changed: {shorten(changed)}')
    return problems


def why_not_found(role: str, algorithm: nn.Module, inputs: Tensor) -> str:
    """Why there are fewer boundary samples than asked for."""
    leaf = inputs.to(next(algorithm.parameters()).device, copy=True).requires_grad_()
    logits = algorithm.folded_teacher(leaf)
    best = logits.topk(2, 1).values
    (gradient,) = torch.autograd.grad((best[:, 0] - best[:, 1]).sum(), leaf)
    norm = gradient.flatten(1).norm(dim=1).min().item()
    if not math.isfinite(norm) or norm == 0:
        return f'as {role}: the random teacher has a gradient of {norm}'
    return f'as {role}: not reached in 8 steps, norm of the gradients {norm:.1e} and more'


def runs_as_it_is(algorithm: nn.Module) -> bool:
    """Whether there was batch norm to fold into the teacher, in vain."""
    fast = algorithm.folded_teacher
    used = {id(parameter) for parameter in fast.parameters()}
    return bool(fast.parts) and used == {id(value) for value in algorithm.teacher.parameters()}


def shorten(names: Sequence[str]) -> str:
    """The first of many names."""
    more = f' and {len(names) - 2} more' if len(names) > 2 else ''
    return ', '.join(f'`{name}`' for name in names[:2]) + more


def backbone_name(network: nn.Module) -> str:
    """Class of the backbone, or of the whole classifier where there is none."""
    return type(network.backbone if hasattr(network, 'backbone') else network).__name__


def row(case: Case, verdicts: dict[str, Verdict]) -> list[str]:
    """The cells of a case in the table."""
    facts = next((verdict.facts for verdict in verdicts.values() if verdict.facts), {})
    cells = [case.name]
    cells += [str(facts.get(key, '')) for key in ('backbone', 'head')]
    cells += [f'{case.size}' if case.channels == 3 else f'{case.size}, {case.channels} channel']
    cells += [str(facts.get(key, '')) for key in ('classes', 'width')]
    for verdict in verdicts.values():
        text = verdict.text
        if verdict.status == 'passed':
            text = f'boundary {text}'
        cells.append(f'{verdict.status}, {text}' if text else verdict.status)
    notes = [case.note] if case.note else []
    for verdict in verdicts.values():
        notes += [note for note in verdict.notes if note not in notes]
    return [*cells, '; '.join(notes)]


HEADER = [
    'architecture',
    'backbone',
    'head',
    'image size',
    'K',
    'D',
    'as teacher',
    'as student',
    'notes',
]


def page(rows: list[list[str]]) -> str:
    """The page of all cases."""
    versions = ', '.join(
        f'{name} {module.__version__.partition("+")[0]}'
        for name, module in [
            ('amkd_mm', amkd_mm),
            ('MMPretrain', mmpretrain),
            ('MMRazor', mmrazor),
            ('MMEngine', mmengine),
            ('MMCV', mmcv),
            ('torch', torch),
        ]
    )
    if importlib.util.find_spec('timm'):
        import timm

        versions += f', timm {timm.__version__}'
    passed = [sum(cells[column].startswith('passed') for cells in rows) for column in (6, 7)]
    lines = [
        '# Architectures',
        '',
        'Which classifiers of MMPretrain AMKD can distil. Written by',
        '`python .dev_scripts/architecture_matrix.py --write`; `pytest -m slow',
        'tests/test_architectures.py` tests the same.',
        '',
        f'**{passed[0]} of {len(rows)} passed as teacher, {passed[1]} as student**, on a CPU, with',
        f'{versions}.',
        '',
        'Every backbone and every single-label head that MMPretrain exports is in at least one',
        'row, or below with a reason. Each row is two training steps of',
        '`configs/_base_/distillers/amkd.py` in a Runner: one with the architecture as teacher of',
        f'a ResNet-18, and one as its student. They have {NUM_IMAGES} random images, of which',
        f'`BoundarySearch` moves {NUM_BOUNDARY} to the boundary. Weights are random, and labels',
        'are what the teacher says. A step has passed if',
        '',
        '- all losses, the distillation losses among them, and all gradients are finite,',
        "- each parameter of the student that gets a gradient from MMPretrain's own loss gets one,",
        '- no parameter of the teacher gets one, and its weights and statistics keep every bit.',
        '',
        'It says nothing of accuracy. "boundary 2 of 2": so many samples were found, whose losses',
        'are in the step; K: classes; D: width of the embedding. Models are as shipped with',
        'MMPretrain, in a small size, with smaller images where the architecture takes them, and',
        'without Mixup and CutMix. "Runs as it is": not as a faster `FoldedTeacher`.',
        '',
        *table(HEADER, rows),
        '',
        '## Not for distillation here',
        '',
        *table(['backbone or head', 'reason'], [[*item] for item in UNTRAINABLE.items()]),
        '',
        '`HuggingFaceClassifier` is not in the table, because its networks need a download.',
    ]
    return '\n'.join(lines) + '\n'


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table."""
    clean = [[cell.replace('|', '/').replace('\n', ' ') for cell in cells] for cells in rows]
    lines = [header, ['---'] * len(header), *clean]
    return ['| ' + ' | '.join(cells) + ' |' for cells in lines]


def main() -> None:
    """Run the cases that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('names', nargs='*', metavar='NAME', help='cases; all if none is named')
    parser.add_argument('--write', action='store_true', help=f'write {PAGE.relative_to(ROOT)}')
    args = parser.parse_args()
    unknown = set(args.names) - {case.name for case in CASES}
    if unknown or (args.write and args.names):
        parser.error(f'unknown: {sorted(unknown)}' if unknown else '--write needs all cases')
    torch.set_num_threads(1)
    MMLogger.get_current_instance().setLevel(logging.WARNING)

    rows, failures = [], 0
    print(' | '.join(HEADER))
    for case in CASES:
        if args.names and case.name not in args.names:
            continue
        started = time.perf_counter()
        verdicts = {role: try_case(case, role) for role in ROLES}
        rows.append(row(case, verdicts))
        failures += any(verdict.status == 'failed' for verdict in verdicts.values())
        print(' | '.join(rows[-1]), f'| {time.perf_counter() - started:.1f} s', flush=True)
    print(f'{len(rows)} architectures, {failures} failed')
    if args.write:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(rows))
    sys.exit(failures > 0)


if __name__ == '__main__':
    main()
