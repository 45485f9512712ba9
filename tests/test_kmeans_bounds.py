"""The assignment step and its twins: bounds leave distances out, and nothing else; sums are exact, labels canonical."""

from __future__ import annotations

import shutil
from fractions import Fraction

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.backend import asarray, to_numpy
from scratchnet.cluster import KMeans
from scratchnet.cluster.geometry import Cosine, Euclidean, Manhattan
from scratchnet.cluster.lloyd import Lloyd, SphericalLloyd
from scratchnet.cluster.steps import Path, Units, assign, assign_by_angle, cluster_sums, cut, measure
from scratchnet.kernels.host import kmeans as host
from scratchnet.testing import kernels_on_cpu


def make(name, dtype, seed=0, n=3000, d=40):
    rng = np.random.default_rng(seed)
    if name == "noise":
        X = rng.standard_normal((n, d))
    elif name == "clusters":
        X = 5 * rng.standard_normal((40, d))[rng.integers(40, size=n)] + rng.standard_normal((n, d))
    elif name == "tight and far":
        X = 100 * rng.standard_normal((5, d))[rng.integers(5, size=n)] + 0.1 * rng.standard_normal((n, d))
    else:  # repeated rows
        X = rng.standard_normal((30, d))[rng.integers(30, size=n)]
    return (X - X.mean(axis=0)).astype(dtype)


NAMES = ["noise", "clusters", "tight and far", "repeated"]


def rounds(X, weight, k, n, seed=0):
    """Yields (arguments of assign but what is kept, the centres) for the rounds of a descent, by the formula."""
    data = cut(X, weight)
    lloyd = Lloyd(data, Euclidean(np.zeros(X.shape[1], X.dtype), shifted=False))
    centers = X[np.random.default_rng(seed).choice(len(X), k, replace=False)].astype("float64")
    for _ in range(n):
        lloyd.assign(centers)
        yield data.blocks[0], (lloyd.at.centers, lloyd.geometry, lloyd.units, lloyd.path)
        centers = lloyd.middles(centers)


def same(a, b):
    """Parts and labels to the last bit."""
    ((sums, counts), kept), ((sums_b, counts_b), kept_b) = a, b
    np.testing.assert_array_equal(to_numpy(kept[0]), to_numpy(kept_b[0]))
    assert to_numpy(sums).tobytes() == to_numpy(sums_b).tobytes()
    assert to_numpy(counts).tobytes() == to_numpy(counts_b).tobytes()


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("k", [2, 10, 80])
@pytest.mark.parametrize("d", [6, 40], ids=["narrow", "wide"])  # without bounds, and with
@pytest.mark.parametrize("name", NAMES)
def test_the_host_twin_is_the_formula(name, d, k, weighted, dtype, seed):
    """In every round, whether the block remembers the round before or not; also where centres are equally near."""
    X = make(name, dtype, seed, n=900, d=d)
    weight = np.random.default_rng(seed).uniform(0, 2, len(X)).astype(dtype) if weighted else None
    kept = None
    for block, shared in rounds(X, weight, k, 12, seed):
        expected = assign.formula(block, None, *shared)
        found = assign.host(block, kept, *shared)
        same(found, expected)
        same(assign.host(block, None, *shared), expected)
        kept = found[1]


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_the_host_twin_for_angles_is_the_formula(weighted, dtype, rng):
    X, kept = make("clusters", dtype, n=900), None
    weight = rng.uniform(0, 2, 900).astype(dtype) if weighted else None
    data = cut(X, weight)
    lloyd = SphericalLloyd(data, Cosine.around(data))
    centers = lloyd.geometry.to_local(X[:9])
    for _ in range(6):
        lloyd.assign(centers)
        shared = lloyd.at.centers, lloyd.geometry, lloyd.units
        expected = assign_by_angle.formula(data.blocks[0], None, *shared)
        found = assign_by_angle.host(data.blocks[0], kept, *shared)
        same(found, expected)
        kept, centers = found[1], lloyd.middles(centers)


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize(("n", "k", "d"), [(1, 1, 1), (2, 2, 2), (31, 7, 255), (70, 40, 3), (100, 2, 300)])
@pytest.mark.parametrize("name", ["noise", "repeated"])
def test_the_cuda_twin_is_the_formula(name, n, k, d, order, dtype):
    if shutil.which("g++") is None:
        pytest.skip("g++ was not found: kernels cannot be compiled for the CPU")
    X, weight = make(name, dtype, n=n, d=d), np.random.default_rng(0).random(n).astype(dtype)
    for block, (centers, geometry, units, path) in rounds(X, weight, k, 3):
        expected = assign.formula(block, None, centers, geometry, units, path)
        with kernels_on_cpu(descending=order == "descending"), sn.using("strict"):
            there = Euclidean(asarray(geometry.origin), shifted=False)
            shared = asarray(centers), there, Units(asarray(units.x), units.weight), Path(*map(asarray, path))
            same(assign((asarray(block[0]), asarray(block[1]), 0), None, *shared), expected)


@pytest.mark.parametrize("k", [5, 40])
def test_bounds_bound(k, dtype, seed):
    """After every round: upper >= the distance to the own centre, lower <= the one to every other, others <= all."""
    X, kept, seen = make("clusters", dtype, seed), None, 0
    for block, (c, geometry, units, path) in rounds(X, None, k, 12, seed):
        _, kept = assign.host(block, kept, c, geometry, units, path)
        labels, known = kept
        d = np.sqrt(((X[:, None].astype("float64") - c) ** 2).sum(axis=2))
        slack = 1e-5 if dtype == "float32" else 1e-12
        own = d[np.arange(len(X)), labels]
        d[np.arange(len(X)), labels] = np.inf
        assert (known.upper + path.way[labels] >= own - slack).all()
        assert (known.lower - path.way <= d + slack).all()
        assert (known.others - path.farthest <= d.min(axis=1) + slack).all()
        seen += 1
    assert seen > 5


