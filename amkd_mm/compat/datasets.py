"""MMEngine's subsets of data sets."""

from mmengine.dataset import BaseDataset


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    copy_datasets_apart()


def copy_datasets_apart():
    """``TypeError: 'CustomDataset' object is not callable``, now and then, with two KFoldDatasets.

    MMEngine 0.10.7: all copies share one memo, which keeps the addresses of datasets that are gone.
    An object of another dataset at such an address is then "copied" as the old dataset's copy.
    """
    upstream_copy = BaseDataset._copy_without_annotation
    if upstream_copy.__module__ == __name__:
        return

    def copy_without_annotation(self, memo=None):
        return upstream_copy(self, {} if memo is None else memo)

    BaseDataset._copy_without_annotation = copy_without_annotation
