"""k-means, PCA and hierarchical clustering against scikit-learn and SciPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchnet.backend import asarray, to_numpy
from scratchnet.cluster import AgglomerativeClustering, KMeans
from scratchnet.datasets import load_mnist
from scratchnet.decomposition import PCA

from .race import NotTheSame, Prepare, Race, Work, close, peer


def kmeans(quick: bool) -> Iterator[Race]:
    """To convergence (tol 0) from the same start: random rows.

    In float32 near-ties are decided by the last bits, and from there on runs diverge: from many starts scikit-learn's
    own two algorithms end 1e-5 to 1e-4 apart. These seeds were chosen because all three end in the same optimum, nearly
    so for k = 256.
    """
    X = _digits(quick)
    for k, seed in ((10, 0),) if quick else ((10, 0), (64, 2), (256, 3)):
        start = X[np.random.default_rng(seed).choice(len(X), k, replace=False)]

        def ours(start: np.ndarray = start, k: int = k) -> Callable[[], Any]:
            x, model = asarray(X), KMeans(k, init=start, tol=0, max_iter=1000)
            return lambda: model.fit(x)

        yield Race(
            "k-means", f"{_shape(X)}, k={k}", ours, _kmeans_peers(X, start, k), _same_inertia, _kmeans_work(X, k)
        )


def _kmeans_peers(X: np.ndarray, start: np.ndarray, k: int) -> dict[str, Prepare]:
    if (cluster := peer("sklearn.cluster")) is None:
        return {}

    def prepare(algorithm: str) -> Prepare:
        model = cluster.KMeans(k, init=start, n_init=1, tol=0, max_iter=1000, algorithm=algorithm)
        return lambda: lambda: model.fit(X)

    return {f"scikit-learn {name}": prepare(name) for name in ("lloyd", "elkan")}


def _same_inertia(ours: Any, theirs: Any) -> str:
    mine, other, k = float(ours.inertia_), float(theirs.inertia_), len(ours.cluster_centers_)
    close("inertia", mine, other, 1e-5 if k < 256 else 2e-5)
    return f"inertia within {abs(mine / other - 1):.0e}, rounds {ours.n_iter_} / {theirs.n_iter_}"


def _kmeans_work(X: np.ndarray, k: int) -> Callable[[Any], Work]:
    """The work of plain Lloyd: all distances and one pass over the data per round. Bounds can save some of it."""
    return lambda model: Work(2.0 * X.size * k * model.n_iter_, float(X.nbytes) * model.n_iter_)


def pca(quick: bool) -> Iterator[Race]:
    """The first 50 components, against each of scikit-learn's solvers."""
    digits = _digits(quick)[: 3000 if quick else None]
    decomposition = peer("sklearn.decomposition")
    for dtype in ("float32", "float64"):
        X = digits.astype(dtype)

        def ours(X: np.ndarray = X) -> Callable[[], Any]:
            x = asarray(X)
            return lambda: PCA(50).fit(x)

        def theirs(solver: str, X: np.ndarray = X) -> Prepare:
            return lambda: lambda: decomposition.PCA(50, svd_solver=solver, random_state=0).fit(X)  # type: ignore[union-attr]

        solvers = ("auto", "covariance_eigh", "randomized", "full") if decomposition else ()
        n, d = X.shape
        work = Work(n * d * (d + 1.0) + 9.0 * d**3, 2.0 * X.nbytes, dtype)
        yield Race(
            "PCA(50)", f"{_shape(X)}, {dtype}", ours, {f"scikit-learn {s}": theirs(s) for s in solvers},
            _same_variance, lambda _, work=work: work,
        )  # fmt: skip


def _same_variance(ours: Any, theirs: Any) -> str:
    mine, other = to_numpy(ours.explained_variance_), theirs.explained_variance_
    worst = float(np.abs(mine / other - 1).max())
    if worst > 2e-2:  # the randomized solver is approximate
        raise NotTheSame(f"variances differ by up to {worst:.1e}")
    return f"variances within {worst:.0e}"


def far(quick: bool) -> Iterator[Race]:
    """Three columns of variance 1 and mean 10,000 in float32: the accuracy of the variances."""
    X = (np.random.default_rng(0).standard_normal((20_000, 3)) + 1e4).astype(np.float32)
    exact = np.linalg.eigvalsh(np.cov(X.astype(np.float64).T))[::-1]

    def error(variance: Any) -> float:
        return float(np.abs(to_numpy(variance) / exact - 1).max())

    def compare(ours: Any, theirs: Any) -> str:
        mine = error(ours.explained_variance_)
        if mine > 1e-3:
            raise NotTheSame(f"variances are off by {mine:.1%}")
        return f"largest error of a variance {mine:.0e} / {error(theirs.explained_variance_):.0e}"

    peers: dict[str, Prepare] = {}
    if (decomposition := peer("sklearn.decomposition")) is not None:
        peers["scikit-learn auto"] = lambda: lambda: decomposition.PCA().fit(X)
    yield Race(
        "PCA far from 0", f"{_shape(X)}, mean 1e4, float32", lambda: lambda: PCA().fit(asarray(X)), peers, compare
    )


def hierarchical(quick: bool) -> Iterator[Race]:
    """Full trees of digits with the four linkages."""
    X = _digits(quick)[: 2000 if quick else 10_000]
    n, d = X.shape
    for linkage in ("ward",) if quick else ("ward", "single", "average", "complete"):
        peers: dict[str, Prepare] = {}
        if (cluster := peer("sklearn.cluster")) is not None:
            model = cluster.AgglomerativeClustering(10, linkage=linkage, compute_distances=True)
            peers["scikit-learn"] = lambda model=model: lambda: model.fit(X)
        if (hierarchy := peer("scipy.cluster.hierarchy")) is not None:
            peers["SciPy"] = lambda linkage=linkage: lambda: hierarchy.linkage(X, linkage)

        def ours(linkage: str = linkage) -> Callable[[], Any]:
            return lambda: AgglomerativeClustering(10, linkage=linkage).fit(X)

        # every distance once, and each of the n - 1 merges reads two rows of n / 2 and writes one; Prim reads all once
        rows = 1 if linkage == "single" else 3
        work = Work(float(n) * n * d, 4.0 * n * n / 2 * (1 + rows))
        yield Race(f"{linkage} linkage", _shape(X), ours, peers, _same_heights, lambda _, work=work: work)


def _same_heights(ours: Any, theirs: Any) -> str:
    mine = to_numpy(ours.distances_)
    other = theirs[:, 2] if isinstance(theirs, np.ndarray) else theirs.distances_
    worst = float(np.abs(np.sort(mine) / np.sort(other) - 1).max())
    if worst > 1e-5:
        raise NotTheSame(f"merge heights differ by up to {worst:.1e}")
    return f"merge heights within {worst:.0e}"


def _digits(quick: bool) -> np.ndarray:
    X, _ = load_mnist("train", size="small" if quick else "full")
    return to_numpy(X)


def _shape(X: np.ndarray) -> str:
    return f"{len(X):,} x {X.shape[1]}"
