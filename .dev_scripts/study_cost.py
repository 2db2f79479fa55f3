"""What an iteration of a setting of the study costs, in iterations of KD.

``python .dev_scripts/study_cost.py SETTING... --data-root DATA --teacher FILE`` trains the settings
and KD in turn, each by its Runner, with data loading and hooks, and adds the median ratio to
``docs/results/costs.csv``, with that of a whole training, of which only a share has other samples.
Nothing else should run on the machine.
"""

import argparse
import csv
import logging
import statistics
import tempfile
import warnings
from datetime import date
from pathlib import Path

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm  # noqa: F401

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmrazor.utils import register_all_modules
from study import COSTS, add_options, parse, read_costs, write_config

from amkd_mm.benchmarking.iterations import begin_at_once, time_turns
from amkd_mm.benchmarking.stepping import iterations, stepped
from amkd_mm.hooks.sample_hook import SampleHook

KD = 'kd-tau4-w1'
COLUMNS = ['setting', 'training', 'iteration', 'low', 'high', 'rounds', 'threads', 'torch', 'day']
# Each sample is used in as many steps at most.
NUMBER = 8


def write_costs(costs):
    """Write them by name."""
    with open(COSTS, 'w', newline='') as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator='\n')
        writer.writeheader()
        writer.writerows(costs[name] for name in sorted(costs))


def measure(names, args):
    """Ratios of each setting to KD: of a training; of an iteration, median, least and largest."""
    trainings, shares = {}, {}
    for name in dict.fromkeys([KD, *names]):
        cfg = Config.fromfile(write_config(name, args))
        cfg.work_dir = str(args.work_dir)
        cfg.log_level = logging.ERROR
        runner = Runner.from_cfg(stepped(cfg, name))
        hooks = [hook for hook in runner.hooks if isinstance(hook, SampleHook)]
        shares[name] = max((hook.end - hook.begin for hook in hooks), default=1)
        begin_at_once(runner)
        trainings[name] = iterations(runner)
    seconds = time_turns(trainings, args.rounds, 1, NUMBER)
    found = {}
    for name, share in shares.items():
        ratios = [one / kd for one, kd in zip(seconds[name], seconds[KD], strict=True)]
        median = statistics.median(ratios)
        # Steps without samples are those of KD.
        found[name] = (1 + share * (median - 1), median, min(ratios), max(ratios))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument('--rounds', type=int, default=9, help='of 8 iterations each (default: 9)')
    args, names = parse(parser)
    register_all_modules(False)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        args.work_dir = Path(folder)
        found = measure(names, args)
    costs = read_costs()
    for name, figures in found.items():
        ratios = [f'{figure:.2f}' for figure in figures]
        row = [name, *ratios, args.rounds, torch.get_num_threads(), torch.__version__, date.today()]
        costs[name] = dict(zip(COLUMNS, row, strict=True))
        training, median, low, high = ratios
        print(f'{name:20} {median} ({low} to {high}), a training {training}')
    write_costs(costs)


if __name__ == '__main__':
    main()
