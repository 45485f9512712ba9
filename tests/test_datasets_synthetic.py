"""Blobs, swiss roll and ring: their geometry, their moments, their seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.backend import get_xp, to_numpy
from scratchnet.datasets import make_blobs, make_ring, make_swiss_roll

MAKERS = [make_blobs, make_swiss_roll, make_ring]


@pytest.mark.parametrize(
    ("make", "d", "target"), [(make_blobs, 2, "int64"), (make_swiss_roll, 3, "float64"), (make_ring, 2, "float64")]
)
def test_shapes_dtypes_backend(xp, make, d, target):
    X, t = make(7, random_state=0)
    assert get_xp(X, t) is xp
    assert (X.shape, str(X.dtype)) == ((7, d), "float64")
    assert (t.shape, str(t.dtype)) == ((7,), target)
    with sn.using("numpy"):
        for device, host in zip((X, t), make(7, random_state=0), strict=True):
            np.testing.assert_array_equal(to_numpy(device), host)  # a seed means the same points everywhere


@pytest.mark.parametrize("make", MAKERS)
def test_seeds(make):
    X, t = make(20, random_state=3)
    for a, b in zip(make(20, random_state=3), (X, t), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(make(20, random_state=4)[0], X)
    assert not np.array_equal(make(20)[0], make(20)[0])
    generator = np.random.default_rng(0)
    assert not np.array_equal(make(20, random_state=generator)[0], make(20, random_state=generator)[0])


@pytest.mark.parametrize("make", MAKERS)
def test_the_global_generator_is_left_alone(make):
    np.random.seed(0)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    make(10)
    assert np.random.rand() == expected  # noqa: NPY002


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError), (True, TypeError)])
def test_bad_n_samples(make, n, error):
    with pytest.raises(error, match=f"n_samples={n}"):
        make(n)


@pytest.mark.parametrize("make", [make_swiss_roll, make_ring])
@pytest.mark.parametrize("noise", [-0.1, math.nan, math.inf])
def test_bad_noise(make, noise):
    with pytest.raises(ValueError, match="noise="):
        make(5, noise=noise)


# -- blobs ------------------------------------------------------------------------------------------------------------


def test_blobs_are_balanced_and_shuffled():
    _, y = make_blobs(11, centers=3, random_state=0)
    assert sorted(np.bincount(y).tolist()) == [3, 4, 4]
    assert y.tolist() != [i % 3 for i in range(11)]


def test_blobs_without_spread_are_their_centers():
    centers = np.array([[0.0, 1.0, 2.0], [-5.0, 0.0, 5.0]])
    centers.flags.writeable = False
    X, y = make_blobs(10, centers=centers, cluster_std=0.0, random_state=0)
    np.testing.assert_array_equal(X, centers[y])


def test_blobs_have_the_asked_moments(seed):
    """n = 20,000 per cluster: a mean has the standard error std / 141, a standard deviation std / 200; 5 of them."""
    centers, std = np.array([[3.0, -2.0], [100.0, 50.0]]), [0.5, 4.0]
    X, y = make_blobs(40_000, centers=centers, cluster_std=std, random_state=seed)
    for k in range(2):
        np.testing.assert_allclose(X[y == k].mean(axis=0), centers[k], atol=5 * std[k] / 141)
        np.testing.assert_allclose(X[y == k].std(axis=0), std[k], atol=5 * std[k] / 200)
        assert abs(np.corrcoef(X[y == k].T)[0, 1]) < 5 / 141


def test_drawn_centers_stay_in_their_box():
    X, y = make_blobs(4000, n_features=3, centers=2000, cluster_std=0.0, random_state=0)
    assert X.shape == (4000, 3)
    assert len(np.unique(y)) == len(np.unique(X, axis=0)) == 2000
    assert -10 <= X.min() < -9.9
    assert 9.9 < X.max() <= 10


def test_centers_may_live_on_the_device(xp):
    X, y = make_blobs(4, centers=xp.asarray([[1.0, 2.0]]), cluster_std=xp.asarray([0.0]), random_state=0)
    assert to_numpy(X).tolist() == [[1.0, 2.0]] * 4
    assert to_numpy(y).tolist() == [0] * 4


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"centers": 0}, ValueError, "centers=0 must be at least 1"),
        ({"centers": [1.0, 2.0]}, ValueError, "centers must be 2-D, got 1-D"),
        ({"centers": np.empty((0, 2))}, ValueError, r"0 sample\(s\)"),
        ({"centers": [[0.0, np.nan]]}, ValueError, "centers contains NaN"),
        ({"centers": True}, TypeError, "centers=True must be an integer"),
        ({"centers": 2.5}, TypeError, "centers=2.5 must be an integer"),
        ({"n_features": 0}, ValueError, "n_features=0 must be at least 1"),
        ({"cluster_std": -1.0}, ValueError, "cluster_std=-1.0 must be a number of at least 0"),
        ({"cluster_std": np.nan}, ValueError, "cluster_std=nan"),
        ({"cluster_std": [1.0, 2.0]}, ValueError, "one for each of the 3 centers"),
    ],
)
def test_bad_blobs(arguments, error, message):
    with pytest.raises(error, match=message):
        make_blobs(10, **arguments)


# -- swiss roll -------------------------------------------------------------------------------------------------------


def test_swiss_roll_without_noise_lies_on_the_roll():
    X, t = make_swiss_roll(2000, random_state=0)
    np.testing.assert_allclose(np.hypot(X[:, 0], X[:, 2]), t, rtol=1e-12)  # the radius is the angle
    np.testing.assert_allclose(np.angle(np.exp(1j * t) / (X[:, 0] + 1j * X[:, 2])), 0, atol=1e-12)
    for values, low, high in ((t, 1.5 * np.pi, 4.5 * np.pi), (X[:, 1], 0.0, 21.0)):
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high


def test_swiss_roll_noise_is_normal_and_leaves_t_alone(seed):
    (clean, t), (noisy, t_noisy) = (make_swiss_roll(20_000, noise, random_state=seed) for noise in (0.0, 0.5))
    np.testing.assert_array_equal(t, t_noisy)
    np.testing.assert_allclose((noisy - clean).std(axis=0), 0.5, atol=5 * 0.5 / 200)


# -- ring -------------------------------------------------------------------------------------------------------------


def test_ring_without_noise_is_a_circle():
    X, t = make_ring(1000, noise=0.0, random_state=0)
    np.testing.assert_allclose(X, np.stack([np.cos(t), np.sin(t)], axis=1), atol=1e-12)


def test_ring_is_z_over_its_norm_plus_noise_times_z(seed):
    """radius = 1 + noise * r with r Rayleigh: mean sqrt(pi / 2), sd sqrt(2 - pi / 2) = 0.655; at angle t, t uniform."""
    n, noise = 20_000, 0.3
    X, t = make_ring(n, noise=noise, random_state=seed)
    radius = np.hypot(X[:, 0], X[:, 1])
    assert radius.min() >= 1
    assert radius.mean() == pytest.approx(1 + noise * math.sqrt(math.pi / 2), abs=5 * noise * 0.655 / math.sqrt(n))
    assert radius.std() == pytest.approx(noise * 0.655, rel=0.05)
    np.testing.assert_allclose(X, radius[:, None] * np.stack([np.cos(t), np.sin(t)], axis=1), atol=1e-12)
    counts = np.bincount(((t + np.pi) / (2 * np.pi) * 8).astype(int) % 8)
    np.testing.assert_allclose(counts, n / 8, atol=5 * math.sqrt(n / 8))
