"""Whether a distillation can be trained: a report on its networks, its data and a trial step."""

from .check import check
from .report import Report
from .trial_step import TrialStep, try_step
from .two_configs import pair_config

__all__ = ['Report', 'TrialStep', 'check', 'pair_config', 'try_step']
