"""What to distil on beside the clean batch: samples made from it, tensors in and tensors out."""

from .adversarial_sampler import AdversarialSampler
from .augmented_sampler import AugmentedSampler
from .base import CleanBatch, Sampler, SampleRequest, Samples
from .boundary_sampler import BoundarySampler, discrepancy
from .local_distribution_sampler import LocalDistributionSampler
from .reusing_sampler import ReusingSampler

__all__ = [
    'AdversarialSampler',
    'AugmentedSampler',
    'BoundarySampler',
    'CleanBatch',
    'LocalDistributionSampler',
    'ReusingSampler',
    'SampleRequest',
    'Sampler',
    'Samples',
    'discrepancy',
]
