"""LocalDistributionSampler: particles of the teacher's adversarial local distribution."""

import torch
import torch.nn.functional as F

from ..attacks.svgd import clip_to_ball, svgd_direction
from .base import CleanBatch, Sampler, Samples, number_of_samples


class LocalDistributionSampler(Sampler):
    """Makes particles of the teacher's adversarial local distribution around images.

    See :class:`~amkd_mm.hooks.LocalDistributionHook` for the method and the arguments.
    ``statistics`` has ``loss``, the teacher's mean loss on the particles.
    """

    def __init__(
        self, num_particles: int, radius: float, num_steps: int, num_samples: int | float
    ) -> None:
        self.num_particles = num_particles
        self.radius = radius
        self.num_steps = num_steps
        self.num_samples = num_samples

    def __call__(self, batch: CleanBatch, generator: torch.Generator) -> Samples:
        """See :class:`Sampler`."""
        normalizer, count = batch.normalizer, len(batch.labels)
        rows = torch.randperm(count, generator=generator)
        rows = rows[: number_of_samples(self.num_samples, count)].to(batch.labels.device)
        rows = rows.repeat_interleave(self.num_particles)
        centers, labels = batch.inputs[rows], batch.labels[rows]
        radius = normalizer.length(self.radius)
        noise = torch.rand(centers.shape, generator=generator).to(centers) * 2 - 1
        particles = (centers + noise * radius).clamp(*normalizer.bounds)
        for _ in range(self.num_steps):
            leaf = particles.detach().requires_grad_()
            with torch.enable_grad():
                loss = F.cross_entropy(batch.teacher(leaf), labels, reduction='sum')
                (scores,) = torch.autograd.grad(loss, leaf)
            # In units of the radius, which is the same in every coordinate.
            shape = (-1, self.num_particles, particles[0].numel())
            direction = svgd_direction(
                (particles / radius).reshape(shape), (scores * radius).reshape(shape)
            ).reshape(particles.shape)
            largest = direction.flatten(1).abs().amax(1).clamp_min(torch.finfo(centers.dtype).tiny)
            step = direction / largest.view(-1, 1, 1, 1) * radius / self.num_steps
            particles = clip_to_ball(particles + step, centers, radius).clamp(*normalizer.bounds)
        statistics = dict(loss=loss.detach() / len(rows))
        targets = torch.full_like(rows, -1)
        return Samples(particles, centers, rows, labels, targets, None, statistics)
