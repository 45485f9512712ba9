"""Tiles: their formula against host twins, their sum against the dense formulas; threads, processes, lost caches."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pytest

from scratchnet.backend import asarray, get_xp, to_numpy
from scratchnet.manifold import objectives, sne
from scratchnet.manifold.affinities import affinities
from scratchnet.manifold.objectives import JointObjective
from scratchnet.manifold.sne import GaussianSimilarity, StudentSimilarity, kl_divergence, kl_forces, kl_gradient
from scratchnet.rows import live_on
from scratchnet.testing.homes import ForgetfulRows, worker_processes

SIMILARITIES = [GaussianSimilarity(), StudentSimilarity(1.0), StudentSimilarity(2.0), StudentSimilarity(0.5)]


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(objectives, "TILE", 16)
    monkeypatch.setattr(objectives, "TILE_ON_DEVICE", 16)


def problem(n, k=2, seed=0):
    rng = np.random.default_rng(seed)
    P = rng.random((n, n)) ** 3
    np.fill_diagonal(P, 0)
    return 3 * rng.standard_normal((n, k)), (P + P.T) / (2 * P.sum())


@dataclass
class Given:
    """A given P in place of affinities, and what a tile of it was asked for."""

    P: np.ndarray

    def __post_init__(self):
        self.asked, self.beta = [], self.P[0]

    def __len__(self):
        return len(self.P)

    def pairs(self, rows, columns):
        return GivenPairs(rows, columns, self.P[rows, columns], self.asked)


@dataclass
class GivenPairs:
    rows: slice
    columns: slice
    P: np.ndarray
    asked: list

    def joint(self):
        self.asked.append((self.rows.start, self.columns.start))
        return self.P

    conditional = joint


def tiled(P, similarity, dtype="float64"):
    return JointObjective(Given(P.astype(dtype)), similarity)


# -- one tile ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("similarity", SIMILARITIES, ids=str)
@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize(("r", "c", "k"), [(1, 2, 2), (2, 1, 1), (17, 33, 2), (130, 129, 3), (40, 40, 5)])
@pytest.mark.parametrize("size", [0.0, 1e-20, 1.0, 1e3])
def test_formula_and_twin(r, c, k, diagonal, similarity, dtype, size):
    """To rounding: of the squared distances relative to the origin where they are products, of the sums everywhere."""
    rng = np.random.default_rng(r)
    y, x = (size * rng.standard_normal((m, k)) for m in (r, c))
    y, x = (y[: max(r, 2)], None) if diagonal else (y, x)
    if diagonal and r == 1:
        y = np.concatenate([y, -y])
    x = y if diagonal else x
    P = rng.random((len(y), len(x)))
    if diagonal:
        np.fill_diagonal(P, 0)
    P, y, x = (a.astype(dtype) for a in (P / P.sum(), y, x))
    points = sne.augmented(np.concatenate([y, x]))
    eps = np.finfo(dtype).eps
    gaussian = isinstance(similarity, GaussianSimilarity)
    # s is a difference of terms as large as |y|^2; in exp(-s) its error counts as it is, in 1 / (1 + s) per 1 + s
    s = sne.squared_distances_of_pairs(y, x, diagonal)
    farthest = float((points[:, -1]).max())
    lost = 1 + farthest / (1 if gaussian else 1 + float(s.min()))
    tolerance = 50 * eps * lost
    if tolerance > 0.1:
        return  # Gaussians so far out are not comparable
    names, dof = ("gaussian", ()) if gaussian else ("student", (similarity.dof,))
    for name in ["forces"] + ["cost"] * (not gaussian):
        twin = getattr(sne, f"{names}_{name}")
        args = P, points[: len(y)], points[len(y) :], diagonal, *dof
        expected, found = twin.formula(*args), twin.host(*args)
        assert len(expected) == len(found)
        for a, b in zip(expected, found, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert np.shape(a) == np.shape(b)
                size = float(np.abs(a).max()) + farthest * (np.ndim(a) == 0) + np.finfo(dtype).tiny
                np.testing.assert_allclose(b, a, rtol=0, atol=tolerance * size * len(x) ** 0.5)


def test_far_out_points_do_not_make_similarities_above_one():
    """At |y| = 1e5 rounding makes squared distances of near points negative in float32."""
    y = (1e5 + np.random.default_rng(0).standard_normal((200, 2))).astype("float32")
    P = np.full((200, 200), 1 / 40_000, "float32")
    points = sne.augmented(np.concatenate([y, -y]))[:200]
    for diagonal in (False, True):
        on_rows, _, z, scale = sne.student_forces(P, points, points, diagonal, 1.0)
        assert np.isfinite(on_rows).all()
        assert 0 < z <= 40_000
        assert scale is None


# -- their sum --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("similarity", SIMILARITIES, ids=str)
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("n", [2, 15, 16, 17, 50])
def test_equals_the_dense_formulas(xp, small_tiles, n, k, similarity):
    Y, P = problem(n, k)
    Y, P = asarray(Y + 5), asarray(P)  # the origin does not matter
    fast = tiled(P, similarity)
    assert float(fast.kl(Y)) == pytest.approx(float(kl_divergence(Y, P, similarity)), rel=1e-12)
    for a, b in zip(fast.forces(Y), kl_forces(Y, P, similarity), strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), atol=1e-13)
    exact = to_numpy(kl_gradient(Y, P, similarity, exaggeration=4.0))
    np.testing.assert_allclose(to_numpy(fast.gradient(Y, 4.0)), exact, atol=1e-12)


@pytest.mark.parametrize("similarity", SIMILARITIES, ids=str)
def test_single_precision(similarity):
    """float32 at the size of a real tile: every term keeps six digits, and so does the sum where little cancels."""
    Y, P = problem(700)
    fast = tiled(P, similarity, "float32")
    gradient, exact = fast.gradient(Y.astype("float32")), kl_gradient(Y, P, similarity)
    assert gradient.dtype == "float32"
    assert np.linalg.norm(gradient - exact) < 1e-5 * np.linalg.norm(exact)
    assert fast.kl(Y.astype("float32")) == pytest.approx(float(kl_divergence(Y, P, similarity)), rel=1e-6)


def bits(objective, Y):
    results = [objective.gradient(Y, 12.0), *objective.forces(Y), np.asarray(objective.kl(Y)), objective.gradient(Y)]
    return b"".join(np.ascontiguousarray(a).tobytes() for a in results)


@pytest.mark.parametrize("metric", ["euclidean", "precomputed"])
@pytest.mark.parametrize("similarity", SIMILARITIES[:2], ids=str)
def test_where_tiles_live_does_not_matter(small_tiles, monkeypatch, similarity, metric):
    """Any number of threads, worker processes, and tiles of P that get lost: the same bits."""
    X = np.random.default_rng(0).standard_normal((100, 7)).astype("float32")
    if metric == "precomputed":
        X = np.sqrt(((X[:, None] - X) ** 2).sum(axis=-1))
    Y, found = X[:, :2].copy(), set()

    def run():
        return bits(JointObjective(affinities(X, 20.0, metric), similarity), Y)

    for threads in "1", "2", "8":
        monkeypatch.setenv("SCRATCHNET_THREADS", threads)
        found.add(run())
    with live_on(ForgetfulRows):
        found.add(run())
    with worker_processes(2) as home, live_on(home):
        found.add(run())
    assert len(found) == 1


def test_a_block_is_cheap_and_pickles(small_tiles):
    """Views of the points; what is sent is the tile's own points, of distances its own tile."""
    X = np.random.default_rng(0).standard_normal((160, 3))
    D = np.sqrt(((X[:, None] - X) ** 2).sum(axis=-1))
    for data, metric, most in (X, "euclidean", 2 * 16 * (3 + 4) * 8), (D, "precomputed", (16 * 16 + 16 * 9) * 8):
        found = affinities(data, 5.0, metric)
        block = JointObjective(found, StudentSimilarity()).rows.blocks[3]
        assert np.shares_memory(block.here, found.distances.points)
        sent = pickle.dumps(block)
        assert len(sent) < most + 2000
        np.testing.assert_array_equal(pickle.loads(sent).joint(), block.joint())


