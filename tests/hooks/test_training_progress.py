"""Moments of a training, as numbers and as shares."""

import pytest

from amkd_mm.config.int_or_fraction import check_int_or_fraction, to_absolute


@pytest.mark.parametrize('value', [0, 1, 300, 0.0, 0.25, 1.0])
def test_moments_are_kept(value):
    found = check_int_or_fraction('begin', value)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize('value', [-1, -0.1, 1.01, 80.0, float('nan'), True, None, '3'])
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match='^begin '):
        check_int_or_fraction('begin', value)


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
    assert to_absolute(value, total) == expected


def test_a_share_may_lie_between_two_epochs():
    assert to_absolute(0.5, 5) == pytest.approx(2.5)
