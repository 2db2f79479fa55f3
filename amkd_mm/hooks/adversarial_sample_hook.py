"""AdversarialSampleHook: lets AMKD distil on adversarial samples of the student."""

from typing import Any

from mmrazor.registry import HOOKS

from ..config.argument_checks import check_choice, check_int, check_number
from ..samplers import AdversarialSampler
from .sample_hook import SampleHook

ANSWERS = ('clean', 'adversarial')


@HOOKS.register_module()
class AdversarialSampleHook(SampleHook):
    """Lets ``AMKD`` distil on adversarial samples of the student.

    Each image of the batch is moved within a ball in the L-infinity norm, by projected gradient
    ascent on the KL divergence of the student's answer from the teacher's. The student is asked in
    evaluation mode, as in the authors' code of both methods, so that the search leaves the
    statistics of its batch norm as they are. The samples are distilled on in training mode.

    - Adversarial robustness distillation with robust soft labels (RSLAD; Zi et al., ICCV 2021,
      arXiv 2108.07969): the answer of the teacher is that on the clean image.
    - Adaptive adversarial distillation (AdaAD; Huang et al., CVPR 2023): it is that on the moved
      image, and a gradient passes through the teacher, too.

    Row i of a recorder's ``record_idx=1`` is made from row i of ``record_idx=0``, so that a loss
    may compare the student on samples with the teacher on clean images. The search costs
    ``num_steps`` passes of the student, forth and back, and as many of the teacher with
    ``teacher_answers='adversarial'``.

    Logs ``adversarial/samples``, ``adversarial/share`` (of the batch), ``adversarial/divergence``
    (mean divergence at the samples), ``adversarial/correct`` (share of the samples that the student
    classifies correctly, in evaluation mode) and ``adversarial/seconds``.

    Args:
        teacher_answers (str): What the student's answer on a sample is moved away from, the
            teacher's answer on the ``'clean'`` or on the ``'adversarial'`` image.
        radius (float): Of the ball, in units of the range of pixels, > 0. Defaults to 8/255, as
            published by both for CIFAR.
        step_size (float): How far a step moves each pixel, in the same units, > 0. Defaults to
            2/255, as published by both.
        num_steps (int): At least 1. Defaults to 10, as published by both.
        **kwargs: As ``SampleHook``.

    Raises:
        ValueError: If an argument is out of its range, or as ``SampleHook``.
        TypeError: As ``SampleHook``.
    """

    prefix = 'adversarial'

    def __init__(
        self,
        teacher_answers: str,
        radius: float = 8 / 255,
        step_size: float = 2 / 255,
        num_steps: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice(f'{self.name}: teacher_answers', teacher_answers, ANSWERS)
        check_number(f'{self.name}: radius', radius, above=0)
        check_number(f'{self.name}: step_size', step_size, above=0)
        check_int(f'{self.name}: num_steps', num_steps, minimum=1)
        self.sampler = AdversarialSampler(teacher_answers, radius, step_size, num_steps)
