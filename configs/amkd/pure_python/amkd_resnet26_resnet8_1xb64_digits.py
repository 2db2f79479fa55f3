# `amkd_resnet26_resnet8_1xb64_digits.py` as a pure Python config: classes instead of their names,
# and bases that are imported. A base may name classes, but not inherit by `_base_`.
from mmengine.config import read_base
from mmpretrain.models import (
    CrossEntropyLoss,
    GlobalAveragePooling,
    ImageClassifier,
    LinearClsHead,
)
from mmrazor.engine import SingleTeacherDistillValLoop
from mmrazor.models.distillers import ConfigurableDistiller
from mmrazor.models.losses import KLDivergence

from amkd_mm.algorithms import AMKD
from amkd_mm.attacks import BoundarySearch
from amkd_mm.backbones import CifarResNet
from amkd_mm.hooks import BoundarySampleHook, LossWeightScheduleHook
from amkd_mm.losses import TripletDistillLoss
from amkd_mm.recorders import EmbeddingRecorder, LabelsRecorder, LogitsRecorder

with read_base():
    from ..._base_.datasets.digits_bs64 import *
    from ..._base_.default_runtime import *
    from ..._base_.schedules.digits_bs64_12e import *

student = dict(
    type=ImageClassifier,
    backbone=dict(type=CifarResNet, depth=8),
    neck=dict(type=GlobalAveragePooling),
    head=dict(type=LinearClsHead, num_classes=10, in_channels=64, loss=dict(type=CrossEntropyLoss)),
)
teacher = dict(
    type=ImageClassifier,
    backbone=dict(type=CifarResNet, depth=26),
    neck=dict(type=GlobalAveragePooling),
    head=dict(type=LinearClsHead, num_classes=10, in_channels=64, loss=dict(type=CrossEntropyLoss)),
)

model = dict(
    type=AMKD,
    architecture=student,
    teacher=teacher,
    teacher_ckpt='work_dirs/resnet26_1xb64_digits/epoch_12.pth',
    distiller=dict(
        type=ConfigurableDistiller,
        student_recorders=dict(
            logits=dict(type=LogitsRecorder),
            embedding=dict(type=EmbeddingRecorder),
            labels=dict(type=LabelsRecorder),
        ),
        teacher_recorders=dict(logits=dict(type=LogitsRecorder)),
        distill_losses=dict(
            loss_kl=dict(type=KLDivergence, tau=4),
            loss_boundary=dict(type=KLDivergence, tau=3),
            loss_triplet=dict(type=TripletDistillLoss),
        ),
        loss_forward_mappings=dict(
            loss_kl=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=dict(recorder='logits', from_student=False),
            ),
            loss_boundary=dict(
                preds_S=dict(recorder='logits', from_student=True, record_idx=1),
                preds_T=dict(recorder='logits', from_student=False, record_idx=1),
            ),
            loss_triplet=dict(
                anchor=dict(recorder='embedding', from_student=True, record_idx=1),
                anchor_labels=dict(recorder='labels', from_student=True, record_idx=1),
                reference=dict(recorder='embedding', from_student=True),
                reference_labels=dict(recorder='labels', from_student=True),
            ),
        ),
    ),
)

val_cfg = dict(type=SingleTeacherDistillValLoop)
test_cfg = dict()

default_hooks.update(
    boundary_samples=dict(
        type=BoundarySampleHook,
        attack=dict(type=BoundarySearch),
        reuse=4,
        num_samples=0.25,
        end=0.75,
    ),
    boundary_weight=dict(
        type=LossWeightScheduleHook,
        loss='loss_boundary',
        policy='linear',
        start=2 / 3**2,
        stop=0.0,
        end=0.75,
    ),
)

randomness = dict(seed=0)
