"""SingleTeacherDistillTestLoop: a test of both networks of a distillation."""

from typing import Any

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import TestLoop
from mmrazor.registry import LOOPS

from ..compat.validation import run_both, run_iter_teacher


@LOOPS.register_module()
class SingleTeacherDistillTestLoop(TestLoop):
    """Tests the student and then the teacher, as ``SingleTeacherDistillValLoop`` validates them.

    MMRazor has no such loop. For two networks that are trained together (``configs/dml``), both of
    which are results; metrics of the teacher have the prefix ``teacher.``, and predictions that are
    written or drawn are the student's. With test-time augmentation, which predicts by the student,
    the student alone is tested.

    Args:
        *args: See MMEngine's ``TestLoop``.
        **kwargs: See MMEngine's ``TestLoop``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        model = self.runner.model
        model = model.module if is_model_wrapper(model) else model
        self.teacher = getattr(model, 'teacher', None)
        if self.teacher is not None:
            self.teacher.data_preprocessor = model.data_preprocessor

    run_iter_teacher = run_iter_teacher

    def run(self) -> dict:
        """Metrics of the student, and of the teacher."""
        if self.teacher is None:
            print_log('The student alone is tested', logger='current')
            return super().run()
        return run_both(self, 'test')
