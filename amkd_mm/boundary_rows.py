"""Which rows of a batch were appended to it: the agreement between hooks and algorithm."""

from mmengine.structures import BaseDataElement
from torch import Tensor

Rows = tuple[Tensor, list[BaseDataElement]]


def mark(
    data_sample: BaseDataElement, target: int, group: int = 1, row: int | None = None
) -> BaseDataElement:
    """Mark a data sample as appended, in its metainfo.

    Args:
        data_sample (BaseDataElement): Changed in place, and returned.
        target (int): The class that its image was moved towards; -1 for none.
        group (int): Which hook made it, from 1.
        row (int, optional): The row of the batch that its image was made from. Defaults to None.
    """
    data_sample.set_metainfo(dict(is_boundary=True, boundary_target=target))
    if group != 1:
        data_sample.set_metainfo(dict(boundary_group=group))
    if row is not None:
        data_sample.set_metainfo(dict(boundary_row=row))
    return data_sample


def is_boundary(data_sample: BaseDataElement) -> bool:
    """Whether the data sample was marked."""
    return data_sample.metainfo.get('is_boundary', False)


def group_of(data_sample: BaseDataElement) -> int:
    """Which hook appended the data sample, from 1; 0 for a clean one."""
    return data_sample.metainfo.get('boundary_group', 1) if is_boundary(data_sample) else 0


def split(
    inputs: Tensor, data_samples: list[BaseDataElement] | None, num_groups: int = 1
) -> list[Rows]:
    """Split a batch into its clean rows and the rows of each hook, views of the same memory.

    Args:
        inputs (Tensor): Batch, (N, C, H, W).
        data_samples (list[BaseDataElement]): N data samples, or none.
        num_groups (int): Number of hooks.

    Returns:
        list: ``(inputs, data_samples)`` of the clean rows, and of those of each hook, of which
        there may be none.

    Raises:
        ValueError: If the rows are not in this order, or are of more hooks.
    """
    groups = [group_of(sample) for sample in data_samples or []] or [0] * len(inputs)
    if groups != sorted(groups):
        raise ValueError('boundary rows must be the last rows of a batch, in the order of hooks')
    if groups and groups[-1] > num_groups:
        raise ValueError(f'a row is marked for hook {groups[-1]} of {num_groups}')
    parts, start, samples = [], 0, data_samples or []
    for group in range(num_groups + 1):
        rows = slice(start, start + groups.count(group))
        parts.append((inputs[rows], samples[rows]))
        start = rows.stop
    return parts
