"""What a network makes of images before it decides."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..recorders import EmbeddingRecorder
from .principal_components import principal_components


class EmbeddingMap(NamedTuple):
    """What one network makes of clean samples and boundary samples, in two dimensions.

    Attributes:
        clean (ndarray): Coordinates of the clean samples, (N, 2).
        moved (ndarray): Coordinates of the boundary samples, (M, 2).
        shares (ndarray): Share of the variance along each coordinate, (2,).
    """

    clean: np.ndarray
    moved: np.ndarray
    shares: np.ndarray


@torch.no_grad()
def embed(network: nn.Module, inputs: Tensor, batch_size: int = 256) -> Tensor:
    """The embeddings of a classifier, as AMKD's losses see them.

    Args:
        network (nn.Module): In evaluation mode.
        inputs (Tensor): Preprocessed images, (N, C, H, W), N at least 1.
        batch_size (int): Most images in a batch. Defaults to 256.

    Returns:
        Tensor: (N, D), float32, on the CPU.
    """
    recorder = EmbeddingRecorder()
    recorder.initialize(network)
    found = []
    for batch in inputs.split(batch_size):
        with recorder:
            network(batch, mode='tensor')
        found.append(recorder.get_record_data().float().cpu())
    recorder.detach()
    return torch.cat(found)


def map_embeddings(network: nn.Module, clean: Tensor, moved: Tensor) -> EmbeddingMap:
    """The principal components of the embeddings of samples.

    Args:
        network (nn.Module): In evaluation mode.
        clean (Tensor): Preprocessed images, (N, C, H, W), N at least 1.
        moved (Tensor): Preprocessed boundary samples, (M, C, H, W).

    Returns:
        EmbeddingMap: Both in the components of all of them together.
    """
    embeddings = embed(network, torch.cat([clean, moved])).double().numpy()
    found, shares = principal_components(embeddings)
    return EmbeddingMap(found[: len(clean)], found[len(clean) :], shares)
