"""The tiled objective against the dense formulas, over kernels, dimensions, sizes; threads; extremes."""

from __future__ import annotations

import numpy as np
import pytest

from scratchnet.manifold import tiles
from scratchnet.manifold.sne import DenseObjective, Gaussian, Student
from scratchnet.manifold.tiles import TiledObjective

KERNELS = [Gaussian(), Student(1.0), Student(2.0), Student(0.5)]


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(tiles, "TILE", 16)


def problem(n, k=2, seed=0):
    rng = np.random.default_rng(seed)
    P = rng.random((n, n)) ** 3
    np.fill_diagonal(P, 0)
    return 3 * rng.standard_normal((n, k)), (P + P.T) / (2 * P.sum())


def tiled(P, kernel, dtype="float64"):
    return TiledObjective(lambda rows, columns: P[rows, columns], len(P), getattr(kernel, "dof", None), dtype)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("n", [2, 15, 16, 17, 50])
def test_equals_the_dense_formulas(small_tiles, n, k, kernel):
    Y, P = problem(n, k)
    Y += 5  # the origin does not matter
    fast, reference = tiled(P, kernel), DenseObjective(P, kernel)
    assert fast.kl(Y) == pytest.approx(float(reference.kl(Y)), rel=1e-12)
    for a, b in zip(fast.forces(Y), reference.forces(Y), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)
    np.testing.assert_allclose(fast.gradient(Y, 4.0), reference.gradient(Y, 4.0), atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_single_precision(kernel):
    """float32 at the size of a real tile: every term keeps six digits, and so does the sum where little cancels."""
    Y, P = problem(700)
    fast, reference = tiled(P, kernel, "float32"), DenseObjective(P, kernel)
    gradient, exact = fast.gradient(Y.astype("float32")), reference.gradient(Y)
    assert gradient.dtype == "float32"
    assert np.linalg.norm(gradient - exact) < 1e-5 * np.linalg.norm(exact)
    assert fast.kl(Y.astype("float32")) == pytest.approx(float(reference.kl(Y)), rel=1e-6)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_threads_do_not_matter(small_tiles, monkeypatch, kernel):
    Y, P = problem(100)
    bits = set()
    for threads in "1", "2", "7":
        monkeypatch.setenv("SCRATCHNET_THREADS", threads)
        objective = tiled(P, kernel, "float32")
        bits.add(objective.gradient(Y.astype("float32")).tobytes() + np.float64(objective.kl(Y)).tobytes())
    assert len(bits) == 1


def test_tiles_that_cut_the_same_way_give_the_same_bits(monkeypatch):
    """TILE is an upper bound: 100 points are cut into three even parts by any from 34 to 49."""
    Y, P = problem(100)
    bits = {}
    for size in (34, 40, 49, 50):
        monkeypatch.setattr(tiles, "TILE", size)
        objective = tiled(P, Student(), "float32")
        bits[size] = objective.gradient(Y.astype("float32")).tobytes() + np.float64(objective.kl(Y)).tobytes()
    assert bits[34] == bits[40] == bits[49] != bits[50]


def test_half_of_p_is_kept(small_tiles):
    _, P = problem(160)
    kept = sum(tile.size for tile in tiled(P, Student())._tiles)
    assert kept == 16**2 * (10 * 11) // 2


def test_asked_once_for_each_tile(small_tiles):
    asked = []
    _, P = problem(40)

    def joint(rows, columns):
        asked.append((rows.start, columns.start))
        return P[rows, columns]

    objective = TiledObjective(joint, 40, 1.0, "float64")
    objective.gradient(np.zeros((40, 2)))
    assert sorted(asked) == [(0, 0), (0, 13), (0, 26), (13, 13), (13, 26), (26, 26)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("size", [0.0, 1e-20, 1e3, 1e5])
def test_extremes(small_tiles, kernel, size, dtype):
    """All at one place; so near that squares underflow; so far that rounding exceeds 1, and Gaussians vanish."""
    Y, P = problem(40)
    Y, objective = (Y * size).astype(dtype), tiled(P, kernel, dtype)
    gradient = objective.gradient(Y)
    assert np.isfinite(gradient).all()
    assert np.isfinite(objective.kl(Y))
    if dtype == "float64":
        exact = DenseObjective(P, kernel)
        scale = 1 + np.abs(exact.gradient(Y)).max()
        np.testing.assert_allclose(gradient, exact.gradient(Y), atol=1e-5 * scale)
        assert objective.kl(Y) == pytest.approx(float(exact.kl(Y)), rel=1e-5, abs=1e-12)


def test_inputs_are_not_written_to(small_tiles):
    Y, P = problem(40)
    Y.setflags(write=False)
    P.setflags(write=False)
    objective = tiled(P, Student())
    np.testing.assert_array_equal(objective.gradient(Y), objective.gradient(Y))
    objective.kl(Y)
