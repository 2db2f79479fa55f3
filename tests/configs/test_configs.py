"""Every shipped config builds, and every distillation config makes a training step."""

import os
import subprocess
import sys
from pathlib import Path

import amkd_mm  # noqa: F401

import mmrazor
import pytest
import torch
import torch.nn.functional as F
import yaml
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import save_checkpoint
from mmpretrain.registry import DATASETS
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS

from given_samples import step_with_samples

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / 'configs').glob('[a-z]*/*.py'))
IMAGE_SIZES = dict(digits=8, tiny=64, in1k=224)
BATCH = 4


@DATASETS.register_module()
class RandomImages(torch.utils.data.Dataset):
    """Stands in for data that is not there: uint8 images and labels, before PackInputs."""

    metainfo = dict()

    def __init__(self, size, pipeline):
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randint(0, 256, (BATCH, size, size, 3), generator=generator)
        self.labels = torch.arange(BATCH) % 2
        # The images are in memory already.
        steps = [step for step in pipeline if step['type'] != 'LoadImageFromFile']
        self.pipeline = Compose(steps)

    def __len__(self):
        return BATCH

    def __getitem__(self, index):
        image = self.images[index].numpy().astype('uint8')
        label = int(self.labels[index])
        return self.pipeline(dict(img=image, gt_label=label, sample_idx=index))


def test_there_are_configs_for_all_methods_and_data():
    names = [path.stem for path in CONFIGS]
    for data in ('digits', 'cifar10', 'cifar10-folder'):
        for student in ('resnet8', 'resnet14'):
            for method in ('kd_logits', 'bss', 'amkd'):
                assert any(
                    n.startswith(f'{method}_resnet26_{student}_') and n.endswith(f'_{data}')
                    for n in names
                )
    for method in ('kd_logits', 'bss', 'amkd'):
        assert f'{method}_resnet50_resnet18_8xb32_in1k' in names
    for data in ('cifar100', 'tiny-imagenet'):
        for pair in ('resnet56_resnet20', 'resnet50_resnet18'):
            for method in ('kd_logits', 'bss', 'amkd'):
                assert any(n.startswith(f'{method}_{pair}_') and n.endswith(data) for n in names)


def test_a_pair_needs_few_lines():
    for path in CONFIGS:
        lines = [line for line in path.read_text().splitlines() if line.strip()]
        assert len(lines) < 15, path


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_builds_and_steps(path, tmp_path):
    check_step(path, path.parent.name, tmp_path)


def test_mjkd_beside_amkd(tmp_path):
    """MJKD's momenta, as its page shows them for a file beside AMKD's configs."""
    text = (ROOT / 'configs/mjkd/README.md').read_text().split('```python\n')[1].split('```')[0]
    path = tmp_path / 'mix_digits.py'
    path.write_text(text.replace("'./", f"'{ROOT}/configs/amkd/"))
    check_step(path, 'mixes', tmp_path)


def check_step(path, method, tmp_path):
    """Build the config, train for a step on random images, and look at the losses."""
    cfg = Config.fromfile(path)
    init_default_scope('mmpretrain')
    stem = path.stem.removesuffix('_pretrain').removesuffix('_train')
    data = stem.rsplit('_', 1)[1].split('-')[0]
    loader = cfg.train_dataloader
    loader.update(batch_size=BATCH, num_workers=0, persistent_workers=False)
    loader.dataset = dict(
        type='RandomImages',
        size=IMAGE_SIZES.get(data, 32),
        pipeline=loader.dataset.pipeline,
    )
    if 'teacher' in cfg.model:
        cfg.model.teacher_ckpt = save_teacher(cfg.model.teacher, tmp_path)
    for teacher in cfg.model.get('teachers', {}).values():
        teacher.ckpt_path = save_teacher(teacher.build_cfg, tmp_path)
    if 'init_cfg' in cfg.model:
        # A first stage's; that the second reads all of it is tested in test_peers.py.
        first = str(tmp_path / 'first.pth')
        student = MODELS.build(cfg.model.architecture.to_dict()).state_dict()
        student = {f'architecture.{name}': value for name, value in student.items()}
        save_checkpoint(dict(state_dict=student), first)
        cfg.model.init_cfg.checkpoint = first
    crd = cfg.model.get('distiller', {}).get('distill_losses', {}).get('loss_crd')
    if crd:
        # A memory of all images of ImageNet takes a gigabyte.
        crd.update(sample_n=BATCH, neg_num=8)

    runner = Runner(
        cfg.model,
        str(tmp_path),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=cfg.optim_wrapper,
        data_preprocessor=cfg.data_preprocessor,
        default_scope='mmpretrain',
        custom_hooks=with_loose_choice(cfg.get('custom_hooks', [])),
        default_hooks=dict(checkpoint=None),
        experiment_name=path.stem + tmp_path.name,
    )
    student = getattr(runner.model, 'student', runner.model)
    # Or the Runner does so later, and everything seems to have moved.
    runner.model.init_weights()
    before = {name: p.detach().clone() for name, p in student.named_parameters()}
    runner.train()
    assert all(torch.isfinite(p).all() for p in student.parameters())
    moved = [not torch.equal(p, before[name]) for name, p in student.named_parameters()]
    # Zero-initialised residual branches stay for a step, and some first stages train no student.
    trained = cfg.model.get('student_trainable', True)
    assert sum(moved) > 0.7 * len(moved) if trained else not any(moved)

    scalars = runner.message_hub.log_scalars
    expected = dict(
        vanilla=set(),
        kd={'loss_kl'},
        bss={'loss_kl', 'loss_boundary'},
        amkd={'loss_kl', 'loss_boundary', 'loss_triplet'},
    )
    if method not in expected:
        expected[method] = set(cfg.model.distiller.distill_losses)
    found = {key.split('.')[-1] for key in scalars if key.startswith('train/distill.loss_')}
    assert found == expected[method]


