from __future__ import annotations

import numpy as np
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

_TEST_IMAGES_PER_CLASS = 36


@DATASETS.register_module()
class Digits(BaseDataset):
    """The handwritten digits that scikit-learn carries with it: nothing to download.

    1,797 grey images of 8x8 pixels in 10 classes, the test part of the `Optical Recognition of
    Handwritten Digits <https://doi.org/10.24432/C50P49>`_ data (Alpaydin and Kaynak, 1998). For
    trying a config on a CPU and for tests; use ``Resize`` where 8x8 is too small for a network.

    The split is ours, since the data has none: 36 images of every class, drawn once with a fixed
    seed, are the 360 test images, and the other 1,437 (138 to 147 a class) are for training.

    Every sample holds ``img``, uint8 (8, 8, 3) with three equal channels (so that a network for
    RGB images takes it), values 0 to 255 scaled from the 17 grey levels of the source, and
    ``gt_label``, 0 to 9. Like CIFAR10 of MMPretrain it needs no ``LoadImageFromFile``. Over the
    training pixels the mean is 78.0 and the standard deviation 96.0.

    Args:
        split (str): 'train' or 'test'. Defaults to 'train'.
        metainfo (dict, optional): Meta information, such as class names. Defaults to None.
        **kwargs: Other keyword arguments of MMPretrain's ``BaseDataset``.

    Raises:
        ValueError: If ``split`` has another value.
        ImportError: If scikit-learn is not installed.
    """

    METAINFO = {'classes': tuple('0123456789')}

    def __init__(self, split: str = 'train', metainfo: dict | None = None, **kwargs):
        if split not in ('train', 'test'):
            raise ValueError(f"Digits: `split` must be 'train' or 'test', got {split!r}")
        self.split = split
        super().__init__(ann_file='', metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Build the samples of the split, in scikit-learn's order."""
        try:
            from sklearn.datasets import load_digits
        except ImportError as e:
            raise ImportError(
                'Digits takes its images from scikit-learn, which cannot be '
                'imported: pip install scikit-learn'
            ) from e

        images, labels = load_digits(return_X_y=True)
        # RandomState and not default_rng: NumPy freezes its stream, so the split never changes.
        rng = np.random.RandomState(0)
        in_test = np.zeros(len(labels), dtype=bool)
        for label in range(10):
            members = rng.permutation(np.flatnonzero(labels == label))
            in_test[members[:_TEST_IMAGES_PER_CLASS]] = True

        images = np.rint(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
        images = images.repeat(3, axis=3)
        return [
            dict(img=images[i], gt_label=int(labels[i]))
            for i in np.flatnonzero(in_test == (self.split == 'test'))
        ]

    def extra_repr(self) -> list[str]:
        """The extra repr information of the dataset."""
        return [f'Split: \t{self.split}']
