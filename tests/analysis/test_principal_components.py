"""Principal components against the eigenvectors of the covariance, and by hand."""

import numpy as np

from amkd_mm.analysis import principal_components


def test_against_the_covariance():
    generator = np.random.default_rng(0)
    samples = generator.normal(size=(50, 6)) * (1, 5, 2, 3, 1, 1) + 7
    found, shares = principal_components(samples)

    values, vectors = np.linalg.eigh(np.cov(samples.T))
    largest = vectors[:, ::-1][:, :2]
    expected = (samples - samples.mean(0)) @ largest
    signs = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found, expected * signs)
    np.testing.assert_allclose(shares, values[::-1][:2] / values.sum())


def test_signs_do_not_depend_on_the_order_of_samples():
    samples = np.random.default_rng(1).normal(size=(20, 4)) * (1, 2, 3, 4)
    found, _ = principal_components(samples)
    backwards, _ = principal_components(samples[::-1])
    np.testing.assert_allclose(found, backwards[::-1])


def test_by_hand():
    """On a line in three dimensions there is one component."""
    steps = np.array([-2.0, 0.0, 1.0, 1.0])
    found, shares = principal_components(steps[:, None] * (0, 3, 4) + (1, 1, 1))
    np.testing.assert_allclose(found, np.stack([5 * steps, 0 * steps], 1), atol=1e-12)
    assert not found[:, 1].any()
    np.testing.assert_allclose(shares, (1, 0), atol=1e-12)


def test_what_has_no_components():
    for samples in (np.ones((1, 3)), np.ones((4, 3)), np.ones((4, 1))):
        found, shares = principal_components(samples)
        assert found.shape == (len(samples), 2) and not found.any()
        assert shares.tolist() == [0, 0]
