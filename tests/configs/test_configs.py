"""The shipped configs are few and short, and every one of them makes training steps."""

import os
import re
import statistics
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
FOLDER = ROOT / 'configs'
BASES = FOLDER / '_base_'
CONFIGS = sorted(FOLDER.glob('[a-z]*/*.py'))
# Of codes instead of classes, by pairs of their own: tests/configs/test_hashing.py.
HASHING = {'cibhash', 'brcd'}
CLASSIFICATION = [path for path in CONFIGS if path.parent.name not in HASHING]
PAIRS = sorted((BASES / 'pairs').glob('*.py'))
METHODS = sorted({path.parent.name for path in CONFIGS})
# How the file names of configs name a pair, data and students; a plain method has each.
MATRIX = {
    path.stem.removeprefix('amkd_')
    for path in CONFIGS
    if path.parent.name == 'amkd' and not path.stem.endswith(('device-augment', 'reuse1'))
}
# The pairs of CIFAR-100 that the literature compares on, of like and of unlike architecture.
TABLE = [
    'resnet56_resnet20',
    'resnet110_resnet20',
    'resnet110_resnet32',
    'resnet32x4_resnet8x4',
    'wrn-40-2_wrn-16-2',
    'wrn-40-2_wrn-40-1',
    'vgg13_vgg8',
    'vgg13_mobilenet-v2',
    'resnet50_mobilenet-v2',
    'resnet50_vgg8',
    'resnet32x4_shufflenet-v1',
    'resnet32x4_shufflenet-v2',
    'wrn-40-2_shufflenet-v1',
]
# The methods that have all of them: folders, and how the names of their configs begin.
TABLE_METHODS = dict(
    kd='kd_logits',
    dkd='dkd',
    logit_standardization='logit_standardization',
    bss='bss',
    amkd='amkd',
    mixes='amkd-dkd',
)
OF_TABLE = {
    FOLDER / folder / f'{prefix}_{pair}_1xb64_cifar100.py'
    for folder, prefix in TABLE_METHODS.items()
    for pair in TABLE
}
# Parts that no shipped config has, for a config of one's own: a pair for them, and what is taken
# over of it.
PAIR, STUDENT = 'model = _base_.pair', 'model = dict(architecture=_base_.pair.architecture)'
OTHER_PARTS = dict(
    abloss_pretrain_resnet50_resnet18=('resnet50_resnet18_in1k', PAIR),
    amkd_feature=('resnet26_resnet8_digits', PAIR),
    at_resnet50_resnet18=('resnet50_resnet18_in1k', PAIR),
    byot_resnet18=('resnet50_resnet18_in1k', STUDENT),
    crd_resnet50_resnet18=('resnet50_resnet18_in1k', PAIR),
    factor_transfer_resnet50_resnet18=('resnet50_resnet18_in1k', PAIR),
    factor_transfer_pretrain_resnet50_resnet18=('resnet50_resnet18_in1k', PAIR),
    fitnets_resnet50_resnet18=('resnet50_resnet18_in1k', PAIR),
    msff_resnet50_resnet18=('resnet50_resnet18_in1k', PAIR),
    ofd_resnet50_resnet18=('resnet50_resnet18_in1k', PAIR),
    wsld_in1k=('resnet50_resnet18_in1k', PAIR),
)
BATCH, STEPS = 4, 2


@DATASETS.register_module()
class RandomImages(torch.utils.data.Dataset):
    """Stands in for data that is not there: uint8 images and labels, before PackInputs."""

    metainfo = dict()

    def __init__(self, number, size, pipeline):
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randint(0, 256, (number, size, size, 3), generator=generator)
        self.labels = torch.arange(number) % 2
        # The images are in memory already.
        steps = [step for step in pipeline if step['type'] != 'LoadImageFromFile']
        self.pipeline = Compose(steps)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = self.images[index].numpy().astype('uint8')
        label = int(self.labels[index])
        return self.pipeline(dict(img=image, gt_label=label, sample_idx=index))


