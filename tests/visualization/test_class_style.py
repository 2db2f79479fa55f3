"""Colours and names of classes, also of many."""

import pytest
from matplotlib import style

from amkd_mm.visualization import colour_classes, short_name
from amkd_mm.visualization.class_style import CLASS_COLOURS, OTHER_COLOUR


def test_the_palette_is_the_published_one():
    """As matplotlib has it, too, from 3.10 on."""
    if 'petroff10' not in style.library:
        pytest.skip('matplotlib has not got it yet')
    assert list(CLASS_COLOURS) == style.library['petroff10']['axes.prop_cycle'].by_key()['color']


def test_each_of_few_classes_has_a_colour():
    colours = colour_classes([7, 3, 7, 150])
    assert list(colours) == [7, 3, 150]
    assert len(set(colours.values())) == 3
    assert colours[7] == CLASS_COLOURS[0]


def test_of_many_classes_the_first_have_a_colour():
    order = list(range(199, -1, -1))
    colours = colour_classes(order)
    assert len(colours) == 200
    own = [c for c in order if colours[c] != OTHER_COLOUR]
    assert own == order[:10]
    assert len({colours[c] for c in own}) == 10


def test_long_names_are_cut():
    assert short_name('automobile') == 'automobile'
    assert short_name('American egret, great white heron', 15) == 'American egret…'
