"""Turn a checkpoint of mdistiller's networks for small images into one of MMPretrain.

The toolbox of Decoupled Knowledge Distillation (Zhao et al. 2022,
https://github.com/megvii-research/mdistiller) publishes the teachers that the literature compares
with on CIFAR-100, as `cifar_teachers.tar`.

NAME is that of mdistiller. The result is a checkpoint for `model.teacher_ckpt`; the config that it
records, which builds the model, also says how mdistiller normalises images, and the teacher then
gets such images.
"""

import argparse
import os
import pickle
import re
from pathlib import Path

# First, because it registers the networks.
import amkd_mm  # noqa: F401

import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

MODEL_PARTS = Path(__file__).resolve().parents[2] / 'configs/_base_/models'

RESNETS = [f'resnet{size}' for size in ('8', '14', '20', '32', '44', '56', '110', '8x4', '32x4')]
WRNS = ['wrn_16_1', 'wrn_16_2', 'wrn_40_1', 'wrn_40_2']
VGGS = ['vgg8', 'vgg11', 'vgg13', 'vgg16', 'vgg19']
# Names of mdistiller: the part of `configs/_base_/models`, and the name of the network in it.
NETWORKS = {
    **{name: ('cifar_resnet_cifar100', name) for name in RESNETS},
    'ResNet18': ('mmpretrain_resnet_cifar100', 'resnet18'),
    'ResNet50': ('mmpretrain_resnet_cifar100', 'resnet50'),
    **{name: ('wrn_cifar100', name) for name in WRNS},
    **{name: ('vgg_cifar100', name) for name in VGGS},
    'MobileNetV2': ('mobile_cifar100', 'mobilenet_v2_x0_5'),
    'ShuffleV1': ('mobile_cifar100', 'shufflenet_v1'),
    'ShuffleV2': ('mobile_cifar100', 'shufflenet_v2'),
}

# How mdistiller normalises images of 0 to 1, by the number of classes: CIFAR-100, Tiny ImageNet.
NORMALIZATIONS = {
    100: dict(mean=(0.5071, 0.4867, 0.4408), std=(0.2675, 0.2565, 0.2761)),
    200: dict(mean=(0.4802, 0.4481, 0.3975), std=(0.2302, 0.2265, 0.2262)),
}

# Of a convolution (0) and the batch norm after it (1) in a sequence of these and activations.
PART = ('conv', 'bn')


def vgg_layer(match: re.Match) -> str:
    """Blocks are convolution, batch norm and ReLU in turn; ours may begin with a pooling."""
    block, index = int(match[1]), int(match[2])
    pooling = int(block in (1, 2, 3))
    return f'backbone.layer{block + 1}.{index // 3 + pooling}.{PART[index % 3]}'


def mobilenet_block(match: re.Match) -> str:
    """Convolution, batch norm and ReLU in turn."""
    stage, block, index = (int(group) for group in match.groups())
    return f'backbone.layer{stage + 1}.{block}.conv.{index // 3}.{PART[index % 3]}'


def shufflenet_v2_unit(match: re.Match) -> str:
    """The first unit of a stage has two convolutions on its left, and three on its right."""
    stage, unit, kind, number = int(match[1]) - 1, int(match[2]), match[3], int(match[4]) - 1
    branch = 2
    if unit == 0:
        branch, number = (1, number) if number < 2 else (2, number - 2)
    return f'backbone.layers.{stage}.{unit}.branch{branch}.{number}.{kind}'


# Patterns of names of modules, and what replaces them, by the type of our backbone.
RENAMES = {
    'CifarResNet': [
        (r'conv1|bn1|layer[123]\.\d+\.(?:(?:conv|bn)[12]|downsample\.[01])', r'backbone.\g<0>'),
        (r'fc', 'head.fc'),
    ],
    'ResNet_CIFAR': [
        (r'conv1|bn1|layer[1-4]\.\d+\.(?:conv|bn)[123]', r'backbone.\g<0>'),
        (r'(layer[1-4]\.\d+)\.shortcut\.([01])', r'backbone.\1.downsample.\2'),
        (r'linear', 'head.fc'),
    ],
    'CifarWideResNet': [
        (r'conv1|bn1', r'backbone.\g<0>'),
        (r'block([123])\.layer\.(\d+)\.((?:conv|bn)[12])', r'backbone.layer\1.\2.\3'),
        (r'block([123])\.layer\.(\d+)\.convShortcut', r'backbone.layer\1.\2.downsample'),
        (r'fc', 'head.fc'),
    ],
    'CifarVGG': [
        (r'block([0-4])\.(\d+)', vgg_layer),
        (r'classifier', 'head.fc'),
    ],
    'CifarMobileNetV2': [
        (r'(conv[12])\.([01])', lambda match: f'backbone.{match[1]}.{PART[int(match[2])]}'),
        (r'blocks\.([0-6])\.(\d+)\.conv\.([013467])', mobilenet_block),
        (r'classifier\.0', 'head.fc'),
    ],
    'CifarShuffleNetV1': [
        (r'(conv|bn)1', lambda match: f'backbone.conv1.{match[1]}'),
        (
            r'(layer[123]\.\d+)\.(conv|bn)([123])',
            lambda match: f'backbone.{match[1]}.conv{match[3]}.{match[2]}',
        ),
        (r'linear', 'head.fc'),
    ],
    'CifarShuffleNetV2': [
        (r'(conv|bn)1', lambda match: f'backbone.conv1.{match[1]}'),
        (r'(conv|bn)2', lambda match: f'backbone.layers.3.{match[1]}'),
        (r'layer([123])\.(\d+)\.(conv|bn)([1-5])', shufflenet_v2_unit),
        (r'linear', 'head.fc'),
    ],
}


