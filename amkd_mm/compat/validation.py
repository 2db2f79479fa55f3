"""MMRazor's validation of teacher and student."""


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    validate_once()


def validate_once():
    """With ``EMAHook``, training goes on from averaged weights after each validation.

    MMRazor 1.0.0: ``SingleTeacherDistillValLoop`` calls ``before_val_epoch`` before the student and
    again before the teacher, and ``after_val_epoch`` once. The hook swaps weights at each of them.
    """
    from mmrazor.engine import SingleTeacherDistillValLoop

    upstream_run = SingleTeacherDistillValLoop.run
    if upstream_run.__module__ == __name__:
        return

    def run(self):
        call_hook, called = self.runner.call_hook, []

        def call_once(name, **kwargs):
            if name not in called or name != 'before_val_epoch':
                call_hook(name, **kwargs)
            called.append(name)

        self.runner.call_hook = call_once
        try:
            upstream_run(self)
        finally:
            del self.runner.call_hook

    SingleTeacherDistillValLoop.run = run
