"""StagesRecorder: the outputs of several modules as one record."""

from collections.abc import Sequence
from typing import Any

from mmengine.utils import apply_to
from mmrazor.registry import TASK_UTILS
from torch import Tensor, is_tensor, nn

from .classifier_recorders import ClassifierRecorder


@TASK_UTILS.register_module()
class StagesRecorder(ClassifierRecorder):
    """Records, once in each forward call, a tuple of what several modules give.

    For connectors and losses that look at all stages of a network together; MMRazor's recorders
    have one module each.

    Args:
        sources (Sequence[str]): Names of modules that each run once in a forward call, in the
            order in which they run, such as ``['backbone.layer1', 'backbone.layer2']``.

    Raises:
        ValueError: If there are no sources.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        super().__init__()
        if not isinstance(sources, (list, tuple)) or not sources:
            raise ValueError(f'StagesRecorder: sources must be a list of modules, not {sources!r}')
        self.sources = tuple(sources)
        self._found: list[Tensor] = []

    def find_sources(self, model: nn.Module) -> tuple[str, ...]:
        """See :class:`ClassifierRecorder`."""
        return self.sources

    def record(self, module: nn.Module, inputs: tuple, outputs: Any) -> Any:
        """See :class:`ClassifierRecorder`; the network goes on with copies."""
        self._found.append(outputs)
        if len(self._found) == len(self.sources):
            self.data_buffer.append(tuple(self._found))
            self._found = []
        # Residual blocks add in place to what a batch norm gives.
        return apply_to(outputs, is_tensor, Tensor.clone)

    def __enter__(self) -> None:
        super().__enter__()
        # A step before may have failed between two modules.
        self._found = []
