"""The tutorial notebook runs from top to bottom, and what it shows is what its trainings gave."""

import json
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / 'demo/digits.ipynb'


def printed(notebook):
    """All that its cells print, without the colours of a terminal."""
    outputs = [output for cell in notebook['cells'] for output in cell.get('outputs', [])]
    text = ''.join(''.join(output.get('text', '')) for output in outputs)
    return re.sub(r'\x1b\[[\d;]*m', '', text)


def pictures(notebook):
    """Of which cells, by number, there is a picture."""
    return [
        number
        for number, cell in enumerate(notebook['cells'])
        if any('image/png' in output.get('data', {}) for output in cell.get('outputs', []))
    ]


@pytest.fixture
def committed():
    return json.loads(NOTEBOOK.read_text())


def test_committed_outputs_are_of_one_run_from_top_to_bottom(committed):
    counts = [cell['execution_count'] for cell in committed['cells'] if cell['cell_type'] == 'code']
    assert counts == list(range(1, len(counts) + 1))
    assert len(pictures(committed)) == 4
    shown = [output for cell in committed['cells'] for output in cell.get('outputs', [])]
    for output in shown:
        output.get('data', {}).pop('image/png', None)
    # Paths of the machine that it ran on.
    assert not re.findall(r'/(?:home|root|tmp|work|Users|usr)/\S*', json.dumps(shown))


@pytest.mark.slow
def test_notebook_runs(committed, tmp_path):
    """In an empty folder, as on Colab after the installation."""
    nbformat = pytest.importorskip('nbformat')
    nbclient = pytest.importorskip('nbclient')
    pytest.importorskip('ipykernel')
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    # A cell that raises ends this with its message.
    resources = dict(metadata=dict(path=str(tmp_path)))
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
    assert pictures(notebook) == pictures(committed)

    text = printed(notebook)
    shown = {name: float(value) for name, value in re.findall(r'(\w+): ([\d.]+)%$', text, re.M)}
    assert shown['teacher'] > 95
    (log,) = tmp_path.glob('work_dirs/amkd_*/*/vis_data/scalars.json')
    last = json.loads(log.read_text().splitlines()[-1])
    assert last['teacher.accuracy/top1'] == pytest.approx(shown['teacher'], abs=0.005)
    # The exported student alone, by MMPretrain's inferencer.
    (exported,) = re.findall(r'^\d+ of 360 digits, ([\d.]+)%$', text, re.M)
    assert float(exported) == pytest.approx(last['accuracy/top1'], abs=0.005)
    assert float(exported) > 95
    # That of the boundary is of the same networks.
    assert re.search(r"^The student follows .* of the teacher's boundary", text, re.M)
    assert (tmp_path / 'boundary_pictures/index.html').exists()
