"""Colours of images on current numpy."""

from functools import wraps

import mmcv
import numpy as np
from mmcv.image import photometric


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    turn_hues_back()


class _Hue(float):
    """A part of the circle of hues, which counts round it: -0.1 of 255 is 231."""

    def __mul__(self, other):
        return int(float(self) * other) % 256


def turn_hues_back():
    """``OverflowError: Python integer -25 out of bounds for uint8``, of every other image.

    MMCV 2.1.0 on numpy 2, by ``ColorJitter(hue=...)``. OneDL's 2.3.6 counts as this does.
    """
    upstream_adjust_hue = photometric.adjust_hue
    try:
        upstream_adjust_hue(np.zeros((1, 1, 3), np.uint8), -0.1, 'cv2')
        return
    except OverflowError:
        pass

    @wraps(upstream_adjust_hue)
    def adjust_hue(img, hue_factor, backend=None):
        return upstream_adjust_hue(img, _Hue(hue_factor), backend)

    for module in (photometric, mmcv.image, mmcv):
        module.adjust_hue = adjust_hue
