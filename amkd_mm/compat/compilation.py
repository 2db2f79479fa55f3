"""MMEngine's compilation of models."""

import logging

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

# Of `compile`
OFF = (None, False)


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    leave_steps_uncompiled()


def leave_steps_uncompiled():
    """With ``compile=True`` in its config, a distillation is many times slower.

    MMEngine 0.10.7 compiles the whole step of a model. That of AMKD depends on how many boundary
    samples there are, if any, on counters, and on what is recorded: torch traces it anew in each
    of the first steps, for minutes, and then gives up. Here that is said, and nothing is compiled.
    """
    upstream_maybe_compile = Runner._maybe_compile
    if upstream_maybe_compile.__module__ == __name__:
        return

    def maybe_compile(self, target):
        from ..algorithms import CheckedSingleTeacherDistill

        model = self.model.module if is_model_wrapper(self.model) else self.model
        if not isinstance(model, CheckedSingleTeacherDistill) or self.cfg.get('compile') in OFF:
            return upstream_maybe_compile(self, target)
        print_log(
            '`compile` has no effect: it is for a whole training step, and that of a distillation '
            'changes with what is recorded, so that torch compiles again and again. Set '
            '`model.teacher_compile` instead, to True or to the same dict',
            logger='current',
            level=logging.WARNING,
        )

    Runner._maybe_compile = maybe_compile
