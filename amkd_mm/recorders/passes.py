"""Recording several passes of one step, one behind the other."""

from collections.abc import Iterator
from contextlib import contextmanager

from mmrazor.models.task_modules.recorder import ParameterRecorder, RecorderManager
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder

from ..samplers import Samples
from .classifier_recorders import ClassifierRecorder


@contextmanager
def recording(recorders: RecorderManager, samples: Samples | None = None) -> Iterator[None]:
    """Record a pass: the first of a step, or one over samples behind those before.

    Args:
        recorders (RecorderManager): Of the network that makes the pass.
        samples (Samples, optional): What it is over. Defaults to None, the clean batch, before
            which the recorders forget the step before.
    """
    earlier = {name: recorder.data_buffer for name, recorder in passing(recorders).items()}
    tell(recorders, samples)
    try:
        with recorders:
            yield
    finally:
        tell(recorders, None)
    if samples is not None:
        for name, recorder in passing(recorders).items():
            recorder.data_buffer[:0] = earlier[name]


def record_known(recorders: RecorderManager, samples: Samples) -> bool:
    """Record what a pass over samples would, if all of it is known without the pass.

    Returns:
        bool: Whether it is. Otherwise nothing is recorded.
    """
    found = {}
    for name, recorder in passing(recorders).items():
        is_ours = isinstance(recorder, ClassifierRecorder)
        found[name] = recorder.known_record(samples) if is_ours else None
    if any(record is None for record in found.values()):
        return False
    for name, record in found.items():
        recorders.get_recorder(name).data_buffer.append(record)
    return True


def record_nothing(recorders: RecorderManager, passes: int) -> None:
    """Leave empty records for a pass that is not made, so that later ones have their index.

    Args:
        recorders (RecorderManager): Of the network.
        passes (int): How many were made in the step, all of them with as many records.
    """
    for recorder in passing(recorders).values():
        buffer = recorder.data_buffer
        buffer.extend([None] * (len(buffer) // passes))


def passing(recorders: RecorderManager) -> dict[str, BaseRecorder]:
    """Those that record in a pass: a parameter is there at all times."""
    return {
        name: recorder
        for name, recorder in recorders.recorders.items()
        if not isinstance(recorder, ParameterRecorder)
    }


def tell(recorders: RecorderManager, samples: Samples | None) -> None:
    """Let the recorders know what the next pass is over."""
    for recorder in passing(recorders).values():
        if isinstance(recorder, ClassifierRecorder):
            recorder.samples = samples