def test_there_are_configs_for_all_methods_and_data():
    """AMKD and what it is compared with on every pair; every other method on two pairs."""
    assert {name.rpartition('_')[2] for name in MATRIX} == {
        *('digits', 'cifar10', 'cifar10-folder', 'cifar100', 'tiny-imagenet', 'in1k')
    }
    assert len(MATRIX) == 25
    for method, prefix in dict(kd='kd_logits_', bss='bss_').items():
        names = {path.stem for path in CONFIGS if path.parent.name == method}
        assert names == {prefix + name for name in MATRIX}
    networks = {path.stem for path in CONFIGS if path.parent.name == 'vanilla'}
    pairs = [name.split('_', 2) for name in MATRIX]
    of_pairs = {f'{name}_{rest}' for *both, rest in pairs for name in both}
    assert networks == of_pairs | {'wrn-16-2_1xb64_digits'}
    own = {'vanilla', 'kd', 'bss', 'amkd', 'mixes', 'multi_teacher', *HASHING}
    for method in {*METHODS} - own:
        paths = [path for path in CONFIGS if path.parent.name == method]
        # RSLAD also makes the robust teachers, of one network from itself.
        paths = [path for path in paths if 'resnet26_resnet26' not in path.stem]
        # DKD has two of ImageNet, too, with settings of their own.
        names = [path.stem for path in paths if 'in1k' not in path.stem or method == 'dist']
        if method in TABLE_METHODS:
            names = [n for n in names if 'cifar100' not in n or 'resnet56_resnet20' in n]
        stages = ['_pretrain', '_train'] if method in ('factor_transfer', 'abloss') else ['']
        for stage in stages:
            ours = [name for name in names if name.endswith(f'_digits{stage}')]
            theirs = [name for name in names if name.endswith(stage) and name not in ours]
            assert len(ours) == len(theirs) == 1, method
        assert len(names) == 2 * len(stages)


def test_the_table_of_the_literature_is_whole():
    """Thirteen pairs by each method, with the published schedule, and each network alone."""
    assert len(TABLE) == 13 and {*CONFIGS} >= OF_TABLE
    for name in TABLE:
        pair = BASES / 'pairs' / f'{name.replace("-", "_")}_cifar100.py'
        assert all(pair in bases_of(path) for path in OF_TABLE if f'_{name}_' in path.stem)
        cfg = Config.fromfile(pair)
        rate = 0.01 if name.endswith(('-v1', '-v2')) else 0.05
        assert cfg.optim_wrapper.optimizer.to_dict() == dict(
            type='SGD', lr=rate, momentum=0.9, weight_decay=0.0005
        )
        assert cfg.param_scheduler.milestones == [150, 180, 210]
        assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size) == (240, 64)
        # The teacher's own training has the usual rate, whatever the student's is.
        alone = FOLDER / 'vanilla' / f'{Path(cfg.pair.teacher_ckpt).parent.name}.py'
        assert Config.fromfile(alone).optim_wrapper.optimizer.lr == 0.05


# Of the authors' code: the weight of the classes that are not the label.
BETAS = {'resnet56': 2, 'resnet110': 2, 'resnet32x4': 8, 'resnet50': 8, 'wrn-40-2': 6, 'vgg13': 6}


@pytest.mark.parametrize('pair', TABLE)
def test_dkd_has_the_published_weights(pair):
    teacher, student = pair.split('_')
    beta = 8 if pair == 'wrn-40-2_shufflenet-v1' else BETAS[teacher]
    dkd = Config.fromfile(FOLDER / f'dkd/dkd_{pair}_1xb64_cifar100.py')
    mix = Config.fromfile(FOLDER / f'mixes/amkd-dkd_{pair}_1xb64_cifar100.py')
    losses = dkd.model.distiller.distill_losses, mix.model.distiller.distill_losses
    for loss in (losses[0].loss_dkd, losses[1].loss_kl):
        assert loss.to_dict() == dict(
            type='DKDLoss', tau=4, alpha=1, beta=beta, reduction='batchmean'
        )
    # Both rise in the same way.
    rises = dkd.default_hooks.dkd_weight.to_dict(), mix.default_hooks.kl_weight.to_dict()
    assert dict(rises[0], loss='loss_kl') == rises[1]


def test_configs_are_short():
    configs = [*CONFIGS, *FOLDER.glob('[a-z]*/pure_python/*.py')]
    lines = [len(path.read_text().splitlines()) for path in configs]
    assert statistics.median(lines) <= 8
    assert max(len(path.read_text().splitlines()) for path in CONFIGS) < 15


