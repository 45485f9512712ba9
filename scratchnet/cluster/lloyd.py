"""The two steps of Lloyd's algorithm: assign every point to its nearest centre, move every centre to the mean of its
points (Lloyd, Least squares quantization in PCM, 1982).

Both are sums over blocks of rows, and have the same bits wherever and however often blocks are computed:

- *Labels* are a function of the row and the centres alone (:meth:`~scratchnet.cluster.geometry.Euclidean.nearest`).
- *Sums are exact.* Each term w x is first rounded to a whole multiple of a unit, a power of two for each column, chosen
  so that every possible sum is less than 2^53 units: adding such numbers in float64 loses nothing, in whatever order
  or grouping. Half a unit is at most 2^-52 of the column's sum of w |x|, so n terms are off by no more than twice the
  worst case of n ordinary additions in float64, and mostly by far less.

So a block may keep its sums and bring them up to date by the few rows that moved, or lose them and start anew.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from scratchnet.backend import Array, get_xp, to_numpy
from scratchnet.cluster.geometry import Euclidean, squares
from scratchnet.kernels import twin
from scratchnet.kernels.cuda import kmeans as cuda
from scratchnet.kernels.host import kmeans as host
from scratchnet.rows import Rows, rows_from, rows_per_block

__all__ = ["Assignment", "Block", "Lloyd", "MedianLloyd", "Moves", "Path", "SphericalLloyd", "Units", "cut", "pieces"]

_ROWS_PER_BLOCK = 16384  # on the host, at most: its sums, (k, d) in float64, must stay small beside it
_AT_ONCE = 1 << 20  # entries of a cluster whose medians are found together: it need not fit into memory

Block: TypeAlias = tuple[Array, Array, int]
"""Some rows of X (m, d), their weights (m,), and the number of the first one."""

Kept: TypeAlias = tuple[Array, Any] | None
"""What stays with a block: the labels (m,) of the last assignment, and what else its twin remembers."""


class Units(NamedTuple):
    """Powers of two that weighted rows, column by column (d,), and weights are multiples of once they are rounded."""

    x: Array
    weight: float

    @classmethod
    def of(cls, size: Array, weight: float) -> Units:
        """For rows whose sum of w |x| is ``size`` (d,), and whose sum of w is ``weight``."""
        exponents = np.frexp(np.append(to_numpy(size), weight))[1]
        units = 2.0 ** np.maximum(exponents - 52, -950)
        return cls(get_xp(size).asarray(units[:-1]), float(units[-1]))


class Path(NamedTuple):
    """How far centres have gone so far: each (k,), and the sum of the longest way in every round. (For bounds.)"""

    way: Array
    farthest: Array


class Moves(NamedTuple):
    """Rows of X that were given to empty clusters, the cluster that each had before, and the one it has now."""

    rows: np.ndarray
    before: np.ndarray
    now: np.ndarray


class Assignment(NamedTuple):
    """From which labels follow: every row to its nearest centre, then some of them moved."""

    centers: Array  # (k, d), local, in the type of X
    moves: Moves


_NO_MOVES = Moves(*np.zeros((3, 0), dtype=np.int64))


def cut(X: Array, weight: Array | None = None, n_clusters: int = 1) -> Rows:
    """X (n, d) as rows whose blocks are (x, weights, number of the first row)."""
    xp = get_xp(X)
    weight = weight if weight is not None else xp.ones(len(X), dtype=X.dtype)
    most = _ROWS_PER_BLOCK if xp is np else rows_per_block(X, max(X.shape[1], n_clusters))
    size = -(-len(X) // -(-len(X) // most))  # all of about the same size
    return rows_from([(X[i : i + size], weight[i : i + size], i) for i in range(0, len(X), size)], xp)


def pieces(block: Block) -> list[tuple[Array, Array]]:
    """Rows and weights of a block some at a time: on the host they stay in the cache."""
    x, w, _ = block
    size = rows_per_block(x)
    return [(x[i : i + size], w[i : i + size]) for i in range(0, len(x), size)]


# ---------------------------------------------------------------------------------------------------------------------
# Steps
# ---------------------------------------------------------------------------------------------------------------------


def measure(block: Block, kept: Kept, geometry: Euclidean) -> tuple[tuple[Array, ...], Kept]:
    """The sums of w |x|^2, of w, and of w |x_j| for every column j (d,)."""
    total: Any = 0.0
    columns: Any = 0.0
    for x, w in pieces(block):
        x = geometry.local(x)
        total = total + (squares(x) * w).sum(dtype=np.float64)
        columns = columns + (w @ get_xp(x).abs(x)).astype(np.float64)
    return (total, block[1].sum(dtype=np.float64), columns), kept


@twin(host=host.assign, cuda=cuda.assign)
def assign(
    block: Block, kept: Kept, centers: Array, geometry: Euclidean, units: Units, path: Path
) -> tuple[tuple[Array, Array], Kept]:
    """c(i) = argmin_c |x_i - c|^2, and of every cluster s_c = sum_i w_i x_i (k, d) and n_c = sum_i w_i (k,)."""
    x, w, _ = block
    x = geometry.local(x)
    labels = geometry.nearest(x, centers)
    return cluster_sums(x, w, labels, len(centers), units), (labels, None)


@twin(host=host.assign_by_angle)
def assign_by_angle(
    block: Block, kept: Kept, centers: Array, geometry: Euclidean, units: Units
) -> tuple[tuple[Array, Array], Kept]:
    """The same for directions: c(i) = argmax_c cos(x_i, c), s_c = sum_i w_i x_i / |x_i|."""
    sums: Any = 0.0
    counts: Any = 0.0
    labels = []
    for x, w in pieces(block):
        x = geometry.local(x)
        labels.append(geometry.nearest(x, centers))
        s, n = cluster_sums(x, w, labels[-1], len(centers), units)
        sums, counts = sums + s, counts + n
    return (sums, counts), (get_xp(centers).concatenate(labels), None)


def assign_by_sum(block: Block, kept: Kept, centers: Array, geometry: Euclidean, units: Units) -> tuple[Array, Kept]:
    """c(i) = argmin_c sum_j |x_ij - c_j|, and n_c (k,)."""
    labels = _nearest(block, centers, geometry)
    one_hot = (labels == get_xp(labels).arange(len(centers))[:, None]).astype(np.float64)
    return one_hot @ whole(block[1], units.weight), (labels, None)


def cluster_sums(x: Array, w: Array, labels: Array, k: int, units: Units) -> tuple[Array, Array]:
    """s_c = sum of w x (k, d) and n_c = sum of w (k,) over the rows of each cluster, exact in whole ``units``."""
    one_hot = (labels == get_xp(x).arange(k)[:, None]).astype(np.float64)
    return one_hot @ whole(w.astype(np.float64)[:, None] * x, units.x), one_hot @ whole(w, units.weight)


def whole(a: Array, unit: Array | float) -> Array:
    """``a`` rounded to whole multiples of ``unit``, in float64."""
    return get_xp(a).rint(a.astype(np.float64) / unit) * unit


def nearest_and_costs(
    block: Block, kept: Kept, centers: Array, geometry: Euclidean
) -> tuple[tuple[Array, Array], Kept]:
    """The nearest of ``centers`` for every row (m,), and what the row costs there (m,)."""
    labels, costs = [], []
    for x, _ in pieces(block):
        x = geometry.local(x)
        labels.append(geometry.nearest(x, centers))
        costs.append(geometry.own_costs(x, centers[labels[-1]]))
    concatenate = get_xp(centers).concatenate
    return (concatenate(labels), concatenate(costs)), kept


def labels_of(block: Block, kept: Kept, at: Assignment, geometry: Euclidean) -> tuple[Array, Kept]:
    """The labels (m,) of an assignment: those that the block keeps, or found again; then the moves."""
    if kept is None:
        kept = _nearest(block, at.centers, geometry), None
    labels, mine, rows = kept[0], *_of_block(block, at.moves)
    if len(rows):
        labels = labels.copy()
        labels[get_xp(labels).asarray(rows)] = get_xp(labels).asarray(at.moves.now[mine])
    return labels, kept


def costs_of(
    block: Block, kept: Kept, at: Assignment, centers: Array, geometry: Euclidean
) -> tuple[tuple[Array, ...], Kept]:
    """(m,) each: labels, weights, what every point costs at its cluster's centre, and what of that may be rounding."""
    labels, kept = labels_of(block, kept, at, geometry)
    first, costs, roundings = 0, [], []
    for x, _ in pieces(block):
        own, x = centers[labels[first : first + len(x)]], geometry.local(x)
        costs.append(geometry.own_costs(x, own))
        roundings.append(geometry.rounding(x))
        first += len(x)
    concatenate = get_xp(labels).concatenate
    return (labels, block[1], concatenate(costs), concatenate(roundings)), kept


