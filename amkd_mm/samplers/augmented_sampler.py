"""AugmentedSampler: augmented copies of the images."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from .base import CleanBatch, Sampler, Samples


class AugmentedSampler(Sampler):
    """Makes an augmented copy of every image of the batch, in the batch's order.

    Args:
        transforms (Callable): Maps ``dict(img=...)``, a uint8 array (H, W, C), to the same with
            another ``img`` of that size.

    Raises:
        ValueError: If a transform changes the size of an image.
    """

    def __init__(self, transforms: Callable[[dict], dict]) -> None:
        self.transforms = transforms

    def __call__(self, batch: CleanBatch, generator: torch.Generator) -> Samples:
        """See :class:`Sampler`."""
        pixels = batch.normalizer.denormalize(batch.inputs)
        images = pixels.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        with seeded(int(torch.randint(2**31, (1,), generator=generator))):
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
        rows = torch.arange(len(inputs), device=inputs.device)
        targets = torch.full_like(rows, -1)
        return Samples(inputs, batch.inputs, rows, batch.labels, targets, None, {})


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
