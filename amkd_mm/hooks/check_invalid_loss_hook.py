"""CheckInvalidLossHook: a training whose loss is not finite ends."""

import math

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmrazor.registry import HOOKS


@HOOKS.register_module()
class CheckInvalidLossHook(Hook):
    """Stops a training when a loss is NaN or infinite, and says which and when.

    As MMDetection's hook of this name, but that it looks at every step, and at what MMEngine has
    read from the device for its log already, so that it costs no synchronisation. The checkpoints
    before this step stay as they are, and none is written after it. A gradient that is not finite,
    as mixed precision meets and skips, is no reason to stop: its loss is finite.
    """

    # After RuntimeInfoHook, which reads the losses, and before all that would log or save.
    priority = 'HIGH'

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Check what a step has logged.

        Raises:
            FloatingPointError: If a loss is not finite.
        """
        known = runner.message_hub.log_scalars
        values = {
            name: known[f'train/{name}'].current()
            for name in outputs or ()
            if 'loss' in name and f'train/{name}' in known
        }
        wrong = {name: value for name, value in values.items() if not math.isfinite(value)}
        if not wrong:
            return
        shown = ', '.join(f'{name} is {value}' for name, value in wrong.items())
        raise FloatingPointError(
            f'epoch {runner.epoch + 1}, iteration {runner.iter + 1}: {shown}. '
            f'{reason(data_batch)} The checkpoints in {runner.work_dir} were saved before.'
        )


def reason(data_batch: dict | None) -> str:
    """What may be the reason, as far as the batch tells."""
    batch = data_batch if isinstance(data_batch, dict) else {}
    for row, image in enumerate(batch.get('inputs', ())):
        if not torch.isfinite(image).all():
            samples = batch.get('data_samples') or [None] * (row + 1)
            path = getattr(samples[row], 'img_path', None) or f'image {row} of the batch'
            return f'The pixels of {path} are not finite.'
    return (
        'The images of this batch are finite: lower optim_wrapper.optimizer.lr, set '
        'optim_wrapper.clip_grad=dict(max_norm=...), or look at the temperature and weight of '
        'these losses.'
    )
