"""InputAdapter against the teacher's own preprocessor."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import ImgDataPreprocessor
from mmpretrain.models import ClsDataPreprocessor
from torch import nn

from amkd_mm.teachers.input_adapter import InputAdapter

IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
CIFAR = dict(mean=[125.307, 122.961, 113.8575], std=[51.5865, 50.847, 51.255])
REGNET = dict(mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395], to_rgb=False)
INCEPTION = dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True)
PLAIN = dict()


def pixels(channels=3, size=8):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, channels, size, size), generator=generator).to(torch.uint8)


def preprocess(settings, images):
    return ClsDataPreprocessor(**settings)(dict(inputs=images), False)['inputs']


ALL = [IMAGENET, CIFAR, REGNET, INCEPTION, PLAIN]


@pytest.mark.parametrize('given', ALL)
@pytest.mark.parametrize('wanted', ALL)
def test_the_teacher_gets_what_its_own_preprocessor_makes(given, wanted):
    inputs = InputAdapter(ClsDataPreprocessor(**given), ClsDataPreprocessor(**wanted))
    adapted = inputs(preprocess(given, pixels()))
    expected = preprocess(wanted, pixels())
    # In units of a pixel: 1e-3 of 255.
    scale = wanted.get('std', [1.0])[0]
    torch.testing.assert_close(adapted * scale, expected * scale, rtol=0, atol=1e-3)
    assert inputs.renormalizes == (given != wanted)


def test_one_channel():
    given, wanted = dict(mean=[33.0], std=[78.0]), dict(mean=[0.0], std=[255.0])
    inputs = InputAdapter(ClsDataPreprocessor(**given), ClsDataPreprocessor(**wanted))
    adapted = inputs(preprocess(given, pixels(1)))
    torch.testing.assert_close(adapted, preprocess(wanted, pixels(1)), rtol=0, atol=1e-5)


def test_preprocessors_of_mmengine():
    given = ImgDataPreprocessor(mean=CIFAR['mean'], std=CIFAR['std'], bgr_to_rgb=True)
    inputs = InputAdapter(given, ClsDataPreprocessor(**REGNET))
    student = given(dict(inputs=list(pixels())), False)['inputs']
    torch.testing.assert_close(inputs(student), preprocess(REGNET, pixels()), rtol=0, atol=1e-4)


def test_the_same_normalisation_in_other_digits_changes_nothing():
    exact = dict(mean=[255 * 0.485, 255 * 0.456, 255 * 0.406], std=[58.395, 57.12, 57.375])
    rounded = {**IMAGENET, 'to_rgb': False}
    assert not InputAdapter(
        ClsDataPreprocessor(**exact), ClsDataPreprocessor(**rounded)
    ).renormalizes


@pytest.mark.parametrize('size', [16, (12, 20), 4])
def test_resizing_is_bicubic_and_after_the_normalisation(size):
    inputs = InputAdapter(ClsDataPreprocessor(**CIFAR), ClsDataPreprocessor(**IMAGENET), size)
    height, width = (size, size) if isinstance(size, int) else size
    adapted = inputs(preprocess(CIFAR, pixels()))
    expected = F.interpolate(
        preprocess(IMAGENET, pixels()), (height, width), mode='bicubic', antialias=True
    )
    torch.testing.assert_close(adapted, expected, rtol=0, atol=1e-4)


def test_gradients_are_those_of_the_chain():
    inputs = InputAdapter(ClsDataPreprocessor(**CIFAR), ClsDataPreprocessor(**IMAGENET))
    images = preprocess(CIFAR, pixels()).requires_grad_()
    weights = torch.randn_like(images)
    (gradient,) = torch.autograd.grad((inputs(images) * weights).sum(), images)
    # BGR of the student's becomes RGB of the teacher's.
    scale = torch.tensor(CIFAR['std']) / torch.tensor(IMAGENET['std']).flip(0)
    torch.testing.assert_close(gradient, weights.flip(1) * scale.view(3, 1, 1))


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv2d(3, 2, 3)

    def forward(self, inputs, mode='tensor'):
        return self.backbone(inputs).mean((2, 3))


def test_attached_to_a_teacher_and_to_its_copies():
    teacher = Classifier()
    plain = copy.deepcopy(teacher)
    inputs = InputAdapter(ClsDataPreprocessor(**CIFAR), ClsDataPreprocessor(**IMAGENET))
    inputs.attach(teacher)
    expected = plain(preprocess(IMAGENET, pixels()))
    for model in (teacher, copy.deepcopy(teacher)):
        # By keyword, as MMEngine's `val_step` does.
        found = model(inputs=preprocess(CIFAR, pixels()), mode='predict')
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert teacher.state_dict().keys() == plain.state_dict().keys()


def test_constants_are_not_saved_and_follow_the_device():
    inputs = InputAdapter(ClsDataPreprocessor(**CIFAR), ClsDataPreprocessor(**IMAGENET))
    assert not inputs.state_dict()
    assert inputs.to('meta').scale.is_meta


def test_what_cannot_be_adapted():
    with pytest.raises(ValueError, match='pad_size_divisor'):
        InputAdapter(ClsDataPreprocessor(), ClsDataPreprocessor(pad_size_divisor=32))
    with pytest.raises(ValueError, match='`backbone`'):
        InputAdapter(ClsDataPreprocessor(), ClsDataPreprocessor(**CIFAR)).attach(nn.Identity())
