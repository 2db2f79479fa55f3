"""Images to try a training with: those of the training data, or random ones of a fitting size."""

import inspect
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmpretrain.registry import DATASETS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ..config.classes import class_name, class_of
from .errors import advice, describe
from .report import Report
from .sizes import Size, declared_size, pipeline_size, shown


class SplitImages(NamedTuple):
    """Images of a split of the data.

    Attributes:
        items (list[dict] | None): As the data set gives them; None where it could not be read.
        dataset (Dataset | None): The data set.
        why (str): Why there are none.
    """

    items: list[dict] | None
    dataset: Any
    why: str


def dataset_settings(cfg: Config) -> dict:
    """The config of the innermost training data set, or an empty dict."""
    settings = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    while isinstance(settings.get('dataset'), dict):
        settings = settings['dataset']
    return settings


def without_download(node: Any) -> Any:
    """A data set's config that does not download."""
    if isinstance(node, (list, tuple)):
        return [without_download(value) for value in node]
    if not isinstance(node, dict):
        return node
    settings = {key: without_download(value) for key, value in node.items()}
    bases = class_of(DATASETS, settings).mro()
    if any('download' in inspect.signature(base.__init__).parameters for base in bases):
        settings['download'] = False
    return settings


def read_images(report: Report, cfg: Config, split: str, number: int) -> SplitImages:
    """Images from all over the data of a split; a data set that is sorted begins with one class."""
    settings = (cfg.get(f'{split}_dataloader') or {}).get('dataset') or {}
    try:
        dataset = DATASETS.build(without_download(settings))
        rows = np.linspace(0, len(dataset) - 1, number).astype(int)
        return SplitImages([dataset[int(row)] for row in rows], dataset, '')
    except Exception as error:  # Anything may fail, in a pipeline too.
        # The second is what MMPretrain's CIFAR and MNIST raise.
        if isinstance(error, FileNotFoundError) or 'Cannot find' in str(error):
            place = settings.get('data_root') or 'the data'
            return SplitImages(None, None, f'{class_name(settings)}: {place} is not on the disk')
        text = f'`{split}_dataloader.dataset` fails: {describe(error, cfg)}'
        report.problem(text, advice(str(error)))
        return SplitImages(None, None, 'the data set fails, see the problem below')


def data_sets(report: Report, cfg: Config, training: Any) -> dict[str, Any]:
    """The data sets that there are by their split, that of validation first."""
    has_validation = cfg.get('val_dataloader')
    validation = read_images(report, cfg, 'val', 1).dataset if has_validation else None
    found = dict(val=validation, train=training)
    return {split: dataset for split, dataset in found.items() if dataset is not None}


def items_for_step(
    report: Report, cfg: Config, images: SplitImages, student: nn.Module, number: int
) -> list[dict]:
    """The images of the training data, or random ones, with a row that says which."""
    if images.items is not None:
        report.row('images', f'{number} of the training data')
        return images.items
    items, size = random_items(cfg, student, number)
    report.row('images', f'{number} random ones, {shown(size)}; {images.why}')
    return items


def random_items(cfg: Config, student: nn.Module, number: int) -> tuple[list[dict], Size]:
    """Images of noise, all of class 0, of the size that the pipeline or the student says."""
    size = pipeline_size(dataset_settings(cfg).get('pipeline'))
    size = size or declared_size(student) or (224, 224)
    widths = [m.in_channels for m in student.modules() if isinstance(m, torch.nn.Conv2d)]
    noise = torch.randint(0, 256, (number, (widths or [3])[0], *size)).byte()
    items = [
        # Some losses look the images up by their index.
        dict(inputs=image, data_samples=DataSample(metainfo=dict(sample_idx=index)))
        for index, image in enumerate(noise)
    ]
    for item in items:
        item['data_samples'].set_gt_label(0)
    return items, size


def preprocess(preprocessor: nn.Module, items: list[dict]) -> Tensor:
    """What the student gets of items."""
    inputs = pseudo_collate([item['inputs'] for item in items])
    return preprocessor(dict(inputs=inputs), False)['inputs']
