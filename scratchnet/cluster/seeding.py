"""Where k-means starts. All random draws come from the host, so both backends start from the same rows."""

from __future__ import annotations

import numpy as np

from scratchnet import blocks
from scratchnet.backend import Array, get_xp, to_numpy


def random_rows(X: Array, weight: Array | None, n_clusters: int, host: np.random.Generator) -> Array:
    """``n_clusters`` different rows of X (n, d), drawn with probability proportional to their weight."""
    p = None if weight is None else to_numpy(weight).astype(np.float64)
    rows = host.choice(len(X), size=n_clusters, replace=False, p=None if p is None else p / p.sum())
    return X[get_xp(X).asarray(rows)]


def kmeans_plusplus(X: Array, weight: Array | None, n_clusters: int, host: np.random.Generator) -> Array:
    """Rows of X (n, d) that are far from each other: (n_clusters, d).

    The first is drawn with probability proportional to its weight w, each further one to w D^2, where D is the distance
    to the nearest row chosen so far (Arthur and Vassilvitskii, k-means++: the advantages of careful seeding, 2007).
    This is its greedy form: of 2 + log(n_clusters) draws, the one that leaves the smallest sum of w D^2 is kept.
    X should be centred.
    """
    xp, n_draws = get_xp(X), 2 + int(np.log(n_clusters))
    size = (X**2).sum(axis=1)
    w = xp.ones(len(X), dtype=X.dtype) if weight is None else weight
    chosen = _draw(w, 1, host)
    potential = _weighted_distances(X, size, w, chosen)[:, 0]  # w D^2
    for _ in range(1, n_clusters):
        drawn = _draw(potential, n_draws, host)
        left = xp.minimum(_weighted_distances(X, size, w, drawn), potential[:, None])
        best = int(left.sum(axis=0, dtype=np.float64).argmin())
        potential = left[:, best]
        chosen = xp.concatenate([chosen, drawn[best : best + 1]])
    return X[chosen]


def _draw(potential: Array, n_draws: int, host: np.random.Generator) -> Array:
    """Indices (n_draws,), each drawn with probability proportional to ``potential`` (n,); 0 if that is all zero."""
    xp, reached = get_xp(potential), potential.cumsum(dtype=np.float64)
    at = xp.asarray(host.random(n_draws)) * reached[-1]
    last = xp.searchsorted(reached, reached[-1:])  # the last index with any potential: rounding must not pass it
    return xp.minimum(xp.searchsorted(reached, at, side="right"), last)


def _weighted_distances(X: Array, size: Array, weight: Array, rows: Array) -> Array:
    """w_i |x_i - x_r|^2 for all i and the rows r: (n, len(rows)). ``size`` holds |x_i|^2."""
    xp, picked, picked_size = get_xp(X), X[rows], size[rows]

    def block(x: Array, x_size: Array, w: Array) -> Array:
        d = x @ picked.T
        d *= -2
        d += x_size[:, None] + picked_size
        return xp.maximum(d, 0) * w[:, None]

    return xp.concatenate(blocks.map(block, X, size, weight))
