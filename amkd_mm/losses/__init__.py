"""Distillation losses."""

from .triplet_distill_loss import TripletDistillLoss

__all__ = ['TripletDistillLoss']
