"""`tools/analysis_tools/check_pair.py`: what it says of good pairs and of bad ones."""

import re
import sys
from functools import partial
from pathlib import Path

import amkd_mm  # noqa: F401

# isort: split
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from amkd_mm.datasets import Digits
from amkd_mm.diagnostics.trial_step import TrialStep

ROOT = Path(__file__).resolve().parents[2]
# ResNet8 twice, so that the teacher is soon trained.
CONFIGS = ROOT / 'configs'
DIGITS = CONFIGS / 'amkd/amkd_resnet26_resnet8_1xb64_digits.py'
TEACHER = ROOT / 'configs/vanilla/resnet26_1xb64_digits.py'
SMALL = 'model.teacher.backbone.depth=8'
PREPROCESSOR = dict(type='ClsDataPreprocessor', mean=[78.0] * 3, std=[96.0] * 3)


def classifier(backbone, head):
    return dict(type='ImageClassifier', backbone=backbone, head=dict(num_classes=10, **head))


RESNET = dict(
    classifier(dict(type='CifarResNet', depth=8), dict(type='LinearClsHead', in_channels=64)),
    neck=dict(type='GlobalAveragePooling'),
)
VIT = classifier(
    dict(
        type='VisionTransformer',
        arch=dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16),
        img_size=32,
        patch_size=4,
    ),
    dict(type='VisionTransformerClsHead', in_channels=16),
)
# MMPretrain's LeViT has no smaller architecture.
LEVIT = dict(
    classifier(
        dict(type='LeViT', arch='128s', img_size=64, out_indices=(2,)),
        dict(type='LeViTClsHead', in_channels=384, distillation=False),
    ),
    neck=dict(type='GlobalAveragePooling'),
)


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('analysis_tools/check_pair.py')


