"""Distillation losses."""

from .ccd_loss import CCDLoss
from .repaired import (
    AngleWiseRKD,
    CRDLoss,
    DistanceWiseRKD,
    DKDLoss,
    InformationEntropyLoss,
    KLDivergence,
    L2Loss,
)
from .stage_contrastive_loss import StageContrastiveLoss
from .tald_loss import TALDLoss
from .triplet_distill_loss import TripletDistillLoss
from .triplet_kd_loss import TripletKDLoss

__all__ = [
    'AngleWiseRKD',
    'CCDLoss',
    'CRDLoss',
    'DKDLoss',
    'DistanceWiseRKD',
    'InformationEntropyLoss',
    'KLDivergence',
    'L2Loss',
    'StageContrastiveLoss',
    'TALDLoss',
    'TripletDistillLoss',
    'TripletKDLoss',
]
