"""MMEngine's data sets: subsets, and several put together."""

from mmengine.dataset import BaseDataset, ConcatDataset

from ..image_numbers import number_images


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    copy_datasets_apart()
    number_images_across_parts()


def copy_datasets_apart():
    """``TypeError: 'CustomDataset' object is not callable``, now and then, with two KFoldDatasets.

    MMEngine 0.10.7: all copies share one memo, which keeps the addresses of datasets that are gone.
    An object of another dataset at such an address is then "copied" as the old dataset's copy.
    """
    upstream_copy = BaseDataset._copy_without_annotation
    if upstream_copy.__module__ == __name__:
        return

    def copy_without_annotation(self, memo=None):
        copied = upstream_copy(self, {} if memo is None else memo)
        # A subset has numbers of its own.
        copied.__dict__.pop('get_data_info', None)
        return copied

    BaseDataset._copy_without_annotation = copy_without_annotation


def number_images_across_parts():
    """``sample_idx`` of a ``ConcatDataset`` is the same for images of different parts.

    MMEngine 0.10.7 counts within each part, so that what is kept for an image, as by ``CRDLoss``,
    is mixed up with that of others. Here the parts are numbered in turn.
    """
    upstream_init = ConcatDataset.full_init
    if upstream_init.__module__ == __name__:
        return

    def full_init(self):
        if not self._fully_initialized:
            upstream_init(self)
            number_images(self)

    ConcatDataset.full_init = full_init
