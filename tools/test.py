"""Test an algorithm. The options are those of MMRazor's `tools/test.py`, and MMPretrain's."""

import os
import sys
from copy import deepcopy

# Once, and not by each process of a distributed training.
if __name__ == '__main__' and not {'RANK', 'SLURM_PROCID'} & os.environ.keys():
    # The imports below take seconds, or half a minute when the disk is slow.
    print('Loading PyTorch, MMPretrain and MMRazor ...', file=sys.stderr, flush=True)

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm  # noqa: F401

import mmengine
from mmengine.config import ConfigDict
from mmengine.evaluator import DumpResults
from mmengine.logging import print_log

from amkd_mm.checkpoints.distillation import existing_teacher_files, lacks_teacher_file
from amkd_mm.checkpoints.files import read_checkpoint
from amkd_mm.checkpoints.fit import TEACHER, has_part, weights_in
from amkd_mm.cli.console_log import ConsoleRunner
from train import build_parser, check_checkpoints, check_file, load_config


def add_options(parser):
    """The options that MMPretrain's `tools/test.py` has besides."""
    parser.add_argument('--out', metavar='FILE', help='.pkl or .json file for what --out-item says')
    parser.add_argument(
        '--out-item', choices=['metrics', 'pred'], help='metrics or predictions (default: pred)'
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation: by `tta_model` and `tta_pipeline` of the config, otherwise '
        'the mean scores of an image and its mirror image',
    )
    parser.add_argument('--show-dir', metavar='FOLDER', help='folder for pictures of predictions')
    parser.add_argument('--show', action='store_true', help='show pictures in a window')
    parser.add_argument(
        '--interval', type=int, default=1, help='draw each of so many images (default: 1)'
    )
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds that a window stays (default: 2)'
    )


def check_options(parser, args):
    """Exit with one line where options do not go together."""
    draws = args.show or args.show_dir is not None
    if args.out is None and args.out_item is not None:
        parser.error('--out-item needs --out FILE')
    if args.out and args.out_item != 'metrics' and not args.out.endswith(('.pkl', '.pickle')):
        parser.error(f'--out {args.out}: predictions are written to a .pkl file')
    if draws and args.tta:
        parser.error('--show and --show-dir draw no images of --tta: leave one of them out')


def apply_options(parser, args, cfg):
    """Apply them to the config."""
    if args.amp:
        cfg.test_cfg.fp16 = True
    if args.show or args.show_dir is not None:
        if cfg.get('default_hooks', {}).get('visualization') is None:
            parser.error(
                '--show and --show-dir need a hook in the config: '
                "default_hooks=dict(visualization=dict(type='mmpretrain.VisualizationHook'))"
            )
        cfg.default_hooks.visualization.update(
            enable=True,
            show=args.show,
            wait_time=args.wait_time,
            out_dir=args.show_dir,
            interval=args.interval,
        )
    if args.tta:
        augment_test_images(cfg)


def augment_test_images(cfg):
    """Test the mean of the student's predictions on several versions of each image."""
    model = cfg.get('tta_model') or dict(type='mmpretrain.AverageClsScoreTTA')
    pipeline = cfg.get('tta_pipeline')
    if pipeline is None:
        *pipeline, pack = deepcopy(cfg.test_dataloader.dataset.pipeline)
        flips = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
        pipeline.append(dict(type='TestTimeAug', transforms=[flips, [pack]]))
    cfg.test_dataloader.dataset.pipeline = pipeline
    cfg.model = ConfigDict(**model, module=cfg.model)


def leave_out_pair_metrics(evaluator):
    """Leave out metrics that ask both networks about the images themselves."""
    left_out = [one for one in evaluator.metrics if hasattr(one, 'receive_algorithm')]
    if left_out:
        names = ', '.join(type(one).__name__ for one in left_out)
        print_log(f'--tta leaves out {names}, which knows single images only', logger='current')
        evaluator.metrics = [one for one in evaluator.metrics if one not in left_out]


def main():
    parser = build_parser('Test an algorithm')
    parser.add_argument('checkpoint', help='checkpoint file, or none for the initial weights')
    add_options(parser)
    args = parser.parse_args()
    check_options(parser, args)
    if args.checkpoint != 'none':
        check_file(parser, 'checkpoint', args.checkpoint)
    cfg = load_config(parser, args)
    cfg.load_from = None if args.checkpoint == 'none' else args.checkpoint
    if cfg.load_from is not None and lacks_teacher_file(cfg.model):
        try:
            checkpoint = read_checkpoint('checkpoint', args.checkpoint)
        except ValueError as error:
            parser.error(str(error))
        if has_part(weights_in(checkpoint), TEACHER):
            cfg.model.teacher_ckpt = existing_teacher_files(cfg.model)
    check_checkpoints(parser, cfg)
    cfg.resume = False
    apply_options(parser, args, cfg)
    runner = ConsoleRunner.from_cfg(cfg)
    if args.tta:
        leave_out_pair_metrics(runner.test_evaluator)
    if args.out and args.out_item != 'metrics':
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
    metrics = runner.test()
    if args.out and args.out_item == 'metrics':
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    main()
