"""The teacher of a distillation: what it gets, how it runs, and what it knows."""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints.files import read_checkpoint
from ..classifiers import members_of, num_classes
from ..data_preprocessors.normalizer import Normalizer
from ..datasets.batches import labels_of
from ..datasets.class_numbers import check_class_numbers, class_numbers
from ..hooks.class_check_hook import teacher_numbers
from ..teachers.chance_check import is_guessing
from ..teachers.keys import SINGLE, TeacherKeys
from .errors import advice
from .fitting_size import logits_of
from .images import preprocess
from .report import Report
from .sizes import Size, shown

# Most images that a teacher is asked about, how many at once, and for how many seconds.
JUDGED, AT_ONCE, SECONDS = 256, 32, 20
# How far below the accuracy that its own training logged a teacher may be.
TOLERANCE = 0.1


def report_inputs(report: Report, algorithm: nn.Module, images: Tensor) -> None:
    """Rows on what the networks get of preprocessed images."""
    # Of MMRazor's own algorithms there is none.
    adapters = list(getattr(algorithm, 'input_adapters', {'': None}).values())
    own = algorithm.data_preprocessor
    normalizers = [Normalizer(own)]
    normalizers += [Normalizer(adapter.wanted if adapter else own) for adapter in adapters]
    sizes = [(adapter and adapter.size) or images.shape[-2:] for adapter in adapters]
    channels = f'{shown(images.shape[-2:])}, {images.shape[1]} channels'
    report.row('input', channels, *map(shown, sizes))
    for key in ('mean', 'std'):
        values = [getattr(normalizer, key).flatten().tolist() for normalizer in normalizers]
        report.row(key, *(', '.join(f'{value:.6g}' for value in found) for found in values))
    if images.shape[1] == 3:
        swaps = (normalizer.swaps_channels for normalizer in normalizers)
        report.row('channel order', *('reversed' if swap else 'as loaded' for swap in swaps))
    for name, adapter in zip(members_of(algorithm.teacher), adapters, strict=True):
        done = adapter and adapter.renormalizes and f'normalised anew, as its {adapter.source} says'
        sized = adapter and adapter.size and f'resized to {shown(adapter.size)}'
        done = ', '.join(filter(None, [done, sized]))
        report.row(f'{name or "teacher"} inputs', done or 'those of the student, as they are')


def mode_of(algorithm: nn.Module) -> str:
    """How the teacher runs, after a step."""
    if getattr(algorithm, 'teacher_trainable', False):
        return 'trained'
    text = 'evaluation mode' if getattr(algorithm, 'teacher_eval', False) else 'frozen'
    folded = getattr(algorithm, 'folded_teacher', None)
    if not folded or set(folded.parameters()) <= set(algorithm.teacher.parameters()):
        return f'{text}; as it is, without a folded copy'
    where = (
        '(FoldedTeacher)' if algorithm.teacher_is_folded else 'in the attack only, for a recorder'
    )
    return f'{text}; folded copy {where}'


def judge(
    teacher: nn.Module, preprocessor: nn.Module, dataset: Any, size: Size | None = None
) -> tuple[int, int]:
    """How many images the teacher gets right of how many, drawn from all of a data set."""
    rows = np.random.default_rng(0).permutation(len(dataset))[:JUDGED].tolist()
    right, total, end = 0, 0, time.perf_counter() + SECONDS
    while total < len(rows) and time.perf_counter() < end:
        items = [dataset[row] for row in rows[total : total + AT_ONCE]]
        labels = labels_of([item['data_samples'] for item in items])
        if labels is None:
            break
        images = preprocess(preprocessor, items)
        images = F.interpolate(images, size) if size else images
        right += int((logits_of(teacher, images).argmax(1).cpu() == labels.cpu()).sum())
        total += len(items)
    return right, total


def logged_accuracy(path: str) -> float | None:
    """The accuracy, from 0 to 1, that the training of a checkpoint logged last, or None."""
    with suppress(Exception):  # A checkpoint may hold anything.
        logs = read_checkpoint('teacher', path)['message_hub']
        return logs['log_scalars']['val/accuracy/top1'].current() / 100
    return None


def report_accuracy(
    report: Report,
    teacher: nn.Module,
    preprocessor: nn.Module,
    datasets: Mapping[str, Any],
    path: str | None,
    write: str,
    size: Size | None = None,
    keys: TeacherKeys = SINGLE,
) -> None:
    """Say whether a teacher knows the data, guesses, or is far below its usual.

    Args:
        report (Report): Gets a row, and a problem or a doubt.
        teacher (nn.Module): The teacher.
        preprocessor (nn.Module): That of the student.
        datasets (Mapping[str, Dataset]): By split; the first that can be read is used.
        path (str | None): The checkpoint of the teacher.
        write (str): What to write if it guesses.
        size (tuple[int, int], optional): Of images that the student needs. Defaults to None, as
            they are.
        keys (TeacherKeys): Where the config has the teacher. Defaults to those of a single one.
    """
    right = total = 0
    for split, dataset in datasets.items():
        with suppress(Exception):  # Anything may fail in a pipeline; the other may do.
            right, total = judge(teacher, preprocessor, dataset, size)
        if total:
            place = f'{split}_dataloader'
            break
    if not total:
        return
    accuracy, classes = right / total, num_classes(teacher) or 2
    found = f'right on {right} of {total} images, {accuracy:.0%}'
    report.row(
        f'{keys.member or "teacher"} accuracy', f'{found} ({place}); chance is {1 / classes:.2g}'
    )
    usual = path and logged_accuracy(path)
    look = 'check its normalisation, the size of its images and the order of the classes'
    if is_guessing(right, total, classes):
        text = f'{keys.title} is {found}, which is guessing among {classes} classes: {look}'
        report.problem(text, write)
    elif usual and accuracy < usual - TOLERANCE:
        text = f'{keys.title} is weak: {found}, but its training logged {usual:.0%}: {look}'
        report.problem(text)
    elif accuracy < 0.5:
        report.doubt = f', but {keys.title} is weak: {found}'


def check_class_names(
    report: Report, datasets: Mapping[str, Any], algorithm: nn.Module | None, knows: bool
) -> None:
    """Compare the classes of the data sets with each other and with those of a teacher's weights.

    Args:
        report (Report): Gets notes, and a problem where a class has several numbers.
        datasets (Mapping[str, Dataset]): By split.
        algorithm (nn.Module | None): With teachers.
        knows (bool): Whether these have weights.
    """
    found = []
    for split, dataset in datasets.items():
        found += class_numbers(dataset, f'{split}_dataloader.dataset')
    found += teacher_numbers(algorithm) if knows and algorithm is not None else []
    try:
        for text in check_class_numbers(found):
            report.note(text)
    except ValueError as error:
        report.problem(str(error), advice(str(error)))
