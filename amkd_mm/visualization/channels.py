"""Images of any number of channels as colours."""

import numpy as np


def as_colours(images: np.ndarray) -> tuple[np.ndarray, str]:
    """Choose the channels that are shown.

    Args:
        images (ndarray): (..., H, W, C), C at least 1, in any unit.

    Returns:
        tuple: RGB, (..., H, W, 3), and what has to be said about it. One channel is grey, three are
        red, green and blue. Of two the first is shown in grey, of more the first three, which the
        text says; otherwise it is empty.
    """
    channels = images.shape[-1]
    if channels == 3:
        return images, ''
    if channels > 3:
        return images[..., :3], f'shown: channels 1 to 3 of {channels}'
    grey = images[..., :1].repeat(3, axis=-1)
    return grey, '' if channels == 1 else 'shown: channel 1 of 2'
