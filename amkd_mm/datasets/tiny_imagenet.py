from __future__ import annotations

import os

from mmengine.fileio import get_file_backend, list_from_file
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS


@DATASETS.register_module()
class TinyImageNet(BaseDataset):
    """Tiny ImageNet (Stanford CS231n) in its original folder layout.

    200 classes of ImageNet at 64x64, with 500 training and 50 validation images each: ::

        tiny-imagenet-200
        ├── wnids.txt                     one WordNet id a line
        ├── words.txt                     id, tab, name; optional
        ├── train
        │   ├── n01443537
        │   │   └── images
        │   │       ├── n01443537_0.JPEG
        │   │       └── ...
        │   └── ...
        └── val
            ├── val_annotations.txt       file name, id and box, separated by tabs
            └── images
                ├── val_0.JPEG
                └── ...

    The boxes and the ``test`` folder, which has no labels, are not read and may be missing.

    A class has the label of its line in ``wnids.txt``, 0 to 199. That order is not alphabetical:
    checkpoints of programs that sort the folder names, as torchvision's ``ImageFolder`` does,
    number the classes differently.

    ``metainfo['classes']`` holds the names from ``words.txt``, or the ids where it has none;
    ``metainfo['wnids']`` holds the ids in label order.

    Every sample holds ``img_path`` and ``gt_label``. Begin the pipeline with
    ``LoadImageFromFile``, which turns the greyscale JPEG files (about 2 %) into three channels.

    Args:
        data_root (str or Path): The unpacked folder, such as 'data/tiny-imagenet-200'.
        split (str): 'train' or 'val'. Defaults to 'train'.
        metainfo (dict, optional): Meta information; its ``classes`` take precedence over
            ``words.txt``. Defaults to None.
        **kwargs: Other keyword arguments of MMPretrain's ``BaseDataset``.

    Raises:
        ValueError: If ``split`` has another value, or ``val_annotations.txt`` has a line without
            an id or with one that ``wnids.txt`` lacks.
        FileNotFoundError: If a file or folder of the layout is missing, or a folder of training
            images is empty.
    """

    IMG_EXTENSIONS = ('.jpeg', '.jpg', '.png')

    def __init__(
        self,
        data_root: str | os.PathLike,
        split: str = 'train',
        metainfo: dict | None = None,
        **kwargs,
    ):
        if split not in ('train', 'val'):
            raise ValueError(
                f"TinyImageNet: `split` must be 'train' or 'val', got {split!r}. "
                'The test images have no public labels.'
            )
        self.split = split
        # OneDL's MMEngine joins a `Path` to a `Path`, and all readers of `img_path` expect a str.
        super().__init__(ann_file='', metainfo=metainfo, data_root=os.fspath(data_root), **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the image paths and labels, and read the class names."""
        self._backend = get_file_backend(self.data_root, enable_singleton=True)
        wnids = [line.strip() for line in list_from_file(self._existing('wnids.txt'))]
        wnids = [wnid for wnid in wnids if wnid]

        words_file = self._backend.join_path(self.data_root, 'words.txt')
        words = {}
        if self._backend.exists(words_file):
            words = dict(line.split('\t', 1) for line in list_from_file(words_file) if '\t' in line)
        self._metainfo.setdefault('classes', tuple(words.get(wnid, wnid) for wnid in wnids))
        self._metainfo['wnids'] = tuple(wnids)

        labels = {wnid: label for label, wnid in enumerate(wnids)}
        return self._load_train(labels) if self.split == 'train' else self._load_val(labels)

    def _load_train(self, labels: dict[str, int]) -> list[dict]:
        data_list = []
        for wnid, label in labels.items():
            folder = self._existing('train', wnid, 'images')
            names = self._image_names(folder)
            if not names:
                raise FileNotFoundError(
                    f'TinyImageNet: no image in {folder}. {self._layout_hint()}'
                )
            data_list += [
                dict(img_path=self._backend.join_path(folder, name), gt_label=label)
                for name in names
            ]
        return data_list

    def _load_val(self, labels: dict[str, int]) -> list[dict]:
        ann_file = self._existing('val', 'val_annotations.txt')
        folder = self._existing('val', 'images')
        # One listing, not one look-up an image: on remote storage each look-up is a request.
        present = set(self._image_names(folder))
        data_list = []
        for number, line in enumerate(list_from_file(ann_file), 1):
            if not line.strip():
                continue
            name, wnid = (line.split() + [''])[:2]
            if wnid not in labels:
                raise ValueError(
                    f'TinyImageNet: line {number} of {ann_file} should be a file name '
                    f'and an id from wnids.txt, got {line!r}'
                )
            img_path = self._backend.join_path(folder, name)
            if name not in present:
                raise FileNotFoundError(
                    f'TinyImageNet: {img_path}, named in {ann_file}, does not '
                    f'exist. {self._layout_hint()}'
                )
            data_list.append(dict(img_path=img_path, gt_label=labels[wnid]))
        return data_list

    def _image_names(self, folder: str) -> list[str]:
        names = self._backend.list_dir_or_file(folder, list_dir=False)
        return sorted(name for name in names if name.lower().endswith(self.IMG_EXTENSIONS))

    def _existing(self, *parts: str) -> str:
        path = self._backend.join_path(self.data_root, *parts)
        if not self._backend.exists(path):
            raise FileNotFoundError(f'TinyImageNet: {path} does not exist. {self._layout_hint()}')
        return path

    def _layout_hint(self) -> str:
        return (
            f'Set `data_root` (now {str(self.data_root)!r}) to the unpacked original folder '
            'with wnids.txt, train/<wnid>/images/*.JPEG, val/val_annotations.txt and '
            'val/images/*.JPEG.'
        )

    def extra_repr(self) -> list[str]:
        """The extra repr information of the dataset."""
        return [f'Root of dataset: \t{self.data_root}', f'Split: \t{self.split}']
