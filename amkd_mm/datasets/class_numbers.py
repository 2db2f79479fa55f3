"""What the number of a class means: the names that data sets and checkpoints give it."""

import os.path as osp
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from mmengine.dataset import BaseDataset

from .parts import parts_of

# Images of an annotation file whose folders are looked at.
SAMPLED = 1000
# Names that a message lists.
SHOWN = 12


class ClassNumbers(NamedTuple):
    """The numbers that a data set or a checkpoint gives to its classes.

    Attributes:
        place (str): Config key, for messages.
        classes (dict[str, int]): Number of each class by its name; empty if there are no names.
        folders (dict[str, int]): Number of the class of each folder of images; empty if the images
            are not in folders of their classes.
        is_teacher (bool): Whether it is the checkpoint of a teacher.
    """

    place: str
    classes: dict[str, int]
    folders: dict[str, int] = {}
    is_teacher: bool = False


def class_numbers(dataset: Any, place: str) -> Iterator[ClassNumbers]:
    """The class numbers of a data set, or of each of those that it wraps."""
    for key, part in parts_of(dataset, place):
        # Those of torchvision have `classes` and `class_to_idx`.
        names = (getattr(part, 'metainfo', None) or {}).get('classes')
        names = getattr(part, 'classes', None) if names is None else names
        own = getattr(part, 'folder_to_idx', None)
        numbered = getattr(part, '__dict__', {}).get('class_to_idx')
        if own is None and names is None and isinstance(numbered, dict):
            own = numbered
        folders = folders_of_images(part) if own is None else own
        yield ClassNumbers(key, number(names), dict(folders))


def number(names: Sequence[str] | None) -> dict[str, int]:
    """Number of each name in a list; empty for what is no list of names."""
    if not isinstance(names, (list, tuple)):
        return {}
    return {str(name): index for index, name in enumerate(names)}


def recorded_classes(checkpoint: Mapping) -> tuple[str, ...] | None:
    """Names of the classes that a checkpoint was trained on, in order, or None if unknown."""
    meta = checkpoint.get('meta') or {}
    # The second is what MMClassification, before it was MMPretrain, wrote.
    names = (meta.get('dataset_meta') or {}).get('classes', meta.get('CLASSES'))
    return tuple(map(str, names)) if isinstance(names, (list, tuple)) else None


def folders_of_images(dataset: Any) -> dict[str, int]:
    """Number of the class that most images of a folder have, for folders named after a class.

    Empty unless two such folders are among the images that are looked at: a single one may have the
    name by chance, such as ``train``, which is a class of CIFAR-100.
    """
    if not isinstance(dataset, BaseDataset) or not len(dataset):
        return {}
    names = set(map(plain, (dataset.metainfo or {}).get('classes') or ()))
    if not names:
        return {}
    labels = defaultdict(Counter)
    for row in np.unique(np.linspace(0, len(dataset) - 1, SAMPLED).astype(int)):
        info = dataset.get_data_info(int(row))
        path, label = info.get('img_path'), info.get('gt_label')
        if isinstance(path, str) and np.size(label) == 1:
            labels[osp.basename(osp.dirname(path))][int(np.reshape(label, ())[()])] += 1
    found = {
        folder: counts.most_common(1)[0][0]
        for folder, counts in labels.items()
        if plain(folder) in names
    }
    return found if len(found) > 1 else {}


def plain(name: str) -> str:
    """A name without what is only a matter of spelling."""
    name = str(name)
    return re.sub(r'[\W_]+', '', name.casefold()) or name


def distinct(numbers: Mapping[str, int]) -> dict[str, int]:
    """Numbers by plain name, without names that are there more than once."""
    counts = Counter(map(plain, numbers))
    return {plain(name): index for name, index in numbers.items() if counts[plain(name)] == 1}


def conflicts(first: Mapping[str, int], second: Mapping[str, int]) -> list[str]:
    """Names of the first that have another number in the second."""
    others = distinct(second)
    own = distinct(first)
    return [
        name
        for name, index in first.items()
        if plain(name) in own and others.get(plain(name), index) != index
    ]


def missing(numbers: Mapping[str, int], others: Mapping[str, int]) -> list[str]:
    """Names of the others that are not among the numbers."""
    known = set(map(plain, numbers))
    return [name for name in others if plain(name) not in known]


def listed(numbers: Mapping[str, int] | Iterable[str]) -> str:
    """Names in the order of their numbers, as in a config, if they are not too many."""
    names = sorted(numbers, key=numbers.get) if isinstance(numbers, Mapping) else list(numbers)
    more = f', ... ({len(names)} in all)' if len(names) > SHOWN else ''
    return f'[{", ".join(map(repr, names[:SHOWN]))}{more}]'


