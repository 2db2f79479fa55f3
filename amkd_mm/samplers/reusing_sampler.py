"""ReusingSampler: samples from a memory, to which another sampler adds now and then."""

import torch
from torch import Tensor

from .base import CleanBatch, Sampler, Samples, number_of_samples

# Of what is in the memory.
FIELDS = ('inputs', 'origins', 'labels', 'targets', 'teacher_logits')


class ReusingSampler(Sampler):
    """Draws samples from a memory, to which another sampler adds in one of ``reuse`` calls (ours).

    What a frozen teacher says of a sample stays true, whatever augments the clean images and
    however far the student has come. The memory holds ``reuse`` times as many samples as a call
    draws, the newest ones. So each is used ``reuse`` times on average, within ``reuse**2`` calls.
    The memory forgets samples when the size of the images changes.

    A sample takes the memory of two images in float32: 24 KB at 32 px, 1.2 MB at 224 px.

    ``statistics`` are those of the last new samples.

    Args:
        sampler (Sampler): Makes new samples, and knows the teacher's logits there.
        num_samples (int | float): Most samples that a call draws; a float is a share of the batch.
        reuse (int): In one of how many calls there are new samples, at least 1.
    """

    def __init__(self, sampler: Sampler, num_samples: int | float, reuse: int) -> None:
        self.sampler = sampler
        self.num_samples = num_samples
        self.reuse = reuse
        self._memory: dict[str, Tensor] = {}
        self._statistics: dict[str, Tensor] = {}
        self._count(0)

    def _count(self, calls: int) -> None:
        """Only in a call that makes new samples somebody looks at the student."""
        self._calls = calls
        self._is_due = calls % self.reuse == 0
        self.needs_student = self._is_due and self.sampler.needs_student

    def __call__(self, batch: CleanBatch, generator: torch.Generator) -> Samples:
        """See :class:`Sampler`. The samples are of several batches: their rows are -1."""
        number = number_of_samples(self.num_samples, len(batch.labels))
        if self._is_due:
            self._add(self.sampler(batch, generator), self.reuse * number)
        self._count(self._calls + 1)
        labels = self._memory['labels']
        drawn = torch.randperm(len(labels), generator=generator)[:number].to(labels.device)
        found = {name: values[drawn] for name, values in self._memory.items()}
        return Samples(
            found['inputs'],
            found['origins'],
            torch.full_like(drawn, -1),
            found['labels'],
            found['targets'],
            found['teacher_logits'],
            self._statistics,
        )

    def _add(self, samples: Samples, most: int) -> None:
        """Keep the newest samples, at most so many."""
        new = {name: getattr(samples, name) for name in FIELDS}
        parts = [part for part in (self._memory, new) if part and len(part['labels'])] or [new]
        if parts[0]['inputs'].shape[1:] != new['inputs'].shape[1:]:
            parts = [new]
        self._memory = {name: torch.cat([part[name] for part in parts])[-most:] for name in FIELDS}
        self._statistics = samples.statistics

    def state_dict(self) -> dict:
        """What a resumed training needs to go on as an uninterrupted one."""
        return dict(calls=self._calls, memory=self._memory, statistics=self._statistics)

    def load_state_dict(self, state: dict) -> None:
        """Go on from such a state."""
        self._count(state['calls'])
        self._memory, self._statistics = state['memory'], state['statistics']
