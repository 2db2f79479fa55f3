"""Contrast of codes: each has to be found from its partner among all others of a batch."""

import torch
import torch.nn.functional as F
from torch import Tensor


def contrast(
    codes: Tensor,
    temperature: float,
    positives: Tensor | None = None,
    left_out: Tensor | None = None,
) -> Tensor:
    """NT-Xent of two sets of N codes by their cosines (Chen et al., SimCLR, ICML 2020).

    Args:
        codes (Tensor): Codes of the first and then of the second set, (2 N, B); row i and row i + N
            are partners.
        temperature (float): What the cosines are divided by, > 0.
        positives (Tensor, optional): What stands for the cosine of each pair, (N,). Defaults to
            None, the cosine.
        left_out (Tensor, optional): Which columns do not push each row away, (2 N, 2 N) bool,
            beside the row itself. A partner always counts. Defaults to None, no others.

    Returns:
        Tensor: Mean over the rows of how hard the partner is to tell from all others, a scalar.
    """
    codes = F.normalize(codes.float())
    cosines = codes @ codes.t()
    if positives is None:
        positives = cosines.diagonal(len(codes) // 2)
    excluded = torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    if left_out is not None:
        excluded = excluded | left_out
    partners = torch.arange(len(codes), device=codes.device).roll(len(codes) // 2)
    logits = cosines.masked_fill(excluded, -torch.inf)
    logits = logits.scatter(1, partners[:, None], positives.repeat(2)[:, None])
    return F.cross_entropy(logits / temperature, partners)
