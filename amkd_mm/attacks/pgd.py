"""Projected gradient ascent in a ball around images, as adversarial training has it."""

from collections.abc import Callable

from torch import Tensor, enable_grad

from .base import TensorBounds, input_gradient
from .svgd import clip_to_ball


def pgd(
    objective: Callable[[Tensor], Tensor],
    inputs: Tensor,
    starts: Tensor,
    radius: Tensor | float,
    step_size: Tensor | float,
    num_steps: int,
    bounds: TensorBounds,
) -> Tensor:
    """Move inputs to where an objective is large, each within its L-infinity ball.

    Projected gradient descent of Madry et al., ICLR 2018 (arXiv 1706.06083), on the negative
    objective: steps by the sign of the gradient, each followed by a projection. What a network
    says of one input must not depend on the others: call it in evaluation mode.

    Args:
        objective (Callable): Maps points (N, C, H, W) to one value each, (N,), differentiable.
        inputs (Tensor): Centers of the balls, (N, C, H, W).
        starts (Tensor): Where to begin, (N, C, H, W).
        radius (Tensor | float): Of the balls, in units of the inputs; a tensor broadcasts to them.
        step_size (Tensor | float): How far a step moves each coordinate, in the same units.
        num_steps (int): Number of steps.
        bounds (tuple): Lowest and highest valid input, tensors that broadcast to the inputs.

    Returns:
        Tensor: (N, C, H, W), detached. No gradient reaches a parameter.
    """
    points = starts
    for _ in range(num_steps):
        leaf = points.detach().requires_grad_()
        with enable_grad():
            gradient = input_gradient(objective(leaf), leaf)
        ahead = points + step_size * gradient.sign()
        points = clip_to_ball(ahead, inputs, radius).clamp(*bounds)
    return points.detach()
