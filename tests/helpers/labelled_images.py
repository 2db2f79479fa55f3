"""Data sets of images with labels."""

import torch
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset


class LabelledImages(Dataset):
    """Images and data samples, as MMPretrain's ``PackInputs`` gives them.

    Args:
        images (Sequence[Tensor]): (C, H, W) each.
        labels (Sequence): One of each image, or None for a data sample without.
        classes (Sequence[str], optional): Names of the classes.
    """

    def __init__(self, images, labels, classes=None):
        self.images, self.labels = images, labels
        self.metainfo = dict(classes=classes) if classes else dict()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        sample = DataSample(metainfo=dict(sample_idx=index))
        if self.labels[index] is not None:
            sample.set_gt_label(self.labels[index])
        return dict(inputs=self.images[index].clone(), data_samples=sample)


def random_images(number, channels=3, size=8, seed=0):
    """Noise, uint8 (N, C, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (number, channels, size, size)
    return torch.randint(0, 256, shape, generator=generator).to(torch.uint8)


@torch.no_grad()
def predictions(network, images, data_preprocessor=None):
    """The classes that a network in evaluation mode finds in images, as a list."""
    preprocessor = data_preprocessor or network.data_preprocessor
    inputs = preprocessor(dict(inputs=images), False)['inputs']
    return network.eval()(inputs, mode='tensor').argmax(1).tolist()
