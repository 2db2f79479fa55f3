"""Data sets of images: subsets, several put together, and images that cannot be used."""

import inspect
from collections import Counter

import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import BaseDataset, ConcatDataset, default_collate
from mmengine.registry import FUNCTIONS

# How many files an error lists.
SHOWN = 3


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    copy_datasets_apart()
    number_subsets_apart()
    number_images_across_parts()
    name_unreadable_images()
    name_images_of_other_sizes()


def copy_datasets_apart():
    """``TypeError: 'CustomDataset' object is not callable``, now and then, with two KFoldDatasets.

    MMEngine 0.10.7: all copies share one memo, which keeps the addresses of datasets that are gone.
    An object of another dataset at such an address is then "copied" as the old dataset's copy.
    OneDL's 0.10.12 makes a memo for each copy.
    """
    upstream_copy = BaseDataset._copy_without_annotation
    if inspect.signature(upstream_copy).parameters['memo'].default is None:
        return

    def copy_without_annotation(self, memo=None):
        return upstream_copy(self, {} if memo is None else memo)

    BaseDataset._copy_without_annotation = copy_without_annotation


def number_subsets_apart():
    """A subset of a part of a ``ConcatDataset`` numbers its images as the whole part does.

    What :func:`number_images_across_parts` sets in the part is copied with it.
    """
    upstream_copy = BaseDataset._copy_without_annotation
    if upstream_copy.__name__ == 'copy_with_own_numbers':
        return

    def copy_with_own_numbers(self, memo=None):
        copied = upstream_copy(self, memo)
        copied.__dict__.pop('get_data_info', None)
        return copied

    BaseDataset._copy_without_annotation = copy_with_own_numbers


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
            # Only now, for our data sets import MMPretrain.
            from ..datasets.image_numbers import number_images

            upstream_init(self)
            number_images(self)

    ConcatDataset.full_init = full_init


def name_unreadable_images():
    """``cv2.error: (-215:Assertion failed) !buf.empty()`` for an empty image, whichever it is.

    MMCV 2.1.0. A file that is missing is already named.
    """
    upstream_transform = LoadImageFromFile.transform
    if upstream_transform.__module__ == __name__:
        return

    def transform(self, results):
        try:
            return upstream_transform(self, results)
        except FileNotFoundError:
            raise
        except Exception as error:  # Each backend of MMCV raises another kind.
            name = results['img_path']
            message = f'{name} cannot be read as an image: replace the file, or remove it: {error}'
            raise ValueError(message) from error

    LoadImageFromFile.transform = transform


def name_images_of_other_sizes():
    """``RuntimeError: stack expects each tensor to be equal size``, whichever image it is.

    MMEngine 0.10.7, by ``collate_fn=dict(type='default_collate')``.
    """
    FUNCTIONS.register_module(name='default_collate', module=_collate, force=True)


def _collate(data_batch):
    """MMEngine's ``default_collate``; found by its name, as workers that are spawned need it."""
    try:
        return default_collate(data_batch)
    except RuntimeError as error:
        text = _other_sizes(data_batch)
        if text is None:
            raise
        raise ValueError(text) from error


def _other_sizes(data_batch):
    """Says which images of a batch have another shape than most; None if they have one shape."""
    items = [item for item in data_batch if isinstance(item, dict)]
    items = [item for item in items if isinstance(item.get('inputs'), torch.Tensor)]
    shapes = [tuple(item['inputs'].shape) for item in items]
    if len(set(shapes)) < 2:
        return None
    ((usual, _),) = Counter(shapes).most_common(1)
    others = [
        f'{getattr(item.get("data_samples"), "img_path", "an image")} {shape}'
        for item, shape in zip(items, shapes, strict=True)
        if shape != usual
    ]
    return (
        f'images of one batch differ in shape: most have {usual}, but {len(others)} have another, '
        f'such as {", ".join(others[:SHOWN])}: add Resize or a crop to the pipeline, or repair them'
    )