def _nearest(block: Block, centers: Array, geometry: Euclidean) -> Array:
    """The nearest of ``centers`` for every row (m,)."""
    return get_xp(centers).concatenate([geometry.nearest(geometry.local(x), centers) for x, _ in pieces(block)])


def cost_of(block: Block, kept: Kept, at: Assignment, centers: Array, geometry: Euclidean) -> tuple[Array, Kept]:
    """What all points of the block cost at the new ``centers`` of their clusters."""
    (_, w, costs, _), kept = costs_of(block, kept, at, centers, geometry)
    return (costs * w).sum(dtype=np.float64), kept


def moved_sums(
    block: Block, kept: Kept, moves: Moves, k: int, geometry: Euclidean, units: Units
) -> tuple[tuple[Array, Array], Kept]:
    """What ``moves`` change about the sums (k, d) and counts (k,) of clusters."""
    xp, mine, rows = get_xp(block[0]), *_of_block(block, moves)
    x, w = geometry.local(block[0][xp.asarray(rows)]), block[1][xp.asarray(rows)]
    before, now = (cluster_sums(x, w, xp.asarray(a[mine]), k, units) for a in (moves.before, moves.now))
    return (now[0] - before[0], now[1] - before[1]), kept


def members(
    block: Block, kept: Kept, at: Assignment, cluster: int, columns: slice, geometry: Euclidean
) -> tuple[tuple[Array, Array], Kept]:
    """Some columns, and the weights, of the rows of a cluster that have any weight."""
    labels, kept = labels_of(block, kept, at, geometry)
    x, w, _ = block
    here = get_xp(x).flatnonzero((labels == cluster) & (w > 0))
    return (x[here, columns] - geometry.origin[columns], w[here]), kept


