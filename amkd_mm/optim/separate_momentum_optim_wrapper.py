"""SeparateMomentumOptimWrapper: SGD with a momentum of its own for each group of losses."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase

import torch
from mmengine.dist import all_reduce, all_reduce_params, get_world_size
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmrazor.registry import OPTIM_WRAPPERS
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, Optimizer

from ..config.argument_checks import check_number


@OPTIM_WRAPPERS.register_module()
class SeparateMomentumOptimWrapper(OptimWrapper):
    """Separates the gradients of groups of losses, and gives each its own momentum.

    For Multiloss Joint Gradient Control Knowledge Distillation (MJKD, Electronics 2024, 13(20),
    4102). Published, as far as could be read (abstract and contributions): the momenta of the
    task loss, the feature distillation loss and the logit distillation loss are controlled
    independently, with the greatest weight on logits. The update is that of its relative DOT (A
    Distillation-Oriented Trainer, ICCV 2023), which has two momenta, for any number of groups::

        v_task = momentum * v_task + g_task + weight_decay * w
        v_k = momentum_k * v_k + g_k                             for each group k
        w = w - lr * (v_task + sum of all v_k)

    ``g_k`` is the gradient of the losses of group k, ``g_task`` that of all losses in no group;
    learning rate, first momentum and weight decay are those of the optimizer. With all momenta
    equal it is plain SGD. Ours: a parameter has the momentum of each group also where only one
    group of losses uses it (DOT takes the mean of its two there), and one that no loss of a step
    uses stays as it is, as in SGD.

    A step is one forward pass and one backward pass for each group. Several processes average the
    gradients of each group after the backward passes, not during them. The momenta are part of
    the optimizer's state, and so of checkpoints.

    Args:
        optimizer (Optimizer): PyTorch's ``SGD`` without ``nesterov``, ``dampening`` and
            ``maximize``.
        groups (Mapping[str, dict]): For each group, by a name of your choice, ``losses``, a list
            of the names as they are logged, such as ``'distill.loss_kl'``, in which ``*`` stands
            for anything, and ``momentum``, from 0 to below 1.
        **kwargs: See ``OptimWrapper``; it cannot accumulate or clip gradients. For mixed precision
            there is no such wrapper.

    Raises:
        KeyError: In the first step, if the model has no loss of a name.
        RuntimeError: If the model does not compute its losses in one call, as data-free
            distillation does.
        TypeError: If the optimizer is not SGD, or a model wrapper not that of PyTorch's DDP.
        ValueError: If a setting is out of its range, or a loss is in two groups.

    Examples:
        >>> optim_wrapper = dict(
        ...     type='mmrazor.SeparateMomentumOptimWrapper',
        ...     optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4),
        ...     groups=dict(logits=dict(losses=['distill.loss_kl'], momentum=0.95)))
    """

    def __init__(self, optimizer: Optimizer, groups: Mapping[str, dict], **kwargs) -> None:
        check_optimizer(optimizer)
        check_groups(groups)
        if kwargs.get('accumulative_counts', 1) != 1 or kwargs.get('clip_grad'):
            raise ValueError(
                'optim_wrapper: SeparateMomentumOptimWrapper can neither accumulate nor clip '
                'gradients: leave out `accumulative_counts` and `clip_grad`'
            )
        super().__init__(optimizer, **kwargs)
        self.groups = groups
        self._losses: dict[str, Tensor] | None = None
        self._known = False

    def should_sync(self) -> bool:
        """Never let DDP average gradients: it would wait for one backward pass, of all losses."""
        return False

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """See ``OptimWrapper``; the losses that the model returns are kept by name."""
        wrapped = is_model_wrapper(model)
        if wrapped and not isinstance(model, DistributedDataParallel):
            raise TypeError(
                'model_wrapper_cfg: SeparateMomentumOptimWrapper averages gradients itself, for '
                f'MMDistributedDataParallel, not {type(model).__name__}'
            )
        algorithm = model.module if wrapped else model

        def keep(module: nn.Module, inputs: tuple, outputs: dict) -> None:
            if isinstance(outputs, dict):
                # The first entry is the sum of all.
                names = list(module.parse_losses(outputs)[1].items())[1:]
                self._losses = {name: value for name, value in names if 'loss' in name}
                self._check_names(module)

        handle = algorithm.register_forward_hook(keep)
        try:
            with super().optim_context(model):
                yield
        finally:
            handle.remove()

    def update_params(
        self, loss: Tensor, step_kwargs: dict | None = None, zero_kwargs: dict | None = None
    ) -> None:
        """Make a step.

        Args:
            loss (Tensor): The sum of the losses; those that the model returned are used instead.
            step_kwargs (dict, optional): Arguments of the optimizer's ``step``.
            zero_kwargs (dict, optional): Arguments of its ``zero_grad``.
        """
        if self._losses is None:
            raise RuntimeError(
                'optim_wrapper: SeparateMomentumOptimWrapper needs the losses by name, which the '
                "model must return when it is called in `optim_context`; use type='OptimWrapper'"
            )
        parameters = [p for group in self.optimizer.param_groups for p in group['params']]
        own, rest = self._sums()
        gradients = {
            name: self._gradients(total, parameters, retain_graph=True)
            for name, total in own.items()
        }
        left = self._gradients(rest, parameters, retain_graph=False)
        used = find_used([left, *gradients.values()], parameters[0].device)
        for found in (left, *gradients.values()):
            fill_and_average(found, parameters, used)
        for parameter, gradient in zip(parameters, left, strict=True):
            parameter.grad = gradient
        self.step(**(step_kwargs or {}))
        for group, found in gradients.items():
            self._add_momentum(group, dict(zip(parameters, found, strict=True)))
        # To zeros, PyTorch 1.13 would: the next step could not tell which parameters it uses.
        self.zero_grad(**{**(zero_kwargs or {}), 'set_to_none': True})
        self._inner_count += 1
        # Or they would keep the graph until the next step.
        self._losses = None

    def _sums(self) -> tuple[dict[str, Tensor], Tensor]:
        """Sum of the losses of each group, and of those in none; 0 where there are none."""
        sums = dict.fromkeys(self.groups, torch.zeros(()))
        rest = torch.zeros(())
        for loss, value in self._losses.items():
            group = find_group(loss, self.groups)
            if group is None:
                rest = value + rest
            else:
                sums[group] = value + sums[group]
        return sums, rest

    def _gradients(
        self, loss: Tensor, parameters: list[Tensor], retain_graph: bool
    ) -> list[Tensor | None]:
        """Gradients of a loss; None for parameters that it does not use."""
        if loss.requires_grad:
            loss.backward(retain_graph=retain_graph)
        found = [parameter.grad for parameter in parameters]
        self.optimizer.zero_grad(set_to_none=True)
        return found

    @torch.no_grad()
    def _add_momentum(self, group: str, gradients: dict[Tensor, Tensor | None]) -> None:
        """Move the parameters along the momentum of a group."""
        key = f'momentum_buffer_{group}'
        for settings in self.optimizer.param_groups:
            for parameter in settings['params']:
                if gradients[parameter] is None:
                    continue
                state = self.optimizer.state[parameter]
                if key not in state:
                    state[key] = torch.zeros_like(parameter)
                state[key].mul_(self.groups[group]['momentum']).add_(gradients[parameter])
                parameter.add_(state[key], alpha=-settings['lr'])

    def _check_names(self, algorithm: nn.Module) -> None:
        """Raise ``KeyError`` at the first step if no loss has one of the names."""
        if self._known:
            return
        self._known = True
        # Those of boundary samples are not there in every step.
        later = getattr(getattr(algorithm, 'distiller', None), 'distill_losses', {})
        names = sorted({*self._losses, *(f'distill.{name}' for name in later)})
        for group, settings in self.groups.items():
            for pattern in settings['losses']:
                if not any(fnmatchcase(name, pattern) for name in names):
                    raise KeyError(
                        f'optim_wrapper.groups.{group}.losses: no loss is named {pattern!r}; '
                        f'the losses are {names}'
                    )
        for name in names:
            find_group(name, self.groups)


def find_group(loss: str, groups: Mapping[str, dict]) -> str | None:
    """Group of a loss, if it is in any; raise ``ValueError`` if it is in two."""
    found = [
        group
        for group, settings in groups.items()
        if any(fnmatchcase(loss, pattern) for pattern in settings['losses'])
    ]
    if len(found) > 1:
        raise ValueError(f'optim_wrapper.groups: the loss {loss!r} is in several groups: {found}')
    return found[0] if found else None


def find_used(gradients: list[list[Tensor | None]], device: torch.device) -> list[bool]:
    """Which parameters have a gradient, of any group in any process."""
    used = [any(each is not None for each in column) for column in zip(*gradients, strict=True)]
    if get_world_size() == 1:
        return used
    everywhere = torch.tensor(used, dtype=torch.int32, device=device)
    all_reduce(everywhere, 'max')
    return everywhere.bool().tolist()


def fill_and_average(
    gradients: list[Tensor | None], parameters: list[Tensor], used: list[bool]
) -> None:
    """Put zeros where a used parameter has no gradient, in place, and average over processes."""
    for index, parameter in enumerate(parameters):
        if used[index] and gradients[index] is None:
            gradients[index] = torch.zeros_like(parameter)
    all_reduce_params([gradient for gradient in gradients if gradient is not None], op='mean')


def check_optimizer(optimizer: Optimizer) -> None:
    """Raise an error unless the optimizer is SGD as in the update."""
    if not isinstance(optimizer, SGD):
        raise TypeError(
            'optim_wrapper.optimizer: SeparateMomentumOptimWrapper needs SGD, not '
            f'{type(optimizer).__name__}'
        )
    for name in ('nesterov', 'dampening', 'maximize'):
        if any(group.get(name) for group in optimizer.param_groups):
            raise ValueError(
                f'optim_wrapper.optimizer: SeparateMomentumOptimWrapper needs SGD without {name}'
            )


def check_groups(groups: Mapping[str, dict]) -> None:
    """Raise ``ValueError`` unless each group has losses and a momentum."""
    if not groups:
        raise ValueError('optim_wrapper.groups must name a group of losses, or use OptimWrapper')
    for name, settings in groups.items():
        key = f'optim_wrapper.groups.{name}'
        if set(settings) != {'losses', 'momentum'}:
            raise ValueError(f'{key} must have `losses` and `momentum`, not {sorted(settings)}')
        if isinstance(settings['losses'], str) or not settings['losses']:
            raise ValueError(f'{key}.losses must be a list of names, not {settings["losses"]!r}')
        check_number(f'{key}.momentum', settings['momentum'])
        if not 0 <= settings['momentum'] < 1:
            raise ValueError(
                f'{key}.momentum must be from 0 to below 1, not {settings["momentum"]}'
            )
