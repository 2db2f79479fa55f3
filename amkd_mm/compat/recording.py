"""What MMRazor records of a network stays what it was."""

from mmengine.utils import apply_to
from torch import Tensor, is_tensor


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    disable_nested_inplace()
    keep_recorded_outputs()
    take_recorder_classes()
    restore_what_is_recorded()


def disable_nested_inplace():
    """Recorded features change after they were recorded: a later in-place ReLU overwrites them.

    MMRazor 1.0.0: ``BaseAlgorithm.set_module_inplace_false`` does nothing on torch >= 2, because it
    expects ``nn.Module._modules`` to be an ``OrderedDict``. On any torch it also stops at the first
    module that has ``inplace``, such as mmcv's ``ConvModule``, and misses the activation within.
    """
    from mmrazor.models.algorithms.base import BaseAlgorithm

    BaseAlgorithm.set_module_inplace_false = _set_module_inplace_false


def _set_module_inplace_false(self, architecture, varstr):
    """Set ``inplace`` to False in every module of the model.

    Args:
        architecture (nn.Module): The model to change.
        varstr (str): Unused; MMRazor passes the expression that leads to the model.
    """
    for module in architecture.modules():
        inplace = getattr(module, 'inplace', None)
        # A submodule or a tensor may also be called `inplace`.
        if isinstance(inplace, int) and inplace:
            module.inplace = False


def keep_recorded_outputs():
    """A recorded batch norm is that plus the shortcut: ``out += identity`` overwrites the record.

    MMRazor 1.0.0 records the tensor itself, and MMPretrain's residual blocks add in place. Here the
    network goes on with a copy.
    """
    from mmrazor.models.task_modules.recorder import ModuleOutputsRecorder

    ModuleOutputsRecorder.forward_hook = _record_outputs


def _record_outputs(self, module, inputs, outputs):
    """Forward hook of ``ModuleOutputsRecorder``: record the outputs, and pass on copies."""
    if self.recording:
        self.data_buffer.append(outputs)
        return apply_to(outputs, is_tensor, Tensor.clone)


def take_recorder_classes():
    """``TypeError: unsupported operand type(s) for +: 'type' and 'str'`` for a recorder's class.

    MMRazor 1.0.0 appends ``Recorder`` to the `type`, which in a pure Python config is the class.
    """
    from mmrazor.models.task_modules.recorder import RecorderManager

    upstream_init = RecorderManager.__init__
    if upstream_init.__module__ == __name__:
        return

    def init(self, recorders=None):
        # Only now, for our recorders import MMRazor's.
        from ..recorders.names import recorder_name

        named = {
            name: {**recorder, 'type': recorder_name(recorder['type'])}
            for name, recorder in (recorders or {}).items()
        }
        upstream_init(self, named)

    RecorderManager.__init__ = init


def restore_what_is_recorded():
    """A function or method that two recorders look at stays patched for ever, and records on.

    MMRazor 1.0.0 puts a wrapper around it for each recorder or delivery, and takes them off in the
    same order, so that the last one puts the first one's wrapper back. Here in the reverse order.
    """
    from mmrazor.models.task_modules.delivery import DistillDeliveryManager
    from mmrazor.models.task_modules.recorder import RecorderManager

    def leave(parts):
        def exit(self, exc_type, exc_value, traceback):
            for part in reversed(getattr(self, parts).values()):
                part.__exit__(exc_type, exc_value, traceback)

        return exit

    RecorderManager.__exit__ = leave('recorders')
    DistillDeliveryManager.__exit__ = leave('deliveries')
