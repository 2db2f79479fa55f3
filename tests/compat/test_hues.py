"""``ColorJitter`` on every numpy."""

import cv2
import numpy as np
import pytest
from mmpretrain.registry import TRANSFORMS


@pytest.mark.parametrize('hue', [-0.5, -0.1, -0.001, 0.3, 0.5])
def test_hues_are_turned_by_a_part_of_the_circle(hue):
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    jitter = TRANSFORMS.build(dict(type='mmpretrain.ColorJitter', hue=[hue, hue], backend='cv2'))
    turned = jitter(dict(img=image.copy()))['img']
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL).astype(int)
    hsv[..., 0] = (hsv[..., 0] + int(hue * 255)) % 256
    expected = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR_FULL)
    np.testing.assert_array_equal(turned, expected)
