"""LocalDistributionHook: appends samples of the teacher's adversarial local distribution."""

from typing import Any

import torch
import torch.nn.functional as F
from mmrazor.registry import HOOKS
from torch import Tensor

from ..argument_checks import check_int, check_number
from ..attacks.svgd import clip_to_ball, svgd_direction
from ..pixel_space import HIGHEST_PIXEL, PixelSpace
from .sample_hook import SampleHook, Samples, check_num_samples
from .training_span import resolve


@HOOKS.register_module()
class LocalDistributionHook(SampleHook):
    """Appends particles of the teacher's adversarial local distribution around each image.

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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_num_samples(self.name, num_samples)
        check_int('LocalDistributionHook: num_particles', num_particles, minimum=1)
        check_int('LocalDistributionHook: num_steps', num_steps, minimum=1)
        check_number('LocalDistributionHook: radius', radius, above=0)
        self.num_particles = num_particles
        self.radius = radius
        self.num_steps = num_steps
        self.num_samples = num_samples

    def make(
        self,
        space: PixelSpace,
        pixels: Tensor,
        inputs: Tensor,
        labels: Tensor,
        generator: torch.Generator,
    ) -> Samples:
        """See :class:`SampleHook`."""
        most = max(1, round(resolve(self.num_samples, len(labels))))
        rows = torch.randperm(len(labels), generator=generator)[:most].to(labels.device)
        rows = rows.repeat_interleave(self.num_particles)
        centers, labels = inputs[rows], labels[rows]
        # In units of normalised inputs, per channel.
        radius = self.radius * HIGHEST_PIXEL / space.std
        noise = torch.rand(centers.shape, generator=generator).to(centers) * 2 - 1
        particles = (centers + noise * radius).clamp(*space.bounds)
        for _ in range(self.num_steps):
            leaf = particles.detach().requires_grad_()
            with torch.enable_grad():
                loss = F.cross_entropy(self.ask_teacher(space.pad(leaf)), labels, reduction='sum')
                (scores,) = torch.autograd.grad(loss, leaf)
            # In units of the radius, which is the same in every coordinate.
            shape = (-1, self.num_particles, particles[0].numel())
            direction = svgd_direction(
                (particles / radius).reshape(shape), (scores * radius).reshape(shape)
            ).reshape(particles.shape)
            largest = direction.flatten(1).abs().amax(1).clamp_min(torch.finfo(inputs.dtype).tiny)
            step = direction / largest.view(-1, 1, 1, 1) * radius / self.num_steps
            particles = clip_to_ball(particles + step, centers, radius).clamp(*space.bounds)
        return Samples(
            space.to_pixels(particles),
            rows.tolist(),
            [-1] * len(rows),
            dict(loss=loss.item() / max(1, len(rows))),
        )
