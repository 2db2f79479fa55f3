"""Hooks: producers of samples, and schedules."""

from .adversarial_sample_hook import AdversarialSampleHook
from .augmented_sample_hook import AugmentedSampleHook
from .boundary_sample_hook import BoundarySampleHook
from .boundary_visualization_hook import BoundaryVisualizationHook
from .check_invalid_loss_hook import CheckInvalidLossHook
from .code_cluster_hook import CodeClusterHook
from .image_memory_hook import ImageMemoryHook
from .local_distribution_hook import LocalDistributionHook
from .loss_weight_schedule_hook import LossWeightScheduleHook
from .metric_algorithm_hook import MetricAlgorithmHook
from .step_seed_hook import StepSeedHook

__all__ = [
    'AdversarialSampleHook',
    'AugmentedSampleHook',
    'BoundarySampleHook',
    'BoundaryVisualizationHook',
    'ImageMemoryHook',
    'CheckInvalidLossHook',
    'CodeClusterHook',
    'LocalDistributionHook',
    'LossWeightScheduleHook',
    'MetricAlgorithmHook',
    'StepSeedHook',
]
