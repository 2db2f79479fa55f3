"""The dataloader benchmark: what it counts, and whose time it is."""

import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

pytestmark = pytest.mark.usefixtures('mmpretrain_scope')

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/amkd/amkd_resnet26_resnet8_1xb64_digits.py'


@pytest.fixture(scope='module')
def benchmark(load_tool):
    return load_tool('analysis_tools/benchmark_dataloader.py')


class SlowImages(torch.utils.data.Dataset):
    """Each image takes ten milliseconds."""

    def __len__(self):
        return 50

    def __getitem__(self, index):
        time.sleep(0.01)
        return dict(inputs=torch.zeros(1), data_samples=index)


@pytest.mark.parametrize('workers', [0, 2])
def test_rate_is_in_images_a_second(benchmark, workers):
    """Also over several epochs."""
    loader = torch.utils.data.DataLoader(
        SlowImages(), batch_size=5, num_workers=workers, persistent_workers=bool(workers)
    )
    found = benchmark.rate(loader, 1.2)
    possible = 100 * max(workers, 1)
    assert 0.5 * possible < found < 1.05 * possible


class Prepared:
    """Gives at once what two workers have in store, and then a batch every ten milliseconds."""

    num_workers, prefetch_factor = 2, 100

    def __iter__(self):
        for _ in range(self.num_workers * self.prefetch_factor):
            yield dict(inputs=range(5))
        while True:
            time.sleep(0.01)
            yield dict(inputs=range(5))


def test_what_was_made_before_is_not_counted(benchmark):
    assert 100 < benchmark.rate(Prepared(), 0.3) < 510


def test_time_goes_to_the_part_that_took_it(benchmark, monkeypatch):
    """Of a clock that moves in some parts alone, those parts have all of the time."""
    clock = [0.0]
    monkeypatch.setattr(benchmark, 'now', lambda: clock[0])

    def taking(seconds, function):
        def call(*args, **kwargs):
            clock[0] += seconds
            return function(*args, **kwargs)

        return call

    cfg = Config.fromfile(CONFIG)
    # Below a wrapper, too.
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset', times=2, dataset=cfg.train_dataloader.dataset
    )
    loader = benchmark.build_loader(cfg, 0)
    dataset = loader.dataset.dataset
    crop, pack = dataset.pipeline.transforms
    monkeypatch.setattr(crop, 'transform', taking(2.0, crop.transform))
    dataset.get_data_info = taking(1.0, dataset.get_data_info)
    preprocess = taking(64.0, benchmark.preprocessor_of(cfg))
    calls = []

    def preprocessor(batch, training):
        calls.append((len(batch['inputs']), training))
        return preprocess(batch, training)

    parts = benchmark.split(loader, preprocessor, 10)
    assert list(parts) == [
        benchmark.DATASET,
        'RandomCrop',
        'PackInputs',
        benchmark.COLLATE,
        benchmark.PREPROCESSOR,
    ]
    assert list(parts.values()) == [1.0, 2.0, 0.0, 0.0, 1.0]
    # One batch to warm up, and one that takes longer than asked for.
    assert calls == [(64, True)] * 2


def test_tables(benchmark, monkeypatch, capsys):
    arguments = [str(CONFIG), '--num-workers', '0', '1', '--seconds', '0.2', '--rounds', '2']
    monkeypatch.setattr(sys, 'argv', ['benchmark_dataloader.py', *arguments])
    benchmark.main()
    text = capsys.readouterr().out
    rates, parts = (
        {row.split('|')[1].strip(): row.split('|')[2:-1] for row in table.splitlines()[2:]}
        for table in text[text.index('| workers') :].split('\n\n')
    )
    assert list(rates) == ['0', '1']
    assert float(rates['0'][1]) == 1 and all(
        float(row[0].split()[0]) > 50 for row in rates.values()
    )
    shares = [float(row[1]) for name, row in parts.items() if name != benchmark.PREPROCESSOR]
    assert sum(shares) == pytest.approx(1, abs=0.05)
    assert 'Batches of 64; 2 times 0.2 s' in text


@pytest.mark.parametrize('arguments', [['--num-workers', '-1'], ['--rounds', '0']])
def test_wrong_numbers(benchmark, arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['benchmark_dataloader.py', str(CONFIG), *arguments])
    with pytest.raises(SystemExit):
        benchmark.main()
    assert f'argument {arguments[0]}: {arguments[1]} is less than' in capsys.readouterr().err


def test_default_workers(benchmark, monkeypatch):
    for cores, expected in ((1, [0, 1]), (2, [0, 1, 2]), (6, [0, 1, 2, 4]), (8, [0, 1, 2, 4, 8])):
        monkeypatch.setattr(benchmark.os, 'sched_getaffinity', lambda _, n=cores: range(n))
        assert benchmark.default_workers() == expected
