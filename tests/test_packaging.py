"""What a wheel, a source distribution and an editable install hold, and that configs are found."""

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from amkd_mm.compat.lines import LINES

ROOT = Path(__file__).parents[1]
MIM = 'amkd_mm/.mim'

# Run where the checkout is not on the path.
INHERIT = """
import importlib.util

if importlib.util.find_spec('amkd_mm') is None:
    print('absent')
else:
    import amkd_mm
    from mmengine.config import Config
    from mmengine.utils import get_installed_path

    Config.fromfile('child.py')
    print(get_installed_path('amkd_mm'))
"""


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """A copy of the checkout, because a build leaves files behind in its source tree."""
    target = tmp_path_factory.mktemp('source') / 'amkd_mm'
    unwanted = ('.*', '__pycache__', '*.egg-info', 'build', 'dist', 'work_dirs', 'data')
    shutil.copytree(ROOT, target, ignore=lambda folder, names: _ignored(folder, names, unwanted))
    return target


def _ignored(folder, names, unwanted):
    # `amkd_mm/datasets` and the like stay: only the top level holds these.
    patterns = unwanted if Path(folder) == ROOT else ('.mim', '__pycache__')
    return shutil.ignore_patterns(*patterns)(folder, names)


def build(source, kind, out):
    """Call the build backend as pip does, but without an isolated environment; returns the file."""
    out.mkdir(exist_ok=True)
    script = f'from setuptools import build_meta; print(build_meta.build_{kind}({str(out)!r}))'
    done = subprocess.run(
        [sys.executable, '-c', script],
        cwd=source,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    return out / done.stdout.split()[-1]


def expected_mim_files():
    files = [ROOT / 'model-index.yml']
    for folder in ('configs', 'tools'):
        files += (path for path in (ROOT / folder).rglob('*') if path.is_file())
    return {
        f'{MIM}/{path.relative_to(ROOT).as_posix()}'
        for path in files
        if '__pycache__' not in path.parts
    }


def inherit(folder, pythonpath=''):
    """Load a config that inherits one of ours by package name.

    Returns:
        str: The folder where the package was found, or 'absent'.
    """
    config = min((ROOT / 'configs').glob('[!_]*/*.py')).relative_to(ROOT / 'configs')
    (folder / 'child.py').write_text(f"_base_ = ['amkd_mm::{config.as_posix()}']\n")
    done = subprocess.run(
        [sys.executable, '-c', INHERIT],
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': str(pythonpath)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    return done.stdout.split()[-1]


def test_wheel_ships_configs_and_tools(source, tmp_path):
    wheel = build(source, 'wheel', tmp_path)
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if name.startswith(MIM)} == expected_mim_files()
    assert {'amkd_mm/compat/__init__.py', 'amkd_mm/py.typed'} <= names
    assert not [name for name in names if name.startswith(('tests', 'configs', 'tools'))]


def test_wheel_from_sdist_is_the_same(source, tmp_path):
    direct = build(source, 'wheel', tmp_path / 'direct')
    sdist = build(source, 'sdist', tmp_path)
    shutil.unpack_archive(sdist, tmp_path / 'unpacked')
    (unpacked,) = (tmp_path / 'unpacked').iterdir()
    indirect = build(unpacked, 'wheel', tmp_path / 'indirect')
    assert sorted(zipfile.ZipFile(indirect).namelist()) == sorted(
        zipfile.ZipFile(direct).namelist()
    )


def test_requirements_bring_one_line_or_none(source, tmp_path):
    """pip installs what `Requires-Dist` says, and so must find no second owner of a package."""
    wheel = build(source, 'wheel', tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith('.dist-info/METADATA')]
        metadata = Parser().parsestr(archive.read(name).decode())
    required = [Requirement(text) for text in metadata.get_all('Requires-Dist')]

    def brought(extra):
        """Requirements of ``pip install amkd_mm[extra]``."""
        return [one for one in required if not one.marker or one.marker.evaluate({'extra': extra})]

    def names(extra):
        return {one.name for one in brought(extra)}

    openmmlab = {'mmengine', 'mmcv-lite', 'mmpretrain'}
    onedl = {'onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain'}
    assert not names('') & (openmmlab | onedl)
    assert names('openmmlab') & (openmmlab | onedl) == openmmlab
    assert names('onedl') & (openmmlab | onedl) == onedl
    assert names('all') & (openmmlab | onedl) == openmmlab
    assert names('all') >= names('dev') | names('timm') | names('tensorboard')
    # `pkg_resources` is of OpenMMLab's MMEngine alone.
    assert 'setuptools' in names('openmmlab') and 'setuptools' not in names('onedl')
    # What is tested is allowed, and MMRazor's own bound is kept.
    bounds = {one.name: one.specifier for extra in ('openmmlab', 'onedl') for one in brought(extra)}
    assert '0.10.7' in bounds['mmengine'] and '1.2.0' in bounds['mmpretrain']
    assert '2.1.0' in bounds['mmcv-lite'] and '2.2.0' not in bounds['mmcv-lite']
    assert '0.10.12' in bounds['onedl-mmengine'] and '1.3.6' in bounds['onedl-mmpretrain']
    assert '2.3.6' in bounds['onedl-mmcv']


@pytest.mark.parametrize('line', LINES, ids=lambda line: line.extra)
def test_pages_say_how_to_install_each_line(line):
    assert line.command in (ROOT / 'docs/compatibility.md').read_text().splitlines()
    assert f'`".[{line.extra}]"`' in (ROOT / 'README.md').read_text()


@pytest.mark.slow
def test_configs_of_a_wheel_can_be_inherited(source, tmp_path):
    wheel = build(source, 'wheel', tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / 'site')
    assert inherit(tmp_path, tmp_path / 'site') == str(tmp_path / 'site' / 'amkd_mm')


@pytest.mark.slow
def test_tools_of_a_wheel_run_from_an_empty_folder(source, tmp_path):
    """A teacher, its student and what it exports, by the command alone."""
    wheel = build(source, 'wheel', tmp_path)
    site, empty = tmp_path / 'site', tmp_path / 'empty'
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    empty.mkdir()
    (names,) = site.glob('*.dist-info/entry_points.txt')
    assert 'amkd_mm = amkd_mm.__main__:main' in names.read_text()

    def command(*words, expect=0):
        done = subprocess.run(
            [sys.executable, '-m', 'amkd_mm', *words],
            cwd=empty,
            env={**os.environ, 'PYTHONPATH': str(site), 'OMP_NUM_THREADS': '1'},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == expect, done.stdout
        return done.stdout

    teacher, student = 'resnet26_1xb64_digits', 'amkd_resnet26_resnet8_1xb64_digits'
    short = ('--cfg-options', 'train_cfg.max_epochs=1')
    checkpoint = f'work_dirs/{teacher}/epoch_1.pth'
    assert str(site) in command('train', f'amkd_mm::vanilla/{teacher}.py', *short)
    short += (f'model.teacher_ckpt={checkpoint}',)
    # One epoch is too little for it to know all the digits.
    command('check', f'amkd_mm::amkd/{student}.py', '--teacher-ckpt', checkpoint)
    command('train', f'amkd/{student}.py', *short)
    trained = f'work_dirs/{student}/epoch_1.pth'
    assert 'Epoch(test)' in command('test', f'configs/amkd/{student}.py', trained)
    command('export', f'amkd_mm::amkd/{student}.py', trained, 'work_dirs/student.pth')
    assert 'Epoch(test)' in command('test', 'work_dirs/student.py', 'work_dirs/student.pth')
    assert 'did you mean `train`' in command('trian', expect=2)
    # All is in the work folder.
    assert [path.name for path in empty.iterdir()] == ['work_dirs']


def test_configs_can_be_inherited_as_installed(tmp_path):
    # The only check of a real installation, for example that of `pip install -e`.
    found = inherit(tmp_path)
    if found == 'absent':
        pytest.skip('amkd_mm is not installed')
    assert Path(found).name == 'amkd_mm'


def test_editable_install_links_to_the_source(source, tmp_path):
    mim = source / MIM
    for _ in range(2):
        build(source, 'editable', tmp_path)
        for name in ('configs', 'tools', 'model-index.yml'):
            assert (mim / name).is_symlink()
            assert (mim / name).resolve() == (source / name).resolve()
        # For the second time: leftovers of other kinds.
        (mim / 'configs').unlink()
        (mim / 'configs').symlink_to(tmp_path)
        for name in ('tools', 'model-index.yml'):
            (mim / name).unlink()
        (mim / 'tools' / 'old').mkdir(parents=True)
        (mim / 'model-index.yml').touch()
    # The leftovers in the source tree do not get into a wheel.
    names = set(zipfile.ZipFile(build(source, 'wheel', tmp_path)).namelist())
    assert {name for name in names if name.startswith(MIM)} == expected_mim_files()
