"""Where k-means starts. All random draws come from the host, so both backends start from the same rows."""

from __future__ import annotations

import numpy as np

from scratchnet import blocks
from scratchnet.backend import Array, get_xp, to_numpy
from scratchnet.cluster.geometry import Euclidean


def random_rows(
    X: Array, weight: Array | None, n_clusters: int, host: np.random.Generator, geometry: Euclidean
) -> Array:
    """``n_clusters`` different rows of X (n, d), drawn with probability proportional to their weight."""
    p = None if weight is None else to_numpy(weight).astype(np.float64)
    rows = host.choice(len(X), size=n_clusters, replace=False, p=None if p is None else p / p.sum())
    return X[get_xp(X).asarray(rows)]


def kmeans_plusplus(
    X: Array, weight: Array | None, n_clusters: int, host: np.random.Generator, geometry: Euclidean
) -> Array:
    """Rows of X (n, d) that are far from each other: (n_clusters, d).

    The first is drawn with probability proportional to its weight w, each further one to w D^2, where D^2, or what a
    point costs in another geometry, is taken to the nearest row chosen so far (Arthur and Vassilvitskii, k-means++: the
    advantages of careful seeding, 2007). This is its greedy form: of 2 + log(n_clusters) draws, the one that leaves the
    smallest sum of w D^2 is kept.
    """
    xp, n_draws = get_xp(X), 2 + int(np.log(n_clusters))
    w = xp.ones(len(X), dtype=X.dtype) if weight is None else weight
    chosen = draw(w, 1, host)
    potential = weighted_costs(X, w, X[chosen], geometry)[:, 0]  # w D^2
    for _ in range(1, n_clusters):
        drawn = draw(potential, n_draws, host)
        left = xp.minimum(weighted_costs(X, w, X[drawn], geometry), potential[:, None])
        best = int(left.sum(axis=0, dtype=np.float64).argmin())
        potential = left[:, best]
        chosen = xp.concatenate([chosen, drawn[best : best + 1]])
    return X[chosen]


def draw(potential: Array, n_draws: int, host: np.random.Generator) -> Array:
    """Indices (n_draws,), each drawn with probability proportional to ``potential`` (n,); 0 if that is all zero."""
    xp, reached = get_xp(potential), potential.cumsum(dtype=np.float64)
    at = xp.asarray(host.random(n_draws)) * reached[-1]
    last = xp.searchsorted(reached, reached[-1:])  # the last index with any potential: rounding must not pass it
    return xp.minimum(xp.searchsorted(reached, at, side="right"), last)


def weighted_costs(X: Array, weight: Array, centers: Array, geometry: Euclidean) -> Array:
    """w_i times the cost of row i at each of ``centers`` (k, d), rows of data: (n, k)."""
    c = geometry.local(centers)
    found = blocks.map(lambda x, w: geometry.costs(geometry.local(x), c) * w[:, None], X, weight)
    return get_xp(X).concatenate(found)
