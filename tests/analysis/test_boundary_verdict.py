"""The verdict says what was counted."""

from math import comb

import numpy as np
import pytest

from amkd_mm.analysis import boundary_verdict


def flags(true, number):
    return np.arange(number) < true


@pytest.mark.parametrize(
    'true, word', [(0, 'little'), (33, 'little'), (34, 'a part'), (67, 'most')]
)
def test_words_and_numbers(true, word):
    (text,) = boundary_verdict(flags(true, 100), 1.84)
    assert text.startswith(f"The student follows {word} of the teacher's boundary: of 100 images")
    assert f'it takes {true} ({true}%) for the other class' in text
    assert '1.8 times as far' in text


@pytest.mark.parametrize('ahead, behind', [(12, 2), (6, 4), (0, 9)])
def test_another_student_is_compared_image_by_image(ahead, behind):
    ours = np.array([1] * ahead + [0] * behind + [1] * 5, bool)
    other = np.array([0] * ahead + [1] * behind + [1] * 5, bool)
    text = boundary_verdict(ours, None, other, 'the other')[1]
    assert text.startswith(f'The other takes {behind + 5} (')
    assert f'{ahead} to {behind} for the student' in text
    # Two-sided: as far from a half or farther, of all ways that coins fall.
    number = ahead + behind
    far = [k for k in range(number + 1) if abs(2 * k - number) >= abs(ahead - behind)]
    tail = sum(comb(number, k) for k in far)
    assert f'p = {tail / 2**number:.2g}' in text
    assert ('more than chance' in text) == (tail / 2**number < 0.05)


def test_nothing_to_say():
    (text,) = boundary_verdict(flags(0, 0), None, flags(0, 0))
    assert text.startswith('There is nothing to say')
    assert 'do not differ' in boundary_verdict(flags(1, 2), None, flags(1, 2))[1]
