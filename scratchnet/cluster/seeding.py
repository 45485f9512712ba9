"""Where k-means starts. All random draws come from the host, so both backends start from the same rows."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from scratchnet.backend import Array, get_xp, to_numpy
from scratchnet.cluster.geometry import Euclidean
from scratchnet.cluster.steps import Block, pieces
from scratchnet.rows import Rows

__all__ = ["Draw", "draw", "kmeans_plusplus", "random_rows", "weighted_costs"]


class Draw(NamedTuple):
    """Rows of data (n_draws, d) that were drawn together, and which of them became a centre; -1 while that is open."""

    rows: Array
    best: int


Left: TypeAlias = tuple[int, Array] | None
"""What stays with a block: of how many draws, and what :func:`left` found for the last one."""


def random_rows(rows: Rows, n_clusters: int, host: np.random.Generator, geometry: Euclidean) -> Array:
    """``n_clusters`` different rows of data (n_clusters, d), drawn with probability proportional to their weight."""
    w = to_numpy(rows.collect(_weights)).astype(np.float64)
    p = None if (w == w[0]).all() else w / w.sum()
    return _rows_at(rows, host.choice(len(w), size=n_clusters, replace=False, p=p))


def kmeans_plusplus(rows: Rows, n_clusters: int, host: np.random.Generator, geometry: Euclidean) -> Array:
    """Rows of data that are far from each other: (n_clusters, d).

    The first is drawn with probability proportional to its weight w, each further one to w D^2, where D^2, or what a
    point costs in another geometry, is taken to the nearest row chosen so far (Arthur and Vassilvitskii, k-means++: the
    advantages of careful seeding, 2007). This is its greedy form: of 2 + log(n_clusters) draws, the one that leaves the
    smallest sum of w D^2 is kept.
    """
    n_draws, history = 2 + int(np.log(n_clusters)), list[Draw]()
    potential = np.array([float(w) for w in rows.map(_weight)])  # of every block
    for _ in range(n_clusters):
        history.append(Draw(draw(rows, history, potential, n_draws if history else 1, host, geometry), -1))
        found = np.array([to_numpy(part) for part in rows.map(left_sums, history, geometry)])
        best = int(found.sum(axis=0).argmin())
        history[-1], potential = history[-1]._replace(best=best), found[:, best]
    rows.map(_forget)
    return rows.xp.stack([rows_[best] for rows_, best in history])


def draw(
    rows: Rows, history: list[Draw], potential: np.ndarray, n_draws: int, host: np.random.Generator, geometry: Euclidean
) -> Array:
    """Rows (n_draws, d), each drawn with probability proportional to w D^2, of which every block has a ``potential``;
    the first row if that is all zero."""
    reached = potential.cumsum()
    at = host.random(n_draws) * reached[-1]
    block = np.minimum(reached.searchsorted(at, side="right"), reached.searchsorted(reached[-1]))
    first = np.array([rows.blocks[b][2] for b in block])
    parts = rows.map(_pick, history, first, at - (reached - potential)[block], geometry)
    return _in_order(parts, rows)


def left(block: Block, kept: Left, history: list[Draw], geometry: Euclidean) -> Array:
    """(m, n_draws): w D^2 of every row if the centres so far and one of the rows drawn last were all."""
    done, found = (
        kept if kept is not None and len(history) > 1 else (1, weighted_costs(block, history[0].rows, geometry))
    )
    for i in range(done, len(history)):
        costs = weighted_costs(block, history[i].rows, geometry)
        found = get_xp(costs).minimum(costs, found[:, history[i - 1].best, None])
    return found


def left_sums(block: Block, kept: Left, history: list[Draw], geometry: Euclidean) -> tuple[Array, Left]:
    """The sums of :func:`left` over a block (n_draws,)."""
    found = left(block, kept, history, geometry)
    return found.sum(axis=0, dtype=np.float64), (len(history), found)


def weighted_costs(block: Block, centers: Array, geometry: Euclidean) -> Array:
    """w_i times the cost of row i at each of ``centers`` (k, d), rows of data: (m, k)."""
    c = geometry.local(centers)
    return get_xp(c).concatenate([geometry.costs(geometry.local(x), c) * w[:, None] for x, w in pieces(block)])


def _pick(
    block: Block, kept: Left, history: list[Draw], first: np.ndarray, at: np.ndarray, geometry: Euclidean
) -> tuple[tuple[np.ndarray, Array], Left]:
    """Which draws are of the block with row ``first``, and the rows whose cumulated potential passes ``at``."""
    x, w, start = block
    mine, xp = np.flatnonzero(first == start), get_xp(x)
    if len(mine) == 0:
        return (mine, x[:0]), kept
    potential = w
    if history:
        found = left(block, kept, history, geometry)
        kept, potential = (len(history), found), found[:, history[-1].best]
    reached = potential.cumsum(dtype=np.float64)
    last = xp.searchsorted(reached, reached[-1:])  # the last row with any potential: rounding must not pass it
    return (mine, x[xp.minimum(xp.searchsorted(reached, xp.asarray(at[mine]), side="right"), last)]), kept


def _rows_at(rows: Rows, wanted: np.ndarray) -> Array:
    """The rows of data with these numbers (len(wanted), d)."""
    return _in_order(rows.map(_take, wanted), rows)


def _take(block: Block, kept: Any, wanted: np.ndarray) -> tuple[tuple[np.ndarray, Array], Any]:
    x, _, first = block
    mine = np.flatnonzero((wanted >= first) & (wanted < first + len(x)))
    return (mine, x[get_xp(x).asarray(wanted[mine] - first)]), kept


def _in_order(parts: list[tuple[np.ndarray, Array]], rows: Rows) -> Array:
    """Rows from all blocks, each with its place."""
    order = np.argsort(np.concatenate([places for places, _ in parts]))
    return rows.xp.concatenate([found for _, found in parts])[rows.xp.asarray(order)]


def _weights(block: Block, kept: Any) -> tuple[Array, Any]:
    return block[1], kept


def _weight(block: Block, kept: Any) -> tuple[Array, Any]:
    return block[1].sum(dtype=np.float64), kept


def _forget(block: Block, kept: Any) -> tuple[None, None]:
    """What is kept for draws is of no use to the steps that follow."""
    return None, None