def save_teacher(config, tmp_path):
    """A checkpoint as a config expects it, of a teacher without training."""
    teacher = MODELS.build(config)
    teacher.init_weights()
    # It gives class 0, which half of the images have, so that these can be base samples.
    teacher.head.fc.weight.data *= 1e-6
    teacher.head.fc.bias.data[0] += 1
    save_checkpoint(dict(state_dict=teacher.state_dict()), str(tmp_path / 'teacher.pth'))
    return str(tmp_path / 'teacher.pth')


def with_loose_choice(hooks):
    """An untrained student is rarely right: do not ask it."""
    for hook in hooks:
        if hook['type'].endswith('BoundarySampleHook'):
            hook.update(num_samples=1.0, student_correct=False, keep_unreached=True)
    return hooks


def test_every_config_is_in_a_metafile():
    listed = []
    for metafile in yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']:
        listed += yaml.safe_load((ROOT / metafile).read_text())['Models']
    assert sorted(model['Config'] for model in listed) == sorted(
        path.relative_to(ROOT).as_posix() for path in CONFIGS
    )


@pytest.mark.skipif(torch.__version__ >= (2, 0), reason='MMRazor does not import unaided')
def test_trains_under_mmrazors_own_tool(tmp_path):
    """`custom_imports` is all that MMRazor needs, where it works at all."""
    tool = Path(mmrazor.__file__).parent / '.mim/tools/train.py'
    teacher = MODELS.build(Config.fromfile(ROOT / 'configs/_base_/models/cifar_resnet.py').resnet26)
    save_checkpoint(dict(state_dict=teacher.state_dict()), str(tmp_path / 'teacher.pth'))
    config = ROOT / 'configs/amkd/amkd_resnet26_resnet8_1xb64_digits.py'
    options = ['train_cfg.max_epochs=1', f'model.teacher_ckpt={tmp_path}/teacher.pth']
    run = subprocess.run(
        [sys.executable, tool, config, '--work-dir', tmp_path, '--cfg-options', *options],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert 'teacher.accuracy/top1' in run.stdout
    assert (tmp_path / 'epoch_1.pth').exists()


def cifar_resnet(depth, num_classes=10):
    return dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(type='CifarResNet', depth=depth),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=num_classes, in_channels=64),
    )


def test_embeddings_of_different_width_and_a_feature_loss():
    """The distances are measured in the teacher's space, by the losses' own definition."""
    torch.manual_seed(0)
    config = Config.fromfile(ROOT / 'configs/_base_/distillers/feature.py').model
    teacher = dict(
        cifar_resnet(8),
        backbone=dict(type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=32),
    )
    connector = config.distiller.connectors.embedding
    connector.module_args = dict(in_features=64, out_features=32)
    model = MODELS.build(dict(config, architecture=cifar_resnet(8), teacher=teacher)).train()
    inputs = torch.randn(10, 3, 32, 32)
    samples = [DataSample().set_gt_label(index % 2) for index in range(10)]
    losses = step_with_samples(model, inputs, samples, num_clean=6)

    def records(side, index):
        recorders = getattr(model.distiller, f'{side}_recorders')
        return recorders.get_recorder('embedding').get_record_data(index)

    connect = model.distiller.connectors['embedding'].func
    assert connect.weight.shape == (32, 64) and not records('teacher', 0).requires_grad
    ours = F.normalize(connect(records('student', 0)), dim=1)
    theirs = F.normalize(records('teacher', 0), dim=1)
    feature = (ours - theirs).square().sum(1).mean()
    torch.testing.assert_close(losses['distill.loss_feature'], feature)

    labels = torch.tensor([sample.gt_label.item() for sample in samples])
    hinges = []
    for anchor, label in zip(connect(records('student', 1)), labels[:4], strict=True):
        distances = (F.normalize(anchor, dim=0) - theirs).norm(dim=1)
        same = labels[:6] == label
        hinges.append(F.relu(distances[same].mean() - distances[~same].min() + 0.3))
    torch.testing.assert_close(losses['distill.loss_triplet'], torch.stack(hinges).mean())
