"""One training step of a distillation, to see what it would do."""

import math
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from ..hooks.class_check_hook import teachers_of


class TrialStep(NamedTuple):
    """What a training step did.

    Attributes:
        losses (dict[str, float]): The losses by name, and their sum as ``loss``.
        boundary (dict[str, float]): What ``BoundarySampleHook`` logged, such as ``samples`` and
            ``reached``; empty without the hook.
        without_gradient (list[str]): The student's trainable parameters that no loss depends on.
            On several GPUs they need ``find_unused_parameters=True``.
        teacher_gradients (list[str]): The teacher's parameters that got a gradient.
    """

    losses: dict[str, float]
    boundary: dict[str, float]
    without_gradient: list[str]
    teacher_gradients: list[str]

    @property
    def is_finite(self) -> bool:
        """Whether all losses are numbers."""
        return all(math.isfinite(value) for value in self.losses.values())


class Images(Dataset):
    """A batch as a data set."""

    metainfo: dict = {}

    def __init__(self, items: Sequence[dict]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict:
        return self.items[index]


class Observer(Hook):
    """Keeps the gradients and what the step logged."""

    priority = 'LOWEST'

    def before_train(self, runner) -> None:
        # Or the Runner would remove the gradients at once.
        wrapper = runner.optim_wrapper
        for part in wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]:
            part.zero_grad = lambda **_: None

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        model = runner.model
        self.step = TrialStep(
            losses={
                name: torch.as_tensor(value).item()
                for name, value in outputs.items()
                if 'loss' in name
            },
            boundary={
                name.removeprefix('train/boundary/'): float(buffer.current())
                for name, buffer in runner.message_hub.log_scalars.items()
                if name.startswith('train/boundary/')
            },
            without_gradient=[
                name
                for name, parameter in model.student.named_parameters()
                if parameter.requires_grad and parameter.grad is None
            ],
            teacher_gradients=[
                name
                for teacher in teachers_of(model).values()
                for name, parameter in teacher.named_parameters()
                if parameter.grad is not None
            ],
        )


def try_step(
    algorithm: nn.Module,
    items: Sequence[dict],
    hooks: Sequence[dict | Hook] = (),
    optim_wrapper: dict | None = None,
) -> TrialStep:
    """Train an algorithm for one step in a Runner, which changes its weights.

    Args:
        algorithm (nn.Module): An algorithm with a student, such as ``AMKD``.
        items (Sequence[dict]): The images of the batch as a data set of MMPretrain gives them:
            ``inputs``, a uint8 tensor (C, H, W), and ``data_samples``, one data sample.
        hooks (Sequence[dict | Hook]): Hooks, usually ``BoundarySampleHook``. The training has one
            epoch of one step.
        optim_wrapper (dict, optional): As in a config. Defaults to None, plain SGD.

    Returns:
        TrialStep: What the step did.
    """
    observer = Observer()
    with tempfile.TemporaryDirectory() as work_dir:
        runner = Runner(
            model=algorithm,
            work_dir=work_dir,
            train_dataloader=dict(
                dataset=Images(items),
                batch_size=len(items),
                sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
                collate_fn=dict(type='mmengine.pseudo_collate'),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=optim_wrapper or dict(optimizer=dict(type='SGD', lr=1e-3)),
            default_hooks=dict(logger=None, checkpoint=None, timer=None),
            custom_hooks=[*hooks, observer],
            default_scope='mmrazor',
            log_level='WARNING',
            experiment_name=f'trial_{id(observer)}',
        )
        runner.train()
    return observer.step
