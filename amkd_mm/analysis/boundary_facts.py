"""What a study of a boundary found, as texts."""

from collections.abc import Mapping

from torch import Tensor

from .boundary_samples import UNIT
from .boundary_study import STUDENT, BoundaryStudy, median


def boundary_facts(study: BoundaryStudy, attack: Mapping) -> dict[str, str]:
    """The numbers by their names.

    Args:
        study (BoundaryStudy): What was found.
        attack (Mapping): Config of the attack that was used.
    """
    return {
        **{f'{name}: right': share(found) for name, found in study.right.items()},
        'attack': f'{dict(attack)}, on images that the teacher gets right',
        'teacher: moved to the target class': share(study.reached),
        f'{STUDENT}: moved to the target class': share(study.student_reached),
        "teacher's boundary samples: median |p(base) - p(target)|": written(study.gaps),
        **{
            f'{name}: median distance ({UNIT})': written(found)
            for name, found in study.distances.items()
        },
    }


def boundary_notes(study: BoundaryStudy) -> list[str]:
    """Why something is missing, in sentences."""
    notes = []
    if not study.reached.any():
        notes.append(
            'The attack moved no image to its target class: there are no boundary samples to '
            'show. A teacher whose logits do not change with the image has no boundary.'
        )
    if not len(study.student_reached):
        notes.append('The student gets none of these images right: it has no distances.')
    if not study.planes:
        notes.append(
            'There is no picture of decision regions: none of the samples could be moved to the '
            'boundaries with two classes, which, with the sample, make a plane.'
        )
    return notes


def share(flags: Tensor) -> str:
    """Some of all."""
    text = f'{int(flags.sum())} of {len(flags)}'
    return f'{text} ({flags.float().mean():.1%})' if len(flags) else text


def written(values: Tensor) -> str:
    """The median."""
    return f'{median(values):.4g}' if len(values) else 'none'
