"""Checkpoint files: which a config names, and which of a work folder can be read."""

import mmengine.runner
import pytest
import torch
from mmengine.config import ConfigDict

from amkd_mm.checkpoints.files import is_whole, named_checkpoints, newest_whole, read_checkpoint


@pytest.fixture
def folder(tmp_path):
    """A work folder as a training leaves it after ten epochs."""
    for epoch in (2, 9, 10):
        state = dict(state_dict=dict(weight=torch.full((100,), float(epoch))), meta={})
        torch.save(state, tmp_path / f'epoch_{epoch}.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_10.pth'))
    return tmp_path


def empty(path):
    path.write_bytes(b'')


def cut_off(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip_a_bit(path):
    """In the middle of the weights, of which PyTorch itself notices nothing."""
    content = bytearray(path.read_bytes())
    weights = torch.load(path)['state_dict']['weight'].numpy().tobytes()
    content[content.find(weights) + 50] ^= 64
    path.write_bytes(bytes(content))


DAMAGES = [empty, cut_off, flip_a_bit]


def test_an_unharmed_folder(folder):
    assert newest_whole(folder) == str(folder / 'epoch_10.pth')
    # Not the one of the highest number, if the training went on from an earlier one.
    (folder / 'last_checkpoint').write_text('epoch_9.pth')
    assert newest_whole(folder) == str(folder / 'epoch_9.pth')


def test_a_folder_that_moved(folder):
    moved = folder.with_name('moved')
    folder.rename(moved)
    assert newest_whole(moved) == str(moved / 'epoch_10.pth')


def test_a_folder_that_was_copied_resumes_its_own(folder, tmp_path):
    """The path in ``last_checkpoint`` still leads to the other's."""
    copied = tmp_path / 'copied'
    copied.mkdir()
    for path in folder.glob('*'):
        if path.is_file():
            (copied / path.name).write_bytes(path.read_bytes())
    assert newest_whole(copied) == str(copied / 'epoch_10.pth')


@pytest.mark.parametrize('note', ['', '  \n', 'epoch_11.pth', None])
def test_a_useless_note(note, folder):
    (folder / 'last_checkpoint').unlink()
    if note is not None:
        (folder / 'last_checkpoint').write_text(note)
    # By number: as text, 9 comes after 10.
    assert newest_whole(folder) == str(folder / 'epoch_10.pth')


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_checkpoint_is_passed_over(damage, folder):
    damage(folder / 'epoch_10.pth')
    assert not is_whole(folder / 'epoch_10.pth')
    assert newest_whole(folder) == str(folder / 'epoch_9.pth')


@pytest.mark.parametrize('damage', DAMAGES)
def test_nothing_but_damaged_checkpoints(damage, folder):
    for path in folder.glob('*.pth'):
        damage(path)
    names = r'epoch_10.pth, \S+epoch_9.pth, \S+epoch_2.pth'
    with pytest.raises(ValueError, match=f'{names} are empty, damaged'):
        newest_whole(folder)


def test_checkpoints_in_a_folder_of_their_own(folder, tmp_path):
    """As of `CheckpointHook(out_dir=...)`, whose path is in the work folder's note."""
    work_dir = tmp_path / 'work_dir'
    work_dir.mkdir()
    path = str(folder / 'epoch_10.pth')
    (work_dir / 'last_checkpoint').write_text(path)
    assert newest_whole(work_dir) == path
    for written in ('s3://bucket/epoch_3.pth', str(folder)):
        (work_dir / 'last_checkpoint').write_text(written)
        assert newest_whole(work_dir) == written


def test_the_format_before_zip_archives(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict={}), path, _use_new_zipfile_serialization=False)
    assert newest_whole(tmp_path) == str(path)
    path.write_bytes(bytes(100))
    assert not is_whole(path)


def test_no_checkpoint(tmp_path):
    assert newest_whole(tmp_path) is None
    (tmp_path / 'last_checkpoint').write_text('')
    (tmp_path / 'student.pth').write_bytes(b'')
    assert newest_whole(tmp_path) is None


def test_mmengine_resumes_the_same(folder):
    cut_off(folder / 'epoch_10.pth')
    expected = str(folder / 'epoch_9.pth')
    assert mmengine.runner.find_latest_checkpoint(str(folder)) == expected
    assert mmengine.runner.runner.find_latest_checkpoint(str(folder)) == expected


@pytest.mark.parametrize('damage', [empty, cut_off])
def test_a_damaged_file_is_said_to_be(damage, folder):
    damage(folder / 'epoch_9.pth')
    path = str(folder / 'epoch_9.pth')
    with pytest.raises(ValueError, match=f'^KEY: {path!r} does not load: the file is'):
        read_checkpoint('KEY', path)


def test_a_file_of_something_else(tmp_path):
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match='KEY: .* holds a list and no checkpoint'):
        read_checkpoint('KEY', str(tmp_path / 'list.pth'))
    with pytest.raises(FileNotFoundError, match='KEY: no such file: no.pth'):
        read_checkpoint('KEY', 'no.pth')


def test_named_checkpoints():
    pretrained = dict(type='Pretrained', checkpoint='backbone.pth', prefix='backbone.')
    cfg = ConfigDict(
        load_from='start.pth',
        checkpoint='not.pth',
        model=dict(
            teacher_ckpt='teacher.pth',
            architecture=dict(
                backbone=dict(init_cfg=[dict(type='Kaiming'), pretrained]),
                head=dict(init_cfg=dict(type='Normal', checkpoint='not.pth')),
            ),
            teachers=dict(one=dict(ckpt_path='one.pth'), two=dict(ckpt_path=None)),
        ),
    )
    assert dict(named_checkpoints(cfg)) == {
        'load_from': 'start.pth',
        'model.teacher_ckpt': 'teacher.pth',
        'model.architecture.backbone.init_cfg.1.checkpoint': 'backbone.pth',
        'model.teachers.one.ckpt_path': 'one.pth',
    }
    assert list(named_checkpoints(dict())) == []