def test_published_kd_is_what_the_page_says():
    """mdistiller's loss, computed plainly, with the options of the page."""
    text = (FOLDER / 'kd/README.md').read_text()
    options = dict(item.split('=') for item in re.findall(r'model\.\S+=[\d.]+', text))
    assert len(options) == 2
    (name,) = re.findall(r'train.py (\S+\.py) --cfg-options', text)
    cfg = Config.fromfile(ROOT / name)
    cfg.merge_from_dict({key: float(value) for key, value in options.items()})
    cfg.model.teacher_ckpt = None
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    images, labels = torch.randn(4, 3, 8, 8), torch.tensor([1, 2, 3, 4])
    found = model.loss(images, [DataSample().set_gt_label(label) for label in labels])
    student, teacher = (
        getattr(model.distiller, f'{side}_recorders').get_recorder('logits').get_record_data()
        for side in ('student', 'teacher')
    )
    p, q = (teacher / 4).softmax(1), (student / 4).log_softmax(1)
    divergence = (p * (p.log() - q)).sum(1).mean() * 4**2
    torch.testing.assert_close(found['distill.loss_kl'], 0.9 * divergence)
    expected = -student.log_softmax(1)[torch.arange(4), labels].mean()
    torch.testing.assert_close(found['student.loss'], 0.1 * expected)


def bases_of(path):
    """The parts that a config is made of, its bases' bases included."""
    found = set()
    text = path.read_text()
    for name in re.findall(r"'(\.[\w./-]+\.py)'", text[: text.find(']', text.find('_base_ = ['))]):
        base = (path.parent / name).resolve()
        found |= {base} | bases_of(base)
    return found


def test_every_part_is_in_use():
    """In a config, or in one that the tests below make of it."""
    parts = {part for path in CONFIGS for part in bases_of(path)} - {*CONFIGS}
    assert {*PAIRS} <= parts
    for name in OTHER_PARTS:
        path = BASES / 'distillers' / f'{name}.py'
        assert path not in parts, f'{name} is in a config: it needs no test of its own'
    for name in OTHER_PARTS:
        path = BASES / 'distillers' / f'{name}.py'
        parts |= {path} | bases_of(path)
    assert parts == {*BASES.rglob('*.py')}


@pytest.mark.parametrize('path', PAIRS, ids=lambda path: path.stem)
def test_the_teacher_of_a_pair_is_what_its_own_config_trains(path):
    """The checkpoint is the last of that config, whose network and data are the pair's."""
    cfg = Config.fromfile(path)
    pair = cfg.pair
    if 'teachers' in pair:
        given = pair.teachers.teacher
        pair = dict(teacher=given.build_cfg, teacher_ckpt=given.ckpt_path)
    if isinstance(pair['teacher_ckpt'], dict):
        members, paths = pair['teacher'].members, pair['teacher_ckpt']
        assert members.keys() == paths.keys()
        for name, path in paths.items():
            check_teacher(cfg, members[name], path)
        return
    if '://' in pair['teacher_ckpt']:
        name = pair['teacher']['cfg_path'].rpartition('/')[2].removesuffix('.py')
        assert pair['teacher_ckpt'].rpartition('/')[2].startswith(name)
        return
    check_teacher(cfg, pair['teacher'], pair['teacher_ckpt'])


def check_teacher(cfg, teacher, path):
    """The checkpoint of a teacher is what the config of that name trains."""
    folder, name, checkpoint = Path(path).parts
    own = 'cibhash' if name.startswith('cibhash') else 'vanilla'
    alone = Config.fromfile(FOLDER / own / f'{name}.py')
    assert (folder, checkpoint) == ('work_dirs', f'epoch_{alone.train_cfg.max_epochs}.pth')
    assert alone.model == teacher
    for key in ('data_preprocessor', 'train_dataloader', 'val_dataloader'):
        assert alone[key] == cfg[key]


@pytest.mark.parametrize('path', CLASSIFICATION, ids=lambda path: path.stem)
def test_builds_and_steps(path, tmp_path, teachers):
    check_steps(path, path.parent.name, tmp_path, teachers)


@pytest.mark.parametrize(
    'name',
    [
        # The autoencoder of 2,048 channels takes ten seconds.
        pytest.param(name, marks=[pytest.mark.slow] * name.startswith('factor_transfer'))
        for name in OTHER_PARTS
    ],
)
def test_parts_of_no_config(name, tmp_path, teachers):
    pair, model = OTHER_PARTS[name]
    path = tmp_path / f'{name}_{pair}.py'
    parts = [f'{BASES}/pairs/{pair}.py', f'{BASES}/distillers/{name}.py']
    path.write_text(f'_base_ = {parts}\n{model}\n')
    check_steps(path, 'mixes', tmp_path, teachers)


