"""Train an algorithm. The options are those of MMRazor's `tools/train.py`."""

import argparse
import logging
import os
import os.path as osp
import sys
from collections.abc import Sized

# Once, and not by each process of a distributed training.
if __name__ == '__main__' and not {'RANK', 'SLURM_PROCID'} & os.environ.keys():
    # The imports below take seconds, or half a minute when the disk is slow.
    print('Loading PyTorch, MMPretrain and MMRazor ...', file=sys.stderr, flush=True)

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm  # noqa: F401

import torch
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import IterBasedTrainLoop
from mmrazor.utils import register_all_modules

from amkd_mm.checkpoints.file_hash import check_hash
from amkd_mm.checkpoints.files import exists, named_checkpoints, newest_whole, read_checkpoint
from amkd_mm.classifiers import warn_of_other_normalization
from amkd_mm.cli.console_log import ConsoleRunner
from amkd_mm.cli.downloads import explain_failed_downloads
from amkd_mm.cli.folder_lock import hold
from amkd_mm.config.names import config_argument
from amkd_mm.config.unread_keys import warn_of_unread_keys


def build_parser(description):
    """The options that `train.py` and `test.py` share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file, or `package::path` of one')
    parser.add_argument('--work-dir', help='folder for logs, metrics and checkpoints')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config, for example optim_wrapper.optimizer.lr=0.01. '
        'A list is written key="[a,b]" or key=a,b; quote it and leave out white space.',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    # torch.distributed.launch passes the second spelling since PyTorch 2.0.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='for launchers')
    return parser


def check_file(parser, name, path):
    """Exit with one line when a local file is missing or damaged; URLs are left to MMEngine."""
    if path and not exists(path):
        hint = ''
        if 'teacher_ckpt' in name or name.endswith('ckpt_path'):
            hint = '\ntrain the teacher first (configs/vanilla), or give the path or URL of one'
        parser.error(f'{name}: no such file: {path}{hint}')
    if path:
        try:
            check_hash(path)
        except ValueError as error:
            parser.error(f'{name}: {error}')


def check_checkpoints(parser, cfg):
    """Exit with one line when a local checkpoint that the config names is missing."""
    for name, path in named_checkpoints(cfg):
        check_file(parser, name, path)


def load_config(parser, args):
    """Load the config and apply the shared options to it."""
    explain_failed_downloads()
    args.config = config_argument(parser, args.config)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    register_all_modules(False)
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    # Priority: command line, config, name of the config file.
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = osp.join('./work_dirs', osp.splitext(osp.basename(args.config))[0])
    name_vis_backends(parser, cfg)
    warn_of_unread_keys(cfg)
    if args.launcher == 'pytorch' and get_device() == 'cpu':
        _init_cpu_distributed(cfg)
    return cfg


def name_vis_backends(parser, cfg):
    """Let `--cfg-options` name the backends of the visualizer, where MMEngine takes only dicts."""
    backends = cfg.get('visualizer', {}).get('vis_backends')
    backends = [backends] if isinstance(backends, str) else backends or []
    for backend in backends:
        if isinstance(backend, str) and not backend.replace('.', '_').isidentifier():
            parser.error(
                f'visualizer.vis_backends: {backend} is not the name of a backend: write '
                'visualizer.vis_backends="[LocalVisBackend,TensorboardVisBackend]"'
            )
    if any(isinstance(backend, str) for backend in backends):
        cfg.visualizer.vis_backends = [
            dict(type=backend) if isinstance(backend, str) else backend for backend in backends
        ]


def _init_cpu_distributed(cfg):
    """Join the process group without a GPU, which MMEngine's own launcher code cannot.

    That code selects a CUDA device before it joins, and wraps the model with GPU ids. Both steps
    are skipped when the group exists already and the config names a wrapper.
    """
    torch.distributed.init_process_group(backend='gloo')
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
    if cfg.get('model_wrapper_cfg') is None:
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
    print_log('No GPU is visible: distributed over CPUs with the gloo backend.', logger='current')


def enable_amp(parser, cfg):
    """Turn on automatic mixed precision in `cfg.optim_wrapper`."""
    if get_device() in ('cpu', 'mps'):
        print_log(
            "--amp has no effect: MMEngine's AmpOptimWrapper needs a GPU and none is visible. "
            'Training in full precision.',
            logger='current',
            level=logging.WARNING,
        )
        return
    wrapper = cfg.optim_wrapper
    # MMRazor's constructor for architecture search keeps one wrapper for each part.
    if 'architecture' in wrapper:
        wrapper = wrapper.architecture
    kind = wrapper.get('type', 'OptimWrapper')
    name = kind if isinstance(kind, str) else kind.__name__
    if name not in ('OptimWrapper', 'AmpOptimWrapper'):
        parser.error(f'--amp needs optim_wrapper.type to be OptimWrapper, but it is {name}')
    wrapper.type = 'AmpOptimWrapper'
    wrapper.setdefault('loss_scale', 'dynamic')


def set_resume(parser, cfg, resume):
    """Resume from the checkpoint named, or for 'auto' from the newest one in the work folder."""
    try:
        if resume == 'auto':
            resume = newest_whole(cfg.work_dir)
            if resume is None:
                print_log(f'No checkpoint to resume in {cfg.work_dir}: the training begins anew')
        else:
            read_checkpoint('--resume', resume)
    except ValueError as error:
        parser.error(str(error))
    if resume is not None:
        cfg.resume = True
        # MMEngine would otherwise resume from `load_from`, the weights that training began with.
        cfg.load_from = resume


class ValidateTheLastEpoch(Hook):
    """Validate a resumed training that has nothing left to do.

    MMEngine saves an epoch before it validates it. What is interrupted in between after the last
    one is complete when it resumes, and would end without an accuracy.
    """

    priority = 'LOWEST'

    def before_train(self, runner):
        loop = runner.train_loop
        by_iter = isinstance(loop, IterBasedTrainLoop)
        left = loop.max_iters - loop.iter if by_iter else loop.max_epochs - loop.epoch
        if left <= 0 and runner.val_loop is not None:
            runner.val_loop.run()


class RefuseToDoNothing(Hook):
    """End a training or validation without a single batch before it starts."""

    priority = 'VERY_HIGH'

    def before_train(self, runner):
        loop = runner.train_loop
        by_iter = isinstance(loop, IterBasedTrainLoop)
        name = 'max_iters' if by_iter else 'max_epochs'
        if getattr(loop, name) < 1:
            raise ValueError(f'train_cfg.{name} is {getattr(loop, name)}: nothing would be trained')
        # An infinite sampler fills batches from few images, too.
        loaders = [] if by_iter else [('train', loop.dataloader)]
        if runner.val_loop is not None:
            loaders.append(('val', runner.val_loop.dataloader))
        for name, loader in loaders:
            if isinstance(loader.dataset, Sized) and len(loader) == 0:
                raise ValueError(
                    f'{name}_dataloader gives no batch: it has {len(loader.dataset)} images, '
                    f'batch_size={loader.batch_size} and drop_last={loader.drop_last}: set '
                    'drop_last=False, or a batch_size of at most the number of images'
                )


def main():
    parser = build_parser('Train an algorithm')
    parser.add_argument(
        '--amp', action='store_true', help='automatic mixed precision (full precision on a CPU)'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by actual batch size / auto_scale_lr.base_batch_size',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from CHECKPOINT, or without it from the latest one in the work folder',
    )
    args = parser.parse_args()
    if args.resume != 'auto':
        check_file(parser, '--resume', args.resume)
    cfg = load_config(parser, args)
    try:
        hold(cfg.work_dir, cfg.launcher)
    except ValueError as error:
        parser.error(str(error))
    if args.resume is not None:
        set_resume(parser, cfg, args.resume)
    check_checkpoints(parser, cfg)
    if args.amp:
        enable_amp(parser, cfg)
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            parser.error('--auto-scale-lr needs auto_scale_lr.base_batch_size in the config')
        cfg.auto_scale_lr.enable = True
    runner = ConsoleRunner.from_cfg(cfg)
    if 'architecture' not in cfg.model:
        model = getattr(runner.model, 'module', runner.model)
        warn_of_other_normalization('model', model, cfg.model, model.data_preprocessor)
    runner.register_hook(RefuseToDoNothing())
    if cfg.get('resume'):
        runner.register_hook(ValidateTheLastEpoch())
    runner.train()


if __name__ == '__main__':
    main()
