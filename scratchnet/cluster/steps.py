"""The steps of Lloyd's algorithm as functions of a block of rows: the same bits wherever, and however often, they run.

- *Labels* are a function of the row and the centres alone (:meth:`~scratchnet.cluster.geometry.Euclidean.nearest`).
- *Sums are exact.* Each term w x is first rounded to a whole multiple of a unit, a power of two for each column, chosen
  so that every possible sum is less than 2^53 units: adding such numbers in float64 loses nothing, in whatever order
  or grouping. Half a unit is at most 2^-52 of the column's sum of w |x|, so n terms are off by no more than twice the
  worst case of n ordinary additions in float64, and mostly by far less.

So a block may keep its sums and update them by the few rows that moved, or lose them and start again.
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

__all__ = [
    "NO_MOVES",
    "Assignment",
    "Block",
    "Kept",
    "Moves",
    "Path",
    "Units",
    "assign",
    "assign_by_angle",
    "assign_by_sum",
    "cluster_sums",
    "cost_of",
    "costs_of",
    "cut",
    "labels_of",
    "measure",
    "members",
    "moved_sums",
    "nearest_and_costs",
    "pieces",
]

_ROWS_PER_BLOCK = 16384  # on the host, at most: its sums, (k, d) in float64, must stay small beside it

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
    """How far centres have moved so far: each (k,), and the sum over rounds of the longest move. (For bounds.)"""

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


NO_MOVES = Moves(*np.zeros((3, 0), dtype=np.int64))


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
