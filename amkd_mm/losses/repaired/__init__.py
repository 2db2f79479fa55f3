"""Losses of MMRazor 1.0.0, each repaired in a subclass that is registered under the same name.

Where a loss gave a right value before, it gives the same one now.
"""

from .crd_loss import CRDLoss
from .dkd_loss import DKDLoss
from .information_entropy_loss import InformationEntropyLoss
from .kl_divergence import KLDivergence
from .l2_loss import L2Loss
from .relational_kd import AngleWiseRKD, DistanceWiseRKD

__all__ = [
    'AngleWiseRKD',
    'CRDLoss',
    'DKDLoss',
    'DistanceWiseRKD',
    'InformationEntropyLoss',
    'KLDivergence',
    'L2Loss',
]
