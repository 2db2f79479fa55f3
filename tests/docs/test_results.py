"""The study's report, and the page that it renews."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

RUNS = """\
data,student,schedule,setting,split,seed,accuracy,commit,torch,day
cifar10,resnet8,short,kd-tau4-w1,test,0,60.00,a,2,d
cifar10,resnet8,short,kd-tau4-w1,test,1,62.00,a,2,d
cifar10,resnet8,short,amkd,test,0,61.00,a,2,d
cifar10,resnet8,short,amkd,test,1,64.00,a,2,d
cifar10,resnet8,short,amkd,test,2,70.00,a,2,d
cifar10,resnet8,short,amkd,held-out,0,10.00,a,2,d
cifar10,resnet8,long,amkd,test,3,10.00,a,2,d
cifar10,resnet14,short,amkd,test,4,10.00,a,2,d
cifar10,resnet8,short,bss-published,test,0,99.00,a,2,d
"""

PAGE = """\
Text.

`python .dev_scripts/study_report.py 'am*' --over kd-tau4-w1 --schedule short`

| an | old |
| --- | --- |

More text.
"""

# Of the pairs 1 and 2 the mean is 1.5, the standard deviation 0.7071, the half width
# 12.706 x 0.7071 / sqrt(2) = 6.35. All three runs have the mean 65 and the deviation 4.58.
RENEWED = """\
Text.

`python .dev_scripts/study_report.py 'am*' --over kd-tau4-w1 --schedule short`

| setting | n | accuracy (%) | gain over KD |
| --- | ---: | ---: | ---: |
| AMKD, new samples in each step (`amkd`) | 3 | 65.00 ± 4.58 | +1.50 (-4.85 to +7.85) |
| KD (`kd-tau4-w1`) | 2 | 61.00 ± 1.41 |  |

More text.
"""


MEASURED = """\
data,student,schedule,setting,split,seed,accuracy,ece,agreement,boundary_agreement,mag_sim,ang_sim
cifar10,resnet8,short,kd-tau4-w1,test,0,60.00,10,70.0,20.0,0.5,0.1
cifar10,resnet8,short,kd-tau4-w1,test,1,62.00,12,71.0,10.0,0.6,0.2
cifar10,resnet8,short,kd-tau4-w1,test,2,99.00,,,,,
cifar10,resnet8,short,amkd,test,0,99.00,,,,,
"""

# Of the two runs that were measured.
MEASURES = """\
| setting | n | accuracy (%) | calibration error (%) | agreement, clean (%) | agreement, boundary (%) | MagSim | AngSim |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| KD (`kd-tau4-w1`) | 2 | 61.0 | 11.0 | 70.5 | 15.0 | 0.550 | 0.150 |"""  # noqa: E501


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / '.dev_scripts'))
    import study_report

    return study_report


def test_tables_hold_the_runs_that_their_command_asks_for(report, monkeypatch, tmp_path):
    runs = tmp_path / 'runs.csv'
    runs.write_text(RUNS)
    monkeypatch.setattr('study.RUNS', runs)
    assert report.renew(PAGE) == RENEWED


def test_costs_stand_beside_the_gains(report, monkeypatch, tmp_path):
    for name, text in dict(RUNS=RUNS, COSTS='setting,iteration\namkd,1.25\n').items():
        path = tmp_path / name
        path.write_text(text)
        monkeypatch.setattr(f'study.{name}', path)
    arguments = ['am*', '--over', 'kd-tau4-w1', '--schedule', 'short']
    plain, costs = (
        report.render(report.make_parser().parse_args([*arguments, *more])).splitlines()
        for more in ([], ['--costs'])
    )
    cells = ['time of an iteration, KD = 1', '---:']
    cells += ['1.25' if '(`amkd`)' in line else '' for line in plain[2:]]
    assert '1.25' in cells
    expected = [f'{line} {cell} |' for line, cell in zip(plain, cells, strict=True)]
    assert costs == expected


def test_measures_are_means_of_the_runs_that_have_them(report, monkeypatch, tmp_path):
    runs = tmp_path / 'runs.csv'
    runs.write_text(MEASURED)
    monkeypatch.setattr('study.RUNS', runs)
    args = report.make_parser().parse_args(['--measures', '--schedule', 'short'])
    assert report.render(args) == MEASURES


def test_a_study_adds_its_complete_runs_to_those_there_are(report, monkeypatch, tmp_path):
    import study

    runs = tmp_path / 'runs.csv'
    runs.write_text(MEASURED)
    monkeypatch.setattr('study.RUNS', runs)
    made = [
        dict(setting='kd-tau4-w1', seed=0, status='complete', curve={'15': 1.0}),
        dict(setting='amkd', seed=3, status='complete', curve={'15': 71.234}),
        dict(setting='amkd', seed=4, status='failed', curve={}),
    ]
    (tmp_path / 'runs.jsonl').write_text('\n'.join(map(json.dumps, made)))
    args = Namespace(data='cifar10', depth=8, epochs=15, split='test', work_dir=tmp_path)
    before = study.read_runs()
    study.collect('c0ffee', args)
    after = study.read_runs()
    kd, added = (
        ('cifar10', 'resnet8', 'batch64-warmup-cosine-15', setting, 'test', seed)
        for setting, seed in (('kd-tau4-w1', '0'), ('amkd', '3'))
    )
    assert set(after) == {*before, kd, added}
    assert (after[added]['accuracy'], after[added]['commit']) == ('71.23', 'c0ffee')
    for key, row in before.items():
        assert after[key].items() >= row.items()
    # Once more, as another study would, whose result for the same run is not the one that counts.
    study.collect('later', args)
    assert study.read_runs() == after


def test_the_pages_are_up_to_date(report):
    for path in report.PAGES:
        page = path.read_text(encoding='utf-8')
        assert report.COMMAND in page
        assert report.renew(page) == page, 'run `python .dev_scripts/study_report.py --write`'


def test_all_runs_are_of_settings_that_can_be_run_again(report):
    import study
    import study_settings

    # The page says which one only an earlier commit can run: samples within the batch.
    known = {*study_settings.SETTINGS, 'amkd-as-data'}
    assert {key[3] for key in study.read_runs()} <= known
    page = report.PAGES[0]
    only_earlier = '`amkd-as-data` are those that only earlier commits can make'
    assert only_earlier in page.read_text(encoding='utf-8')


def test_every_setting_has_a_name_of_its_own(report):
    import study
    import study_names
    import study_settings

    # The names say in words what the codes say: of settings, and of runs that are kept.
    known = {*study_settings.SETTINGS, *(key[3] for key in study.read_runs())}
    assert known == set(study_names.NAMES)
    names = list(study_names.NAMES.values())
    assert len(set(names)) == len(names)
    assert not known & set(names)
    assert not any('|' in name or '`' in name for name in names)
    assert set(study_names.MEASURE_NAMES) == set(study.MEASURES)
