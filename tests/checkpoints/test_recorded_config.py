"""A config recorded in a checkpoint is read as data, whatever it holds."""

import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from amkd_mm.checkpoints.recorded_config import (
    DEPTH,
    LENGTH,
    assignments,
    check_normalization,
    literal,
)

ROOT = str(Path(__file__).parents[2] / 'amkd_mm')


def test_what_mmengine_dumps_is_read():
    values = dict(
        number=-1.5e-05,
        words='it\'s "quoted" [ ( {',
        flags=[True, False, None],
        nested=dict(deep=[dict(a=(1, 2), b={'no identifier': -3})]),
        empty=dict(),
    )
    text = Config(values).pretty_text

    read = assignments(text)

    assert read.keys() == values.keys()
    assert literal(read['number']) == values['number']
    assert literal(read['words']) == values['words']
    assert literal(read['flags']) == values['flags']
    assert list(read['nested'].keywords[0].value.elts[0].keywords[0].value.elts)


def nested(depth):
    return 'a = ' + '[' * depth + ']' * depth


HOSTILE = {
    'attributes': 'cfg = a' + '.a' * 200_000,
    'minus signs': 'cfg = ' + '-' * 50_000 + '1',
    'differences': 'cfg = 1' + '-1' * 200_000,
    'sums': 'cfg = 1' + '+1' * 200_000,
    'calls': 'cfg = f' + '()' * 200_000,
    'calls of texts': "cfg = 'f'" + '()' * 200_000,
    'subscripts': 'cfg = f' + '[0]' * 100_000,
    'parentheses': 'cfg = ' + '(' * 50_000,
    'brackets': nested(DEPTH + 1),
    'not': 'cfg = ' + 'not ' * 50_000 + '1',
    'lambdas': 'cfg = ' + 'lambda:' * 50_000 + '1',
    'conditions': 'cfg = ' + '1 if 1 else ' * 50_000 + '1',
    'an f-string': "cfg = f'{a" + '.a' * 100_000 + "}'",
    'a block': 'if True:\n    a = 1',
    'an open text': "cfg = '''",
    'an open bracket': 'cfg = [',
    'digits': 'cfg = ' + '9' * 5_000,
    'a zero byte': 'cfg = \0',
    'half a character': 'cfg = \ud800',
    'no sense': 'cfg = = 1',
    'too long': ' ' * (LENGTH + 1),
    'no text': 3,
    'nothing': None,
}


# In a process of its own, which Python's parser may take down.
@pytest.mark.parametrize('name', HOSTILE)
def test_hostile_text_is_a_value_error(name):
    if not isinstance(HOSTILE[name], str) or name == 'half a character':
        with pytest.raises(ValueError, match='config in the checkpoint'):
            assignments(HOSTILE[name])
        return
    script = (
        'import sys\nfrom amkd_mm.checkpoints.recorded_config import assignments\n'
        'try:\n    assignments(sys.stdin.read())\n'
        "except ValueError as error:\n    assert 'config in the checkpoint' in str(error)\n"
        "else:\n    sys.exit('it was read')\n"
    )
    # Not the whole package, which takes seconds to import.
    script = "import sys, types\nsys.modules['amkd_mm'] = types.ModuleType('amkd_mm')\n" + (
        f'sys.modules["amkd_mm"].__path__ = [{ROOT!r}]\n' + script
    )
    done = subprocess.run(
        [sys.executable, '-c', script], input=HOSTILE[name], text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_depth_is_bounded_where_it_says():
    assert 'a' in assignments(nested(DEPTH))


def test_literals_run_nothing():
    for text in ('a = dict(b=1)', 'a = {[]: 1}', 'a = b'):
        with pytest.raises(ValueError):
            literal(assignments(text)['a'])


@pytest.mark.parametrize(
    'settings',
    [
        dict(mean=[1.0, 2.0], std=[1.0, 1.0, 1.0]),
        dict(mean=['1', '2', '3'], std=[1, 1, 1]),
        dict(mean=[0.0], std=[0.0]),
        dict(mean=[0.0], std=[-1.0]),
        dict(mean=[0.0], std=[float('inf')]),
        dict(mean=[0.0], std=[float('nan')]),
        dict(mean=[float('nan')], std=[1.0]),
        dict(mean=[float('-inf')], std=[1.0]),
        dict(mean=[True], std=[1.0]),
        dict(mean='123', std=[1.0]),
        dict(mean=0.0, std=0),
        dict(mean=[0.0]),
        dict(std=[1.0]),
    ],
)
def test_no_preprocessor_divides_by_nothing(settings):
    with pytest.raises(ValueError, match='here: `(mean|std)`'):
        check_normalization(settings, 'here')


def test_usual_normalization_passes():
    check_normalization(dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]), 'here')
    check_normalization(dict(mean=(0,), std=(255,)), 'here')
    check_normalization(dict(to_rgb=True), 'here')
    check_normalization(dict(mean=0, std=255.0), 'here')
    check_normalization(dict(type='TwoNormDataPreprocessor', mean='its own'), 'here')
