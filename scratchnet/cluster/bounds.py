"""Lloyd's algorithm with the distances left out that cannot matter.

When a centre moves by s, its distance to a point changes by s at most. So a distance measured some rounds ago still
bounds the distance now, from above and from below. A point stays where it is as long as its own centre is certainly
nearer than every other one; only the rest is measured again. After a few rounds that is a small part. The clusters are
those of plain Lloyd (Elkan, Using the triangle inequality to accelerate k-means, 2003; here with products of whole
blocks of rows in place of single distances).
"""

from __future__ import annotations

import numpy as np

from scratchnet import blocks
from scratchnet.cluster.geometry import Euclidean, scores
from scratchnet.cluster.lloyd import Lloyd, cluster_sums

_ROWS = 2048  # of a block: those measured again stay in the cache, and are still many enough to be worth a call


class BoundedLloyd(Lloyd):
    """:class:`~scratchnet.cluster.lloyd.Lloyd` on NumPy, measuring only what could change a cluster.

    Bounds are stored once and never decayed: with S_c the way that centre c has gone so far, ``lower[i, c]`` is a lower
    bound on |x_i - c| at the time it was measured, plus S_c then. Minus S_c it is one now.

    Attributes
    ----------
    lower : (n, n_clusters)
        See above; infinite for the own centre.
    upper : (n,)
        An upper bound on the distance to the own centre, minus S of that centre at the time.
    others : (n,)
        A lower bound on the distance to all other centres, plus the sum of the largest steps so far, ``farthest``.
    at, way : (n_clusters, d), (n_clusters,)
        Where the centres were last seen, and S.
    """

    lower: np.ndarray
    upper: np.ndarray
    others: np.ndarray
    at: np.ndarray
    way: np.ndarray
    farthest: float

    def assign(self, centers: np.ndarray) -> bool:
        """Give every point to the nearest of ``centers`` (k, d); whether any point moved."""
        dtype = self.X.dtype
        c = centers.astype(dtype)
        if self.labels is None:
            self._start(c)
            self._sum_up()
            return True
        step = np.sqrt(((c.astype(np.float64) - self.at) ** 2).sum(axis=1))
        self.at, self.way, self.farthest = c, self.way + step, self.farthest + float(step.max())
        before = self.labels
        self.labels = before.copy()
        measure = _Measure(self.geometry, c, self.way.astype(dtype), dtype.type(self.farthest))
        blocks.map(measure.block, self.X, self.size, self.labels, self.lower, self.upper, self.others, size=_ROWS)
        moved = np.flatnonzero(self.labels != before)
        if len(moved):
            self._move(moved, before[moved])
        return len(moved) > 0

    def _start(self, c: np.ndarray) -> None:
        n, k, dtype = len(self.X), self.n_clusters, self.X.dtype
        self.at, self.way, self.farthest = c, np.zeros(k), 0.0
        self.labels, self.lower = np.zeros(n, dtype=np.intp), np.empty((n, k), dtype=dtype)
        self.upper, self.others = np.empty(n, dtype=dtype), np.empty(n, dtype=dtype)
        measure = _Measure(self.geometry, c, self.way.astype(dtype), dtype.type(0))
        blocks.map(measure.all, self.X, self.size, self.labels, self.lower, self.upper, self.others, size=_ROWS)

    def _move(self, rows: np.ndarray, before: np.ndarray) -> None:
        """Bring the sums up to date for ``rows``, which have left the clusters ``before``."""
        k = self.n_clusters

        def change(row: np.ndarray, before: np.ndarray) -> np.ndarray:
            x, w = self.geometry.local(self.X[row]), self.weight[row]
            return cluster_sums(x, self.labels[row], w, k, before)

        self.sums = self.sums + blocks.sum(change, rows, before)
        self._count()

    def fill_empty(self, centers: np.ndarray) -> tuple[int, ...]:
        """As in plain Lloyd; what was known about the rows that changed cluster is forgotten."""
        rows = super().fill_empty(centers)
        self.upper[list(rows)] = np.inf
        self.lower[list(rows)] = self.others[list(rows)] = -np.inf
        return rows


class _Measure:
    """One round: finds which rows of a block must be measured again, and measures them.

    Rounding: a squared distance from products is wrong by no more than ``slack`` (|x|^2 + |c|^2), a sum of steps by no
    more than ``margin``. Bounds give way by that much, so that a label never depends on them. A point stays where it is
    unless another centre is nearer by more than ``tie``: two that are equally near might pass it to and fro for ever.
    """

    def __init__(self, geometry: Euclidean, c: np.ndarray, way: np.ndarray, farthest: np.floating) -> None:
        eps = np.finfo(c.dtype).eps
        self.geometry, self.c, self.way, self.farthest = geometry, c, way, farthest
        self.c_size = (c**2).sum(axis=1)
        self.slack, self.margin, self.tie = (16 + c.shape[1] ** 0.5) * eps, 8 * eps * farthest, 4 * eps

    def block(
        self,
        x: np.ndarray,
        size: np.ndarray,
        labels: np.ndarray,
        lower: np.ndarray,
        upper: np.ndarray,
        others: np.ndarray,
    ) -> None:
        """Update the labels and bounds of one block in place."""
        at_most = upper + self.way[labels]
        at_most += self.margin
        rows = np.flatnonzero(at_most >= others - self.farthest)
        if len(rows) == 0:
            return
        at_least = (lower[rows] - self.way).min(axis=1)
        others[rows] = at_least + self.farthest
        doubtful = at_most[rows] >= at_least
        rows = rows[doubtful]
        if len(rows) > len(x) // 2:
            self.all(x, size, labels, lower, upper, others)  # cheaper than picking rows
        elif len(rows):
            x = x[rows]
            x -= self.geometry.origin
            labels[rows], lower[rows], upper[rows], others[rows] = self._nearest(x, size[rows], labels[rows])

    def all(
        self,
        x: np.ndarray,
        size: np.ndarray,
        labels: np.ndarray,
        lower: np.ndarray,
        upper: np.ndarray,
        others: np.ndarray,
    ) -> None:
        """Measure all distances of a block."""
        labels[...], lower[...], upper[...], others[...] = self._nearest(self.geometry.local(x), size, labels)

    def _nearest(
        self, x: np.ndarray, size: np.ndarray, own: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Labels and the three bounds of rows, from all their distances; ``own`` are their labels so far."""
        here, slack = np.arange(len(x)), self.slack * (size + self.c_size.max())
        d = scores(x, self.c, self.c_size)
        labels = d.argmin(axis=1)
        tie = self.tie * (size + self.c_size[own])
        labels = np.where(d[here, own] <= d[here, labels] + tie, own, labels)
        d += size[:, None]
        upper = np.sqrt(np.maximum(d[here, labels] + slack, 0)) - self.way[labels]
        d -= slack[:, None]
        np.sqrt(np.maximum(d, 0, out=d), out=d)
        d[here, labels] = np.inf
        others = d.min(axis=1) + self.farthest
        d += self.way
        return labels, d, upper, others
