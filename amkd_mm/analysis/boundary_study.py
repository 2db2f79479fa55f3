"""The numbers of a student's decision boundary beside its teacher's."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..classifiers import num_classes
from ..data_preprocessors.normalizer import Normalizer
from ..datasets.class_numbers import check_labels
from ..samplers import BoundarySampler
from ..teachers import fold_teacher
from .boundary_planes import BoundaryPlane, boundary_planes
from .boundary_samples import Mover, distances, first_of_each_class
from .boundary_verdict import boundary_verdict
from .embeddings import EmbeddingMap, map_embeddings
from .validation_images import ValidationImages

TEACHER, STUDENT = 'teacher', 'student'


class ComparedStudent(NamedTuple):
    """Another student, which is asked about the same images.

    Attributes:
        name (str): In facts and pictures.
        network (nn.Module): In evaluation mode.
        normalizer (Normalizer): Of its own inputs.
    """

    name: str
    network: nn.Module
    normalizer: Normalizer


class ShownSamples(NamedTuple):
    """Some images and their boundary samples of the teacher, ready to be drawn.

    Attributes:
        images (ndarray): (M, H, W, C), RGB or grey, 0 to 255.
        moved (ndarray): The boundary samples, likewise.
        labels (list[int]): M.
        targets (list[int]): Target classes, M.
        probabilities (dict[str, ndarray]): Of the images for teacher and student, (M, K).
        moved_probabilities (dict[str, ndarray]): Of the boundary samples, likewise.
        reached (list[bool]): Whether each is in its target class for the teacher, M.
    """

    images: np.ndarray
    moved: np.ndarray
    labels: list[int]
    targets: list[int]
    probabilities: dict[str, np.ndarray]
    moved_probabilities: dict[str, np.ndarray]
    reached: list[bool]


class BoundaryStudy(NamedTuple):
    """What :func:`study_boundary` finds.

    Attributes:
        class_names (list[str]): K names.
        right (dict[str, Tensor]): Name of a network to whether it gets each image right, bool,
            on all images. All else is about the N that the teacher gets right.
        labels (list[int]): Of the N images.
        reached (Tensor): Whether the teacher's boundary samples are in their target classes, (N,).
        student_reached (Tensor): The same of the student's, of images that it gets right, (L,).
        gaps (Tensor): ``|p(base) - p(target)|`` of the teacher for the reached samples, M.
        distances (dict[str, Tensor]): How far the own boundary is from the images that both get
            right, of teacher and student, in pixel values.
        verdict (list[str]): Sentences of :func:`boundary_verdict`.
        samples (ShownSamples): Some images and their boundary samples.
        planes (dict[int, list[BoundaryPlane]]): Number of a shown sample, from 1, to its planes, at
            least one.
        maps (dict[str, EmbeddingMap]): What teacher and student make of the N images and of the
            M reached boundary samples.
        rows (list[int]): The image that each of the M boundary samples was made from.
    """

    class_names: list[str]
    right: dict[str, Tensor]
    labels: list[int]
    reached: Tensor
    student_reached: Tensor
    gaps: Tensor
    distances: dict[str, Tensor]
    verdict: list[str]
    samples: ShownSamples
    planes: dict[int, list[BoundaryPlane]]
    maps: dict[str, EmbeddingMap]
    rows: list[int]


def study_boundary(
    algorithm: nn.Module,
    sampler: BoundarySampler,
    images: ValidationImages,
    generator: torch.Generator,
    compared: ComparedStudent | None = None,
    reader: str = 'study_boundary',
    columns: int = 6,
    planes: int = 3,
    grid: int = 81,
) -> BoundaryStudy:
    """Move images to the boundaries of teacher and student, and ask the networks about them.

    Args:
        algorithm (nn.Module): A distillation by a teacher, trained and in evaluation mode.
        sampler (BoundarySampler): Its attack and its choice of target classes are used.
        images (ValidationImages): Those that the teacher gets wrong are left out.
        generator (torch.Generator): Draws target classes.
        compared (ComparedStudent, optional): Defaults to None.
        reader (str): Who asks, for messages. Defaults to ``'study_boundary'``.
        columns (int): Most samples to show. Defaults to 6.
        planes (int): Most shown samples whose planes are computed. Defaults to 3.
        grid (int): Points a side of a plane. Defaults to 81.

    Returns:
        BoundaryStudy: On the CPU.

    Raises:
        ValueError: If the teacher gets no image right, a label is that of no class, or the
            networks differ in their number of classes.
        TypeError: If the preprocessor does more than to normalise, swap and pad.
    """
    device = next(algorithm.teacher.parameters()).device
    pixels, labels = images.pixels.to(device), images.labels.to(device)
    normalizer = Normalizer(algorithm.data_preprocessor)
    normalizer.check(pixels)
    count = num_classes(algorithm.teacher)
    if count:
        check_labels(labels, count, reader)
    networks = {
        TEACHER: classifier(algorithm.teacher, normalizer),
        STUDENT: classifier(algorithm.student, normalizer),
    }
    if compared:
        networks[compared.name] = classifier(compared.network, compared.normalizer, normalizer)
    mover = Mover(sampler.attack, normalizer, networks)

    logits = {name: mover.logits(name, pixels) for name in networks}
    widths = {name: found.size(1) for name, found in logits.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(f'the networks do not have the same number of classes: {widths}')
    right = {name: found.argmax(1) == labels for name, found in logits.items()}
    kept = right[TEACHER]
    if not kept.any():
        raise ValueError(
            f'checkpoint: its teacher gets none of the {len(labels)} images right, so that there '
            'is no boundary to show: is it of this config, and the data that of the training?'
        )
    logits = {name: found[kept] for name, found in logits.items()}
    pixels, labels = pixels[kept], labels[kept]
    targets = sampler.choose_targets(logits[TEACHER], labels, generator)
    class_names = [
        images.class_names[c] if c < len(images.class_names) else str(c)
        for c in range(max(count or 0, widths[TEACHER]))
    ]

    result = mover(TEACHER, pixels, labels, targets)
    moved_logits = {name: mover.logits(name, result.inputs) for name in networks}
    # Those that the student gets right too, so that both are asked the same.
    both = right[STUDENT][kept]
    own = mover(STUDENT, pixels[both], labels[both], targets[both])
    far = {
        TEACHER: distances(pixels, result.inputs)[both & result.reached].cpu(),
        STUDENT: distances(pixels[both], own.inputs)[own.reached].cpu(),
    }
    probabilities = result.logits[result.reached].softmax(1)
    base, target = (
        probabilities.gather(1, classes[result.reached][:, None])[:, 0]
        for classes in (labels, targets)
    )

    # Boundary samples of images that all networks get right, and whether a student takes them for
    # the class across the boundary.
    asked = result.reached & torch.stack([found[kept] for found in right.values()]).all(0)
    _, *follows = (
        (found.argmax(1) == targets)[asked].cpu().numpy() for found in moved_logits.values()
    )
    farther = None
    if all(map(len, far.values())):
        farther = float(median(far[STUDENT]) / median(far[TEACHER]))
    other = (follows[1], f'the {compared.name}') if compared else ()
    verdict = boundary_verdict(follows[0], farther, *other)

    suitable = both & result.reached, result.reached, torch.ones_like(both)
    suitable = next(rows for rows in suitable if rows.any())
    shown = first_of_each_class(labels, suitable, columns)

    def to_arrays(pixels):
        return normalizer.swap(pixels[shown]).permute(0, 2, 3, 1).cpu().numpy()

    def to_probabilities(logits):
        return {name: logits[name][shown].softmax(1).cpu().numpy() for name in (TEACHER, STUDENT)}

    clean, moved = (
        normalizer.pad(normalizer.normalize(batch))
        for batch in (pixels, result.inputs[result.reached])
    )
    return BoundaryStudy(
        class_names=class_names,
        right={name: found.cpu() for name, found in right.items()},
        labels=labels.tolist(),
        reached=result.reached.cpu(),
        student_reached=own.reached.cpu(),
        gaps=(base - target).abs().cpu(),
        distances=far,
        verdict=verdict,
        samples=ShownSamples(
            to_arrays(pixels),
            to_arrays(result.inputs),
            labels[shown].tolist(),
            targets[shown].tolist(),
            to_probabilities(logits),
            to_probabilities(moved_logits),
            result.reached[shown].tolist(),
        ),
        planes=planes_of_shown(mover, shown, pixels, labels, targets, logits, planes, grid),
        maps={
            TEACHER: map_embeddings(algorithm.teacher, clean, moved),
            STUDENT: map_embeddings(algorithm.student, clean, moved),
        },
        rows=result.reached.nonzero().flatten().tolist(),
    )


def planes_of_shown(
    mover: Mover,
    shown: list[int],
    pixels: Tensor,
    labels: Tensor,
    targets: Tensor,
    logits: dict[str, Tensor],
    most: int,
    grid: int,
) -> dict[int, list[BoundaryPlane]]:
    """The planes of the first shown samples that have any, by their number."""
    planes = {}
    for number, row in enumerate(shown, 1):
        if len(planes) == most:
            break
        one = slice(row, row + 1)
        own = {name: found[one] for name, found in logits.items()}
        sample = pixels[one], labels[one], targets[one], own
        found = boundary_planes(mover, (TEACHER, STUDENT), *sample, grid)
        if found:
            planes[number] = found
    return planes


def classifier(
    network: nn.Module, normalizer: Normalizer, shared: Normalizer | None = None
) -> Callable[[Tensor], Tensor]:
    """A network as a function from normalised inputs, not padded, to logits.

    Args:
        network (nn.Module): In evaluation mode.
        normalizer (Normalizer): Of the network's own inputs.
        shared (Normalizer, optional): Of the function's inputs. Defaults to None, the own one.
    """
    folded = fold_teacher(network)

    def classify(inputs):
        if shared is not None:
            inputs = normalizer.normalize(shared.denormalize(inputs))
        return folded(normalizer.pad(inputs))

    return classify


def median(values: Tensor) -> Tensor:
    """The median, which of an even number is the mean of the two in the middle."""
    return values.quantile(0.5)
