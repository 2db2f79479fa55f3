"""The index of all configs is one for OpenMMLab's tools, and says no more than the pages do."""

import re
from pathlib import Path

import modelindex
import pytest

ROOT = Path(__file__).resolve().parents[2]
# Rows of the table of docs/methods.md that are not named as a collection.
NAMES = {
    'ResNet8 alone': 'resnet8',
    'KD + triplet loss of AMKD': 'kd-triplet_resnet26_resnet8',
}


@pytest.fixture(scope='module')
def index():
    return modelindex.load(str(ROOT / 'model-index.yml'))


@pytest.fixture(scope='module')
def models(index):
    return {model.name: model.data for model in index.models}


def test_openmmlabs_checker_has_nothing_to_say(index):
    assert index.check(silent=True) == []


def test_every_model_is_whole(index, models):
    """Its config is there, and its collection, with a page."""
    assert len(models) == len(index.models) > 90
    collections = {item.name: item for item in index.collections}
    for name, model in models.items():
        config = ROOT / model['Config']
        assert config.stem == name and config.is_file()
        collection = collections[model['In Collection']]
        assert (config.parent / collection.readme).is_file()
        assert Path(collection.filepath).parent.samefile(config.parent)


def model_of(row, models):
    """The name of the model that a row of the page is about."""
    if row in NAMES or ' + ' in row:
        default = row.lower().replace(' + ', '-').replace(' ', '-') + '_resnet26_resnet8'
        return f'{NAMES.get(row, default)}_1xb64_digits'
    (name,) = (
        name
        for name, model in models.items()
        if model['In Collection'] == row and re.search('resnet8_1xb64_digits(_train)?$', name)
    )
    return name


def test_results_are_those_of_the_page(models):
    """The mean of the last epochs, and of the teacher's; nothing else has been measured so."""
    _, _, text = (ROOT / 'docs/methods.md').read_text().partition('## On Digits')
    (teacher,) = re.findall(r'from ResNet26 \(([\d.]+)%\)', text)
    rows = re.findall(r'^\| (.+?) \| ([\d.]+) ±', text, re.M)
    expected = {model_of(row, models): float(value) for row, value in rows}
    expected['resnet26_1xb64_digits'] = float(teacher)
    found = {}
    for name, model in models.items():
        for result in model.get('Results') or ():
            assert (result.task, result.dataset) == ('Image Classification', 'Digits')
            assert name not in found
            found[name] = result.metrics.pop('Top 1 Accuracy')
            assert not result.metrics
    assert found == expected
