"""Bounds leave distances out, and nothing else: every step equals plain Lloyd's."""

from __future__ import annotations

import numpy as np
import pytest

from scratchnet.cluster.bounds import BoundedLloyd
from scratchnet.cluster.geometry import Euclidean
from scratchnet.cluster.lloyd import Lloyd

ORIGIN = Euclidean(np.zeros(6))


def descend(lloyd, centers, rounds=100):
    """Yields (labels, centers, relocated) after every round, until no point moves."""
    for _ in range(rounds):
        if not lloyd.assign(centers):
            return
        relocated = lloyd.fill_empty(centers)
        centers = lloyd.middles(centers)
        yield lloyd.labels.copy(), centers, relocated


def make(name, dtype, seed=0, n=3000):
    rng = np.random.default_rng(seed)
    if name == "noise":
        X = rng.standard_normal((n, 6))
    elif name == "clusters":
        X = 5 * rng.standard_normal((40, 6))[rng.integers(40, size=n)] + rng.standard_normal((n, 6))
    elif name == "tight and far":
        X = 100 * rng.standard_normal((5, 6))[rng.integers(5, size=n)] + 0.1 * rng.standard_normal((n, 6))
    else:  # repeated rows
        X = rng.standard_normal((30, 6))[rng.integers(30, size=n)]
    return (X - X.mean(axis=0)).astype(dtype)


NAMES = ["noise", "clusters", "tight and far", "repeated"]


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("k", [2, 10, 40])
@pytest.mark.parametrize("name", NAMES[:3])  # not where centres coincide: rounding decides between equal ones
def test_every_step_is_plain_lloyds(name, k, weighted, seed):
    X = make(name, "float64", seed)
    weight = np.random.default_rng(seed).uniform(0, 2, len(X)) if weighted else None
    start = X[np.random.default_rng(seed).choice(len(X), k, replace=False)]
    plain, bounded = Lloyd(X, weight, k, ORIGIN), BoundedLloyd(X, weight, k, ORIGIN)
    for (a, at, moved), (b, there, moved_too) in zip(descend(plain, start), descend(bounded, start), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(at, there, atol=1e-11)
        assert moved == moved_too


@pytest.mark.parametrize("k", [2, 10, 40])
@pytest.mark.parametrize("name", NAMES)
def test_every_label_is_the_nearest(name, k, dtype, seed):
    """Also in float32, where the order of additions decides between centres that are equally near."""
    X = make(name, dtype, seed)
    lloyd, centers = BoundedLloyd(X, None, k, ORIGIN), X[:k].astype("float64")
    for _ in range(30):
        moved = lloyd.assign(centers)
        d = ((X[:, None].astype("float64") - centers) ** 2).sum(axis=2)
        rounding = np.finfo(dtype).eps * 64 * (X.astype("float64") ** 2).sum(axis=1)
        assert (d[np.arange(len(X)), lloyd.labels] <= d.min(axis=1) + rounding).all()
        if not moved:
            break
        lloyd.fill_empty(centers)
        centers = lloyd.middles(centers)


@pytest.mark.parametrize("k", [5, 40])
def test_bounds_bound(k, dtype, seed):
    """After every assign: upper >= the distance to the own centre, lower <= the one to every other, others <= all."""
    X = make("clusters", dtype, seed)
    lloyd, centers = BoundedLloyd(X, None, k, ORIGIN), X[:k].astype("float64")
    rounds = 0
    while lloyd.assign(centers):
        d = np.sqrt(((X[:, None].astype("float64") - centers) ** 2).sum(axis=2))
        slack = 1e-5 if dtype == "float32" else 1e-12
        own = d[np.arange(len(X)), lloyd.labels]
        d[np.arange(len(X)), lloyd.labels] = np.inf
        assert (lloyd.upper + lloyd.way[lloyd.labels] >= own - slack).all()
        assert (lloyd.lower - lloyd.way <= d + slack).all()
        assert (lloyd.others - lloyd.farthest <= d.min(axis=1) + slack).all()
        centers = lloyd.middles(centers)
        rounds += 1
    assert rounds > 5


def test_equal_centers_do_not_pass_points_to_and_fro(dtype, seed):
    """Thirty different rows, forty centres: some coincide. A point stays with one of them."""
    X = make("repeated", dtype, seed)
    assert sum(1 for _ in descend(BoundedLloyd(X, None, 40, ORIGIN), X[:40].astype("float64"))) < 10


def test_most_distances_are_left_out(monkeypatch):
    X, measured = make("clusters", "float64", n=10_000), []
    from scratchnet.cluster import bounds

    def counting(self, rows, x, d):
        measured.append(len(d))
        measure(self, rows, x, d)

    measure = bounds._Round._measure
    monkeypatch.setattr(bounds._Round, "_measure", counting)
    rounds = sum(1 for _ in descend(BoundedLloyd(X, None, 10, ORIGIN), X[:10].astype("float64")))
    assert len(X) < sum(measured) < 0.5 * rounds * len(X)


def test_sums_do_not_drift(dtype):
    X = make("noise", dtype)
    lloyd = BoundedLloyd(X, None, 20, ORIGIN)
    *_, (labels, _, _) = descend(lloyd, X[:20].astype("float64"))
    exact = np.array([X[labels == c].astype("float64").sum(axis=0) for c in range(20)])
    np.testing.assert_allclose(lloyd.sums, exact, atol=1e-3 if dtype == "float32" else 1e-10)


@pytest.mark.parametrize("k", [6, 40])
def test_empty_clusters(k):
    """Centres far outside take no point, and are moved: what was known about the moved points is forgotten."""
    X = make("clusters", "float64")
    start = np.r_[X[: k - 3].astype("float64"), np.full((3, 6), 1e3) * [[1], [-1], [2]]]
    pairs = list(
        zip(descend(Lloyd(X, None, k, ORIGIN), start), descend(BoundedLloyd(X, None, k, ORIGIN), start), strict=True)
    )
    assert len(pairs[0][0][2]) == 3
    for (a, _, moved), (b, _, moved_too) in pairs:
        np.testing.assert_array_equal(a, b)
        assert moved == moved_too


@pytest.mark.parametrize("threads", ["2", "8"])
def test_same_bits_for_any_number_of_threads(threads, monkeypatch):
    X, ends = make("noise", "float32", n=9000), []
    for n in "1", threads:
        monkeypatch.setenv("SCRATCHNET_THREADS", n)
        *_, (labels, centers, _) = descend(BoundedLloyd(X, None, 40, ORIGIN), X[:40].astype("float64"))
        ends.append((labels.tobytes(), centers.tobytes()))
    assert ends[0] == ends[1]
