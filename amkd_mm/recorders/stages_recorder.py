"""StagesRecorder: what several modules give, or get, as one record."""

from collections.abc import Sequence
from typing import Any

from mmengine.utils import apply_to
from mmrazor.registry import TASK_UTILS
from torch import Tensor, is_tensor, nn

from ..config.argument_checks import check_bool
from .classifier_recorders import ClassifierRecorder


@TASK_UTILS.register_module()
class StagesRecorder(ClassifierRecorder):
    """Records, once in each forward call, a tuple of what several modules give, or get.

    For connectors and losses that look at all stages of a network together; MMRazor's recorders
    have one module each. Of a module that gives or gets a tuple of one, such as a neck, that one is
    recorded.

    Args:
        sources (Sequence[str]): Names of modules that each run once in a forward call, in the
            order in which they run, such as ``['backbone.layer1', 'backbone.layer2']``.
        inputs (bool): Whether the first input of each is recorded instead of its output, such as
            what enters the last activation of a block. Modules that work in place have changed it
            by then. Defaults to False.

    Raises:
        TypeError: If ``inputs`` is not True or False.
        ValueError: If there are no sources.
    """

    def __init__(self, sources: Sequence[str], inputs: bool = False) -> None:
        super().__init__()
        if not isinstance(sources, (list, tuple)) or not sources:
            raise ValueError(f'StagesRecorder: sources must be a list of modules, not {sources!r}')
        check_bool('StagesRecorder: inputs', inputs)
        self.sources = tuple(sources)
        self.inputs = inputs
        self._found: list[Tensor] = []

    def find_sources(self, model: nn.Module) -> tuple[str, ...]:
        """See :class:`ClassifierRecorder`."""
        return self.sources

    def record(self, module: nn.Module, inputs: tuple, outputs: Any) -> Any:
        """See :class:`ClassifierRecorder`; the network goes on with copies."""
        stage = inputs[0] if self.inputs else outputs
        self._found.append(stage[0] if isinstance(stage, tuple) and len(stage) == 1 else stage)
        if len(self._found) == len(self.sources):
            self.data_buffer.append(tuple(self._found))
            self._found = []
        # Residual blocks add in place to what a batch norm gives.
        return apply_to(outputs, is_tensor, Tensor.clone)

    def __enter__(self) -> None:
        super().__enter__()
        # A step before may have failed between two modules.
        self._found = []
