"""Connectors: what is done to a record before a loss gets it."""

from .crd_connector import CRDConnector
from .feature_fusion_connector import FeatureFusionConnector
from .logit_standardization_connector import LogitStandardizationConnector

__all__ = ['CRDConnector', 'FeatureFusionConnector', 'LogitStandardizationConnector']
