"""The two steps of Lloyd's algorithm: assign every point to its nearest centre, move every centre to the mean of its
points (Lloyd, Least squares quantization in PCM, 1982). What a block of rows contributes: :mod:`.steps`.
"""

from __future__ import annotations

import numpy as np

from scratchnet.backend import Array, to_numpy
from scratchnet.cluster.geometry import Euclidean
from scratchnet.cluster.steps import (
    NO_MOVES,
    Assignment,
    Moves,
    Path,
    Units,
    assign,
    assign_by_angle,
    assign_by_sum,
    cost_of,
    costs_of,
    labels_of,
    measure,
    members,
    moved_sums,
)
from scratchnet.rows import Rows

__all__ = ["Lloyd", "MedianLloyd", "SphericalLloyd"]

_AT_ONCE = 1 << 20  # entries of a cluster whose medians are computed together: it need not fit into memory


class Lloyd:
    """k-means on rows; the steps of any number of runs, one after the other.

    All centres are in the local coordinates of ``geometry``, in float64.

    Parameters
    ----------
    rows : Rows
        From :func:`cut`; never held in local coordinates as a whole.
    geometry : Euclidean

    Attributes
    ----------
    sums : (k, d) float64
        s_c = sum of w x over the points of cluster c.
    counts : (k,) float64
        n_c = sum of w over the points of cluster c.
    total, total_weight : float
        The sums of w |x|^2 and w over all points.
    """

    sums: Array
    counts: Array
    at: Assignment
    path: Path | None = None

    def __init__(self, rows: Rows, geometry: Euclidean) -> None:
        self.rows, self.geometry, self.xp = rows, geometry, rows.xp
        total, weight, columns = rows.sum(measure, geometry)
        self.total, self.total_weight = float(total), float(weight)
        self.dtype = rows.blocks[0][0].dtype
        self.units = Units.of(columns, self.total_weight)

    # -- assign -------------------------------------------------------------------------------------------------------

    def assign(self, centers: Array) -> None:
        """Give every point to the nearest of ``centers`` (k, d)."""
        c = centers.astype(self.dtype)
        if self.path is None:
            self.path = Path(self.xp.zeros(len(c)), self.xp.zeros(()))
        else:  # also from the end of one run to the start of the next: bounds hold on
            step = self.xp.sqrt(((c.astype(np.float64) - self.at.centers) ** 2).sum(axis=1))
            self.path = Path(self.path.way + step, self.path.farthest + step.max())
        self.at = Assignment(c, NO_MOVES)
        self._sum_up(c)

    def _sum_up(self, c: Array) -> None:
        self.sums, self.counts = self.rows.sum(assign, c, self.geometry, self.units, self.path)

    def labels(self) -> Array:
        """The cluster of every point (n,)."""
        labels: Array = self.rows.collect(labels_of, self.at, self.geometry)
        return labels

    def objective(self, centers: Array) -> float:
        """J = sum_i w_i |x_i - c(i)|^2 = sum w |x|^2 - 2 sum_c s_c c' + sum_c n_c |c|^2 for the current clusters.

        Right to rounding of the total sum w |x|^2: beside one extreme outlier the last digits may seem to rise.
        """
        cross, sizes = (self.sums * centers).sum(), self.counts @ (centers**2).sum(axis=1)
        return max(self.total + float(sizes - 2 * cross), 0.0)

    # -- move ---------------------------------------------------------------------------------------------------------

    def middles(self, centers: Array) -> Array:
        """The mean s_c / n_c of every cluster (k, d); an empty one stays where ``centers`` has it."""
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
        labels, w, cost, on_center = map(to_numpy, self.rows.collect(costs_of, self.at, centers, self.geometry))
        left, cost, on_center = np.bincount(labels[w > 0], minlength=len(centers)), cost * w, on_center * w
        moves: list[int] = []
        for row in np.argsort(-cost, kind="stable"):
            if len(moves) == len(empty):
                break
            if cost[row] > on_center[row] and left[labels[row]] > 1:
                left[labels[row]] -= 1
                moves.append(int(row))
        if moves:
            self._move(Moves(np.array(moves), labels[moves], empty[: len(moves)]))
        return tuple(moves)

    def _move(self, moves: Moves) -> None:
        self.at = self.at._replace(moves=moves)
        sums, counts = self.rows.sum(moved_sums, moves, len(self.counts), self.geometry, self.units)
        self.sums, self.counts = self.sums + sums, self.counts + counts


class SphericalLloyd(Lloyd):
    """Spherical k-means: every centre is the direction of the sum of its points' directions.

    (Dhillon and Modha, Concept decompositions for large sparse text data using clustering, 2001.)
    """

    def _sum_up(self, c: Array) -> None:
        self.sums, self.counts = self.rows.sum(assign_by_angle, c, self.geometry, self.units)

    def objective(self, centers: Array) -> float:
        """J = sum_i w_i (1 - cos(x_i, c(i))) = sum w - sum_c s_c c'."""
        return max(self.total_weight - float((self.sums * centers).sum()), 0.0)

    def middles(self, centers: Array) -> Array:
        """s_c / |s_c| (k, d); a cluster whose directions cancel stays where ``centers`` has it."""
        xp = self.xp
        length = xp.sqrt((self.sums**2).sum(axis=1, keepdims=True))
        there = length > 1e-6 * self.counts[:, None]
        return xp.where(there, self.sums / xp.where(there, length, 1), centers)


class MedianLloyd(Lloyd):
    """k-medians: every centre is the weighted median of its points, feature by feature."""

    def _sum_up(self, c: Array) -> None:
        self.sums, self.counts = 0.0, self.rows.sum(assign_by_sum, c, self.geometry, self.units)  # medians need no sums

    def objective(self, centers: Array) -> float:
        """J = sum_i w_i sum_j |x_ij - c(i)_j| for the current clusters."""
        return float(self.rows.sum(cost_of, self.at, centers, self.geometry))

    def middles(self, centers: Array) -> Array:
        """The weighted median of every cluster (k, d): the smallest value with half of the weight at or below it.

        Medians are not sums: the rows of a cluster are collected for it, some columns at a time.
        """
        n = np.bincount(to_numpy(self.labels()), minlength=len(centers))
        return self.xp.stack([self._median(c, int(n[c]), before) for c, before in enumerate(centers)])

    def _median(self, cluster: int, n: int, before: Array) -> Array:
        xp, d, found = self.xp, len(before), []
        width = max(1, _AT_ONCE // max(1, n))
        for j in range(0, d, width):
            x, w = self.rows.collect(members, self.at, cluster, slice(j, j + width), self.geometry)
            if len(x) == 0:
                return before
            order = x.argsort(axis=0)
            reached = w[order].cumsum(axis=0, dtype=np.float64)
            half = (reached >= reached[-1] / 2).argmax(axis=0)[None]
            found.append(xp.take_along_axis(xp.take_along_axis(x, order, axis=0), half, axis=0)[0].astype(np.float64))
        return xp.concatenate(found)