def check_class_numbers(found: Sequence[ClassNumbers]) -> list[str]:
    """Check that a class number means the same class everywhere.

    Args:
        found (Sequence[ClassNumbers]): The data sets of a training and its teacher.

    Returns:
        list[str]: What cannot be known, as warnings: names that have nothing in common, classes
        that some of the data lacks, and a teacher without names.

    Raises:
        ValueError: If a name has several numbers. The message says where, and what to write.
    """
    notes = []
    for numbers in found:
        check_own_folders(numbers)
    data = [numbers for numbers in found if not numbers.is_teacher]
    for teacher in found:
        if teacher.is_teacher and not teacher.classes:
            named = next((one for one in data if one.classes), None)
            if named:
                notes.append(
                    f'{teacher.place}: its checkpoint does not say which classes it knows: it must '
                    f'have been trained with those of {named.place}, in this order: '
                    f'{listed(named.classes)}'
                )
        elif teacher.is_teacher:
            for one in data:
                found_notes = check_teacher(teacher, one)
                # Whether the others mean the same as the first is said below.
                notes += found_notes if one is data[0] else []
    for other in data[1:]:
        notes += check_data(data[0], other)
    return list(dict.fromkeys(notes))


def check_own_folders(numbers: ClassNumbers) -> None:
    """Raise ``ValueError`` if a data set's ``classes`` and folders contradict each other."""
    wrong = conflicts(numbers.folders, numbers.classes)
    if not wrong:
        return
    folder = min(wrong, key=numbers.folders.get)
    index = numbers.folders[folder]
    called = [name for name, other in numbers.classes.items() if other == index]
    right = 'the names in the order of the labels'
    if set(map(plain, numbers.folders)) == set(map(plain, numbers.classes)):
        right = f'`classes={listed(numbers.folders)}`'
    raise ValueError(
        f'{numbers.place}.classes: the images of class {index} are in the folder {folder!r}, but '
        f'`classes` calls it {"".join(map(repr, called)) or "nothing"}. Without an annotation file '
        f'classes are numbered by the sorted names of their folders: write {right}, or leave '
        '`classes` out'
    )


def check_teacher(teacher: ClassNumbers, data: ClassNumbers) -> list[str]:
    """Compare the classes that a teacher's checkpoint knows with those of the data."""
    known = [names for names in (data.classes, data.folders) if names]
    for names in known:
        wrong = conflicts(teacher.classes, names)
        if wrong:
            raise ValueError(
                f'{teacher.place} knows the classes in another order than {data.place}: class '
                f'{teacher.classes[wrong[0]]} of the teacher is {wrong[0]!r}, which is class '
                f'{distinct(names)[plain(wrong[0])]} of the data ({len(wrong)} of '
                f'{len(names)} differ). The teacher knows {listed(teacher.classes)}, the data has '
                f'{listed(names)}: number the data as the teacher does, by an annotation file or '
                'by folder names that sort so, or train the teacher on this data'
            )
    if not known or any(not missing(teacher.classes, names) for names in known):
        return []
    return [
        f'{teacher.place} knows other names of classes than {data.place}: {listed(teacher.classes)}'
        f' and {listed(known[0])}: make sure that they mean the same, in this order'
    ]


def check_data(first: ClassNumbers, other: ClassNumbers) -> list[str]:
    """Compare the classes of two data sets of a training."""
    # Folders say more: `classes` may be the same above others.
    pairs = [(first.folders, other.folders), (first.classes, other.classes)]
    pairs = [pair for pair in pairs if all(pair)]
    for names, others in pairs:
        wrong = conflicts(others, names)
        if wrong:
            gone = {
                first.place: missing(names, others),
                other.place: missing(others, names),
            }
            why = [f'{place} lacks {listed(lacks)}' for place, lacks in gone.items() if lacks]
            cure = 'make a folder for each of these, even if it is empty' if why else 'give both'
            cure += '' if why else f' the same order, such as {listed(names)}'
            raise ValueError(
                f'{other.place} numbers the classes otherwise than {first.place}: {wrong[0]!r} is '
                f'class {others[wrong[0]]} there and class {distinct(names)[plain(wrong[0])]} here'
                f'{"; " if why else ""}{" and ".join(why)}: {cure}'
            )
    if not pairs:
        return []
    names, others = pairs[0]
    gone, extra = missing(others, names), missing(names, others)
    if gone and extra:
        return [
            f'{first.place} and {other.place} name their classes differently: {listed(names)} and '
            f'{listed(others)}: make sure that they mean the same, in this order'
        ]
    return [
        f'{place} has no class {listed(lacks)}, which {where} has'
        for place, lacks, where in (
            (other.place, gone, first.place),
            (first.place, extra, other.place),
        )
        if lacks
    ]


def check_labels(labels: Any, classes: int, reader: str) -> None:
    """Raise ``ValueError`` for labels (N,) that are no number of a class.

    Args:
        labels (Tensor): Labels, (N,), int64.
        classes (int): The number of classes, K; labels are from 0 to K - 1.
        reader (str): Who found them, for the message.
    """
    low, high = (int(bound) for bound in labels.aminmax()) if len(labels) else (0, 0)
    if high >= classes:
        raise ValueError(
            f'{reader}: an image has the label {high}, but the models '
            f'have {classes} classes: set `num_classes` of both to that of the data'
        )
    if low < 0:
        raise ValueError(
            f'{reader}: an image has the label {low}, but labels are from 0 to {classes - 1}: '
            'correct the annotations, or leave out images without a label'
        )
