"""AugmentedSampler: augmented copies of images."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from .base import CleanBatch, Sampler, Samples, number_of_samples


class AugmentedSampler(Sampler):
    """Makes augmented copies of the images of a batch.

    Args:
        transforms (Callable): Maps ``dict(img=...)``, a uint8 array (H, W, C), to the same with
            another ``img`` of that size.
        num_samples (int | float): Of how many images, drawn anew for each batch; a float is a share
            of it. If of all, the copies are in the batch's order. Defaults to 1.0.

    Raises:
        ValueError: If a transform changes the size of an image.
    """

    def __init__(self, transforms: Callable[[dict], dict], num_samples: int | float = 1.0) -> None:
        self.transforms = transforms
        self.num_samples = num_samples

    def __call__(self, batch: CleanBatch, generator: torch.Generator) -> Samples:
        """See :class:`Sampler`."""
        count = len(batch.labels)
        seed = int(torch.randint(2**31, (1,), generator=generator))
        rows = torch.arange(count)
        if number_of_samples(self.num_samples, count) < count:
            rows = torch.randperm(count, generator=generator)
            rows = rows[: number_of_samples(self.num_samples, count)]
        rows = rows.to(batch.labels.device)
        origins = batch.inputs[rows]
        pixels = batch.normalizer.denormalize(origins)
        images = pixels.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        with seeded(seed):
            results = [self.transforms(dict(img=image.copy()))['img'] for image in images]
        # OpenCV drops the channel of a gray image.
        results = [result.reshape(*result.shape[:2], -1) for result in results]
        for result in results:
            if result.shape != images.shape[1:]:
                raise ValueError(
                    f'AugmentedSampleHook: an image of shape {images.shape[1:]} became '
                    f'{result.shape}: leave out what changes its size from `transforms`'
                )
        augmented = torch.from_numpy(np.stack(results)).permute(0, 3, 1, 2)
        inputs = batch.normalizer.normalize(augmented.to(pixels.device))
        targets = torch.full_like(rows, -1)
        return Samples(inputs, origins, rows, batch.labels[rows], targets, None, {})


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let all random numbers on the CPU follow from a seed, and go on as before after."""
    states = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
