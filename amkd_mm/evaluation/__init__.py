"""Metrics beyond accuracy."""

from .agreement import Agreement
from .boundary_similarity import BoundarySimilarity
from .calibration_error import ExpectedCalibrationError, calibration_error

__all__ = [
    'Agreement',
    'BoundarySimilarity',
    'ExpectedCalibrationError',
    'calibration_error',
]
