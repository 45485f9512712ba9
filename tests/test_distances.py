"""Squared distances against SciPy: metrics, far from the origin, equal rows; what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from scratchnet.backend import asarray, to_numpy
from scratchnet.distances import DistancesTo, squared_differences, squared_distances

X = np.random.default_rng(0).integers(0, 17, (50, 64)).astype("float64")  # like the pixels of digits


@pytest.mark.parametrize("shift", [0, 1e4])
def test_squared_distances(xp, dtype, shift):
    rng = np.random.default_rng(0)
    X, Y = ((rng.standard_normal((n, 5)) + shift).astype(dtype) for n in (7, 4))
    exact = ((X[:, None].astype("float64") - Y) ** 2).sum(axis=2)
    d = squared_distances(asarray(X), asarray(Y))
    assert d.dtype == "float64"
    np.testing.assert_allclose(to_numpy(d), exact, rtol=1e-12)


def test_squared_distances_are_never_negative(xp):
    X = asarray(np.random.default_rng(0).standard_normal((200, 30)) * 1e3)
    d = to_numpy(squared_distances(X, X))
    assert d.min() >= 0
    assert d.diagonal().max() < 1e-7


def test_differences_of_few_coordinates(xp, dtype):
    rng = np.random.default_rng(0)
    A, B = (rng.standard_normal((n, 2)).astype(dtype) + np.asarray(1e3, dtype) for n in (7, 4))
    d = squared_differences(asarray(A), asarray(B))
    assert d.dtype == dtype
    np.testing.assert_allclose(to_numpy(d), cdist(A, B, "sqeuclidean"), rtol=1e-6)


@pytest.mark.parametrize(("metric", "peer"), [("euclidean", "sqeuclidean"), ("cosine", "cosine")])
def test_metrics(xp, dtype, metric, peer):
    far = X.astype(dtype) + 1000  # from the origin
    exact = cdist(far.astype("float64"), far.astype("float64"), peer) ** (2 if metric == "cosine" else 1)
    d = DistancesTo(asarray(far), metric)
    assert len(d) == 50
    np.testing.assert_allclose(to_numpy(d(asarray(far))), exact, atol=1e-9 * exact.max())
    np.testing.assert_allclose(to_numpy(d(asarray(far), first=20)), exact[:, 20:], atol=1e-9 * exact.max())
    np.testing.assert_allclose(to_numpy(d.between(d.points[3:5], slice(10, 20))), exact[3:5, 10:20], rtol=1e-6)
    new = d.prepare(asarray(far[20:22] * np.asarray(2, dtype)))
    old = cdist(far[20:22].astype("float64") * 2, far.astype("float64"), peer) ** (2 if metric == "cosine" else 1)
    np.testing.assert_allclose(to_numpy(d.between(new, slice(0, 50))), old, rtol=1e-6, atol=1e-9)


def test_precomputed(xp):
    D = cdist(X, X)
    d = DistancesTo(asarray(D), "precomputed")
    np.testing.assert_array_equal(to_numpy(d(asarray(D[:3]), first=7)), D[:3, 7:] ** 2)


def test_equal_rows_are_at_distance_zero(xp):
    X = np.repeat(np.random.default_rng(0).standard_normal((7, 300)), 3, axis=0)
    d = DistancesTo(asarray(X), same=2.0**-46)
    assert (to_numpy(d(asarray(X))) == 0).sum() == 7 * 9


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_cosine_of_any_length(xp, scale):
    """A row of zeros is at distance 1; no length over- or underflows."""
    X = asarray(scale * np.array([[0.0, 0.0], [1.0, 1.0], [-1.0, -1.0]]))
    np.testing.assert_allclose(to_numpy(DistancesTo(X, "cosine")(X)), [[1, 1, 1], [1, 0, 4], [1, 4, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("D", "message"),
    [
        (np.zeros((2, 3)), "matrix of distances, got shape"),
        (np.array([[0.0, -1.0], [-1.0, 0.0]]), "non-negative"),
        (np.array([[1.0, 1.0], [1.0, 0.0]]), "0 on the diagonal"),
        (np.array([[0.0, 1.0], [2.0, 0.0]]), "symmetric"),
    ],
)
def test_precomputed_distances_are_checked(xp, D, message):
    with pytest.raises(ValueError, match=message):
        DistancesTo(asarray(D), "precomputed")


def test_new_precomputed_distances_are_checked(xp):
    d = DistancesTo(asarray(np.zeros((2, 2))), "precomputed")
    with pytest.raises(ValueError, match="non-negative"):
        d.prepare(asarray(np.array([[1.0, -1.0]])))


def test_overflow_is_an_error(xp):
    with pytest.raises(ValueError, match="scale it down"):
        DistancesTo(asarray(np.array([[1e200], [0.0]])))


def test_input_is_not_written_to():
    D = cdist(X, X)
    for A, metric in ((X, "euclidean"), (X, "cosine"), (D, "precomputed")):
        A.setflags(write=False)
        DistancesTo(A, metric)(A)
