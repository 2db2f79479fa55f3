"""A teacher that knows its digits, and short trainings of it on either device.

The tests of this folder compare what a GPU computes with what a CPU computes.
"""

import os
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch
from uuid import uuid4

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS
from mmrazor.utils import register_all_modules

from amkd_mm.attacks import BoundarySearch, BSSAttack

# Before cuBLAS begins: without it, `randomness.deterministic` is an error on a GPU.
os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def exact_float32():
    """Full precision, unless a test says otherwise: TF32 is on for convolutions by default."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def build(settings, preprocessor):
    """A model of a config, with weights from seed 0, on the CPU."""
    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.random.fork_rng():
        torch.manual_seed(0)
        model = MODELS.build(dict(settings, data_preprocessor=dict(preprocessor)))
        model.init_weights()
    return model


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
    """The teacher on the CPU, and images that it gets right, after training for some steps.

    Returns:
        SimpleNamespace: ``teacher``, normalised ``images`` (N, 3, 8, 8), ``labels`` (N,), and the
        file of its ``checkpoint``.
    """
    register_all_modules(False)
    cfg = Config.fromfile(ROOT / 'configs/vanilla/resnet26_1xb64_digits.py')
    teacher = build(cfg.model, cfg.data_preprocessor)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        digits = DATASETS.build(dict(type='Digits', split='train'))
    data = [digits.get_data_info(index) for index in range(len(digits))]
    images = torch.stack([torch.from_numpy(one['img']).permute(2, 0, 1) for one in data])
    images = (images.float() - 78) / 96
    labels = torch.tensor([one['gt_label'] for one in data])
    optimizer = torch.optim.Adam(teacher.parameters(), 0.005)
    for start in list(range(0, 1280, 128)) * 5:
        batch = slice(start, start + 128)
        optimizer.zero_grad()
        F.cross_entropy(teacher(images[batch], mode='tensor'), labels[batch]).backward()
        optimizer.step()
    teacher.eval()
    with torch.no_grad():
        right = teacher(images, mode='tensor').argmax(1) == labels
    assert right.float().mean() > 0.8
    checkpoint = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    torch.save(dict(state_dict=teacher.state_dict()), checkpoint)
    return SimpleNamespace(
        teacher=teacher,
        images=images[right][:256],
        labels=labels[right][:256],
        checkpoint=checkpoint,
    )


@pytest.fixture
def digits(trained, tmp_path):
    """A config of two epochs of four batches of 32 images, with weights to begin with."""

    def make(method='amkd', **options):
        names = dict(amkd='amkd', bss='bss', kd='kd_logits')
        folder = method.split('_')[0]
        cfg = Config.fromfile(
            ROOT / f'configs/{folder}/{names[method]}_resnet26_resnet8_1xb64_digits.py'
        )
        cfg.merge_from_dict(
            {
                'model.teacher_ckpt': str(trained.checkpoint),
                'train_dataloader.batch_size': 32,
                'train_dataloader.dataset.indices': 128,
                'train_cfg.max_epochs': 2,
                'optim_wrapper.optimizer.lr': 0.01,
                'randomness.seed': 0,
                'work_dir': str(tmp_path / uuid4().hex),
                'experiment_name': uuid4().hex,
                'log_level': 'ERROR',
            }
        )
        for use in ('val', 'test'):
            for part in ('cfg', 'dataloader', 'evaluator'):
                cfg[f'{use}_{part}'] = None
        start = tmp_path / f'{method}.pth'
        if not start.exists():
            model = build(cfg.model, cfg.data_preprocessor)
            torch.save(dict(state_dict=model.state_dict()), start)
        cfg.load_from = str(start)
        cfg.merge_from_dict(options)
        return cfg

    return make


class History(Hook):
    """Losses of each step, and the student's first weights after it."""

    priority = 'LOWEST'

    def __init__(self):
        self.losses, self.weights = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({name: torch.as_tensor(value).item() for name, value in outputs.items()})
        model = getattr(runner.model, 'module', runner.model)
        self.weights.append(model.student.backbone.conv1.weight.detach().cpu().clone())


@pytest.fixture
def train():
    """Trains a config on a device.

    Returns:
        Callable: From config, device and preparation of the Runner to ``losses`` and ``weights`` of
        each step, results of the ``attacks``, the whole ``state`` in the end, and the ``runner``.
    """

    def run(cfg, device, prepare=None):
        attacks = []

        def noting(attack):
            call = attack.__call__

            def noted(self, model, inputs, *args, **kwargs):
                result = call(self, model, inputs, *args, **kwargs)
                attacks.append(result)
                return result

            return patch.object(attack, '__call__', noted)

        history = History()
        place = 'mmengine.runner.runner.get_device'
        with patch(place, lambda: str(device)), noting(BoundarySearch), noting(BSSAttack):
            runner = Runner.from_cfg(cfg)
            runner.register_hook(history)
            if prepare is not None:
                prepare(runner)
            runner.train()
        model = getattr(runner.model, 'module', runner.model)
        assert next(model.parameters()).device.type == torch.device(device).type
        return SimpleNamespace(
            losses=history.losses,
            weights=history.weights,
            attacks=attacks,
            state={name: value.cpu() for name, value in model.student.state_dict().items()},
            runner=runner,
        )

    return run
