"""The check of a student and its teacher."""

from contextlib import suppress

import torch.nn.functional as F
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..checkpoints.files import teacher_checkpoints
from ..classifiers import members_of
from ..teachers.keys import TeacherKeys
from ..teachers.settings import member_settings
from .fitting_size import fit, fit_teachers, logits_of
from .images import data_sets, items_for_step, preprocess, read_images
from .networks import STUDENT, build, check_widths, checkpoint_line, report_networks
from .report import Report
from .sizes import Size, shown
from .step import report_boundary, report_losses, report_step, sample_hooks
from .teacher import check_class_names, mode_of, report_accuracy, report_inputs


def check_pair(report: Report, cfg: Config, batch_size: int) -> None:
    """Build the pair, let both networks see images, and do a step with them."""
    found = read_images(report, cfg, 'train', batch_size)
    datasets = data_sets(report, cfg, found.dataset)
    algorithm, knows = build(report, cfg)
    members = member_settings(cfg.model.teacher)
    settings = dict(student=cfg.model.architecture)
    settings.update((name or 'teacher', network) for name, network in members.items())
    places = {name or 'teacher': TeacherKeys(name).settings for name in members}
    networks = dict.fromkeys(settings)
    if algorithm is not None:
        networks['student'] = algorithm.student
        for name, network in members_of(algorithm.teacher).items():
            networks[name or 'teacher'] = network
    for key in networks:
        with suppress(Exception):  # One of them may be why there is no algorithm.
            networks[key] = networks[key] or MODELS.build(settings[key].to_dict())
    report.name_networks(*networks)
    report_networks(report, cfg, networks, found.dataset, dict(places, student=STUDENT))
    check_class_names(report, datasets, algorithm, knows)
    if len(networks) == 2:
        check_widths(report, networks, cfg)
    if algorithm is None:
        return
    for change in getattr(algorithm, 'adaptations', []):
        report.note(change)
    algorithm.init_weights()
    # The same in one process, and not every PyTorch has the other on a CPU.
    algorithm.architecture = revert_sync_batchnorm(algorithm.architecture)
    algorithm.to(get_device())
    hooks, preprocessor = sample_hooks(cfg), algorithm.data_preprocessor
    if hooks and getattr(preprocessor, 'batch_augments', None) is not None:
        text = "Mixup or CutMix, of `data_preprocessor` or of the student's `train_cfg`, do not go "
        text += f'with {hooks[0]["type"].__name__}; the step is tried without'
        report.problem(text, 'data_preprocessor.batch_augments=None')
        preprocessor.batch_augments, preprocessor.to_onehot = None, False

    items = items_for_step(report, cfg, found, algorithm.student, batch_size)
    student_logits, size = fit_student(report, algorithm, items)
    images = preprocess(preprocessor, items)
    teachers = members_of(algorithm.teacher)
    logits = fit_teachers(report, algorithm, images, cfg)
    report_inputs(report, algorithm, images)
    report.row('logits', *(shown(found.shape) for found in (student_logits, *logits.values())))
    for name, given in logits.items():
        if not given.isfinite().all():
            keys = TeacherKeys(name)
            report.problem(f'the logits of {keys.title} are not finite', checkpoint_line(keys))
    answers = logits_of(algorithm.teacher, images)
    right = report_labels(report, items, answers, relabels=found.items is None or not knows)
    paths = dict(teacher_checkpoints(cfg.model))
    for name, teacher in teachers.items() if knows else ():
        keys = TeacherKeys(name)
        path = paths.get(keys.of('teacher_ckpt'))
        write = checkpoint_line(keys)
        report_accuracy(report, teacher, preprocessor, datasets, path, write, size, keys)
    step = report_step(report, algorithm, items, cfg, hooks)
    report.row('teacher runs in', mode_of(algorithm))
    report_boundary(report, step, algorithm, images, right)
    report_losses(report, step)


def fit_student(
    report: Report, algorithm: nn.Module, items: list[dict]
) -> tuple[Tensor, Size | None]:
    """Logits of the student, and the size it needs, which the items then have, or None."""
    images = preprocess(algorithm.data_preprocessor, items)
    logits, size = fit(
        report,
        'student',
        algorithm.student,
        images,
        images.shape[-2:],
        lambda size: F.interpolate(images, size),
        "dict(type='Resize', scale={}) before PackInputs in the pipelines",
    )
    for item in items if size else ():
        item['inputs'] = F.interpolate(item['inputs'][None].float(), size)[0].byte()
    return logits, size


def report_labels(report: Report, items: list[dict], logits: Tensor, relabels: bool) -> int:
    """How many of the items the teacher gets right, all of them where they are relabelled so.

    Of what it does not know, a teacher would get too little right to be attacked.
    """
    samples, answers = [item['data_samples'] for item in items], logits.argmax(1).tolist()
    for sample, answer in zip(samples, answers if relabels else (), strict=relabels):
        sample.set_gt_label(answer)
    right = sum(int(x.gt_label) == answer for x, answer in zip(samples, answers, strict=True))
    real = f"the data set's; the teacher is right on {right} of {len(items)}"
    report.row('labels', "the teacher's own answers" if relabels else real)
    return right
