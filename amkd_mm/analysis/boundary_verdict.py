"""What pictures of a boundary show, in words and numbers."""

import numpy as np
from scipy.stats import binomtest

# A share below the first is little, and below the second a part (ours).
LITTLE, PART = 1 / 3, 2 / 3
# Below it a difference is called more than chance.
LEVEL = 0.05


def boundary_verdict(
    follows: np.ndarray,
    farther: float | None = None,
    compared: np.ndarray | None = None,
    name: str = 'the compared student',
) -> list[str]:
    """Say how much of a teacher's boundary a student follows (ours).

    Args:
        follows (ndarray): Of N boundary samples of the teacher, for each whether the student
            decides for the class just across the boundary, as the teacher does; bool, (N,).
        farther (float, optional): How many times as far from the images the student's own boundary
            is as the teacher's. Defaults to None, unknown.
        compared (ndarray, optional): As ``follows``, of another student on the same samples.
            Defaults to None.
        name (str): Of the other student, in a sentence. Defaults to 'the compared student'.

    Returns:
        list[str]: Sentences: on the student, and on the other.
    """
    number = len(follows)
    if not number:
        return [
            'There is nothing to say of the boundary: no image that the networks get right could '
            "be moved to the teacher's."
        ]
    share = follows.mean()
    amount = 'little' if share < LITTLE else 'a part' if share < PART else 'most'
    text = f"The student follows {amount} of the teacher's boundary: of {number} images moved just "
    text += f'across it, it takes {_count(follows)} for the other class, too.'
    if farther is not None:
        text += f' Its own boundary is {farther:.2g} times as far from the images as the '
        text += "teacher's (medians)."
    if compared is None:
        return [text]
    ahead, behind = int((follows & ~compared).sum()), int((compared & ~follows).sum())
    against = f'{name[0].upper()}{name[1:]} takes {_count(compared)} for it. '
    if not ahead + behind:
        return [text, f'{against}The two do not differ on any image.']
    p = binomtest(ahead, ahead + behind).pvalue
    cause = 'more than chance explains' if p < LEVEL else 'which chance may explain'
    against += f'The two differ on {ahead + behind} of these images, {ahead} to {behind} for the '
    return [text, f'{against}student, {cause} (sign test, p = {p:.2g}).']


def _count(flags):
    return f'{int(flags.sum())} ({flags.mean():.0%})'
