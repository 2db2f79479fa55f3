"""Principal components of embeddings."""

import numpy as np


def principal_components(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two principal components.

    Args:
        samples (ndarray): (N, D).

    Returns:
        tuple: Coordinates (N, 2), zero along a component that does not exist, and the share of the
        variance along each, (2,). Of the two signs that a component may have, the one is taken
        with which its largest weight is positive.
    """
    centered = samples - samples.mean(0)
    _, deviations, components = np.linalg.svd(centered, full_matrices=False)
    # What is left to rounding would fill the picture as well as a real one.
    components = components[:2][deviations[:2] > 1e-10 * deviations[0]]
    largest = np.abs(components).argmax(1)[:, None]
    components = components * np.sign(np.take_along_axis(components, largest, 1))
    missing = 2 - len(components)
    coordinates = np.pad(centered @ components.T, ((0, 0), (0, missing)))
    variances = np.pad(deviations**2, (0, missing))
    return coordinates, variances[:2] / max(variances.sum(), np.finfo(float).tiny)
