"""BoundaryVisualizationHook: pictures of the boundary samples that a training is fed."""

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmrazor.registry import HOOKS

from ..argument_checks import check_bool, check_int
from ..boundary_rows import is_boundary
from ..pixel_space import PixelSpace
from ..visualization import draw_boundary_panel, draw_notice, render
from .boundary_sample_hook import BoundarySampleHook
from .sample_hook import ask, evaluation_mode
from .training_span import require_epochs


@HOOKS.register_module()
class BoundaryVisualizationHook(Hook):
    """Draws boundary samples from time to time: base sample, perturbation and boundary sample.

    Below the samples stand the probabilities of teacher and student for the base and the target
    class. The samples are those that ``BoundarySampleHook`` appended to the first batch of the
    epoch that has any; if none of an epoch's images could be moved, the picture says so. There is
    no picture of an epoch in which ``BoundarySampleHook`` has nothing to do.

    Pictures go to the back ends of the Runner's visualizer, by the name ``boundary_samples`` and
    with the epoch, from 1, as the step: a file below ``vis_data/vis_image``, TensorBoard, WandB.
    Greyscale images become grey, others have the order of channels that the network gets. The
    training is not changed: the networks are asked once more, in evaluation mode, without
    gradients and random numbers. Only the first process draws.

    Args:
        enable (bool): Whether to draw. Defaults to False.
        interval (int): Epochs from one picture to the next, at least 1. Defaults to 1.
        num_samples (int): Most samples in a picture, at least 1. Defaults to 6.

    Raises:
        ValueError: If an argument is out of its range; if it is enabled, also if the training
            counts iterations, or has no ``BoundarySampleHook``.
    """

    # After the hooks that append samples.
    priority = 'LOW'

    def __init__(self, enable: bool = False, interval: int = 1, num_samples: int = 6) -> None:
        check_bool('BoundaryVisualizationHook: enable', enable)
        check_int('BoundaryVisualizationHook: interval', interval, minimum=1)
        check_int('BoundaryVisualizationHook: num_samples', num_samples, minimum=1)
        self.enable = enable
        self.interval = interval
        self.num_samples = num_samples
        self._is_due = self._was_active = False

    def before_train(self, runner) -> None:
        """Find what makes the samples."""
        if not self.enable:
            return
        require_epochs(runner, 'BoundaryVisualizationHook counts epochs')
        self._producers = [hook for hook in runner.hooks if isinstance(hook, BoundarySampleHook)]
        if not self._producers:
            raise ValueError(
                'BoundaryVisualizationHook draws the samples of `BoundarySampleHook`: add '
                "dict(type='mmrazor.BoundarySampleHook', ...) to `custom_hooks`, or set "
                '`enable=False`'
            )

    def before_train_epoch(self, runner) -> None:
        """Begin to wait for samples."""
        self._is_due = self.enable and self.every_n_epochs(runner, self.interval)
        self._was_active = False

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Draw the samples of this batch, if there are any and the epoch has no picture yet."""
        if not self._is_due:
            return
        self._was_active |= any(hook.is_active(runner) for hook in self._producers)
        # Other hooks append rows without a target class.
        rows = [
            row
            for row, sample in enumerate(data_batch['data_samples'])
            if is_boundary(sample) and sample.boundary_target >= 0
        ]
        if rows:
            self._is_due = False
            self.draw(runner, data_batch, rows[: self.num_samples])

    def after_train_epoch(self, runner) -> None:
        """Say that no sample could be moved."""
        if self._is_due and self._was_active:
            self.draw_nothing(runner)

    @master_only
    def draw(self, runner, data_batch: dict, rows: list[int]) -> None:
        """Draw some rows of a batch."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        space = PixelSpace(model.data_preprocessor)
        images = data_batch['inputs']
        samples = [data_batch['data_samples'][row] for row in rows]

        def stack(indices: list[int]) -> torch.Tensor:
            device = model.data_preprocessor.device
            return torch.stack([images[i].to(device, torch.float32) for i in indices])

        networks = dict(teacher=model.teacher, student=model.student)
        pictures, probabilities = [], []
        with evaluation_mode(*networks.values()), torch.no_grad():
            for pixels in (stack([sample.boundary_row for sample in samples]), stack(rows)):
                inputs = space.pad(space.normalize(pixels))
                probabilities.append(
                    {
                        name: ask(network, inputs).float().softmax(1).cpu().numpy()
                        for name, network in networks.items()
                    }
                )
                colours = space.swap(pixels).cpu().permute(0, 2, 3, 1)
                pictures.append(colours.expand(*colours.shape[:3], 3).numpy())
        names = (runner.visualizer.dataset_meta or {}).get('classes')
        if names is not None and len(names) != probabilities[0]['teacher'].shape[1]:
            names = None
        figure = draw_boundary_panel(
            *pictures,
            [int(sample.gt_label) for sample in samples],
            [sample.boundary_target for sample in samples],
            *probabilities,
            names,
            title=f'Boundary samples, {self.moment(runner)}, iteration {runner.iter + 1}',
        )
        self.add(runner, render(figure))

    @master_only
    def draw_nothing(self, runner) -> None:
        """Draw that there is nothing to draw."""
        text = "No sample could be moved to the teacher's decision boundary."
        self.add(runner, render(draw_notice(f'Boundary samples, {self.moment(runner)}', text)))

    @staticmethod
    def moment(runner) -> str:
        """For titles."""
        return f'epoch {runner.epoch + 1} of {runner.max_epochs}'

    @staticmethod
    def add(runner, image) -> None:
        """Hand an image, RGB, to the visualizer's back ends."""
        runner.visualizer.add_image('boundary_samples', image, step=runner.epoch + 1)
