"""What the repository says of itself in several places is the same in all of them."""

import os
import re
from importlib.metadata import distribution
from pathlib import Path

import amkd_mm

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / '.github/workflows').glob('*.yml'))
FORMS = sorted((ROOT / '.github/ISSUE_TEMPLATE').glob('[!c]*.yml'))


def read_yaml(path):
    return yaml.safe_load(path.read_text())


def commands(workflow):
    """Each command of its jobs."""
    steps = [step for job in workflow['jobs'].values() for step in job['steps']]
    return [step['run'] for step in steps if 'run' in step]


def test_pre_commit_has_the_version_of_ruff_that_is_installed():
    (pinned,) = set(re.findall(r"'(ruff[^']+)'", (ROOT / 'setup.py').read_text()))
    hooks = read_yaml(ROOT / '.pre-commit-config.yaml')['repos'][0]['hooks']
    assert [hook['additional_dependencies'] for hook in hooks] == [[pinned]] * len(hooks) != []


def test_workflows_call_the_scripts_of_this_folder():
    """All of them, and what CI runs in a new environment is what runs here."""
    called = set()
    for path in WORKFLOWS:
        called |= {
            name for text in commands(read_yaml(path)) for name in re.findall(r'\.ci/\w+', text)
        }
    scripts = {f'.ci/{path.name}' for path in (ROOT / '.ci').iterdir() if not path.suffix}
    assert called == scripts
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts)
    assert '.ci/style' in (ROOT / '.ci/run').read_text()


def test_workflows_test_the_ends_of_the_matrix():
    """The oldest and the newest row of OpenMMLab's line, and the newest of OneDL's."""
    rows = re.search(r'matrix=\((.*?)\)', (ROOT / '.dev_scripts/test_matrix.sh').read_text(), re.S)
    rows = [row.split() for row in re.findall(r"'(.+)'", rows[1])]
    openmmlab, onedl = ([row for row in rows if row[0] == line] for line in ('openmmlab', 'onedl'))
    jobs = read_yaml(ROOT / '.github/workflows/ci.yml')['jobs']
    oldest, newest = jobs['tests']['strategy']['matrix']['include']
    constraints = (ROOT / oldest['constraints']).read_text()
    lines = [line for line in constraints.splitlines() if not line.startswith('#')]
    assert ['openmmlab', oldest['python'], *lines] == openmmlab[0]
    assert ['openmmlab', newest['python'], 'torch', 'torchvision'] == openmmlab[-1]
    assert not newest['constraints']
    (setup,) = [step['with'] for step in jobs['onedl']['steps'] if 'python' in step.get('uses', '')]
    assert ['onedl', setup['python-version'], 'torch', 'torchvision'] == onedl[-1]


def test_scripts_name_extras_that_exist():
    """pip passes over an extra that is not there, and installs too little."""
    paths = [*(ROOT / '.ci').iterdir(), *WORKFLOWS, *ROOT.glob('*.md'), *ROOT.glob('docs/*.md')]
    paths += [ROOT / '.readthedocs.yaml', *ROOT.glob('.dev_scripts/*.sh')]
    found = {
        extra: path
        for path in paths
        for extras in re.findall(r'install .*?\[([\w,]+)\]', path.read_text())
        for extra in extras.split(',')
    }
    assert {'all', 'openmmlab', 'onedl', 'docs', 'dev'} <= found.keys()
    provided = distribution('amkd_mm').metadata.get_all('Provides-Extra')
    assert {extra: path for extra, path in found.items() if extra not in provided} == {}


def test_actions_are_those_of_a_commit():
    """A tag can be moved."""
    uses = [use for path in WORKFLOWS for use in re.findall(r'uses: (.+)', path.read_text())]
    assert uses
    for use in uses:
        assert re.fullmatch(r'[\w-]+/[\w-]+@[0-9a-f]{40} # v[\d.]+', use), use


@pytest.mark.parametrize('path', FORMS, ids=lambda path: path.stem)
def test_issue_forms_ask_for_something(path):
    """By the schema of issue forms, as far as it is used."""
    form = read_yaml(path)
    assert form.keys() == {'name', 'description', 'labels', 'body'}
    names = [field['id'] for field in form['body']]
    assert len(set(names)) == len(names)
    for field in form['body']:
        assert field['type'] == 'textarea'
        assert field['attributes'].keys() <= {'label', 'description', 'render'}
        assert field['attributes']['label']
    assert any(field.get('validations', {}).get('required') for field in form['body'])


def test_the_changelog_keeps_its_form():
    """Versions, the newest first, each with sections of Keep a Changelog in their order."""
    text = (ROOT / 'CHANGELOG.md').read_text()
    order = ['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security']
    versions = re.split(r'^## ', text, flags=re.M)[1:]
    names = [version.partition('\n')[0].split()[0] for version in versions]
    numbers = [tuple(map(int, name.split('.'))) for name in names if name != 'Unreleased']
    assert 'Unreleased' not in names[1:] and amkd_mm.__version__ in names[:2]
    assert numbers == sorted(numbers, reverse=True)
    for version in versions:
        sections = re.findall(r'^### (.+)$', version, re.M)
        assert sections == [name for name in order if name in sections] != []
        for section in re.split(r'^### .+$', version, flags=re.M)[1:]:
            assert section.strip().startswith('- ')
