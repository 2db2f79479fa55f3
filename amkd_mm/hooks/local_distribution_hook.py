"""LocalDistributionHook: lets AMKD distil on the teacher's adversarial local distribution."""

from typing import Any

from mmrazor.registry import HOOKS

from ..config.argument_checks import check_int, check_number
from ..samplers import LocalDistributionSampler
from .sample_hook import SampleHook, check_num_samples


@HOOKS.register_module()
class LocalDistributionHook(SampleHook):
    """Lets ``AMKD`` distil on particles of the teacher's local distribution around each image.

    Adversarial Local Distribution Regularization for Knowledge Distillation (TALD; Nguyen-Duc et
    al., WACV 2023). Published: the distribution of adversarial examples in a ball around an image,
    where the teacher's loss is high; particles of it by SVGD with an RBF kernel; 4 particles and a
    radius of 5e-4. Ours, as far as known: the start anywhere in the ball, number and length of the
    steps (``radius / num_steps`` in the coordinate that moves most), and images in [0, 1] as the
    unit of the radius.

    Logs ``particles/samples``, ``particles/share`` (particles for each image of the batch),
    ``particles/loss`` (the teacher's mean loss on them) and ``particles/seconds``.

    Args:
        num_particles (int): For each image. Defaults to 4.
        radius (float): Of the ball, in units of the range of pixels, > 0. Defaults to 5e-4.
        num_steps (int): Of SVGD. Defaults to 3.
        num_samples (int | float): Most images of a batch to be surrounded, chosen at random; a
            float is a share. Defaults to 1.0, all.
        teacher (str, optional): Of a ``TeacherEnsemble``, the member whose distribution it is.
            Defaults to None, that of the mean of all members.
        **kwargs: As ``SampleHook``.

    Raises:
        ValueError: If an argument is out of its range, or as ``SampleHook``.
        TypeError: As ``SampleHook``.
    """

    prefix = 'particles'

    def __init__(
        self,
        num_particles: int = 4,
        radius: float = 5e-4,
        num_steps: int = 3,
        num_samples: int | float = 1.0,
        teacher: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.teacher = teacher
        check_num_samples(self.name, num_samples)
        check_int('LocalDistributionHook: num_particles', num_particles, minimum=1)
        check_int('LocalDistributionHook: num_steps', num_steps, minimum=1)
        check_number('LocalDistributionHook: radius', radius, above=0)
        self.sampler = LocalDistributionSampler(num_particles, radius, num_steps, num_samples)
