"""What a training or a test says on the screen before its first result."""

import inspect
import logging
import platform
from importlib import import_module

import torch
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from ..checkpoints.files import teacher_checkpoints
from ..classifiers import members_of
from ..teachers import TeacherKeys

PACKAGES = ('torch', 'mmengine', 'mmpretrain', 'mmrazor', 'amkd_mm')
RUNNER = inspect.getsourcefile(Runner)


class ConsoleRunner(Runner):
    """MMEngine's Runner, whose environment, config and hooks go into the log file alone.

    These are several hundred lines. A :class:`RunHeadHook` says on the screen what matters of them.
    Warnings, errors and all else that is logged still appear there.
    """

    def register_hooks(self, *args, **kwargs):
        """As in the Runner, and the head."""
        super().register_hooks(*args, **kwargs)
        self.register_hook(RunHeadHook())

    def build_logger(self, *args, **kwargs):
        """As in the Runner."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            # A handler of files is a subclass of it.
            if type(handler) is logging.StreamHandler:
                handler.addFilter(is_for_the_screen)
        return logger


def is_for_the_screen(record: logging.LogRecord) -> bool:
    """Whether a message is anything but one of the Runner's own of several lines."""
    is_long = '\n' in record.getMessage().strip()
    return record.levelno > logging.INFO or record.pathname != RUNNER or not is_long


class RunHeadHook(Hook):
    """Logs in a few lines what is trained or tested, with what and on what."""

    # After the other hooks, so that the results follow.
    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """Log it of a training."""
        loop = runner.train_loop
        if isinstance(loop, EpochBasedTrainLoop):
            length = f'{loop.max_epochs} epochs of {len(loop.dataloader)} iterations'
        else:
            length = f'{loop.max_iters} iterations'
        data = [describe_data('training', loop.dataloader)]
        if runner.val_loop is not None:
            data.append(describe_data('validation', runner.val_loop.dataloader))
        log(runner, 'Training', {'data': '; '.join(data), 'length': length})

    def before_test(self, runner: Runner) -> None:
        """Log it of a test."""
        rows = {'checkpoint': runner._load_from or 'none, the initial weights'}
        log(runner, 'Testing', rows | {'data': describe_data('test', runner.test_loop.dataloader)})


def log(runner, what, rows):
    """Log the head, of which the given rows are a part."""
    rows = {
        'work dir': f'{runner.work_dir}; environment, config and hooks: {runner.logger.log_file}',
        **describe_networks(runner),
        **rows,
        'device': describe_device(runner),
        'versions': f'Python {platform.python_version()}, '
        + ', '.join(f'{name} {import_module(name).__version__}' for name in PACKAGES),
    }
    width = max(10, *map(len, rows))
    lines = [f'  {name:{width}} {text}' for name, text in rows.items()]
    runner.logger.info('\n'.join([f'{what} {runner.cfg.filename or "a config"}', *lines]))


def describe_networks(runner):
    """A row on each network of an algorithm, or on the one that there is."""
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    student = getattr(model, 'architecture', None)
    if student is None:
        return {'network': describe_network(model)}
    rows = {'student': describe_network(student)}
    paths = dict(teacher_checkpoints(runner.cfg.get('model', {})))
    teacher = getattr(model, 'teacher', None)
    for name, network in members_of(teacher).items() if teacher is not None else ():
        path = paths.get(TeacherKeys(name).of('teacher_ckpt'))
        origin = f', from {path}' if path else ''
        rows[f'teacher {name}'.rstrip()] = describe_network(network) + origin
    return rows


def describe_network(network: nn.Module) -> str:
    """Class and depth of a network's backbone, and how many parameters it has in all."""
    backbone = getattr(network, 'backbone', getattr(network, 'model', network))
    depth = getattr(backbone, 'depth', getattr(backbone, 'arch', None))
    name = type(backbone).__name__ + (f' {depth}' if isinstance(depth, (int, str)) else '')
    return f'{name}, {sum(p.numel() for p in network.parameters()):,} parameters'


def describe_data(use, dataloader):
    """Data set, number of images and size of a batch."""
    dataset = dataloader.dataset
    try:
        number = f'{len(dataset):,}'
    except TypeError:  # An `IterableDataset` need not have a length.
        number = 'a stream of'
    batch = getattr(dataloader, 'batch_size', None)
    return f'{type(dataset).__name__}, {number} {use} images, {batch} in a batch'


def describe_device(runner):
    """What computes, in how many processes, and the seed."""
    device = get_device()
    if device == 'cuda':
        device = torch.cuda.get_device_name()
    elif device == 'cpu':
        device = f'cpu, {torch.get_num_threads()} threads'
    processes = f', {runner.world_size} processes' if runner.world_size > 1 else ''
    return f'{device}{processes}; seed {runner.seed}'
