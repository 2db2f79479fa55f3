"""BoundaryVisualizationHook: pictures of the boundary samples that a training is fed."""

import logging
from collections.abc import Callable
from functools import partial

import torch
from matplotlib.figure import Figure
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmrazor.registry import HOOKS

from ..classifiers import predict_logits
from ..classifiers.modes import evaluation_mode
from ..config.argument_checks import check_bool, check_int
from ..data_preprocessors.normalizer import Normalizer
from ..samplers import Samples
from ..visualization import draw_boundary_panel, draw_notice, render
from .boundary_sample_hook import BoundarySampleHook
from .training_progress import check_unit, progress_and_total


@HOOKS.register_module()
class BoundaryVisualizationHook(Hook):
    """Draws boundary samples from time to time: base sample, perturbation and boundary sample.

    Below the samples stand the probabilities of teacher and student for the base and the target
    class. The samples are those of the first step of the epoch that has any, and the networks as
    they are after that step; if none of an epoch's images could be moved, the picture says so.
    There is no picture of an epoch in which ``BoundarySampleHook`` has nothing to do. By
    iterations, it is the first step from every ``interval``-th iteration on.

    Pictures go to the back ends of the Runner's visualizer, by the name ``boundary_samples`` and
    with the epoch or iteration, from 1, as the step: a file below ``vis_data/vis_image``,
    TensorBoard, WandB. Greyscale images become grey, others have the order of channels that the
    network gets. The training is not changed: the networks are asked once more, in evaluation
    mode, without gradients and random numbers. Only the first process draws. A picture that fails
    is left out, and so are all after it, with one warning.

    Args:
        enable (bool): Whether to draw. Defaults to False.
        interval (int): Epochs or iterations from one picture to the next, at least 1. Defaults to
            1.
        num_samples (int): Most samples in a picture, at least 1. Defaults to 6.
        by_epoch (bool): Whether ``interval`` counts epochs or iterations. Defaults to True.

    Raises:
        ValueError: If an argument is out of its range; if it is enabled, also if the training
            has no ``BoundarySampleHook``, or no epochs although ``interval`` counts them.
    """

    # After the hooks that ask for samples.
    priority = 'LOW'

    def __init__(
        self,
        enable: bool = False,
        interval: int = 1,
        num_samples: int = 6,
        by_epoch: bool = True,
    ) -> None:
        check_bool('BoundaryVisualizationHook: by_epoch', by_epoch)
        check_bool('BoundaryVisualizationHook: enable', enable)
        check_int('BoundaryVisualizationHook: interval', interval, minimum=1)
        check_int('BoundaryVisualizationHook: num_samples', num_samples, minimum=1)
        self.enable = enable
        self.interval = interval
        self.num_samples = num_samples
        self.by_epoch = by_epoch
        self._is_due = self._was_active = False

    def before_train(self, runner) -> None:
        """Find what makes the samples."""
        if not self.enable:
            return
        check_unit('BoundaryVisualizationHook', runner, self.by_epoch, interval=self.interval)
        self._producers = [hook for hook in runner.hooks if isinstance(hook, BoundarySampleHook)]
        if not self._producers:
            raise ValueError(
                'BoundaryVisualizationHook draws the samples of `BoundarySampleHook`: add '
                "boundary_samples=dict(type='mmrazor.BoundarySampleHook', ...) to `default_hooks`, "
                'or set `enable=False`'
            )

    def before_train_epoch(self, runner) -> None:
        """Begin to wait for samples of this epoch."""
        if self.by_epoch:
            self.begin(runner, self.every_n_epochs(runner, self.interval))

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Begin to wait for samples of these iterations."""
        if not self.by_epoch and self.every_n_train_iters(runner, self.interval):
            self.end(runner)
            self.begin(runner, True)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Draw the samples of this step, if there are any and a picture is due."""
        if not self._is_due:
            return
        self._was_active |= any(hook.is_active(runner) for hook in self._producers)
        for hook in self._producers:
            if hook.samples is not None and len(hook.samples.rows):
                self._is_due = False
                self.add(runner, partial(self.draw, runner, hook.samples))
                return

    def after_train_epoch(self, runner) -> None:
        """Say that no sample of this epoch could be moved."""
        if self.by_epoch:
            self.end(runner)

    def after_train(self, runner) -> None:
        """Say that no sample of the last iterations could be moved."""
        self.end(runner)

    def begin(self, runner, is_due: bool) -> None:
        """Begin to wait for samples, if a picture is due."""
        self._is_due = self.enable and is_due
        self._was_active = False
        now, total = progress_and_total(runner, self.by_epoch)
        self._step = now + 1
        self._moment = f'{"epoch" if self.by_epoch else "iteration"} {self._step} of {total}'

    def end(self, runner) -> None:
        """Say that no sample could be moved, if one was waited for."""
        if self._is_due and self._was_active:
            self._is_due = False
            text = "No sample could be moved to the teacher's decision boundary."
            self.add(runner, partial(draw_notice, f'Boundary samples, {self._moment}', text))

    def draw(self, runner, samples: Samples) -> Figure:
        """Draw the first of some samples."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        normalizer = Normalizer(model.data_preprocessor)
        drawn = slice(self.num_samples)
        networks = dict(teacher=model.teacher, student=model.student)
        pictures, probabilities = [], []
        with evaluation_mode(*networks.values()), torch.no_grad():
            for inputs in (samples.origins[drawn], samples.inputs[drawn]):
                probabilities.append(
                    {
                        name: predict_logits(network, normalizer.pad(inputs))
                        .float()
                        .softmax(1)
                        .cpu()
                        .numpy()
                        for name, network in networks.items()
                    }
                )
                pixels = normalizer.swap(normalizer.denormalize(inputs))
                pictures.append(pixels.cpu().permute(0, 2, 3, 1).numpy())
        names = (runner.visualizer.dataset_meta or {}).get('classes')
        if names is not None and len(names) != probabilities[0]['teacher'].shape[1]:
            names = None
        moment = self._moment
        if self.by_epoch:
            moment += f', iteration {runner.iter + 1}'
        return draw_boundary_panel(
            *pictures,
            samples.labels[drawn].tolist(),
            samples.targets[drawn].tolist(),
            *probabilities,
            names,
            title=f'Boundary samples, {moment}',
        )

    @master_only
    def add(self, runner, draw: Callable[[], Figure]) -> None:
        """Hand a picture to the visualizer's back ends; no failure ends the training."""
        try:
            runner.visualizer.add_image('boundary_samples', render(draw()), step=self._step)
        except Exception as error:
            self.enable = False
            print_log(
                'BoundaryVisualizationHook draws no more pictures, because one failed: '
                f'{type(error).__name__}: {error}',
                logger='current',
                level=logging.WARNING,
            )
