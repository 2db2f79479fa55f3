"""What a check says of the teacher."""

import re
from functools import partial

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from amkd_mm.datasets import Digits
from digit_networks import DIGITS, PREPROCESSOR, RESNET, SMALL, build, other_problems, table


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


def test_accuracy_of_the_teacher(run, trained):
    """Of the images of validation, whatever the 8 of the step are."""
    status, text = run(DIGITS, SMALL, f'model.teacher_ckpt={trained}')
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
        status, text = run(DIGITS, SMALL, f'model.teacher_ckpt={path}')
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
        status, text = run(DIGITS, SMALL, f'model.teacher_ckpt={tmp_path}/named.pth')
        assert status == count
        assert text.count('model.teacher knows the classes in another order') == count
