"""Whether what losses read of the student has a gradient."""

from typing import Any

from mmengine.utils import apply_to
from mmrazor.models.distillers import BaseDistiller
from torch import Tensor, nn

from ..classifiers.activation_checkpointing import checkpointed
from ..recorders import sources_of


def check_gradients(student: nn.Module, distiller: BaseDistiller) -> None:
    """Check what the losses read of a student that is trained, after its first step.

    A module whose activations are checkpointed runs without gradients until the backward pass runs
    it again: a loss of what is inside would train nothing, in silence.

    Raises:
        ValueError: If a record from inside such a module has no gradient; the message names the
            config key.
    """
    modules = [module for module, *_ in checkpointed(student)]
    places = [name for name, module in student.named_modules() if module in modules]
    for loss, mapping in getattr(distiller, 'loss_forward_mappings', {}).items():
        for argument, read in mapping.items():
            if not read['from_student']:
                continue
            recorder = distiller.student_recorders.get_recorder(read['recorder'])
            # There may be none yet, of samples.
            index = read.get('record_idx', 0)
            if has_gradient(recorder.data_buffer[index : index + 1]):
                continue
            for source in sources_of(recorder) or ():
                around = [place for place in places if not place or source.startswith(f'{place}.')]
                if around:
                    place = max(around, key=len)
                    raise ValueError(
                        f'model.distiller.loss_forward_mappings.{loss}.{argument}: {source!r} is '
                        f'inside {place!r}, whose activations are checkpointed, so that its record '
                        f'has no gradient: record {place!r}, or turn checkpointing off'
                    )


def has_gradient(records: Any) -> bool:
    """Whether all floating-point tensors in nested records have one."""
    tensors = []
    apply_to(records, lambda value: isinstance(value, Tensor), tensors.append)
    return all(tensor.requires_grad for tensor in tensors if tensor.is_floating_point())
