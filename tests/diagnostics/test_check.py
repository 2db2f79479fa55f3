"""What a check says of good pairs and of bad ones."""

import re

import pytest
import torch

from amkd_mm.datasets import Digits
from digit_networks import CONFIGS, DIGITS, LEVIT, RESNET, SMALL, VIT, build, other_problems, table


def test_good_pair(run, trained):
    status, text = run(DIGITS, SMALL, f'model.teacher_ckpt={trained}')
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


def test_two_untrained_networks_that_teach_each_other_are_a_good_pair(run):
    status, text = run(CONFIGS / 'dml/dml_resnet26_resnet8_1xb64_digits.py', SMALL)
    assert (status, text.splitlines()[-1]) == (0, 'OK')
    assert table(text)['teacher runs in'] == ['trained']
    assert 'checkpoint' not in text


def test_batch_size(run, trained):
    options = [SMALL, f'model.teacher_ckpt={trained}']
    _, text = run(DIGITS, *options, batch_size=4)
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
    status, text = run(DIGITS, SMALL, *options)
    assert status == 1 and text.endswith('2 problem(s)\n')
    assert "problem: model.teacher_ckpt: 'nowhere.pth' does not exist" in text
    assert 'write: model.teacher_ckpt=' in text
    assert 'problem: the losses are not finite: loss, distill.loss_kl' in text
    assert 'model.distiller.distill_losses.loss_kl' in text
    assert 'Traceback' not in text


@pytest.mark.parametrize('given', ['None', "''"])
def test_teacher_without_checkpoint(run, given):
    status, text = run(DIGITS, SMALL, f'model.teacher_ckpt={given}')
    assert status == 1 and 'the teacher has no checkpoint: its weights are random' in text
    # Or nothing would be attacked.
    assert table(text)['labels'] == ["the teacher's own answers"]
    assert 'of 2 attacked' in table(text)['boundary samples'][0]


def test_wrong_checkpoint(run, save, tmp_path):
    other = save(dict(RESNET, backbone=dict(type='CifarResNet', depth=14)))
    status, text = run(DIGITS, SMALL, f'model.teacher_ckpt={other}')
    assert status == 1 and text.endswith('1 problem(s)\n')
    assert 'does not fit the teacher' in ' '.join(text.split())
    assert 'student.loss' in table(text)

    text_file = tmp_path / 'text.pth'
    text_file.write_text('no checkpoint')
    status, text = run(DIGITS, SMALL, f'model.teacher_ckpt={text_file}')
    assert status == 1 and 'problem: model.teacher_ckpt:' in text
    assert 'does not load' in ' '.join(text.split())


def test_broken_weights(run, save):
    path = save(RESNET)
    checkpoint = torch.load(path)
    checkpoint['state_dict']['head.fc.bias'][3] = float('nan')
    torch.save(checkpoint, path)
    status, text = run(DIGITS, SMALL, f'model.teacher_ckpt={path}')
    text = ' '.join(text.split())
    assert status == 1 and "'head.fc.bias' has 1 values of 10 that are NaN or infinite" in text


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
    status, text = run(write(RESNET, teacher, base='amkd_teacher_embedding', model=model))
    write_this = 'model.distiller.connectors.embedding.module_args='
    write_this += 'dict(in_features=64, out_features=16)'
    assert status == 1 and f'write: {write_this}' in text

    fitting = dict(embedding=dict(module_args=dict(in_features=64, out_features=16)))
    model['distiller'] = dict(connectors=fitting)
    assert run(write(RESNET, teacher, base='amkd_teacher_embedding', model=model))[0] == 0

    # Without a loss that compares them it is only worth a note.
    status, text = run(write(RESNET, teacher, model=dict(teacher_ckpt=model['teacher_ckpt'])))
    assert status == 0 and 'note: the embeddings have 64 and 16 features' in text


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


def test_hook_by_a_name(run, write, save):
    """In `default_hooks`, where the command line reaches it by its name."""
    path = write(model=dict(teacher_ckpt=str(save(RESNET))))
    status, text = run(path, 'default_hooks.boundary_samples.num_samples=5')
    assert other_problems(text) == 0, text
    assert re.match(r'\d of \d attacked', table(text)['boundary samples'][0])


def test_misspelt_settings(run, trained):
    """Also those of hooks and metrics that the step does without."""
    options = [SMALL, f'model.teacher_ckpt={trained}']
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
