"""Compare students of the study with their teacher, beyond accuracy.

``python .dev_scripts/study_measure.py SETTING... --seeds 0 1 2`` measures those runs of
``docs/results/runs.csv`` whose checkpoints are in the work directory, on the images that their
accuracy is of, and adds it to their lines. The options are those of ``study.py``.
"""

import argparse
import sys

import torch
from mmengine import Config
from mmengine.runner import Runner
from study import MEASURES, add_options, identity, parse, read_runs, write_config, write_runs

# An algorithm with the teacher, for students that were trained with and without one.
ALGORITHM = 'kd-tau4-w1'


def make_runner(args):
    """A Runner that tests a student beside its teacher."""
    cfg = Config.fromfile(write_config(ALGORITHM, args))
    cfg.work_dir = str(args.work_dir / 'measured')
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = [
        dict(type='ExpectedCalibrationError', num_bins=15),
        dict(type='BoundarySimilarity', num_samples=1000),
        dict(type='Agreement', num_samples=1000),
    ]
    return Runner.from_cfg(cfg)


def load(student, path):
    """The student of a checkpoint of the study."""
    state = torch.load(path, map_location='cpu', weights_only=False)['state_dict']
    # The checkpoint of a student alone does without it.
    prefix = 'architecture.'
    own = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    student.load_state_dict(own or state)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    args, names = parse(parser)
    runner = make_runner(args)
    for name in names:
        for seed in args.seeds:
            key = (*identity(name, args), str(seed))
            path = args.work_dir / name / f'seed_{seed}' / f'epoch_{args.epochs}.pth'
            run = read_runs().get(key)
            if run is None or run.get('ece') or not path.exists():
                continue
            load(runner.model.architecture, path)
            metrics = runner.test()
            measured = {column: f'{metrics[name]:.4g}' for column, name in MEASURES.items()}
            # A study may have added its own meanwhile.
            runs = read_runs()
            runs[key].update(measured)
            write_runs(runs)
            print(name, seed, measured, flush=True)


if __name__ == '__main__':
    sys.exit(main())
