"""Turn a ResNet state dict in the naming of BSS into an MMPretrain checkpoint.

For the CIFAR ResNets published with Boundary Supporting Samples (Heo et al. 2019,
https://github.com/bhheo/BSS_distillation) and for every network with the same names: conv1, bn1,
layerI.J.convK, layerI.J.bnK and linear. The result fits

    dict(type='ImageClassifier',
         backbone=dict(type='CifarResNet', depth=26),
         neck=dict(type='GlobalAveragePooling'),
         head=dict(type='LinearClsHead', num_classes=10, in_channels=64))

The published ResNet26 expects RGB images normalised with mean [125.307, 122.961, 113.8575] and std
[51.5865, 50.847, 51.255] (0 to 255), the values of MMPretrain's CIFAR-10 configs.
"""

import argparse
import os
import pickle
import re

import torch
from mmpretrain.registry import MODELS

import amkd_mm.backbones  # noqa: F401  registers CifarResNet

BACKBONE_KEY = re.compile(r'(conv1|bn1|layer([1-3])\.(\d+)\.(conv|bn)[12])\.\w+')


def load_state_dict(path: str) -> dict:
    """Read a plain state dict, or one below the key ``state_dict``."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f'SRC {path} does not exist')
    try:
        state_dict = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as e:
        # The files in the BSS repository are of this kind: they pickle the network object.
        raise ValueError(
            f'SRC {path} is not a file of tensors only. If it holds a whole network, '
            'load it where its code is at hand and save `net.state_dict()`.'
        ) from e
    if isinstance(state_dict, dict) and 'state_dict' in state_dict:
        state_dict = state_dict['state_dict']
    if not isinstance(state_dict, dict):
        raise ValueError(f'SRC {path} holds a {type(state_dict).__name__}, not a state dict')
    return state_dict


def convert(src: dict) -> dict:
    """Rename the keys, and check names and shapes against the network of the same depth.

    Args:
        src (dict[str, Tensor]): A state dict in the naming of BSS. ``num_batches_tracked``, which
            PyTorch before 0.4.1 did not have, may be missing.

    Returns:
        dict[str, Tensor]: The state dict of the ImageClassifier.

    Raises:
        ValueError: If keys are unknown or missing, or shapes do not fit.
    """
    dst, unknown, blocks = {}, [], {'1': set(), '2': set(), '3': set()}
    for key, value in src.items():
        match = BACKBONE_KEY.fullmatch(str(key))
        if match:
            dst[f'backbone.{key}'] = value
            if match[2]:
                blocks[match[2]].add(int(match[3]))
        elif key in ('linear.weight', 'linear.bias'):
            dst[key.replace('linear', 'head.fc')] = value
        else:
            unknown.append(key)
    if unknown:
        raise ValueError(
            f'{len(unknown)} of {len(src)} keys are not of a BSS ResNet (conv1, bn1, '
            f'layerI.J.convK, layerI.J.bnK, linear), such as {unknown[:5]}'
        )
    missing = [key for key in ('conv1.weight', 'linear.weight') if key not in src]
    if missing:
        raise ValueError(f'the state dict lacks {" and ".join(missing)}')
    num_blocks = len(blocks['1'])

    # CifarResNet rejects a depth it does not know, and the strict loading all else.
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(
                type='CifarResNet',
                depth=6 * num_blocks + 2,
                in_channels=src['conv1.weight'].shape[1],
            ),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead', num_classes=src['linear.weight'].shape[0], in_channels=64
            ),
        )
    )
    try:
        model.load_state_dict(dst)
    except RuntimeError as e:
        raise ValueError(
            f'the state dict does not fit a CifarResNet(depth={6 * num_blocks + 2}): {e}'
        ) from e
    return dict(model.state_dict())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', help='state dict in the naming of BSS')
    parser.add_argument('dst', help='checkpoint to write')
    args = parser.parse_args()

    src = load_state_dict(args.src)
    dst = convert(src)
    os.makedirs(os.path.dirname(os.path.abspath(args.dst)), exist_ok=True)
    torch.save(dict(state_dict=dst), args.dst)
    print(f'{len(src)} tensors read, {len(dst)} written to {args.dst}')


if __name__ == '__main__':
    main()
