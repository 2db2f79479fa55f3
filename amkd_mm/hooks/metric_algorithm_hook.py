"""MetricAlgorithmHook: gives the algorithm to metrics that need more than predictions."""

from collections.abc import Sequence

from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmrazor.registry import HOOKS


@HOOKS.register_module()
class MetricAlgorithmHook(Hook):
    """Gives the algorithm to the metrics that ask for it, before each evaluation.

    Those are the metrics with a method ``receive_algorithm(algorithm, size)``, ``size`` being the
    number of images, such as :class:`~amkd_mm.evaluation.BoundarySimilarity`. They also get it
    before the training, so that a metric that the algorithm cannot serve refuses it at once.
    Metrics of this project then know that they are part of a training, and end it no more.
    """

    def before_train(self, runner) -> None:
        """Let the metrics of the validation refuse the algorithm."""
        if runner.val_loop is not None:
            self.give(runner, runner.val_loop)
            self.tell(runner, True)

    def after_train(self, runner) -> None:
        """What comes now is no part of a training."""
        if runner.val_loop is not None:
            self.tell(runner, False)

    def before_val_epoch(self, runner) -> None:
        """Give it to the metrics of the validation."""
        self.give(runner, runner.val_loop)

    def before_test_epoch(self, runner) -> None:
        """Give it to the metrics of the test."""
        self.give(runner, runner.test_loop)

    @staticmethod
    def metrics(loop) -> Sequence[BaseMetric]:
        """The metrics of a loop."""
        return getattr(getattr(loop, 'evaluator', None), 'metrics', ())

    def tell(self, runner, in_training: bool) -> None:
        """Tell the metrics of the validation whether a training goes on."""
        for metric in self.metrics(runner.val_loop):
            if hasattr(metric, 'in_training'):
                metric.in_training = in_training

    def give(self, runner, loop) -> None:
        """Give the algorithm to the metrics of a loop."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for metric in self.metrics(loop):
            if hasattr(metric, 'receive_algorithm'):
                metric.receive_algorithm(model, len(loop.dataloader.dataset))