def _of_block(block: Block, moves: Moves) -> tuple[np.ndarray, np.ndarray]:
    """Which of ``moves`` are of rows in this block, and these rows, counted from its first."""
    x, _, first = block
    mine = (moves.rows >= first) & (moves.rows < first + len(x))
    return mine, moves.rows[mine] - first


# ---------------------------------------------------------------------------------------------------------------------
# The descent
# ---------------------------------------------------------------------------------------------------------------------


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
        self.at = Assignment(c, _NO_MOVES)
        self._sum_up(c)

    def _sum_up(self, c: Array) -> None:
        self.sums, self.counts = self.rows.sum(assign, c, self.geometry, self.units, self.path)

    def labels(self) -> Array:
        """The cluster of every point (n,)."""
        labels: Array = self.rows.collect(labels_of, self.at, self.geometry)
        return labels

    def objective(self, centers: Array) -> float:
        """J = sum_i w_i |x_i - c(i)|^2 = sum w |x|^2 - 2 sum_c s_c c' + sum_c n_c |c|^2 for the current clusters."""
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
        self.sums, self.counts = 0.0, self.rows.sum(assign_by_sum, c, self.geometry, self.units)  # no sums in medians

    def objective(self, centers: Array) -> float:
        """J = sum_i w_i sum_j |x_ij - c(i)_j| for the current clusters."""
        return float(self.rows.sum(cost_of, self.at, centers, self.geometry))

    def middles(self, centers: Array) -> Array:
        """The weighted median of every cluster (k, d): the smallest value with half of the weight at or below it.

        Medians are no sums: the rows of a cluster come together for it, some columns at a time.
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