def test_tiles_that_cut_the_same_way_give_the_same_bits(monkeypatch):
    """TILE is an upper bound: 100 points are cut into three even parts by any from 34 to 49."""
    Y, P = problem(100)
    found = {}
    for size in (34, 40, 49, 50):
        monkeypatch.setattr(objectives, "TILE", size)
        found[size] = bits(tiled(P, StudentSimilarity(), "float32"), Y.astype("float32"))
    assert found[34] == found[40] == found[49] != found[50]


def test_half_of_p_is_kept(small_tiles):
    Y, P = problem(160)
    objective = tiled(P, StudentSimilarity())
    objective.gradient(Y)
    assert sum(P.size for P, _ in objective.rows._kept) == 16**2 * (10 * 11) // 2


def test_asked_once_for_each_tile(small_tiles):
    _, P = problem(40)
    objective = tiled(P, StudentSimilarity())
    for _ in range(2):
        objective.gradient(np.zeros((40, 2)))
        objective.kl(np.zeros((40, 2)))
    asked = objective.rows.blocks[0].asked
    assert sorted(asked) == [(0, 0), (0, 13), (0, 26), (13, 13), (13, 26), (26, 26)]


@pytest.mark.parametrize("similarity", SIMILARITIES, ids=str)
@pytest.mark.parametrize("size", [0.0, 1e-20, 1e3, 1e5])
def test_extremes(xp, small_tiles, similarity, size, dtype):
    """All at one place; so near that squares underflow; so far that rounding exceeds 1, and Gaussians vanish."""
    Y, P = problem(40)
    Y = (Y * size).astype(dtype)
    objective = tiled(asarray(P), similarity, dtype)
    gradient, kl = to_numpy(objective.gradient(asarray(Y))), float(objective.kl(asarray(Y)))
    assert np.isfinite(gradient).all()
    assert np.isfinite(kl)
    if dtype == "float64":
        exact = kl_gradient(Y, P, similarity)
        np.testing.assert_allclose(gradient, exact, atol=1e-5 * (1 + np.abs(exact).max()))
        assert kl == pytest.approx(float(kl_divergence(Y, P, similarity)), rel=1e-5, abs=1e-12)


def test_groups_too_far_apart_for_a_gaussian(small_tiles):
    """The weights of a tile are relative to its own largest: none of them 0 / 0, and far tiles count for nothing."""
    Y, P = problem(40)
    Y[20:] += 1e3
    np.testing.assert_allclose(
        tiled(P, GaussianSimilarity()).gradient(Y), kl_gradient(Y, P, GaussianSimilarity()), atol=1e-9
    )


def test_inputs_are_not_written_to(xp, small_tiles):
    Y, P = problem(40)
    Y.setflags(write=False)
    P.setflags(write=False)
    objective, there = tiled(asarray(P), StudentSimilarity()), asarray(Y)
    assert get_xp(there) is xp
    np.testing.assert_array_equal(to_numpy(objective.gradient(there)), to_numpy(objective.gradient(there)))
    objective.kl(there)