def test_most_distances_are_left_out(monkeypatch):
    X, measured = np.pad(make("clusters", "float64", n=8000, d=6), ((0, 0), (0, 26))), []

    def counting(self, rows, n, first=False):
        measured.append(n)
        measure_rows(self, rows, n, first)

    measure_rows = host._Search._measure
    monkeypatch.setattr(host._Search, "_measure", counting)
    km = KMeans(10, init=X[:10], tol=0).fit(X)
    assert len(X) < sum(measured) < 0.5 * km.n_iter_ * len(X)


# -- exact sums -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e12])
def test_sums_are_exact_sums_of_rounded_terms(scale, dtype, rng):
    """Equal to sums of fractions; and off from the true ones by less than the bound that is stated."""
    if dtype == "float32" and scale < 1e-30:
        scale = 1e-15
    x = (scale * rng.standard_normal((200, 3)) * 10.0 ** rng.integers(-6, 6, (200, 1))).astype(dtype)
    w, labels = rng.random(200).astype(dtype), rng.integers(0, 4, 200)
    (_, weight, columns), _ = measure((x, w, 0), None, Euclidean(np.zeros(3, dtype), shifted=False))
    units = Units.of(columns, float(weight))
    sums, counts = cluster_sums(x, w, labels, 4, units)
    for c in range(4):
        assert counts[c] == pytest.approx(float(w[labels == c].sum(dtype="float64")), rel=1e-13)
        for j in range(3):
            here = labels == c
            terms = [Fraction(t) for t in (w[here].astype("float64") * x[here, j]).tolist()]
            unit = Fraction(float(units.x[j]))
            whole = [round(t / unit) * unit for t in terms]
            assert Fraction(float(sums[c, j])) == sum(whole)
            assert abs(float(sums[c, j]) - float(sum(terms))) <= len(terms) * 2.0**-52 * float(columns[j])


def test_sums_do_not_depend_on_order_or_grouping(dtype, rng):
    x, w, labels = rng.standard_normal((500, 4)).astype(dtype), rng.random(500).astype(dtype), rng.integers(0, 9, 500)
    units = Units.of(np.abs(x).sum(axis=0, dtype="float64"), 500.0)
    expected = cluster_sums(x, w, labels, 9, units)
    for size in 1, 7, 100:
        order = rng.permutation(500)
        parts = [order[i : i + size] for i in range(0, 500, size)]
        found = [cluster_sums(x[p], w[p], labels[p], 9, units) for p in parts]
        for a, b in zip(expected, (sum(s for s, _ in found), sum(n for _, n in found)), strict=True):
            assert a.tobytes() == b.tobytes()


def test_units_leave_room_for_every_sum(rng):
    for total in 2.0 ** rng.uniform(-300, 300, 50):
        unit = Units.of(np.array([total]), 1.0).x[0]
        assert 2.0**51 <= total / unit <= 2.0**52
    assert Units.of(np.zeros(1), 0.0).x[0] > 0
    assert np.isfinite(1 / Units.of(np.array([5e-324]), 1.0).x[0])


# -- canonical labels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("geometry", [Euclidean, Cosine, Manhattan])
def test_a_label_does_not_depend_on_the_other_rows(geometry, dtype, rng):
    """Centres that nearly coincide, and rows between two: alone, in any company, and by a peer in exact arithmetic."""
    c = rng.standard_normal((6, 33)).astype(dtype)
    c[3], c[4] = c[0], np.nextafter(c[1], np.inf)
    x = np.concatenate([(c[0] + c[5]) / 2 + np.zeros((40, 1), dtype), c[1:5], rng.standard_normal((60, 33))])
    x[:40] *= 1 + np.finfo(dtype).eps * np.arange(-20, 20)[:, None]
    at = geometry(np.zeros(33, dtype), shifted=False)
    x, c = at.local(x.astype(dtype)), at.local(c)
    together = at.nearest(x, c)
    for size in 1, 3, 17:
        alone = [at.nearest(x[i : i + size], c) for i in range(0, len(x), size)]
        np.testing.assert_array_equal(np.concatenate(alone), together)
    assert 3 not in together  # the copy of centre 0 comes later
    if geometry is Euclidean:
        fractions = [[[Fraction(v) for v in row] for row in a.tolist()] for a in (x[:44], c)]
        exact = [[sum((a - b) ** 2 for a, b in zip(r, m, strict=True)) for m in fractions[1]] for r in fractions[0]]
        np.testing.assert_array_equal(together[:44], [row.index(min(row)) for row in exact])


def test_predict_says_the_same_of_a_row_alone(dtype):
    X = make("repeated", dtype, n=400)
    km = KMeans(12, random_state=0).fit(X)
    np.testing.assert_array_equal([int(km.predict(x[None])[0]) for x in X], km.labels_)


def test_equal_centers_do_not_pass_points_to_and_fro(dtype, seed):
    """Thirty different rows, forty centres: some coincide. A point goes to the first of them."""
    X = make("repeated", dtype, seed)
    with pytest.warns(UserWarning, match="only 30 of n_clusters=40"):
        assert KMeans(40, init=X[:40], tol=0).fit(X).n_iter_ <= 10
