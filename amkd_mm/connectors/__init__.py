"""Connectors: what is done to a record before a loss gets it."""

from .crd_connector import CRDConnector
from .feature_align_connector import FeatureAlignConnector
from .feature_fusion_connector import FeatureFusionConnector
from .hard_label_connector import HardLabelConnector
from .logit_standardization_connector import LogitStandardizationConnector
from .review_kd_connector import ReviewKDConnector
from .virtual_teacher_connector import VirtualTeacherConnector

__all__ = [
    'CRDConnector',
    'FeatureAlignConnector',
    'FeatureFusionConnector',
    'HardLabelConnector',
    'LogitStandardizationConnector',
    'ReviewKDConnector',
    'VirtualTeacherConnector',
]
