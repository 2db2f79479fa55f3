"""Metrics beyond accuracy."""

from .agreement import Agreement
from .boundary_similarity import BoundarySimilarity
from .calibration_error import ExpectedCalibrationError, calibration_error
from .hamming_average_precision import HammingAveragePrecision

__all__ = [
    'Agreement',
    'BoundarySimilarity',
    'ExpectedCalibrationError',
    'HammingAveragePrecision',
    'calibration_error',
]
