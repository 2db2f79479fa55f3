"""What a network makes of images before it decides."""

import torch
from torch import Tensor, nn

from ..recorders import EmbeddingRecorder


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
