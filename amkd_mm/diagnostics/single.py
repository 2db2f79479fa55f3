"""The check of a distillation without a single teacher: of itself, or data-free by several."""

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..checkpoints.files import exists
from ..classifiers import class_count_key, num_classes
from ..classifiers.modes import evaluation_mode
from ..config.model_settings import model_settings
from ..hooks.class_check_hook import teachers_of
from .images import data_sets, items_for_step, preprocess, read_images
from .networks import STUDENT, report_networks
from .report import Report
from .sizes import shown
from .step import report_losses, report_step
from .teacher import check_class_names, report_accuracy


def check_single(report: Report, cfg: Config, batch_size: int) -> None:
    """Check a distillation without `model.teacher`: of itself, or data-free by `model.teachers`."""
    found = read_images(report, cfg, 'train', batch_size)
    datasets = data_sets(report, cfg, found.dataset)
    settings, paths, writes = model_settings(cfg), {}, {}
    for name, teacher in (settings.get('teachers') or {}).items():
        key = f'model.teachers.{name}.ckpt_path'
        paths[name] = teacher.get('ckpt_path')
        writes[name] = f"{key}='PATH or URL of a checkpoint of this teacher'"
        if not paths[name]:
            text = f'the teacher {name!r} has no checkpoint: its weights are random'
            report.problem(text, writes[name])
        elif not exists(paths[name]):
            report.problem(f'{key}: {paths[name]!r} does not exist', writes[name])
            paths[name] = None
        if not paths[name]:
            teacher.pop('ckpt_path', None)
    algorithm = MODELS.build(settings)
    teachers = {key.rpartition('.')[2]: network for key, network in teachers_of(algorithm).items()}
    networks = dict(student=algorithm.student, **teachers)
    report.name_networks(*networks)
    places = {name: f'model.teachers.{name}.build_cfg' for name in teachers}
    report_networks(report, cfg, networks, found.dataset, dict(places, student=STUDENT))
    check_class_names(report, datasets, algorithm, any(paths.values()))
    for name, teacher in teachers.items():
        counts = num_classes(algorithm.student), num_classes(teacher)
        if None not in counts and counts[0] != counts[1]:
            text = f'the student has {counts[0]} classes and the teacher {name!r} {counts[1]}'
            key = class_count_key(algorithm.student)
            report.problem(text, f'model.architecture.{key}={counts[1]}')
    algorithm.init_weights()
    algorithm = revert_sync_batchnorm(algorithm).to(get_device())
    items = items_for_step(report, cfg, found, algorithm.student, batch_size)
    images = preprocess(algorithm.data_preprocessor, items)
    report.row('input', f'{shown(images.shape[-2:])}, {images.shape[1]} channels')
    report_generator(report, algorithm, images)
    for name, teacher in teachers.items():
        if paths[name]:
            preprocessor = algorithm.data_preprocessor
            report_accuracy(report, teacher, preprocessor, datasets, paths[name], writes[name])
    # A generator has an optimiser of its own.
    wrapper = cfg.get('optim_wrapper') if hasattr(algorithm, 'generator') else None
    step = report_step(report, algorithm, items, cfg, (), wrapper and wrapper.to_dict())
    report_losses(report, step)


def report_generator(report: Report, algorithm: nn.Module, images: Tensor) -> None:
    """What a generator makes, and whether it is like the preprocessed images of the data."""
    generator = getattr(algorithm, 'generator', None)
    if generator is None:
        return
    with torch.no_grad(), evaluation_mode(generator):
        noise = torch.randn(len(images), generator.latent_dim, device=images.device)
        made = generator(noise, len(images))
    text = f'{shown(made.shape[-2:])}, {made.shape[1]} channels; '
    text += f'mean {made.mean():.2g}, deviation {made.std():.2g}'
    report.row('generator', text)
    if not made.isfinite().all():
        report.problem("the generator's images are not finite")
    if made.shape[1:] != images.shape[1:]:
        text = f'the generator makes images of {shown(made.shape[-2:])} and {made.shape[1]} '
        text += f'channels, and the data has {shown(images.shape[-2:])} and {images.shape[1]}'
        report.problem(text, f'model.generator.img_size={images.shape[-1]}')
