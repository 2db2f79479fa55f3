"""Which line of OpenMMLab's packages is there, told by folders that pip would have written."""

import subprocess
import sys
from pathlib import Path

import pytest

from amkd_mm.compat.lines import LINES, ONEDL, OPENMMLAB

ROOT = Path(__file__).parents[2]
ALL_ONEDL = {'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6', 'onedl-mmpretrain': '1.3.6'}
ALL_OPENMMLAB = {'mmengine': '0.10.7', 'mmcv-lite': '2.1.0', 'mmpretrain': '1.2.0'}
# As MMRazor 1.0.0 does, of which nothing else is needed here.
MMRAZOR = """
import mmcv
from mmengine.utils import digit_version

mmcv_version = digit_version(mmcv.__version__)
assert mmcv_version <= (2, 1, 0), f'MMCV=={mmcv.__version__} is used but incompatible'
"""


@pytest.fixture
def python(tmp_path):
    """Runs code where nothing is installed but the given distributions and modules."""

    def run(code, distributions, modules=None):
        for name, version in distributions.items():
            folder = tmp_path / f'{name.replace("-", "_")}-{version}.dist-info'
            folder.mkdir()
            (folder / 'METADATA').write_text(f'Name: {name}\nVersion: {version}\n')
        for name, text in (modules or {}).items():
            path = tmp_path / f'{name}.py'
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        code = f'import sys; sys.path[1:1] = {[str(tmp_path), str(ROOT)]}\n{code}'
        return subprocess.run(
            [sys.executable, '-I', '-S', '-c', code], capture_output=True, text=True, timeout=60
        )

    return run


def error_of(done):
    assert done.returncode == 1
    kind, _, message = done.stderr.splitlines()[-1].partition(': ')
    assert kind == 'amkd_mm.compat.dependencies.DependencyError'
    return message


def test_both_lines_in_one_package(python):
    both = dict(ALL_OPENMMLAB, **ALL_ONEDL)
    message = error_of(python('import amkd_mm', both))
    assert 'mmengine of mmengine 0.10.7 and onedl-mmengine 0.10.12' in message
    assert 'mmcv of mmcv-lite 2.1.0 and onedl-mmcv 2.3.6' in message
    assert 'mmpretrain of mmpretrain 1.2.0 and onedl-mmpretrain 1.3.6' in message
    (removal,) = [part for part in message.split('`') if part.startswith('pip uninstall -y ')]
    assert set(removal.split()[3:]) == set(both)
    assert all(f'`{line.command}` for {line.title}' in message for line in LINES)


@pytest.mark.parametrize(
    'mixed',
    [
        # `pip install mmpretrain` where OneDL's line is, and `onedl-mmpretrain` where it is not.
        dict(ALL_ONEDL, mmpretrain='1.2.0'),
        {'mmengine': '0.10.7', 'mmcv-lite': '2.1.0', 'onedl-mmpretrain': '1.3.6'},
        # OneDL's MMCV brings its MMEngine.
        dict(ALL_OPENMMLAB, **{'onedl-mmengine': '0.10.12'}),
    ],
)
def test_a_part_of_the_other_line(python, mixed):
    message = error_of(python('import amkd_mm', mixed))
    for name, version in mixed.items():
        assert f'{name} {version}' in message


def test_two_versions_of_mmcv(python):
    message = error_of(python('import amkd_mm', dict(ALL_OPENMMLAB, mmcv='2.0.1')))
    assert 'mmcv of mmcv 2.0.1 and mmcv-lite 2.1.0' in message
    assert OPENMMLAB.command in message and ONEDL.command not in message


def test_mmcv_and_mmcv_lite_of_one_version(python):
    """The same files, but for operators: it works, and did before there were lines."""
    message = error_of(python('import amkd_mm', dict(ALL_OPENMMLAB, mmcv='2.1.0')))
    assert message.startswith('MMRazor needs mmengine, mmcv, mmpretrain')


def test_nothing_is_installed(python):
    message = error_of(python('import amkd_mm', {}))
    assert message.startswith('MMRazor needs mmengine, mmcv, mmpretrain')
    assert all(f'`{line.command}` for {line.title}' in message for line in LINES)
    assert 'uninstall' not in message


@pytest.mark.parametrize('distributions', [ALL_ONEDL, ALL_OPENMMLAB])
def test_files_that_went_with_the_other_line(python, distributions):
    """What `pip uninstall` of one of two mixed distributions leaves."""
    message = error_of(python('import amkd_mm', distributions, {'mmpretrain/__init__': ''}))
    assert message.startswith('MMRazor needs mmengine, mmcv, which')
    assert f'pip uninstall -y {" ".join(list(distributions)[:2])}`' in message


def test_setuptools_is_of_no_concern_to_onedl(python):
    check = (
        "import sys; sys.argv[0] = 'amkd_mm'; sys.version_info = (3, 13, 0)\n"
        'from amkd_mm.compat import dependencies; dependencies.check_setuptools()'
    )
    assert python(check, dict(ALL_ONEDL, setuptools='60.2.0')).returncode == 0


ADMIT = """
import sys; sys.argv[0] = 'amkd_mm'  # The command line imports no more than itself.
import mmcv
from amkd_mm.compat import versions
try:
    versions.apply()
    import mmrazor
    print(mmrazor.mmcv_version)
finally:
    print(mmcv.__version__)
"""


def modules(mmcv, mmrazor=MMRAZOR):
    digit_version = 'def digit_version(text): return tuple(map(int, text.split(".")))\n'
    return {
        'mmengine/__init__': '',
        'mmengine/utils': digit_version,
        'mmcv/__init__': f'__version__ = {mmcv!r}\n',
        'mmrazor/__init__': mmrazor,
    }


def test_mmrazor_takes_the_mmcv_of_onedl(python):
    done = python(ADMIT, ALL_ONEDL, modules('2.3.6'))
    assert done.stdout.split('\n') == ['(2, 3, 6)', '2.3.6', ''], done.stderr


def test_mmrazor_goes_on_refusing_another_mmcv(python):
    done = python(ADMIT, dict(ALL_OPENMMLAB, **{'mmcv-lite': '2.2.0'}), modules('2.2.0'))
    assert done.stderr.endswith('AssertionError: MMCV==2.2.0 is used but incompatible\n')
    assert done.stdout == '2.2.0\n'


def test_mmcv_keeps_its_version_if_mmrazor_fails(python):
    done = python(ADMIT, ALL_ONEDL, modules('2.3.6', 'raise RuntimeError("broken")'))
    assert 'RuntimeError: broken' in done.stderr and done.stdout == '2.3.6\n'


def test_versions_are_true_after_the_import():
    import mmcv
    import mmrazor
    from mmengine.utils import digit_version

    from amkd_mm.compat.lines import installed, installed_lines

    (line,) = installed_lines()
    (found,) = {one.version for one in installed(line) if one.package == 'mmcv'}
    assert mmcv.__version__ == found
    assert mmrazor.mmcv_version == digit_version(found)
