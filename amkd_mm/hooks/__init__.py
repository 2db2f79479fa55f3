"""Hooks: the producer of boundary samples, and schedules."""

from .boundary_sample_hook import BoundarySampleHook
from .loss_weight_schedule_hook import LossWeightScheduleHook

__all__ = ['BoundarySampleHook', 'LossWeightScheduleHook']
