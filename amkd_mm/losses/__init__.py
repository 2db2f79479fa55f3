"""Distillation losses."""

from .ccd_loss import CCDLoss
from .stage_contrastive_loss import StageContrastiveLoss
from .tald_loss import TALDLoss
from .triplet_distill_loss import TripletDistillLoss
from .triplet_kd_loss import TripletKDLoss

__all__ = [
    'CCDLoss',
    'StageContrastiveLoss',
    'TALDLoss',
    'TripletDistillLoss',
    'TripletKDLoss',
]
