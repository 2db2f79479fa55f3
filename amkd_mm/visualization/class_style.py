"""How classes look in pictures: a colour and a short name for each."""

from collections.abc import Iterable

# The ten colours of M. A. Petroff, "Accessible Color Sequences for Data Visualization"
# (arXiv:2107.02270), which people with colour blindness can tell apart. Okabe and Ito's are fewer.
CLASS_COLOURS = (
    *('#3f90da', '#ffa90e', '#bd1f01', '#94a4a2', '#832db6'),
    *('#a96b59', '#e76300', '#b9ac70', '#717581', '#92dadd'),
)
OTHER_COLOUR = '#e8e8e8'
OTHER = 'other classes'


def colour_classes(classes: Iterable[int]) -> dict[int, str]:
    """Choose a colour for each class.

    Args:
        classes (Iterable[int]): Those that occur in the picture, the most important first, which
            may be named again.

    Returns:
        dict[int, str]: Class to colour. The first ten have one of their own, all others share
        ``OTHER_COLOUR``.
    """
    classes = list(dict.fromkeys(classes))
    own = dict(zip(classes, CLASS_COLOURS, strict=False))
    return {c: own.get(c, OTHER_COLOUR) for c in classes}


def plain(text: object) -> str:
    """A text that matplotlib draws as it is: on one line, and its ``$`` are no formula's."""
    return ' '.join(str(text).split()).replace('$', r'\$')


def short_name(name: object, length: int = 14) -> str:
    """The name, cut to ``length`` characters; ImageNet's list all synonyms."""
    name = ' '.join(str(name).split())
    return plain(name if len(name) <= length else name[: length - 1].rstrip(' ,') + '…')
