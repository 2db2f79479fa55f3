"""Hooks of MMRazor and MMPretrain in a training that they were not made for."""


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    leave_out_hooks_by_name()
    refuse_epochs_that_never_come()
    draw_without_ending_a_training()


def leave_out_hooks_by_name():
    """``AssertionError`` without a word for ``default_hooks.NAME=None``.

    MMEngine 0.10.7 leaves out its own six hooks so, but none that a config has added by name.
    """
    from mmengine.runner import Runner

    upstream_register = Runner.register_default_hooks
    if upstream_register.__module__ == __name__:
        return
    own = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')

    def register_default_hooks(self, hooks=None):
        hooks = hooks or {}
        upstream_register(
            self, {name: hook for name, hook in hooks.items() if hook is not None or name in own}
        )

    Runner.register_default_hooks = register_default_hooks


def refuse_epochs_that_never_come():
    """``StopDistillHook`` never stops the distillation of a training by iterations.

    MMRazor 1.0.0 compares with the epoch, which MMEngine then leaves at 0.
    """
    from mmengine.runner import IterBasedTrainLoop
    from mmrazor.engine import StopDistillHook

    if 'before_train' in vars(StopDistillHook):
        return

    def before_train(self, runner):
        if self.stop_epoch > 0 and isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError(
                f'StopDistillHook: stop_epoch={self.stop_epoch} counts epochs, but `train_cfg` has '
                '`by_epoch=False`: let the weight of each loss end instead, as '
                "dict(type='mmrazor.LossWeightScheduleHook', loss='loss_kl', policy='constant', "
                'start=1.0, stop=0.0, end=0.75)'
            )

    StopDistillHook.before_train = before_train


def draw_without_ending_a_training():
    """``VisualizationHook`` ends a training with ``TypeError: Invalid shape`` on two channels.

    MMPretrain 1.2.0 also takes a fourth channel for transparency. Here the channels are chosen as
    in this project's pictures, and a picture that fails is the last one, with a warning.
    """
    import logging

    from mmengine.logging import print_log
    from mmpretrain.engine import VisualizationHook

    upstream_draw = VisualizationHook._draw_samples
    if upstream_draw.__module__ == __name__:
        return

    def draw_samples(self, batch_idx, data_batch, data_samples, step=0):
        if not self.enable:
            return
        try:
            shown = _coloured(data_batch['inputs'])
            upstream_draw(self, batch_idx, dict(data_batch, inputs=shown), data_samples, step)
        except Exception as error:
            self.enable = False
            print_log(
                'VisualizationHook draws no more pictures, because one failed: '
                f'{type(error).__name__}: {error}',
                logger='current',
                level=logging.WARNING,
            )

    VisualizationHook._draw_samples = draw_samples


def _coloured(images):
    """Images (C, H, W) with three channels each."""
    import torch

    from ..visualization.channels import as_colours

    rows = [as_colours(image.permute(1, 2, 0).cpu().numpy())[0] for image in images]
    return [torch.from_numpy(row.copy()).permute(2, 0, 1) for row in rows]
