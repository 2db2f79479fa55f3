"""Distillation losses."""

from .brcd_loss import BRCDLoss
from .ccd_loss import CCDLoss
from .cibhash_loss import CIBHashLoss
from .code_clusters import CodeClusters
from .ctkd_loss import CTKDLoss
from .feature_fusion_loss import FeatureFusionLoss
from .mlkd_loss import MLKDLoss
from .nst_loss import NSTLoss
from .pkt_loss import PKTLoss
from .repaired import (
    AngleWiseRKD,
    CRDLoss,
    DistanceWiseRKD,
    DKDLoss,
    InformationEntropyLoss,
    KLDivergence,
    L2Loss,
)
from .review_kd_loss import ReviewKDLoss
from .sp_loss import SPLoss
from .stage_contrastive_loss import StageContrastiveLoss
from .tald_loss import TALDLoss
from .triplet_distill_loss import TripletDistillLoss
from .triplet_kd_loss import TripletKDLoss
from .vid_loss import VIDLoss

__all__ = [
    'AngleWiseRKD',
    'BRCDLoss',
    'CCDLoss',
    'CIBHashLoss',
    'CRDLoss',
    'CTKDLoss',
    'CodeClusters',
    'DKDLoss',
    'DistanceWiseRKD',
    'FeatureFusionLoss',
    'InformationEntropyLoss',
    'KLDivergence',
    'L2Loss',
    'MLKDLoss',
    'NSTLoss',
    'PKTLoss',
    'ReviewKDLoss',
    'SPLoss',
    'StageContrastiveLoss',
    'TALDLoss',
    'TripletDistillLoss',
    'TripletKDLoss',
    'VIDLoss',
]
