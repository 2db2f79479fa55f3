"""`tools/analysis_tools/check_pair.py`: its arguments, what it prints, and its exit status."""

import sys

import pytest

from digit_networks import CONFIGS, DIGITS, ROOT, table

TEACHER = ROOT / 'configs/vanilla/resnet26_1xb64_digits.py'


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


def test_options_and_status(run):
    """What is given is what is checked."""
    student = 'amkd_mm::vanilla/resnet8_1xb64_digits.py'
    options = ['--cfg-options', 'model.distiller.distill_losses.loss_kl.loss_weight=0']
    status, text = run(
        TEACHER, student, '--teacher-ckpt', 'nowhere.pth', '--batch-size', 4, *options
    )
    assert status == 1 and "problem: model.teacher_ckpt: 'nowhere.pth' does not exist" in text
    assert table(text)['images'] == ['4 of the training data']
    assert table(text)['distill.loss_kl'] == ['0']
    # Self distillation needs no checkpoint.
    status, text = run(CONFIGS / 'byot/byot_resnet8_1xb64_digits.py', '--batch-size', 2)
    assert (status, text.splitlines()[-1]) == (0, 'OK')
    assert max(len(line) for line in text.splitlines()) <= 100


def test_wrong_usage(run, tmp_path):
    broken = tmp_path / 'broken.py'
    broken.write_text('model = dict(')
    pipeline = 'train_dataloader.dataset.pipeline'
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
        (
            [DIGITS, '--cfg-options', f'{pipeline}.9.x=1'],
            '--cfg-options: Index 9',
        ),
    ):
        status, text = run(*arguments)
        assert status == 2 and message in text, arguments


def test_takes_a_config_of_mmrazor_that_names_mmcls(run):
    path = 'mmrazor::distill/mmcls/kd/kd_logits_resnet34_resnet18_8xb32_in1k.py'
    options = ['--batch-size', 2, '--cfg-options', 'model.teacher_ckpt=none.pth']
    status, output = run(path, *options)
    # The checkpoint, which would be downloaded, is all that is wrong.
    assert status == 1 and '1 problem(s)' in output and 'none.pth' in output
    assert 'distill.loss_kl' in output and 'nothing reads' not in output
