"""The two steps of Lloyd's algorithm: assign every point to its nearest centre, move every centre to its points' mean.

(Lloyd, Least squares quantization in PCM, 1982.) Sums run in float64 whatever the type of the data.
"""

from __future__ import annotations

import numpy as np

from scratchnet import blocks
from scratchnet.backend import Array, get_xp, to_numpy


class Lloyd:
    """Weighted points, their current clusters, and the sums that the next centres come from.

    Parameters
    ----------
    X : (n, d)
        Centred: the nearest centre is found by |c|^2 - 2 x c', which loses digits far from the origin.
    weight : (n,) or None
    n_clusters : int

    Attributes
    ----------
    labels : (n,) integers, or None before the first :meth:`assign`
    sums : (n_clusters, d) float64
        s_c = sum of w x over the points of cluster c.
    counts : (n_clusters,) float64
        n_c = sum of w over the points of cluster c.
    """

    labels: Array | None = None
    sums: Array
    counts: Array

    def __init__(self, X: Array, weight: Array | None, n_clusters: int) -> None:
        self.xp = get_xp(X)
        self.X, self.n_clusters = X, n_clusters
        self.weight = weight if weight is not None else self.xp.ones(len(X), dtype=X.dtype)
        self.total = float(blocks.sum(lambda x, w: ((x**2).sum(axis=1) * w).sum(dtype=np.float64), X, self.weight))

    def assign(self, centers: Array) -> bool:
        """Give every point to the nearest of ``centers`` (k, d), the first of equals; whether any point moved."""
        labels = self._nearest(centers)
        moved = self.labels is None or bool((labels != self.labels).any())
        self.labels = labels
        if moved:
            self._sum_up()
        return moved

    def _nearest(self, centers: Array) -> Array:
        xp, c = self.xp, centers.astype(self.X.dtype)
        return xp.concatenate(blocks.map(lambda x: nearest(x, c), self.X))

    def _sum_up(self) -> None:
        k = self.n_clusters
        self.counts = self.xp.bincount(self.labels, weights=self.weight, minlength=k).astype(np.float64)
        self.sums = blocks.sum(lambda x, labels, w: cluster_sums(x, labels, w, k), self.X, self.labels, self.weight)

    def objective(self, centers: Array) -> float:
        """J = sum_i w_i |x_i - c(i)|^2 = sum w |x|^2 - 2 sum_c s_c c' + sum_c n_c |c|^2 for the current clusters."""
        cross, sizes = (self.sums * centers).sum(), self.counts @ (centers**2).sum(axis=1)
        return max(self.total + float(sizes - 2 * cross), 0.0)

    def means(self, centers: Array) -> Array:
        """The mean s_c / n_c of every cluster (k, d) in float64; an empty one stays where ``centers`` has it."""
        xp, counts = self.xp, self.counts[:, None]
        return xp.where(counts > 0, self.sums / xp.where(counts > 0, counts, 1), centers)

    def fill_empty(self, centers: Array) -> tuple[int, ...]:
        """Give every empty cluster one point, the farthest from its centre; returns the rows that changed cluster.

        A point moves only where this lowers the objective: not if it is its cluster's last, not if it lies on its
        centre. So a cluster stays empty where there are fewer different points than clusters, and Lloyd's algorithm
        still comes to an end.
        """
        empty = np.flatnonzero(to_numpy(self.counts) == 0)
        if len(empty) == 0:
            return ()
        labels, weight = to_numpy(self.labels), to_numpy(self.weight)
        cost = to_numpy(self._distances_to_own(centers)) * weight
        members = np.bincount(labels[weight > 0], minlength=self.n_clusters)
        on_center = (64 * np.finfo(self.X.dtype).eps) ** 2 * float((self.X**2).sum(axis=1).max()) * weight
        moves: dict[int, int] = {}
        for row in np.argsort(-cost, kind="stable"):
            if len(moves) == len(empty):
                break
            if cost[row] > on_center[row] and members[labels[row]] > 1:
                members[labels[row]] -= 1
                moves[int(row)] = int(empty[len(moves)])
        if moves:
            labels = labels.copy()
            labels[list(moves)] = list(moves.values())
            self.labels = self.xp.asarray(labels)
            self._sum_up()
        return tuple(moves)

    def _distances_to_own(self, centers: Array) -> Array:
        """|x_i - c(i)|^2 (n,), by differences."""
        return self.xp.concatenate(
            blocks.map(lambda x, own: ((x - centers[own]) ** 2).sum(axis=1), self.X, self.labels)
        )


def nearest(x: Array, centers: Array) -> Array:
    """argmin_c |x - c|^2 (n,) for x (n, d), centers (k, d). |x|^2 is the same for every c, so it is left out."""
    scores = x @ centers.T
    scores *= -2
    scores += (centers**2).sum(axis=1)
    return scores.argmin(axis=1)


def cluster_sums(x: Array, labels: Array, weight: Array, n_clusters: int) -> Array:
    """The sum of w x over the rows of each cluster: (n_clusters, d) float64, as a product with one-hot labels."""
    one_hot = (labels[:, None] == get_xp(x).arange(n_clusters)) * weight[:, None]
    return (one_hot.T @ x).astype(np.float64)