@pytest.fixture
def run(tool, monkeypatch, capsys):
    """Runs the script; gives its exit status and what it prints."""

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['check_pair.py', *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            tool.main()
        output = capsys.readouterr()
        return end.value.code, output.out + output.err

    return run


@pytest.fixture
def write(tmp_path):
    """Writes the config of a pair on digits."""

    def write(architecture=RESNET, teacher=RESNET, base='amkd', **settings):
        networks = dict(architecture=architecture, teacher=teacher)
        lines = [
            '_base_ = [',
            f"    '{ROOT}/configs/_base_/datasets/digits_bs64.py',",
            f"    '{ROOT}/configs/_base_/distillers/{base}.py']",
        ]
        for key, network in networks.items():
            networks[key] = dict(network, _scope_='mmpretrain')
        lines.append(f'model = dict(**{networks}, **{settings.pop("model", {})})')
        lines += [f'{key} = {value}' for key, value in settings.items()]
        path = tmp_path / 'pair.py'
        path.write_text('\n'.join(lines))
        return path

    return write


def build(network):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(dict(network))


@pytest.fixture
def save(tmp_path):
    """Saves weights of a network as they are drawn."""

    def save(network, name='teacher.pth'):
        torch.manual_seed(0)
        model = build(network)
        # No zeros, which those of some heads are at first.
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.1)
        torch.save(dict(state_dict=model.state_dict()), tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A teacher that knows the digits, a ResNet8."""
    torch.manual_seed(0)
    model = build(dict(RESNET, data_preprocessor=PREPROCESSOR)).train()
    data = Digits(pipeline=[])
    images = torch.stack([torch.from_numpy(item['img']).permute(2, 0, 1) for item in data])
    labels = torch.tensor([item['gt_label'] for item in data])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 - epoch / 12)
    for _ in range(12):
        for rows in torch.randperm(len(labels)).split(64):
            # Cropped as those of the config.
            top, left = torch.randint(0, 3, (2,)).tolist()
            batch = F.pad(images[rows], (1,) * 4)[..., top : top + 8, left : left + 8]
            logits = model((batch - 78.0) / 96.0, mode='tensor')
            optimizer.zero_grad()
            F.cross_entropy(logits, labels[rows]).backward()
            optimizer.step()
        schedule.step()
    path = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


def table(text):
    """The cells of each row."""
    rows = [re.split(r'\s{2,}', line) for line in text.split('\n\n')[0].splitlines()]
    return {label: cells for label, *cells in rows}


def other_problems(text):
    """How many there are besides a teacher that guesses, as those with random weights do."""
    found = re.findall(r'^(\d+) problem', text, re.MULTILINE)
    return sum(map(int, found)) - ' '.join(text.split()).count('which is guessing among')


def test_good_pair(run, trained):
    status, text = run(DIGITS, '--cfg-options', SMALL, f'model.teacher_ckpt={trained}')
    rows = table(text)
    assert (status, text.splitlines()[-1]) == (0, 'OK')
    assert rows['network'] == ['CifarResNet', 'CifarResNet']
    parameters = sum(p.numel() for p in build(RESNET).parameters())
    assert rows['parameters'] == [f'{parameters / 1e6:.3g} million'] * 2
    assert rows['classes'] == ['10', '10'] and rows['data set'] == ['Digits, 10 classes']
    assert rows['embedding'] == ['64', '64'] and rows['logits'] == ['8x10', '8x10']
    assert rows['input'] == ['8x8, 3 channels', '8x8']
    assert rows['mean'] == ['78, 78, 78'] * 2 and rows['std'] == ['96, 96, 96'] * 2
    assert rows['images'] == ['8 of the training data']
    right, number = map(int, re.search(r'right on (\d+) of (\d+)', rows['labels'][0]).groups())
    assert number == 8 and right > 5
    made, attacked = re.match(r'(\d) of (\d) attacked', rows['boundary samples'][0]).groups()
    # A quarter of the images, of which the teacher may get one wrong.
    assert made == attacked and attacked in '12'
    assert 'folded copy' in rows['teacher runs in'][0]
    assert 'MiB' in rows['memory'][0] and 'synchronising' not in text
    losses = [float(rows[f'distill.loss_{name}'][0]) for name in ('kl', 'boundary', 'triplet')]
    total = sum(losses) + float(rows['student.loss'][0])
    assert float(rows['loss'][0]) == pytest.approx(total, rel=1e-2)
    assert max(len(line) for line in text.splitlines()) <= 100


def test_batch_size(run, trained):
    options = ['--cfg-options', SMALL, f'model.teacher_ckpt={trained}']
    _, text = run(DIGITS, '--batch-size', 4, *options)
    assert table(text)['logits'] == ['4x10', '4x10']


def test_class_counts(run, write, save):
    head = dict(RESNET['head'], num_classes=7)
    seven = dict(RESNET, head=head)
    status, text = run(write(seven, RESNET, model=dict(teacher_ckpt=str(save(RESNET)))))
    assert status == 1 and text.endswith('2 problem(s)\n')
    assert 'student has 7 classes and the teacher 10' in text.replace('\n', ' ')
    assert 'write: model.architecture.head.num_classes=10' in text
    assert table(text)['classes'] == ['7', '10']

    more = dict(RESNET, head=dict(head, num_classes=12))
    status, text = run(write(more, more, model=dict(teacher_ckpt=str(save(more)))))
    assert status == 0
    assert 'note: the data set has 10 classes and the teacher 12' in text


def test_missing_checkpoint_does_not_hide_other_problems(run):
    """The step goes on with a random teacher."""
    options = ['model.teacher_ckpt=nowhere.pth']
    options += ['model.distiller.distill_losses.loss_kl.loss_weight=1e300']
    status, text = run(DIGITS, '--cfg-options', SMALL, *options)
    assert status == 1 and text.endswith('2 problem(s)\n')
    assert "problem: model.teacher_ckpt: 'nowhere.pth' does not exist" in text
    assert 'write: model.teacher_ckpt=' in text
    assert 'problem: the losses are not finite: loss, distill.loss_kl' in text
    assert 'model.distiller.distill_losses.loss_kl' in text
    assert 'Traceback' not in text


@pytest.mark.parametrize('given', ['None', "''"])
def test_teacher_without_checkpoint(run, given):
    status, text = run(DIGITS, '--cfg-options', SMALL, f'model.teacher_ckpt={given}')
    assert status == 1 and 'the teacher has no checkpoint: its weights are random' in text
    # Or nothing would be attacked.
    assert table(text)['labels'] == ["the teacher's own answers"]
    assert 'of 2 attacked' in table(text)['boundary samples'][0]


def test_wrong_checkpoint(run, save, tmp_path):
    other = save(dict(RESNET, backbone=dict(type='CifarResNet', depth=14)))
    status, text = run(DIGITS, '--cfg-options', SMALL, f'model.teacher_ckpt={other}')
    assert status == 1 and text.endswith('1 problem(s)\n')
    assert 'does not fit the teacher' in ' '.join(text.split())
    assert 'student.loss' in table(text)

    text_file = tmp_path / 'text.pth'
    text_file.write_text('no checkpoint')
    status, text = run(DIGITS, '--cfg-options', SMALL, f'model.teacher_ckpt={text_file}')
    assert status == 1 and 'problem: model.teacher_ckpt:' in text
    assert 'does not load' in ' '.join(text.split())


def test_broken_weights(run, save):
    path = save(RESNET)
    checkpoint = torch.load(path)
    checkpoint['state_dict']['head.fc.bias'][3] = float('nan')
    torch.save(checkpoint, path)
    status, text = run(DIGITS, '--cfg-options', SMALL, f'model.teacher_ckpt={path}')
    text = ' '.join(text.split())
    assert status == 1 and "'head.fc.bias' has 1 values of 10 that are NaN or infinite" in text


@pytest.mark.parametrize('word', ['config', 'checkpoint'])
def test_other_normalisation(run, write, save, word):
    other = dict(mean=[10.0, 20.0, 30.0], std=[40.0, 50.0, 60.0], to_rgb=True)
    path, teacher = save(RESNET), RESNET
    if word == 'config':
        teacher = dict(RESNET, data_preprocessor=other)
    else:
        checkpoint = torch.load(path)
        text = f'model = dict(type="ImageClassifier")\ndata_preprocessor = dict(**{other})'
        text = text.replace('**', '')
        torch.save(dict(checkpoint, meta=dict(cfg=text)), path)
    status, text = run(write(RESNET, teacher, model=dict(teacher_ckpt=str(path))))
    rows = table(text)
    assert other_problems(text) == 0
    assert rows['mean'] == ['78, 78, 78', '10, 20, 30']
    assert rows['std'] == ['96, 96, 96', '40, 50, 60']
    assert rows['channel order'] == ['as loaded', 'reversed']
    assert rows['teacher inputs'] == [f'normalised anew, as its {word} says']


@pytest.mark.parametrize('teacher, text, size', [(VIT, 'made for', 32), (LEVIT, 'refuses', 64)])
def test_teacher_of_another_size(run, write, save, teacher, text, size):
    model = dict(teacher_ckpt=str(save(teacher)))
    status, found = run(write(RESNET, teacher, model=model))
    assert status == 1 and other_problems(found) == 1
    assert f'problem: the teacher {"is " * (teacher is VIT)}{text}' in found
    assert f'write: model.teacher_input_size={size}\n' in found
    assert 'student.loss' in table(found)

    model['teacher_input_size'] = size
    status, found = run(write(RESNET, teacher, model=model))
    assert other_problems(found) == 0, found
    assert table(found)['input'] == ['8x8, 3 channels', f'{size}x{size}']


def test_teacher_with_a_wrong_size(run, write, save):
    """It is given the size that it takes, so that the step can be tried."""
    model = dict(teacher_ckpt=str(save(LEVIT)), teacher_input_size=32)
    status, found = run(write(RESNET, LEVIT, model=model))
    assert status == 1 and other_problems(found) == 1
    assert 'the teacher refuses images of 32x32' in found
    assert 'write: model.teacher_input_size=64\n' in found
    assert table(found)['input'][-1] == '64x64'


def test_student_of_another_size(run, write, save):
    status, found = run(write(LEVIT, RESNET, model=dict(teacher_ckpt=str(save(RESNET)))))
    assert status == 1 and other_problems(found) == 1
    assert 'the student refuses images of 8x8' in found
    assert "write: dict(type='Resize', scale=64)" in found
    assert table(found)['input'] == ['64x64, 3 channels', '64x64']
    assert 'student.loss' in table(found)


def test_distilled_student(run, write, save):
    student = dict(LEVIT, head=dict(LEVIT['head'], distillation=True))
    status, text = run(write(student, RESNET, model=dict(teacher_ckpt=str(save(RESNET)))))
    assert status == 1 and text.endswith('1 problem(s)\n')
    assert 'write: model.architecture.head.distillation=False' in text
    assert table(text)['network'] == ['LeViT', 'CifarResNet']


def test_several_labels(run, write):
    student = dict(RESNET, head=dict(RESNET['head'], type='MultiLabelLinearClsHead'))
    status, text = run(write(student))
    assert status == 1
    assert 'problem: model.architecture.head: MultiLabelLinearClsHead classifies' in text


def test_untrained_head_has_no_boundary(run, write):
    """A head of zeros is honestly reported, and not as a fault of the attack."""
    teacher = dict(VIT, backbone=dict(VIT['backbone'], img_size=8))
    status, text = run(write(RESNET, teacher))
    assert status == 1 and text.endswith('1 problem(s)\n')
    assert table(text)['boundary samples'][0].startswith('none')
    assert 'the largest input gradient of the teacher is 0.0e+00' in ' '.join(text.split())


def test_teacher_that_is_wrong(run, write, save):
    """Of a trained one nothing is relabelled, and what it gets wrong is not attacked."""
    path = save(RESNET)
    checkpoint = torch.load(path)
    checkpoint['state_dict']['head.fc.bias'][0] += 1e4
    torch.save(checkpoint, path)
    hook = dict(type='mmrazor.BoundarySampleHook', attack=dict(type='BoundarySearch'))
    status, text = run(
        write(
            model=dict(teacher_ckpt=str(path)),
            default_hooks=dict(boundary_samples=dict(hook, num_samples=1)),
        )
    )
    labels = [item['gt_label'] for item in Digits(pipeline=[])]
    zeros = sum(labels[int(i * (len(labels) - 1) / 7)] == 0 for i in range(8))
    assert status == 1 and other_problems(text) == 0
    assert f'right on {zeros} of 8' in table(text)['labels'][0]
    assert table(text)['boundary samples'][0].startswith('none')
    assert f'the teacher is right on {zeros} of 8 images' in ' '.join(text.split())


def test_mixed_images(run, write, save):
    """The hook refuses them; the step is tried without."""
    augments = dict(augments=dict(type='Mixup', alpha=0.8))
    settings = dict(data_preprocessor=dict(batch_augments=augments))
    path = write(model=dict(teacher_ckpt=str(save(RESNET))), **settings)
    status, text = run(path)
    assert status == 1 and text.endswith('1 problem(s)\n')
    assert 'write: data_preprocessor.batch_augments=None' in text
    assert 'student.loss' in table(text)


def test_synchronised_batch_norm(run, write, save):
    backbone = dict(RESNET['backbone'], norm_cfg=dict(type='SyncBN'))
    network = dict(RESNET, backbone=backbone)
    status, text = run(write(network, network, model=dict(teacher_ckpt=str(save(RESNET)))))
    assert status == 0 and 'student.loss' in table(text)
    assert 'note: the teacher runs without synchronising batch norm' in text


def test_connector_of_other_widths(run, write, save):
    teacher = dict(VIT, backbone=dict(VIT['backbone'], img_size=8))
    model = dict(teacher_ckpt=str(save(teacher)))
    status, text = run(write(RESNET, teacher, base='connector', model=model))
    write_this = 'model.distiller.connectors.embedding.module_args='
    write_this += 'dict(in_features=64, out_features=16)'
    assert status == 1 and f'write: {write_this}' in text

    fitting = dict(embedding=dict(module_args=dict(in_features=64, out_features=16)))
    model['distiller'] = dict(connectors=fitting)
    assert run(write(RESNET, teacher, base='connector', model=model))[0] == 0

    # Without a loss that compares them it is only worth a note.
    status, text = run(write(RESNET, teacher, model=dict(teacher_ckpt=model['teacher_ckpt'])))
    assert status == 0 and 'note: the embeddings have 64 and 16 features' in text


def test_data_that_is_not_there(run, monkeypatch):
    """Nothing is downloaded; the images are random, of the size of the pipeline."""

    downloads = []

    def refuse(*args, **kwargs):
        downloads.append(args)

    for name in ('cifar', 'mnist'):
        monkeypatch.setattr(f'mmpretrain.datasets.{name}.download_and_extract_archive', refuse)
    config = ROOT / 'configs/kd/kd_logits_resnet26_resnet8_1xb256_cifar10.py'
    status, text = run(config, '--batch-size', 2, '--cfg-options', 'model.teacher_ckpt=None')
    rows = table(text)
    assert status == 1 and text.endswith('1 problem(s)\n')
    assert rows['images'][0].startswith('2 random ones, 32x32; CIFAR10')
    assert rows['boundary samples'][0].startswith('none asked for')
    assert not downloads


def test_data_that_fails(run):
    options = ['model.teacher_ckpt=None', 'train_dataloader.dataset.split=foo']
    status, text = run(DIGITS, '--cfg-options', SMALL, *options)
    assert status == 1 and text.endswith('2 problem(s)\n')
    assert "problem: `train_dataloader.dataset` fails: Digits: `split` must be 'train'" in text


def test_data_is_never_downloaded(tool):
    """By no data set that could, however deep it is."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        nested = dict(type='KFoldDataset', dataset=dict(type='CIFAR100', data_root='x'))
        assert tool.without_download(nested)['dataset']['download'] is False
        assert 'download' not in tool.without_download(nested)
        assert tool.without_download(dict(type='MNIST'))['download'] is False
        assert 'download' not in tool.without_download(dict(type='CustomDataset'))


def test_two_configs(run, trained, tmp_path):
    """The student's data and preprocessor, and the teacher's own normalisation."""
    teacher = Config.fromfile(TEACHER)
    teacher.model.backbone.depth = 8
    teacher.data_preprocessor.mean = [50.0] * 3
    teacher.train_dataloader.dataset.pipeline[0].crop_size = 12
    teacher.dump(tmp_path / 'teacher.py')
    student = 'amkd_mm::vanilla/resnet14_1xb64_digits.py'
    status, text = run(tmp_path / 'teacher.py', student, '--teacher-ckpt', trained)
    rows = table(text)
    assert status == 0, text
    assert rows['mean'] == ['78, 78, 78', '50, 50, 50']
    assert float(rows['parameters'][0].split()[0]) > float(rows['parameters'][1].split()[0])
    assert 'distill.loss_kl' in rows
    assert 'write: model.teacher_input_size=12' in text


def test_wrong_usage(run, tmp_path):
    broken = tmp_path / 'broken.py'
    broken.write_text('model = dict(')
    for arguments, message in (
        (['absent.py'], 'config: no such file: absent.py'),
        ([TEACHER, 'absent.py'], 'STUDENT_CFG: no such file: absent.py'),
        ([broken], 'cannot be read'),
        ([TEACHER], 'of two networks give TEACHER_CFG and STUDENT_CFG'),
        ([TEACHER, DIGITS], 'STUDENT_CFG: it must be that of a network alone'),
        ([TEACHER] * 3, 'unrecognized arguments'),
        (['mmpretrain::resnet/absent.py', TEACHER], 'no such config: mmpretrain::resnet/absent.py'),
        (['absent_package::a.py', TEACHER], 'no such package with configs: absent_package'),
        ([DIGITS, '--batch-size', '1'], 'at least 2'),
        ([DIGITS, '--cfg-options', 'test_pipeline.9.x=1'], '--cfg-options: Index 9'),
    ):
        status, text = run(*arguments)
        assert status == 2 and message in text, arguments


@pytest.mark.parametrize(
    'transforms, size',
    [
        (
            [dict(type='RandomResizedCrop', scale=224), dict(type='RandomFlip', prob=0.5)],
            (224, 224),
        ),
        ([dict(type='Resize', scale=64), dict(type='RandomCrop', crop_size=32)], (32, 32)),
        ([dict(type='Resize', scale=(30, 20))], (20, 30)),
        ([dict(type='mmpretrain.CenterCrop', crop_size=(20, 30))], (20, 30)),
        ([dict(type='torchvision/RandomResizedCrop', size=176)], (176, 176)),
        ([dict(type='ResizeEdge', scale=256), dict(type='PackInputs')], (256, 256)),
        ([dict(type='LoadImageFromFile'), dict(type='ColorJitter')], None),
        ([], None),
    ],
)
def test_size_of_a_pipeline(tool, transforms, size):
    assert tool.size_of(transforms) == size


def test_gradients(tool):
    """Where they are missing is a note, unless looked for; where they must not be, a problem."""
    algorithm = torch.nn.Module()

    def check(**settings):
        report = tool.Report()
        step = TrialStep(dict(loss=1.0), {}, ['head.fc.bias'], ['neck.weight'])
        tool.check_step(report, step, algorithm, Config(settings))
        return report

    report = check()
    ((text, write),) = report.notes.items()
    assert 'head.fc.bias' in text and write == 'find_unused_parameters=True'
    assert len(report.problems) == 1 and 'neck.weight' in str(report.problems)
    report = check(find_unused_parameters=True)
    assert not report.notes and len(report.problems) == 1
    wrapped = check(model_wrapper_cfg=dict(type='DDP'))
    assert list(wrapped.notes.values()) == ['model_wrapper_cfg.find_unused_parameters=True']
    algorithm.teacher_trainable = True
    assert not check().problems


def test_images_from_all_over_the_data(tool):
    """A data set that is sorted would otherwise give one class."""
    cfg = Config.fromfile(DIGITS)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        items, dataset, why = tool.items_of(tool.Report(), cfg, 'train', 3)
    rows = [0, (len(dataset) - 1) // 2, len(dataset) - 1]
    labels = [dataset.get_data_info(row)['gt_label'] for row in rows]
    assert not why
    assert [int(item['data_samples'].gt_label) for item in items] == labels
    assert labels != [dataset.get_data_info(row)['gt_label'] for row in range(3)]


def test_takes_a_config_of_mmrazor_that_names_mmcls(run):
    path = 'mmrazor::distill/mmcls/kd/kd_logits_resnet34_resnet18_8xb32_in1k.py'
    options = ['--batch-size', 2, '--cfg-options', 'model.teacher_ckpt=none.pth']
    status, output = run(path, *options)
    # The checkpoint, which would be downloaded, is all that is wrong.
    assert status == 1 and '1 problem(s)' in output and 'none.pth' in output
    assert 'distill.loss_kl' in output and 'nothing reads' not in output


def test_accuracy_of_the_teacher(run, trained):
    """Of the images of validation, whatever the 8 of the step are."""
    status, text = run(DIGITS, '--cfg-options', SMALL, f'model.teacher_ckpt={trained}')
    row = table(text)['teacher accuracy'][0]
    right, number = map(int, re.search(r'right on (\d+) of (\d+) images', row).groups())
    assert number == 256 and '(val_dataloader); chance is 0.1' in row

    model = build(dict(RESNET, data_preprocessor=PREPROCESSOR)).eval()
    model.load_state_dict(torch.load(trained)['state_dict'])
    data = Digits(split='test', pipeline=[])
    rows = np.random.default_rng(0).permutation(len(data))[:256]
    images = torch.stack([torch.from_numpy(data[int(i)]['img']).permute(2, 0, 1) for i in rows])
    labels = torch.tensor([data[int(i)]['gt_label'] for i in rows])
    with torch.no_grad():
        expected = model((images - 78.0) / 96.0, mode='tensor').argmax(1) == labels
    assert right == int(expected.sum()) and status == 0


def spoiled(path, strength, logged=None):
    """A checkpoint with noise on its weights, and the accuracy that its training logged."""
    checkpoint = torch.load(path)
    generator = torch.Generator().manual_seed(0)
    weight = checkpoint['state_dict']['head.fc.weight']
    noise = torch.randn(weight.shape, generator=generator) * weight.std()
    checkpoint['state_dict']['head.fc.weight'] = weight + strength * noise
    if logged is not None:
        history = HistoryBuffer()
        history.update(logged)
        checkpoint['message_hub'] = dict(log_scalars={'val/accuracy/top1': history})
    spoiled = path.parent / f'spoiled_{strength}_{logged}.pth'
    torch.save(checkpoint, spoiled)
    return spoiled


def test_weak_teachers(run, trained):
    def check(path):
        status, text = run(DIGITS, '--cfg-options', SMALL, f'model.teacher_ckpt={path}')
        return status, ' '.join(text.split())

    status, text = check(spoiled(trained, 100))
    assert status == 1 and re.search(r'problem: the teacher is right .* guessing among 10', text)
    # Better than guessing, and for all that is known as good as it can be.
    half = next(p for p in map(partial(spoiled, trained), (2, 3, 4, 6)) if accuracy(p) < 0.5)
    assert accuracy(half) > 0.25
    status, text = check(half)
    assert status == 0 and re.search(r'OK, but the teacher is weak: right on \d+ of 256', text)
    strength = float(half.stem.split('_')[1])
    status, text = check(spoiled(trained, strength, logged=97.0))
    assert status == 1 and 'but its training logged 97%' in text
    status, text = check(spoiled(trained, 0, logged=97.0))
    assert status == 0 and text.endswith('OK')


def accuracy(path):
    """On the digits of validation."""
    model = build(dict(RESNET, data_preprocessor=PREPROCESSOR)).eval()
    model.load_state_dict(torch.load(path, weights_only=False)['state_dict'])
    data = Digits(split='test', pipeline=[])
    images = torch.stack([torch.from_numpy(item['img']).permute(2, 0, 1) for item in data])
    labels = torch.tensor([item['gt_label'] for item in data])
    with torch.no_grad():
        logits = model((images - 78.0) / 96.0, mode='tensor')
    return float((logits.argmax(1) == labels).float().mean())


def test_teacher_that_knows_other_classes(run, trained, tmp_path):
    checkpoint = torch.load(trained)
    names = [str(digit) for digit in range(10)]
    for known, count in ((names, 0), (names[::-1], 1)):
        checkpoint['meta'] = dict(dataset_meta=dict(classes=known))
        torch.save(checkpoint, tmp_path / 'named.pth')
        status, text = run(
            DIGITS, '--cfg-options', SMALL, f'model.teacher_ckpt={tmp_path}/named.pth'
        )
        assert status == count
        assert text.count('model.teacher knows the classes in another order') == count


def test_grey_images(run, write, tmp_path):
    """Of one channel there is no order."""
    grey = dict(RESNET, backbone=dict(RESNET['backbone'], in_channels=1))
    pipeline = [dict(type='RandomGrayscale', prob=1.0), dict(type='PackInputs')]
    settings = dict(
        data_preprocessor=dict(_delete_=True, mean=[78.0], std=[96.0], to_rgb=True),
        train_dataloader=dict(dataset=dict(pipeline=pipeline)),
        val_dataloader=dict(dataset=dict(pipeline=pipeline)),
    )
    _, text = run(write(grey, grey, **settings))
    assert table(text)['input'][0] == '8x8, 1 channels'
    assert 'channel order' not in table(text) and 'reversed' not in text


def test_self_distillation(run):
    status, text = run(CONFIGS / 'byot/byot_resnet8_1xb64_digits.py')
    rows = table(text)
    assert (status, text.splitlines()[-1]) == (0, 'OK')
    assert rows['network'] == ['CifarResNet'] and rows['classes'] == ['10']
    parts = [
        float(cells[0]) for name, cells in rows.items() if re.match(r'(student|distill)\.', name)
    ]
    assert len(parts) == 6 and float(rows['loss'][0]) == pytest.approx(sum(parts), rel=1e-3)


@pytest.mark.parametrize('method', ['dafl', 'zskt', 'dfad'])
def test_data_free(run, trained, method):
    config = CONFIGS / f'{method}/{method}_resnet26_resnet8_1xb64_digits.py'
    options = [
        f'model.teachers.teacher.ckpt_path={trained}',
        'model.teachers.teacher.build_cfg.backbone.depth=8',
    ]
    status, text = run(config, '--cfg-options', *options)
    rows = table(text)
    assert (status, text.splitlines()[-1]) == (0, 'OK'), text
    assert rows['classes'] == ['10', '10']
    assert rows['generator'][0].startswith('8x8, 3 channels; mean')
    assert 'of 256 images' in rows['teacher accuracy'][0]
    assert {'generator.loss', 'distill.loss'} <= set(rows)


def test_data_free_problems(run, trained):
    config = CONFIGS / 'dafl/dafl_resnet26_resnet8_1xb64_digits.py'
    options = [
        'model.teachers.teacher.ckpt_path=nowhere.pth',
        'model.generator.img_size=16',
        'model.architecture.head.num_classes=7',
        'optim_wrapper.architecture.optimizer.lr=0.1',
    ]
    status, text = run(config, '--cfg-options', *options)
    flat = ' '.join(text.split())
    assert status == 1
    assert "model.teachers.teacher.ckpt_path: 'nowhere.pth' does not exist" in flat
    assert 'generator makes images of 16x16 and 3 channels, and the data has 8x8' in flat
    assert 'write: model.generator.img_size=8' in flat
    assert "the student has 7 classes and the teacher 'teacher' 10" in flat
    assert 'write: model.architecture.head.num_classes=10' in flat


def test_misspelt_settings(run, trained):
    """Also those of hooks and metrics that the step does without."""
    options = ['--cfg-options', SMALL, f'model.teacher_ckpt={trained}']
    for key in (
        'default_hooks.boundary_samples.attack.max_step',
        'default_hooks.boundary_visualization.intervall',
        'val_evaluator.topc',
        'model.distiller.distill_losses.loss_kl.tua',
        'val_dataloader.dataset.splt',
    ):
        status, text = run(DIGITS, *options, f'{key}=3')
        flat = ' '.join(text.split())
        assert status == 1 and flat.count(f'{key}: ') == 1, text
        assert 'has no such argument; did you mean one of' in flat
