"""Metrics beyond accuracy, and a test of two networks."""

from .agreement import Agreement
from .boundary_similarity import BoundarySimilarity
from .calibration_error import ExpectedCalibrationError, calibration_error
from .hamming_average_precision import HammingAveragePrecision
from .pgd_accuracy import PGDAccuracy
from .single_teacher_distill_test_loop import SingleTeacherDistillTestLoop

__all__ = [
    'Agreement',
    'BoundarySimilarity',
    'ExpectedCalibrationError',
    'HammingAveragePrecision',
    'PGDAccuracy',
    'SingleTeacherDistillTestLoop',
    'calibration_error',
]