def load_state_dict(path: str) -> dict:
    """Read a state dict, plain or below the key ``model``.

    Args:
        path (str): A file.

    Returns:
        dict[str, Tensor]: The state dict.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds something else, or what PyTorch would have to run to read it.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'SRC {path} does not exist')
    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise ValueError(
            f'SRC {path} is not a file of tensors and plain values: {error}. Load it where its '
            "code is at hand, and save `dict(model=checkpoint['model'])`"
        ) from error
    state_dict = checkpoint.get('model', checkpoint) if isinstance(checkpoint, dict) else checkpoint
    if not isinstance(state_dict, dict) or not all(map(torch.is_tensor, state_dict.values())):
        raise ValueError(
            f'SRC {path} is no checkpoint of mdistiller: neither it nor its `model` is a state dict'
        )
    return state_dict


def build_config(name: str, num_classes: int) -> dict:
    """The config of a network of mdistiller.

    Args:
        name (str): As in mdistiller.
        num_classes (int): Of the classifier.

    Returns:
        dict: ``model``, and ``data_preprocessor`` where mdistiller has data of so many classes.
    """
    part, own_name = NETWORKS[name]
    model = Config.fromfile(MODEL_PARTS / f'{part}.py')[own_name].to_dict()
    model['head']['num_classes'] = num_classes
    config = dict(model=model)
    if num_classes in NORMALIZATIONS:
        # MMPretrain's are for pixels of 0 to 255.
        values = {
            key: [round(255 * value, 4) for value in values]
            for key, values in NORMALIZATIONS[num_classes].items()
        }
        config['data_preprocessor'] = dict(
            type='ClsDataPreprocessor',
            num_classes=num_classes,
            **values,
            # Files are loaded as BGR, and MMPretrain's CIFAR-100 as RGB.
            to_rgb=num_classes == 200,
        )
    return config


def convert(name: str, src: dict) -> tuple[dict, dict]:
    """Rename the keys, and check names and shapes against our network.

    Args:
        name (str): As in mdistiller, a key of ``NETWORKS``.
        src (dict[str, Tensor]): The state dict of that network. ``num_batches_tracked`` may be
            missing. It may also be that of mdistiller's distiller, whose student is converted.

    Returns:
        tuple[dict, dict]: The state dict of MMPretrain's classifier, and its config.

    Raises:
        ValueError: If the name or keys are unknown, keys are missing, or shapes do not fit.
    """
    if name not in NETWORKS:
        raise ValueError(f'NAME {name!r} is not one of {", ".join(NETWORKS)}')
    # That of a network in several processes.
    src = {key.removeprefix('module.'): value for key, value in src.items()}
    student = {key: value for key, value in src.items() if key.startswith('student.')}
    if student:
        src = {key.removeprefix('student.'): value for key, value in student.items()}
    heads = [src[key] for key in src if re.fullmatch(r'(fc|linear|classifier(\.0)?)\.bias', key)]
    config = build_config(name, len(heads[0]) if heads else 100)
    renames = RENAMES[config['model']['backbone']['type']]

    dst, unknown = {}, []
    for key, value in src.items():
        module, _, attribute = key.rpartition('.')
        for pattern, replacement in renames:
            match = re.fullmatch(pattern, module)
            if match:
                new = replacement(match) if callable(replacement) else match.expand(replacement)
                dst[f'{new}.{attribute}'] = value
                break
        else:
            unknown.append(key)
    if unknown:
        raise ValueError(
            f'{len(unknown)} of {len(src)} keys are not of a {name} of mdistiller, '
            f'such as {unknown[:5]}'
        )
    model = MODELS.build(config['model'])
    fold_biases(dst)
    try:
        model.load_state_dict(dst)
    except RuntimeError as error:
        raise ValueError(f'the state dict does not fit a {name} of mdistiller: {error}') from error
    return dict(model.state_dict()), config


def fold_biases(state_dict: dict) -> None:
    """Move biases of convolutions, as VGG has them, into the mean of the batch norm after them.

    Batch norm subtracts what a bias adds, so that nothing but the running mean depends on it.
    """
    for key in [key for key in state_dict if key.endswith('.conv.bias')]:
        mean = f'{key.removesuffix("conv.bias")}bn.running_mean'
        if mean in state_dict:
            state_dict[mean] = state_dict[mean] - state_dict.pop(key)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('name', metavar='NAME', help=f'one of {", ".join(NETWORKS)}')
    parser.add_argument('src', metavar='SRC', help='checkpoint of mdistiller')
    parser.add_argument('dst', metavar='DST', help='checkpoint to write')
    args = parser.parse_args()

    src = load_state_dict(args.src)
    dst, config = convert(args.name, src)
    os.makedirs(os.path.dirname(os.path.abspath(args.dst)), exist_ok=True)
    meta = dict(cfg=Config(config).pretty_text)
    torch.save(dict(state_dict=dst, meta=meta), args.dst)
    print(f'{len(src)} tensors read, {len(dst)} written to {args.dst}')
    if 'data_preprocessor' not in config:
        print(
            f'How its images were normalised is not known: mdistiller has no data of '
            f'{config["model"]["head"]["num_classes"]} classes. Set '
            '`model.teacher.data_preprocessor=dict(mean=..., std=..., to_rgb=...)`'
        )


if __name__ == '__main__':
    main()
