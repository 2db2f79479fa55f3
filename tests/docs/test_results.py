"""The study's report, and the page that it renews."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

RUNS = """\
data,student,schedule,setting,split,seed,accuracy,commit,torch,day
cifar10,resnet8,cosine-15,kd-tau4-w1,test,0,60.00,a,2,d
cifar10,resnet8,cosine-15,kd-tau4-w1,test,1,62.00,a,2,d
cifar10,resnet8,cosine-15,amkd,test,0,61.00,a,2,d
cifar10,resnet8,cosine-15,amkd,test,1,64.00,a,2,d
cifar10,resnet8,cosine-15,amkd,test,2,70.00,a,2,d
cifar10,resnet8,cosine-15,amkd,held-out,0,10.00,a,2,d
cifar10,resnet8,cosine-30,amkd,test,3,10.00,a,2,d
cifar10,resnet14,cosine-15,amkd,test,4,10.00,a,2,d
cifar10,resnet8,cosine-15,bss-published,test,0,99.00,a,2,d
"""

PAGE = """\
Text.

`python .dev_scripts/study_report.py 'am*' --over kd-tau4-w1 --schedule cosine-15`

| an | old |
| --- | --- |

More text.
"""

# Of the pairs 1 and 2 the mean is 1.5, the standard deviation 0.7071, the half width
# 12.706 x 0.7071 / sqrt(2) = 6.35. All three runs have the mean 65 and the deviation 4.58.
RENEWED = """\
Text.

`python .dev_scripts/study_report.py 'am*' --over kd-tau4-w1 --schedule cosine-15`

| setting | n | accuracy (%) | gain over KD |
| --- | ---: | ---: | ---: |
| AMKD, new samples in each step (`amkd`) | 3 | 65.00 ± 4.58 | +1.50 (-4.85 to +7.85) |
| KD (`kd-tau4-w1`) | 2 | 61.00 ± 1.41 |  |

More text.
"""


MEASURED = """\
data,student,schedule,setting,split,seed,accuracy,ece,agreement,boundary_agreement,mag_sim,ang_sim
cifar10,resnet8,cosine-15,kd-tau4-w1,test,0,60.00,10,70.0,20.0,0.5,0.1
cifar10,resnet8,cosine-15,kd-tau4-w1,test,1,62.00,12,71.0,10.0,0.6,0.2
cifar10,resnet8,cosine-15,kd-tau4-w1,test,2,99.00,,,,,
cifar10,resnet8,cosine-15,amkd,test,0,99.00,,,,,
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
    for name, text in dict(RUNS=RUNS, COSTS='setting,training,iteration\namkd,1.2,1.25\n').items():
        path = tmp_path / name
        path.write_text(text)
        monkeypatch.setattr(f'study.{name}', path)
    arguments = ['am*', '--over', 'kd-tau4-w1', '--schedule', 'cosine-15']
    plain, costs = (
        report.render(report.make_parser().parse_args([*arguments, *more])).splitlines()
        for more in ([], ['--costs'])
    )
    cells = ['time of an iteration, KD = 1 | time of the training, epochs of KD', '---: | ---:']
    # 15 x 1.2 = 18.
    cells += ['1.25 | 18.0' if '(`amkd`)' in line else ' | ' for line in plain[2:]]
    assert '1.25 | 18.0' in cells
    expected = [f'{line} {cell} |' for line, cell in zip(plain, cells, strict=True)]
    assert costs == expected


def test_a_setting_of_other_epochs_stands_beside_those_of_the_schedule(
    report, monkeypatch, tmp_path
):
    runs = tmp_path / 'runs.csv'
    more = 'cifar10,resnet8,cosine-18,kd-tau4-w1,test,{},{},a,2,d\n'
    # Of another kind of schedule.
    other = 'cifar10,resnet8,steps-18,kd-tau4-w1,test,1,10.00,a,2,d\n'
    runs.write_text(RUNS + more.format(0, '60.50') + more.format(1, '63.50') + other)
    monkeypatch.setattr('study.RUNS', runs)
    line = 'amkd kd* --over kd-tau4-w1@18 --schedule cosine-15'
    # Gains 61 - 60.5 and 64 - 63.5, and 60 - 60.5 and 62 - 63.5.
    assert report.render(report.make_parser().parse_args(line.split())).splitlines()[2:] == [
        '| AMKD, new samples in each step (`amkd`) | 3 | 65.00 ± 4.58 | +0.50 (+0.50 to +0.50) |',
        '| KD for 18 epochs (`kd-tau4-w1@18`) | 2 | 62.00 ± 2.12 |  |',
        '| KD (`kd-tau4-w1`) | 2 | 61.00 ± 1.41 | -1.00 (-7.35 to +5.35) |',
    ]


def test_measures_are_means_of_the_runs_that_have_them(report, monkeypatch, tmp_path):
    runs = tmp_path / 'runs.csv'
    runs.write_text(MEASURED)
    monkeypatch.setattr('study.RUNS', runs)
    args = report.make_parser().parse_args(['--measures', '--schedule', 'cosine-15'])
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
    args = Namespace(
        data='cifar10',
        depth=8,
        schedule='batch64-warmup-cosine',
        epochs=15,
        split='test',
        work_dir=tmp_path,
    )
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


def test_the_published_experiment_is_that_of_the_shipped_config(report, monkeypatch, tmp_path):
    import study
    from mmengine import Config

    arguments = ['study.py', 'kd-tau4-w1', '--data', 'cifar10-full', '--schedule', 'published']
    monkeypatch.setattr('sys.argv', [*arguments, '--work-dir', str(tmp_path)])
    parser = study.argparse.ArgumentParser()
    study.add_options(parser)
    args, names = study.parse(parser)
    made = Config.fromfile(study.write_config(*names, args))
    shipped = Config.fromfile(
        ROOT / 'configs/kd/kd_logits_resnet26_resnet8_1xb256_cifar10-folder.py'
    )
    for key in ('optim_wrapper', 'param_scheduler', 'data_preprocessor'):
        assert made[key] == shipped[key]
    assert made.train_cfg.max_epochs == shipped.train_cfg.max_epochs == 80
    assert made.train_dataloader.batch_size == shipped.train_dataloader.batch_size == 256
    assert made.train_dataloader.dataset.pipeline == shipped.train_dataloader.dataset.pipeline
    assert made.train_dataloader.dataset.type == 'CustomDataset'
    distillers = (config.model.distiller for config in (made, shipped))
    assert next(distillers) == next(distillers)
    assert study.identity(*names, args)[:3] == ('cifar10-full', 'resnet8', 'published-80')
    # For as long as a slower method takes, in the same proportions.
    assert study.published(97) == {'param_scheduler.milestones': [48, 73]}
