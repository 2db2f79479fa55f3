"""Every architecture of MMPretrain as teacher and as student, and the page that lists them."""

from pathlib import Path

import pytest
from mmpretrain.models import backbones, heads

from scripts import load_script

ROOT = Path(__file__).resolve().parents[1]


matrix = load_script(ROOT / '.dev_scripts/architecture_matrix.py')


@pytest.fixture(scope='module')
def rows():
    """Cells of the page's first table by architecture."""
    text = (ROOT / 'docs/architectures.md').read_text()
    first = text.partition('\n## ')[0]
    lines = [line.strip('|').split('|') for line in first.splitlines() if line.startswith('|')]
    header, _, *rows = [[cell.strip() for cell in cells] for cells in lines]
    assert header == matrix.HEADER
    return {cells[0]: dict(zip(header, cells, strict=True)) for cells in rows}


@pytest.mark.slow
@pytest.mark.parametrize('role', matrix.ROLES)
@pytest.mark.parametrize('case', matrix.CASES, ids=lambda case: case.name)
def test_step(case, role):
    verdict = matrix.try_case(case, role)
    if verdict.status == 'skipped':
        pytest.skip(verdict.text)
    assert verdict.status == 'passed', verdict.text


def test_page_lists_all_cases(rows):
    names = [case.name for case in matrix.CASES]
    assert len(names) == len(set(names)) >= 60
    assert list(rows) == names


def test_page_says_that_nothing_failed(rows):
    for case in matrix.CASES:
        for role in matrix.ROLES:
            expected = 'passed, boundary '
            if role == 'student' and case.not_a_student:
                expected = f'skipped, {case.not_a_student}'
            assert rows[case.name][f'as {role}'].startswith(expected), case.name


@pytest.mark.parametrize(('part', 'exported'), [('backbone', backbones), ('head', heads)])
def test_all_that_mmpretrain_exports_is_on_the_page(rows, part, exported):
    """Each backbone and head is in a case, or there is a reason why it is in none."""
    tried = {cells[part] for cells in rows.values()}
    excluded = set(matrix.UNTRAINABLE)
    assert not tried & excluded
    assert set(exported.__all__) <= tried | excluded
    text = (ROOT / 'docs/architectures.md').read_text()
    assert all(f'| {name} | {reason} |' in text for name, reason in matrix.UNTRAINABLE.items())
