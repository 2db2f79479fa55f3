"""Which rows of a batch are boundary samples: the agreement between hook and algorithm."""

from mmengine.structures import BaseDataElement
from torch import Tensor

Rows = tuple[Tensor, list[BaseDataElement]]


def mark(data_sample: BaseDataElement, target: int) -> BaseDataElement:
    """Mark a data sample as a boundary sample towards class ``target``, in its metainfo."""
    data_sample.set_metainfo(dict(is_boundary=True, boundary_target=target))
    return data_sample


def is_boundary(data_sample: BaseDataElement) -> bool:
    """Whether the data sample was marked."""
    return data_sample.metainfo.get('is_boundary', False)


def split(inputs: Tensor, data_samples: list[BaseDataElement]) -> tuple[Rows, Rows]:
    """Split a batch into its clean rows and its boundary rows, views of the same memory.

    Args:
        inputs (Tensor): Batch, (N, C, H, W).
        data_samples (list[BaseDataElement]): N data samples.

    Returns:
        tuple: ``(inputs, data_samples)`` of the clean rows, and the same of the boundary rows.

    Raises:
        ValueError: If a clean row stands behind a boundary row.
    """
    marks = [is_boundary(sample) for sample in data_samples or []]
    num_clean = marks.index(True) if True in marks else len(inputs)
    if not all(marks[num_clean:]):
        raise ValueError('boundary rows must be the last rows of a batch')
    samples = data_samples or []
    return (inputs[:num_clean], samples[:num_clean]), (inputs[num_clean:], samples[num_clean:])