def test_mjkd_beside_amkd(tmp_path, teachers):
    """MJKD's momenta, as its page shows them for a file beside AMKD's configs."""
    text = (ROOT / 'configs/mjkd/README.md').read_text().split('```python\n')[1].split('```')[0]
    path = tmp_path / 'mix_digits.py'
    path.write_text(text.replace("'./", f"'{ROOT}/configs/amkd/"))
    check_steps(path, 'mixes', tmp_path, teachers)


@pytest.fixture(scope='module')
def teachers(tmp_path_factory):
    """Gives a checkpoint as a config expects it, of a teacher without training; one a network."""
    folder, saved = tmp_path_factory.mktemp('teachers'), {}

    def save(config):
        name = repr(config)
        if name not in saved:
            teacher = MODELS.build(config)
            teacher.init_weights()
            settle(teacher)
            # It gives class 0, which half of the images have, so that these can be base samples.
            teacher.head.fc.weight.data *= 1e-6
            teacher.head.fc.bias.data[0] += 1
            saved[name] = str(folder / f'{len(saved)}.pth')
            save_checkpoint(dict(state_dict=teacher.state_dict()), saved[name])
        return saved[name]

    return save


def settle(network):
    """Give batch norm the statistics of noise, or features of a hundred layers grow too large."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(8, 3, 32, 32), mode='tensor')


def image_size(path):
    """Pixels of an edge: as the data has, but for ImageNet's networks, which take any size."""
    if 'digits' in path.stem:
        return 8
    if path.parent.name in TABLE_METHODS:
        # They look at logits and pooled features only.
        return 32 if 'in1k' in path.stem else 8
    if 'in1k' in path.stem:
        # BYOT's classifiers are made for one size.
        return 224 if 'byot' in path.stem else 64
    return 64 if 'tiny' in path.stem else 32


def reduce_images(pipeline, size):
    """Let the pipeline of ImageNet end with smaller images."""
    for step in pipeline:
        if step['type'] == 'RandomResizedCrop':
            step['scale'] = size


def check_steps(path, method, tmp_path, teachers):
    """Build the config, train for two steps on random images, and look at the losses."""
    cfg = Config.fromfile(path)
    init_default_scope('mmpretrain')
    loader = cfg.train_dataloader
    loader.update(batch_size=BATCH, num_workers=0, persistent_workers=False)
    # So that each batch has images that the teacher gets right.
    loader.sampler = dict(type='DefaultSampler', shuffle=False)
    size, pipeline = image_size(path), loader.dataset.pipeline
    reduce_images(pipeline, size)
    # They are many, and their distillers take two steps elsewhere.
    steps = 1 if path in OF_TABLE else STEPS
    loader.dataset = dict(type='RandomImages', number=BATCH * steps, size=size, pipeline=pipeline)
    if 'teacher' in cfg.model:
        members = cfg.model.teacher.get('members', {})
        found = {name: teachers(member) for name, member in members.items()}
        cfg.model.teacher_ckpt = found or teachers(cfg.model.teacher)
    for teacher in cfg.model.get('teachers', {}).values():
        teacher.ckpt_path = teachers(teacher.build_cfg)
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
        crd.update(sample_n=BATCH * STEPS, neg_num=8)

    runner = Runner(
        cfg.model,
        str(tmp_path),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=cfg.optim_wrapper,
        data_preprocessor=cfg.data_preprocessor,
        default_scope='mmpretrain',
        default_hooks=dict(with_loose_choice(cfg.default_hooks), checkpoint=None),
        experiment_name=path.stem + tmp_path.name,
    )
    student = getattr(runner.model, 'student', runner.model)
    # Or the Runner does so later, and everything seems to have moved.
    runner.model.init_weights()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    runner.train()
    assert runner.iter == steps
    assert all(torch.isfinite(value).all() for value in runner.model.state_dict().values())
    parameters = dict(student.named_parameters())
    moved = [name for name, p in parameters.items() if not torch.equal(p, before[name])]
    if cfg.model.get('student_trainable', True):
        assert len(moved) > 0.9 * len(parameters)
    else:
        # Nor do the statistics of batch norm.
        after = student.state_dict()
        assert all(torch.equal(after[name], value) for name, value in before.items())

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


def with_loose_choice(hooks):
    """An untrained student is rarely right: do not ask it."""
    if 'boundary_samples' in hooks:
        hooks.boundary_samples.update(num_samples=1.0, student_correct=False, keep_unreached=True)
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
    config = Config.fromfile(ROOT / 'configs/_base_/distillers/amkd_feature.py').model
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
