"""MMPretrain's tools under our `tools/`, and the commands of `docs/visualization.md`."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from amkd_mm.cli.mmpretrain_tools import FOLDER, run_tool

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/amkd/amkd_resnet26_resnet8_1xb64_digits.py'
TOOLS = [
    path for path in (ROOT / 'tools').glob('*/*.py') if 'run_tool(__file__)' in path.read_text()
]


def shell(command, folder):
    """Run a command in a folder, where `python` is this one."""
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    environment = {**os.environ, 'PATH': path, 'PYTHONPATH': str(ROOT), 'MPLBACKEND': 'Agg'}
    done = subprocess.run(
        ['bash', '-ec', command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    return done.returncode, done.stdout


def test_each_is_one_of_mmpretrains():
    assert len(TOOLS) == 5
    for path in TOOLS:
        assert (FOLDER / path.parent.name / path.name).is_file(), path


def test_gets_its_arguments_and_neighbours(tmp_path, monkeypatch, capsys):
    """As if the tool had been called itself."""
    tool = tmp_path / 'tools/some_folder/some_tool.py'
    tool.parent.mkdir(parents=True)
    (tool.parent / 'neighbour_of_some_tool.py').write_text('WORD = "hello"')
    tool.write_text(
        'import sys\nfrom neighbour_of_some_tool import WORD\nprint(WORD, __name__, sys.argv[1:])\n'
    )
    monkeypatch.setattr('amkd_mm.cli.mmpretrain_tools.FOLDER', tmp_path / 'tools')
    monkeypatch.setattr(sys, 'argv', ['some_tool.py', '--an', 'option'])
    monkeypatch.setattr(sys, 'path', list(sys.path))
    run_tool('elsewhere/some_folder/some_tool.py')
    assert capsys.readouterr().out == "hello __main__ ['--an', 'option']\n"


def test_tool_that_is_missing():
    with pytest.raises(FileNotFoundError, match='no_such_tool.py is missing: reinstall MMPretrain'):
        run_tool('tools/analysis_tools/no_such_tool.py')


def test_browse_dataset(tmp_path):
    """Its default mode crops a figure, which matplotlib 3.11 does by other arguments."""
    command = f'python {ROOT}/tools/visualization/browse_dataset.py {CONFIG} --not-show'
    status, text = shell(f'{command} --phase val -n 2 -o images', tmp_path)
    assert status == 0, text
    assert sorted(path.name for path in (tmp_path / 'images').iterdir()) == ['0.jpg', '1.jpg']


def test_vis_cam_names_the_package_it_needs(tmp_path):
    if find_spec('pytorch_grad_cam'):
        pytest.skip('it is installed')
    status, text = shell(f'python {ROOT}/tools/visualization/vis_cam.py --help', tmp_path)
    assert status != 0 and 'grad-cam' in text


@pytest.mark.slow
def test_commands_of_the_page(tmp_path):
    """Every command of the page, as it is written, one after the other."""
    for name in ('configs', 'tools'):
        (tmp_path / name).symlink_to(ROOT / name)
    page = (ROOT / 'docs/visualization.md').read_text(encoding='utf-8')
    blocks = re.findall('```shell\n(.*?)```', page, flags=re.DOTALL)
    # Each tool that the page speaks of is run here, or above.
    commands = '\n'.join(blocks)
    for tool in re.findall(r'`(?:tools/\S*?)?(\w+\.py)', page):
        assert tool in commands or tool in ('vis_cam.py', 'export_student.py'), tool
    for block in blocks:
        status, text = shell(block, tmp_path)
        assert status == 0, text
    work_dirs = tmp_path / 'work_dirs'
    pictures = work_dirs / CONFIG.stem / 'boundary_pictures'
    made = [work_dirs / f'{name}.png' for name in ('accuracy', 'learning_rate', 'confusion')]
    made += [*pictures.glob('*.png'), *(work_dirs / 'images').iterdir()]
    assert len(list(pictures.glob('*.png'))) == 6 and len(made) == 3 + 6 + 3
    for path in made:
        with Image.open(path) as image:
            # Not of one colour
            assert any(low < high for low, high in image.convert('RGB').getextrema()), path
