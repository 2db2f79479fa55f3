"""A hash in a file's name is that of its content, or the file is refused."""

import hashlib

import pytest

from amkd_mm.checkpoints.file_hash import check_hash, name_by_hash


def test_a_changed_byte_is_noticed(tmp_path):
    content = bytes(range(256)) * 10_000
    path = tmp_path / 'student.pth'
    path.write_bytes(content)

    named = name_by_hash(path)

    assert named.name == f'student-{hashlib.sha256(content).hexdigest()[:8]}.pth'
    assert named.read_bytes() == content and not path.exists()
    check_hash(named)
    named.write_bytes(content[:-1] + b'\0')
    with pytest.raises(ValueError, match='was damaged or changed'):
        check_hash(named)


@pytest.mark.parametrize('name', ['epoch_3.pth', 'a-run.pth', 'a-12345.pth', 'a-1234567g.pth'])
def test_other_names_say_nothing(tmp_path, name):
    (tmp_path / name).write_bytes(b'')
    check_hash(tmp_path / name)


def test_what_is_not_here_is_left_to_others(tmp_path):
    check_hash('https://example.org/resnet-12345678.pth')
    check_hash(tmp_path / 'none-12345678.pth')


def test_a_date_is_no_hash(tmp_path):
    path = tmp_path / 'teacher-20240115.pth'
    path.write_bytes(b'weights')
    check_hash(path)


def test_a_second_export_replaces_the_first(tmp_path):
    for _ in range(2):
        path = tmp_path / 'student.pth'
        path.write_bytes(b'weights')
        named = name_by_hash(path)
    assert [found.name for found in tmp_path.iterdir()] == [named.name]
