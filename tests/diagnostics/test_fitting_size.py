"""Networks that need images of another size."""

import pytest

from digit_networks import LEVIT, RESNET, VIT, other_problems, table


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
