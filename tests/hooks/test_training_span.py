"""Moments of a training, as numbers and as shares."""

import pytest

from amkd_mm.config.shares import resolve
from amkd_mm.hooks.training_span import check_moment


@pytest.mark.parametrize('value', [0, 1, 300, 0.0, 0.25, 1.0])
def test_moments_are_kept(value):
    found = check_moment('begin', value)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize('value', [-1, -0.1, 1.01, 80.0, float('nan'), True, None, '3'])
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match='^begin '):
        check_moment('begin', value)


@pytest.mark.parametrize(
    ('value', 'total', 'expected'),
    # 1 is the second epoch, 1.0 the end.
    [
        (0, 80, 0),
        (1, 80, 1),
        (90, 80, 90),
        (0.0, 80, 0),
        (1.0, 80, 80),
        (0.75, 80, 60),
        (0.55, 100, 55),
    ],
)
def test_ints_are_counted_and_floats_are_shares(value, total, expected):
    assert resolve(value, total) == expected


def test_a_share_may_lie_between_two_epochs():
    assert resolve(0.5, 5) == pytest.approx(2.5)
