"""MMRazor's validation of teacher and student."""

import torch
from mmengine.evaluator import DumpResults
from mmengine.logging import print_log
from mmengine.runner import autocast
from mmengine.runner.loops import _parse_losses


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    keep_the_teacher_from_hooks()
    return_metrics_of_self_distillation()


def keep_the_teacher_from_hooks():
    """``VisualizationHook`` draws the teacher's predictions as if they were the student's.

    MMRazor 1.0.0: ``SingleTeacherDistillValLoop`` calls the hooks in the teacher's pass as in the
    student's, and ``before_val_epoch`` before each, though ``after_val_epoch`` once. ``EMAHook``,
    which swaps weights at each of them, leaves the averaged ones in; the logger counts every batch
    twice; ``DumpResults`` replaces the student's predictions by the teacher's. The loop returns no
    metrics, either. Here hooks see the student's pass alone, and the metrics of both.
    """
    from mmrazor.engine import SingleTeacherDistillValLoop

    SingleTeacherDistillValLoop.run = run_both
    SingleTeacherDistillValLoop.run_iter_teacher = run_iter_teacher


def return_metrics_of_self_distillation():
    """``runner.val()`` returns nothing with ``SelfDistillValLoop`` of MMRazor 1.0.0."""
    from mmrazor.engine import SelfDistillValLoop

    SelfDistillValLoop.run = _run_self


def run_both(loop, mode='val'):
    """Run a loop with a ``teacher``, and return the metrics of both networks."""

    def add_teacher(metrics):
        return {**metrics, **_with_prefix('teacher', _run_teacher(loop, mode))}

    return _run(loop, add_teacher, mode)


def _run_self(self):
    return _run(self, lambda metrics: _with_prefix('student', metrics))


def _with_prefix(prefix, metrics):
    return {f'{prefix}.{name}': value for name, value in metrics.items()}


def _run(loop, finish, mode='val'):
    """MMEngine's loop of a mode, but that ``finish`` makes metrics of those of the student."""
    loop.runner.call_hook(f'before_{mode}')
    loop.runner.call_hook(f'before_{mode}_epoch')
    loop.runner.model.eval()
    losses = getattr(loop, f'{mode}_loss')
    losses.clear()
    for idx, data_batch in enumerate(loop.dataloader):
        loop.run_iter(idx, data_batch)
    metrics = loop.evaluator.evaluate(len(loop.dataloader.dataset))
    if losses:
        metrics.update(_parse_losses(losses, mode))
    metrics = finish(metrics)
    loop.runner.call_hook(f'after_{mode}_epoch', metrics=metrics)
    loop.runner.call_hook(f'after_{mode}')
    return metrics


def _run_teacher(loop, mode):
    """Metrics of the teacher. Files of predictions are the student's alone."""
    # Without hooks nothing else tells that the validation goes on.
    what = dict(val='Validating', test='Testing')[mode]
    print_log(f'{what} the teacher', logger='current')
    metrics = loop.evaluator.metrics
    loop.evaluator.metrics = [one for one in metrics if not isinstance(one, DumpResults)]
    try:
        for idx, data_batch in enumerate(loop.dataloader):
            loop.run_iter_teacher(idx, data_batch)
        return loop.evaluator.evaluate(len(loop.dataloader.dataset))
    finally:
        loop.evaluator.metrics = metrics


@torch.no_grad()
def run_iter_teacher(self, idx, data_batch):
    """Predict and judge a batch, without hooks."""
    with autocast(enabled=self.fp16):
        outputs = self.teacher.val_step(data_batch)
    self.evaluator.process(data_samples=outputs, data_batch=data_batch)
