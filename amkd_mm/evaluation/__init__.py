"""Metrics beyond accuracy."""

from .agreement import Agreement
from .boundary_similarity import BoundarySimilarity
from .calibration_error import ExpectedCalibrationError, calibration_error
from .pgd_accuracy import PGDAccuracy

__all__ = [
    'Agreement',
    'BoundarySimilarity',
    'ExpectedCalibrationError',
    'PGDAccuracy',
    'calibration_error',
]
