"""Size of the networks of settings: ``python -m amkd_mm.benchmarking.complexity FOLDER...``.

A process of its own, so that what building them prints, keeps or breaks stays apart.
"""

import hashlib
import json
import sys
import traceback
from pathlib import Path

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm  # noqa: F401

import torch
from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmrazor.utils import register_all_modules
from torch import nn

from amkd_mm.benchmarking.settings import load_config
from amkd_mm.benchmarking.tables import replace
from amkd_mm.config.model_settings import model_settings

MILLION = 1e6


def image_shape(cfg: Config) -> tuple[int, ...]:
    """Channels, height and width of the validation images, as the pipeline packs them."""
    return tuple(DATASETS.build(cfg.val_dataloader.dataset)[0]['inputs'].shape)


def identity_of(network: nn.Module) -> str:
    """The same for the same weights' names and shapes."""
    shapes = sorted((name, tuple(value.shape)) for name, value in network.state_dict().items())
    return hashlib.sha1(repr(shapes).encode()).hexdigest()


def size_of(network: nn.Module, shape: tuple[int, ...]) -> dict:
    """Parameters and multiply-adds for one image, both in millions."""
    network.eval()
    try:
        with torch.no_grad():
            info = get_model_complexity_info(network, shape, show_table=False, show_arch=False)
        macs = info['flops'] / MILLION
    except Exception:
        traceback.print_exc()
        macs = None
    parameters = sum(parameter.numel() for parameter in network.parameters()) / MILLION
    return dict(parameters=parameters, macs=macs, identity=identity_of(network))


def networks_of(cfg: Config) -> dict:
    """Sizes of the student, of the teacher, None without one, and of several teachers together.

    ``alone`` tells whether the config trains the network without distillation.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model, shape = MODELS.build(model_settings(cfg)), image_shape(cfg)
    alone = 'architecture' not in cfg.model
    teachers = []
    if 'teachers' in cfg.model:
        teachers = list(model.teachers.values())
    elif cfg.model.get('teacher') is not None:
        # For larger images it sizes them itself.
        teachers = [model.teacher]
    return dict(
        student=size_of(model if alone else model.architecture, shape),
        teacher=combined([size_of(teacher, shape) for teacher in teachers]),
        alone=alone,
    )


def combined(sizes: list[dict]) -> dict | None:
    """Several networks as one, none as None."""
    if not sizes:
        return None
    macs = [size['macs'] for size in sizes]
    return dict(
        parameters=sum(size['parameters'] for size in sizes),
        macs=None if None in macs else sum(macs),
        identity=' '.join(size['identity'] for size in sizes),
    )


def main() -> None:
    """Write ``networks.json`` beside each ``settings.json`` whose networks can be built."""
    register_all_modules(False)
    for folder in map(Path, sys.argv[1:]):
        print(folder)
        try:
            noted = json.loads((folder / 'settings.json').read_text(encoding='utf-8'))
            cfg = load_config(noted['config'], noted['options'], import_custom_modules=True)
            replace(folder / 'networks.json', json.dumps(networks_of(cfg)))
        except Exception:
            traceback.print_exc()


if __name__ == '__main__':
    main()
