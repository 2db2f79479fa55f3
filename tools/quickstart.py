"""Distil a student on the embedded Digits data, from nothing to a table, in under three minutes.

Trains a teacher, then a student alone, by KD and by AMKD, with the config files of this project,
and writes ``work_dirs/quickstart/``: the runs, ``results.md``, ``accuracy.png`` and
``boundary_samples.png``.
"""

import argparse
import io
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

if __name__ == '__main__':
    # The imports below take seconds, or half a minute when the disk is slow.
    print('Loading PyTorch, MMPretrain and MMRazor ...', file=sys.stderr, flush=True)

import amkd_mm  # noqa: F401  (registers everything)

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from amkd_mm.attacks import BoundarySearch
from amkd_mm.attacks.targets import runner_up_target
from amkd_mm.cli.folder_lock import hold
from amkd_mm.data_preprocessors.normalizer import Normalizer
from amkd_mm.visualization import draw_accuracies, draw_boundary_panel

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
TEACHER = 'teacher, ResNet26'
RUNS = {
    TEACHER: 'vanilla/resnet26_1xb64_digits.py',
    'ResNet8 alone': 'vanilla/resnet8_1xb64_digits.py',
    'ResNet8 by KD': 'kd/kd_logits_resnet26_resnet8_1xb64_digits.py',
    'ResNet8 by AMKD': 'amkd/amkd_resnet26_resnet8_1xb64_digits.py',
}
# Samples in the picture.
COLUMNS = 6


class Progress(Hook):
    """Shows a run's progress on one line and keeps its validation accuracies."""

    priority = 'LOWEST'

    def __init__(self, title: str, stream) -> None:
        self.title = title
        self.stream = stream
        self.accuracies = []

    def before_train(self, runner) -> None:
        """Show the title before there is anything else."""
        self.show(runner)

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Note the accuracy and rewrite the line."""
        self.accuracies.append(metrics['accuracy/top1'])
        self.show(runner)

    def show(self, runner) -> None:
        """Rewrite the line."""
        line = f'{self.title:24} epoch {len(self.accuracies):2}/{runner.max_epochs}'
        if self.accuracies:
            line += f'   accuracy {self.accuracies[-1]:5.1f}%'
        end = '\n' if len(self.accuracies) == runner.max_epochs else ''
        # On a terminal each epoch replaces the one before; a file gets a line a run.
        if self.stream.isatty():
            self.stream.write('\r' + line + end)
        elif end:
            self.stream.write(line + end)
        self.stream.flush()


def train(title: str, config: str, work_dir: Path, teacher_ckpt: Path, seed: int):
    """Train one config.

    Returns:
        tuple: The runner, the accuracies by epoch in percent, and the seconds it took.
    """
    cfg = Config.fromfile(CONFIGS / config)
    cfg.work_dir = str(work_dir)
    cfg.randomness = dict(seed=seed)
    if 'teacher' in cfg.model:
        cfg.model.teacher_ckpt = str(teacher_ckpt)
    progress = Progress(title, sys.stdout)
    started = time.perf_counter()
    # MMEngine's log goes to the work directory only.
    with redirect_stdout(io.StringIO()):
        runner = Runner.from_cfg(cfg)
        runner.register_hook(progress)
        runner.train()
    return runner, progress.accuracies, time.perf_counter() - started


def draw_samples(runner: Runner, path: Path) -> float:
    """Attack the teacher on test images and draw some.

    Returns:
        float: Share of the attacked images that reached their target class.
    """
    teacher = runner.model.eval()
    dataset = runner.val_dataloader.dataset
    items = [dataset[index] for index in range(len(dataset))]
    device = teacher.data_preprocessor.device
    pixels = torch.stack([item['inputs'] for item in items]).to(device)
    labels = torch.cat([item['data_samples'].gt_label for item in items]).to(device)
    normalizer = Normalizer(teacher.data_preprocessor)

    def classify(inputs):
        return teacher(inputs, mode='tensor')

    with torch.no_grad():
        logits = classify(normalizer.normalize(pixels))
    correct = logits.argmax(1) == labels
    pixels, labels, logits = pixels[correct], labels[correct], logits[correct]
    runner_up = runner_up_target(logits, labels)
    result = BoundarySearch()(
        classify, normalizer.normalize(pixels), labels, runner_up, normalizer.bounds
    )

    # The first of each class, so that the picture shows different digits.
    firsts = [int((labels == label).nonzero()[0]) for label in labels.unique()]
    shown = [index for index in firsts if result.reached[index]][:COLUMNS]

    def to_arrays(images):
        return images.permute(0, 2, 3, 1).cpu().numpy()

    figure = draw_boundary_panel(
        to_arrays(pixels[shown]),
        to_arrays(normalizer.denormalize(result.inputs[shown])),
        labels[shown].tolist(),
        runner_up[shown].tolist(),
        dict(teacher=logits[shown].softmax(1).cpu().numpy()),
        dict(teacher=result.logits[shown].softmax(1).cpu().numpy()),
        dataset.metainfo['classes'],
    )
    figure.savefig(path, dpi=150)
    return result.reached.float().mean().item()


def main() -> None:
    """Run everything and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/quickstart'))
    parser.add_argument('--seed', type=int, default=0, help='seed of every run (default: 0)')
    args = parser.parse_args()
    try:
        hold(args.work_dir)
    except ValueError as error:
        parser.error(str(error))
    started = time.perf_counter()
    # Digits' networks are too small to gain from more threads, and lose by waiting for them.
    torch.set_num_threads(1)

    curves, seconds = {}, {}
    teacher_ckpt = None
    for number, (title, config) in enumerate(RUNS.items(), 1):
        work_dir = args.work_dir / Path(config).stem
        runner, curves[title], seconds[title] = train(
            f'[{number}/{len(RUNS)}] {title}', config, work_dir, teacher_ckpt, args.seed
        )
        if title == TEACHER:
            teacher_ckpt = Path((work_dir / 'last_checkpoint').read_text())
            init_default_scope('mmpretrain')
            reached = draw_samples(runner, args.work_dir / 'boundary_samples.png')

    figure = draw_accuracies(
        {title: curve for title, curve in curves.items() if title != TEACHER},
        reference=(TEACHER, curves[TEACHER][-1]),
    )
    figure.savefig(args.work_dir / 'accuracy.png', dpi=150)
    lines = ['| network | accuracy, last epoch (%) | seconds |', '| --- | ---: | ---: |']
    lines += [f'| {t} | {curves[t][-1]:.2f} | {seconds[t]:.0f} |' for t in RUNS]
    table = '\n'.join(lines)
    (args.work_dir / 'results.md').write_text(table + '\n')
    print(f'\n{table}\n')
    print(f'BoundarySearch moved {reached:.0%} of the test images to their nearest other class.')
    print('One seed on easy data: this shows that all parts work, not which method is better.')
    print(f'Pictures, table and runs: {args.work_dir} ({time.perf_counter() - started:.0f} s)')


if __name__ == '__main__':
    main()
