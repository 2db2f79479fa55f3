"""What every boundary attack has in common: checks, the model's gradient and the result."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from operator import is_
from typing import NamedTuple

import torch
from torch import Tensor

from ..config.argument_checks import check_bool

Model = Callable[[Tensor], Tensor]
# Class indices, or a function that chooses them from the model's logits on the inputs.
Targets = Tensor | Callable[[Tensor], Tensor]
Bounds = tuple[float | Tensor, float | Tensor]
TensorBounds = tuple[Tensor, Tensor]


class AttackResult(NamedTuple):
    """Where an attack ended.

    Attributes:
        inputs (Tensor): Moved inputs, (N, C, H, W), detached, dtype of the attacked inputs.
        reached (Tensor): Whether the model's argmax at ``inputs`` is the target class, (N,) bool.
        logits (Tensor): The model's logits at ``inputs``, (N, K), detached.
        targets (Tensor): Target classes, (N,) int64; -1 where the sample was left alone.
    """

    inputs: Tensor
    reached: Tensor
    logits: Tensor
    targets: Tensor


class BoundaryAttack(ABC):
    """Moves samples from their base class towards the decision boundary with a target class.

    A subclass writes :meth:`search`; everything here is the same for all attacks. No gradient
    reaches the model's parameters, and the model's mode is the caller's business: call it in
    evaluation mode, or batch statistics tie the samples together.

    Args:
        drop_finished (bool): Whether samples leave the batch when they are done. With True the
            model is asked about as few samples as possible, and the host waits for the device once
            a step, to learn how many are left. With False it is asked about all samples, with a
            gradient, in every step, and the host never waits; the batch keeps its shape, as CUDA
            graphs (``torch.compile(mode='reduce-overhead')``) need it. The results differ by
            rounding. Defaults to True.
    """

    def __init__(self, drop_finished: bool = True) -> None:
        check_bool(f'{type(self).__name__}: drop_finished', drop_finished)
        self.drop_finished = drop_finished
        # Those that were checked last
        self._bounds: Bounds | None = None

    def __call__(
        self,
        model: Model,
        inputs: Tensor,
        labels: Tensor,
        targets: Targets,
        bounds: Bounds | None = None,
    ) -> AttackResult:
        """Attack a batch.

        Args:
            model (Callable): Maps (N, C, H, W) inputs to (N, K) logits; N varies between calls
                where finished samples leave the batch.
            inputs (Tensor): Start points, (N, C, H, W), floating point. N may be 0.
            labels (Tensor): Base classes, (N,) integers.
            targets (Tensor | Callable): Target classes, (N,) integers; a negative one leaves its
                sample alone. Or a function that returns them given the logits (N, K) at
                ``inputs``: selection and the first step then share one forward pass.
                What it returns must be below K; a given tensor is checked, which synchronises.
            bounds (tuple, optional): Lowest and highest valid input, scalars or tensors that
                broadcast to ``inputs``. Tensors are checked, which synchronises, unless they
                are those of the last call. Defaults to None, no limit.

        Returns:
            AttackResult: Samples that were left alone, or cannot be moved because the gradient
            is zero, come back unchanged; ``reached`` says of each whether it counts.

        Raises:
            TypeError: If ``inputs`` is not floating point.
            ValueError: If shapes disagree, a target is no class, or ``bounds`` are reversed.
        """
        if not inputs.is_floating_point():
            raise TypeError(f'inputs must be a floating point tensor, not {inputs.dtype}')
        check_shape('labels', labels, len(inputs))
        if isinstance(targets, Tensor):
            check_shape('targets', targets, len(inputs))
        checked = None if bounds is None else self._checked(bounds, inputs)

        inputs = inputs.detach()
        if not len(inputs):
            empty = inputs.new_zeros(0, 0)
            nothing = torch.zeros(0, dtype=torch.int64, device=inputs.device)
            return AttackResult(inputs, nothing.bool(), empty, nothing)
        # A caller may hold inference tensors or sit under no_grad (MMRazor runs its teacher so).
        with torch.inference_mode(False), torch.enable_grad():
            labels = labels.to(inputs.device, torch.int64).clone()
            result = self.search(model, inputs.clone(), labels, targets, checked)
        # An argmax of what is not a number means nothing.
        finite = torch.isfinite(result.logits).all(1)
        return result._replace(reached=result.reached & finite)

    def _checked(self, bounds: Bounds, inputs: Tensor) -> TensorBounds:
        """The bounds as tensors beside the inputs.

        Raises:
            ValueError: See :meth:`__call__`.
        """
        low, high = (
            bound.to(inputs) if isinstance(bound, Tensor) else inputs.new_full((), bound)
            for bound in bounds
        )
        if self._bounds is not None and all(map(is_, bounds, self._bounds)):
            return low, high
        are_tensors = any(isinstance(bound, Tensor) for bound in bounds)
        if (low > high).any() if are_tensors else bounds[0] > bounds[1]:
            raise ValueError(f'bounds must be (low, high) with low <= high, not {bounds}')
        for bound in (low, high):
            # Finished samples leave the batch, so a bound cannot belong to one sample.
            if bound.dim() >= inputs.dim() and bound.shape[0] != 1:
                raise ValueError(f'bounds must be the same for all samples, not {bound.shape}')
        self._bounds = bounds[0], bounds[1]
        return low, high

    @abstractmethod
    def search(
        self,
        model: Model,
        inputs: Tensor,
        labels: Tensor,
        targets: Targets,
        bounds: TensorBounds | None,
    ) -> AttackResult:
        """Do the attack; arguments are those of :meth:`__call__`, checked."""


def check_shape(name: str, classes: Tensor, number: int) -> None:
    """Raise ``ValueError`` unless there is one class for each of ``number`` inputs."""
    if classes.shape != (number,):
        raise ValueError(
            f'{name} must have shape ({number},), one class per input, not {tuple(classes.shape)}'
        )


def choose(targets: Targets, logits: Tensor) -> Tensor:
    """Target classes as an int64 tensor (N,), asking the chooser where ``targets`` is one."""
    if callable(targets):
        # It knows the classes from the logits; reading what it chose would wait for the device.
        targets = targets(logits)
        check_shape('targets (what the chooser gave)', targets, len(logits))
    elif int(targets.max()) >= logits.size(1):
        raise ValueError(f'targets must be below the {logits.size(1)} classes of the model')
    return targets.to(logits.device, torch.int64).clone()


def clamp(inputs: Tensor, bounds: TensorBounds | None) -> Tensor:
    """Inputs within the bounds, or as they are without bounds."""
    return inputs if bounds is None else inputs.clamp(*bounds)


def pick(logits: Tensor, classes: Tensor) -> Tensor:
    """Logit of one class per row: (N, K) and (N,) to (N,)."""
    return logits.gather(1, classes[:, None]).squeeze(1)


class ForwardPass:
    """Logits at points, and the gradient there.

    Keeping what a gradient needs costs time and memory at all points; asking the model again
    costs only at those that turn out to need one. The caller knows which is rarer.

    Args:
        model (Callable): Maps inputs to logits.
        points (Tensor): (N, C, H, W).
        differentiable (bool): Whether to keep what the gradient needs.

    Attributes:
        logits (Tensor): (N, K), detached.
    """

    def __init__(self, model: Model, points: Tensor, differentiable: bool) -> None:
        self._leaf = points.detach()
        if differentiable:
            self._leaf.requires_grad_()
        with torch.set_grad_enabled(differentiable):
            self._logits = model(self._leaf)
        self.logits = self._logits.detach()

    def gradient(self, values: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """Gradient of each row's value with respect to its own input; zero where there is none.

        One backward pass for all: in evaluation mode samples do not influence each other.

        Args:
            values (Callable): Maps the logits, (N, K), to one value each, (N,).
            rows (Tensor): Of which points, (N,) bool; the gradient of others is zero.

        Returns:
            Tensor: (N, C, H, W).
        """
        return input_gradient(values(self._logits).masked_fill(~rows, 0), self._leaf)


def input_gradient(values: Tensor, inputs: Tensor) -> Tensor:
    """Gradient of the values' sum with respect to the inputs, zero where there is none."""
    gradient = None
    if values.requires_grad:
        (gradient,) = torch.autograd.grad(values.sum(), inputs, allow_unused=True)
    return torch.zeros_like(inputs) if gradient is None else gradient


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """(N,) values shaped (N, 1, ..., 1) to multiply the batch ``like``."""
    return values.to(like.dtype).reshape(-1, *[1] * (like.dim() - 1))


def squared_norm(batch: Tensor) -> Tensor:
    """Squared L2 norm of each sample, float32: (N, ...) to (N,)."""
    return torch.linalg.vector_norm(batch.flatten(1).float(), dim=1).square()
