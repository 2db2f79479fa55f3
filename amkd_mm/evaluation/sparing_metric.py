"""SparingMetric: a metric that does not end the training that it looks at."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log


class SparingMetric(BaseMetric):
    """Leaves out what fails in the validations of a training, with one warning.

    In a test, what fails is an error. ``MetricAlgorithmHook``, which the configs of this project
    have, sets ``in_training``.
    """

    in_training = False

    @property
    def name(self) -> str:
        """For messages."""
        return type(self).__name__

    @contextmanager
    def sparing(self) -> Iterator[None]:
        """Run what may fail."""
        try:
            yield
        except Exception as error:
            if not self.in_training:
                raise
            if not getattr(self, '_has_warned', False):
                print_log(
                    f'{self.name} leaves out images, because it failed on some: '
                    f'{type(error).__name__}: {error}',
                    logger='current',
                    level=logging.WARNING,
                )
            self._has_warned = True
