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
from scratchnet.cluster.geometry import squares
from scratchnet.cluster.lloyd import Lloyd, cluster_sums

_ROWS, _DISTANCES = 16384, 1 << 19  # of a block at most, when bounds are looked through
_PIECE = 1024  # rows that are measured at once: they stay in the cache from picking to product


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
    block: int  # rows that one thread looks through at once
    scratch: blocks.Scratch[tuple[np.ndarray, np.ndarray]]  # for rows of X, and for their distances

    def assign(self, centers: np.ndarray) -> bool:
        """Give every point to the nearest of ``centers`` (k, d); whether any point moved."""
        c = centers.astype(self.X.dtype)
        if self.labels is None:
            self._start(c)
            self._sum_up()
            return True
        step = np.sqrt(((c.astype(np.float64) - self.at) ** 2).sum(axis=1))
        self.at, self.way, self.farthest = c, self.way + step, self.farthest + float(step.max())
        before = self.labels
        self.labels = before.copy()
        _Round(self, c).run()
        moved = np.flatnonzero(self.labels != before)
        if len(moved):
            self._move(moved, before[moved])
        return len(moved) > 0

    def _start(self, c: np.ndarray) -> None:
        n, k, dtype = len(self.X), self.n_clusters, self.X.dtype
        self.at, self.way, self.farthest = c, np.zeros(k), 0.0
        self.labels, self.lower = np.zeros(n, dtype=np.intp), np.full((n, k), -np.inf, dtype=dtype)  # nothing is known
        self.upper, self.others = np.full(n, np.inf, dtype=dtype), np.full(n, -np.inf, dtype=dtype)
        self.block = max(1, min(_ROWS, _DISTANCES // k, n))
        self.scratch = blocks.Scratch(
            lambda: (np.empty((_PIECE, self.X.shape[1]), dtype=dtype), np.empty(self.block * k, dtype=dtype))
        )
        _Round(self, c).run()

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


class _Round:
    """One round: finds which rows must be measured again, and measures them.

    Rounding: a squared distance from products is wrong by no more than ``slack`` (|x|^2 + |c|^2), a sum of steps by no
    more than ``margin``. Bounds give way by that much, so that a label never depends on them. A point stays where it is
    unless another centre is nearer by more than ``tie``: two that are equally near might pass it to and fro for ever.
    """

    def __init__(self, lloyd: BoundedLloyd, c: np.ndarray) -> None:
        dtype, eps = c.dtype, np.finfo(c.dtype).eps
        self.lloyd, self.c, self.c_size, self.minus_2c = lloyd, c, squares(c), (-2 * c).T
        self.way, self.farthest = lloyd.way.astype(dtype), dtype.type(lloyd.farthest)
        self.slack, self.margin, self.tie = (16 + c.shape[1] ** 0.5) * eps, 8 * eps * self.farthest, 4 * eps

    def run(self) -> None:
        """Update labels and bounds of all rows."""
        blocks.map(self._look_through, np.arange(len(self.lloyd.X)), size=self.lloyd.block)

    def _look_through(self, block: np.ndarray) -> None:
        """Measure those of a block of rows that are in doubt; all of it if they are most."""
        s, part = self.lloyd, slice(block[0], block[-1] + 1)
        others = s.others[part]
        at_most = s.upper[part] + self.way[s.labels[part]]
        at_most += self.margin
        rows = np.flatnonzero(at_most >= others - self.farthest)
        with s.scratch.borrow() as (x, d):
            now = np.take(s.lower[part], rows, axis=0, out=_rows(d, len(rows), len(self.c)), mode="clip")
            now -= self.way
            least = now.min(axis=1)
            others[rows] = least + self.farthest
            rows = rows[at_most[rows] >= least]
            most = len(rows) > len(block) // 2  # then all, as a slice: cheaper than picking
            m = len(block) if most else len(rows)
            self._measure(part if most else block[rows], x, _rows(d, m, len(self.c)))

    def _measure(self, rows: np.ndarray | slice, x: np.ndarray, d: np.ndarray) -> None:
        """All distances of these rows, into d. (Only those that could matter, or only to the own centre first, would be
        fewer now and more later: a product with all centres costs little more than reading the rows, and renews all
        bounds.)
        """
        s, g, here = self.lloyd, self.lloyd.geometry, np.arange(len(d))
        for i in range(0, len(d), _PIECE):
            piece = slice(i, min(i + _PIECE, len(d)))
            if isinstance(rows, slice):
                some = s.X[rows][piece]
            elif s.X.flags.c_contiguous:
                some = np.take(s.X, rows[piece], axis=0, out=x[: piece.stop - i], mode="clip")
            else:  # take would copy all of X first
                some = s.X[rows[piece]]
            np.matmul(g.local(some), self.minus_2c, out=d[piece])
        d += self.c_size
        size, own = s.size[rows], s.labels[rows]
        nearest = d.argmin(axis=1)
        tie = self.tie * (size + self.c_size[own])
        nearest = np.where(d[here, own] <= d[here, nearest] + tie, own, nearest)
        slack = self.slack * (size + self.c_size.max())
        d += size[:, None]
        s.labels[rows] = nearest
        s.upper[rows] = np.sqrt(np.maximum(d[here, nearest] + slack, 0)) - self.way[nearest]
        d -= slack[:, None]
        np.sqrt(np.maximum(d, 0, out=d), out=d)
        d[here, nearest] = np.inf
        s.others[rows] = d.min(axis=1) + self.farthest
        d += self.way
        s.lower[rows] = d


def _rows(scratch: np.ndarray, n: int, k: int) -> np.ndarray:
    """The start of flat ``scratch`` as (n, k)."""
    return scratch[: n * k].reshape(n, k)
