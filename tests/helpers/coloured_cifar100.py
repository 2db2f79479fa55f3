"""A small CIFAR-100 in the original file format, whose images have the colour of their class."""

import pickle

import numpy as np
import torch

from mdistiller_networks import Published

# Of the hundred classes, and red, green and blue of their images: channels that are mixed up turn
# one class into another.
COLOURS = {3: (200, 60, 60), 41: (60, 60, 200), 70: (60, 200, 60), 99: (128, 128, 128)}

# `sitecustomize.py` of processes that are to read these files: MMPretrain checks all but the
# checksums, and looks for no others on the network.
UNCHECKED = """\
import sys
from importlib.machinery import PathFinder


class Unchecked:
    @staticmethod
    def find_spec(name, path, target=None):
        if name != 'mmpretrain.datasets.cifar':
            return None
        spec = PathFinder.find_spec(name, path)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            module.CIFAR100.train_list = [['train', None]]
            module.CIFAR100.test_list = [['test', None]]
            module.CIFAR100.url = None

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Unchecked)
"""


def coloured_images(number, seed):
    """Noise about the colours of the classes, each of which is as frequent.

    Returns:
        tuple[ndarray, ndarray]: Images, uint8 (N, 3, 32, 32) as RGB, and labels (N,).
    """
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.resize(list(COLOURS), number))
    means = np.array([COLOURS[label] for label in labels])[..., None, None]
    noise = generator.normal(0, 20, (number, 3, 32, 32))
    return (means + noise).clip(0, 255).astype(np.uint8), labels


def write_cifar100(data_root, numbers):
    """Write the files that are in the archive of CIFAR-100.

    Args:
        data_root (Path): As in configs.
        numbers (dict[str, int]): Images of ``train`` and ``test``.
    """
    folder = data_root / 'cifar-100-python'
    folder.mkdir(parents=True)
    for seed, (split, number) in enumerate(numbers.items()):
        images, labels = coloured_images(number, seed)
        entry = {
            'filenames': [f'{index}.png' for index in range(number)],
            'batch_label': f'{split}ing batch 1 of 1',
            'fine_labels': labels.tolist(),
            'coarse_labels': (labels // 5).tolist(),
            # Rows of all red pixels, then all green ones, then all blue ones.
            'data': images.reshape(number, -1),
        }
        (folder / split).write_bytes(pickle.dumps(entry, protocol=2))
    names = {'fine_label_names': [f'fine {index}' for index in range(100)]}
    names['coarse_label_names'] = [f'coarse {index}' for index in range(20)]
    (folder / 'meta').write_bytes(pickle.dumps(names, protocol=2))


class Settled(Published):
    """A network of mdistiller whose random layers keep apart what they get.

    Its batch norm has the statistics of the first images, and its residuals are small.
    """

    def norm(self, x, name):
        self.get(f'{name}.running_mean', lambda: x.mean((0, 2, 3)))
        self.get(f'{name}.running_var', lambda: x.var((0, 2, 3)))
        if name.endswith('.bn2'):
            self.get(f'{name}.weight', lambda: torch.full((x.shape[1],), 0.2))
        return super().norm(x, name)

    def linear(self, x, name):
        self.features = x.mean((2, 3))
        return super().linear(x, name)


def save_teacher(name, path, number=192):
    """Write a checkpoint of mdistiller of a ResNet that tells the colours apart.

    Its last layer is fitted to the images, which are normalised as mdistiller does it.

    Args:
        name (str): As in mdistiller, ``resnet56`` or another that is called so.
        path (Path): To write to.
        number (int): Of images that it learns from.
    """
    images, labels = (torch.from_numpy(part) for part in coloured_images(number, seed=9))
    mean = torch.tensor([0.5071, 0.4867, 0.4408])[:, None, None]
    std = torch.tensor([0.2675, 0.2565, 0.2761])[:, None, None]
    network = Settled(name)
    # The constructor drew them for noise.
    network.weights.clear()
    network((images / 255 - mean) / std)
    inputs = torch.cat([network.features, torch.ones(number, 1)], 1)
    wanted = 8 * torch.nn.functional.one_hot(labels, 100).float()
    ridge = 0.01 * torch.eye(inputs.shape[1])
    solution = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ wanted)
    network.weights['fc.weight'], network.weights['fc.bias'] = solution[:-1].T, solution[-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(epoch=240, model=network.weights), path)
