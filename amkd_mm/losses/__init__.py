"""Distillation losses."""

from .triplet_distill_loss import TripletDistillLoss
from .triplet_kd_loss import TripletKDLoss

__all__ = ['TripletDistillLoss', 'TripletKDLoss']
