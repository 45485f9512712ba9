"""Merging the two closest clusters again and again: the tree of agglomerative clustering.

All distances are in one condensed matrix, the upper triangle row by row, as in SciPy. Whatever order merges are found
in, :func:`dendrogram` sorts them by height and names the clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from scratchnet.backend import Array, get_xp, to_numpy
from scratchnet.distances import DistancesTo, check_not_lost
from scratchnet.rows import rows_from, rows_per_block

__all__ = [
    "Merge",
    "check_range",
    "condensed_distances",
    "cut",
    "dendrogram",
    "minimum_spanning_tree",
    "nearest_neighbor_chain",
]

_COMPACT_AT = 0.7  # the matrix is packed anew when this share of its clusters is left
_FEW_COLUMNS = 4  # up to here differences cost less than the tree does, and are exact where points are near


class Merge(NamedTuple):
    """Two clusters became one.

    Attributes
    ----------
    i, j : int
        One point of each, ``i`` < ``j``.
    height : float
        The distance between the two; ``objective`` is another name for it.
    iteration : int
        From 1, in the order in which merges are found: not by height.
    seconds : float
        Since the first one was asked for.
    """

    i: int
    j: int
    height: float
    iteration: int = 0
    seconds: float = 0.0

    @property
    def objective(self) -> float:
        return self.height

    def __str__(self) -> str:
        return f"merge {self.iteration}: height {self.height:.4g}"


def condensed_distances(X: Array, squared: bool) -> np.ndarray:
    """|x_i - x_j| or its square for all i < j, on the host: (n (n - 1) / 2,) in the type of X, computed in float64."""
    n, distances = len(X), DistancesTo(X) if X.shape[1] > _FEW_COLUMNS else _Differences(X)
    condensed, at = np.empty(n * (n - 1) // 2, dtype=X.dtype), 0

    def place(part: list[np.ndarray]) -> None:
        nonlocal at
        for row in part:
            condensed[at : at + len(row)] = row
            at += len(row)

    size = min(512, rows_per_block(X, n))
    rows = rows_from([(X[i : i + size], i) for i in range(0, n, size)], get_xp(X))
    rows.each(place, _to_later_points, distances, squared)
    return condensed


def _to_later_points(
    block: tuple[Array, int], kept: Any, distances: Callable[[Array, int], Array], squared: bool
) -> tuple[list[np.ndarray], Any]:
    """Distances from every row of the block to all later rows of X, whose number ``first`` is that of the first row."""
    x, first = block
    d = distances(x, first)
    d = to_numpy((d if squared else get_xp(x).sqrt(d)).astype(x.dtype))
    return [row[i + 1 :] for i, row in enumerate(d)], kept


def check_range(X: Array, squared: bool) -> None:
    """Raise ValueError if a distance, or a term of Ward's update of ``squared`` ones, may overflow the type of X, or
    all of them vanish in it."""
    with np.errstate(over="ignore"):
        span = X.max(axis=0).astype(np.float64) - X.min(axis=0)
        largest = float((span**2).sum())  # no squared distance is larger, no term than n^2 times that
    limit = float(np.finfo(X.dtype).max)
    if not np.isfinite(largest) or (largest > limit / len(X) ** 2 if squared else largest**0.5 > limit):
        raise ValueError(f"X spans so large a range that distances overflow {X.dtype}; scale it down first")
    check_not_lost(X, largest, np.float64)
    check_not_lost(X, largest if squared else largest**0.5, X.dtype)


class _Differences:
    """Squared distances (n, m - first) to the rows Y[first:] of Y (m, d) as sums of squared differences, in float64.

    Rows that are equal are at distance 0, and rows that are nearly equal keep all their digits.
    """

    def __init__(self, Y: Array) -> None:
        self.columns = Y.T.astype(np.float64)

    def __call__(self, X: Array, first: int = 0) -> Array:
        d = get_xp(X).zeros((len(X), self.columns.shape[1] - first))
        for x, y in zip(X.T.astype(np.float64), self.columns[:, first:], strict=True):
            difference = x[:, None] - y
            difference *= difference
            d += difference
        return d


def row_starts(n: int) -> np.ndarray:
    """``start[i] + j`` is where the condensed matrix of n points has the pair i < j."""
    i = np.arange(n)
    return i * n - i * (i + 1) // 2 - i - 1


def nearest_neighbor_chain(condensed: np.ndarray, n: int, linkage: str) -> Iterator[Merge]:
    """All n - 1 merges, in the order in which they are found; ``condensed`` is used up.

    From any cluster go to its nearest neighbour, and on, until two are nearest to each other: they merge. None of these
    linkages ever brings a merged cluster nearer to a third than its nearer part was, so such a pair can merge at once,
    and the rest of the chain stays valid (Murtagh, A survey of recent advances in hierarchical clustering algorithms,
    1983). O(n^2) in all. For Ward the matrix holds squared distances.
    """
    update, matrix = _UPDATES[linkage], _Condensed(condensed, n)
    # the number of points of every cluster, and the point that names it
    size, point = np.ones(n, dtype=condensed.dtype), np.arange(n)
    chain: list[int] = []
    for left in range(n, 1, -1):
        if left < _COMPACT_AT * matrix.n:
            keep = matrix.compact()
            size, point = size[keep], point[keep]
            chain = np.searchsorted(keep, chain).tolist()
        if not chain:
            chain = [int(matrix.gone.argmin())]
        row: np.ndarray | None = None
        while True:
            before, row = row, matrix.row(chain[-1])
            nearest = int(row.argmin())
            if len(chain) > 1 and row[chain[-2]] <= row[nearest]:
                break  # on ties prefer the previous cluster, or the chain cycles
            chain.append(nearest)
        i, j = chain.pop(), chain.pop()
        d, to_i, to_j = row[j], row, before if before is not None else matrix.row(j)
        if i > j:
            i, j, to_i, to_j = j, i, to_j, to_i
        to_i[j] = to_j[i] = np.inf
        matrix.replace(j, i, update(to_i, to_j, d, size[i], size[j], size))
        size[j] += size[i]
        a, b = sorted((int(point[i]), int(point[j])))
        point[j] = a
        yield Merge(a, b, float(d) ** 0.5 if linkage == "ward" else float(d))


def minimum_spanning_tree(condensed: np.ndarray, n: int) -> Iterator[Merge]:
    """The n - 1 shortest edges that connect all points: where single linkage merges. ``condensed`` is left as it is.

    (Prim, Shortest connection networks and some generalizations, 1957.)
    """
    matrix = _Condensed(condensed, n)
    nearest, distance = np.zeros(n, dtype=np.intp), np.full(n, np.inf, dtype=condensed.dtype)  # within the tree
    new = 0
    for _ in range(n - 1):
        matrix.gone[new] = np.inf
        distance[new] = np.inf
        row = matrix.row(new)
        closer = row < distance
        distance[closer] = row[closer]
        nearest[closer] = new
        new = int(distance.argmin())
        i, j = sorted((int(nearest[new]), new))
        yield Merge(i, j, float(distance[new]))


class _Condensed:
    """Rows of a condensed matrix in which some clusters are gone."""

    def __init__(self, values: np.ndarray, n: int) -> None:
        self.values, self.n = values, n
        self.start, self.gone = row_starts(n), np.zeros(n, dtype=values.dtype)  # infinite where a cluster is gone

    def row(self, i: int) -> np.ndarray:
        """Distances (n,) from i to all clusters, infinite to those that are gone and to itself: a copy."""
        row = np.empty(self.n, dtype=self.values.dtype)
        self.values.take(self.start[:i] + i, out=row[:i], mode="clip")
        row[i] = np.inf
        row[i + 1 :] = self.values[self.start[i] + i + 1 : self.start[i] + self.n]
        row += self.gone
        return row

    def replace(self, i: int, gone: int, row: np.ndarray) -> None:
        """Make ``row`` the distances of i; ``gone`` is gone."""
        self.gone[gone] = np.inf
        self.values[self.start[:i] + i] = row[:i]
        self.values[self.start[i] + i + 1 : self.start[i] + self.n] = row[i + 1 :]

    def compact(self) -> np.ndarray:
        """Pack the rows and columns that are alive to the front of the same memory; returns which they were."""
        keep, start, n = np.flatnonzero(self.gone == 0), self.start, 0
        for place, i in enumerate(keep):
            kept = self.values[start[i] + keep[place + 1 :]]
            self.values[n : n + len(kept)] = kept
            n += len(kept)
        self.n = len(keep)
        self.start, self.gone = row_starts(self.n), np.zeros_like(self.gone[: self.n])
        return keep


# -- distances of a merged cluster (Lance and Williams, A general theory of classificatory sorting strategies, 1967)


def _complete(to_i: np.ndarray, to_j: np.ndarray, d: float, n_i: float, n_j: float, size: np.ndarray) -> np.ndarray:
    """max(d_ki, d_kj)"""
    return np.maximum(to_i, to_j)


def _average(to_i: np.ndarray, to_j: np.ndarray, d: float, n_i: float, n_j: float, size: np.ndarray) -> np.ndarray:
    """(n_i d_ki + n_j d_kj) / (n_i + n_j)"""
    share = n_i / (n_i + n_j)
    to_i *= share
    to_j *= 1 - share
    return to_i + to_j


def _ward(to_i: np.ndarray, to_j: np.ndarray, d: float, n_i: float, n_j: float, size: np.ndarray) -> np.ndarray:
    """((n_k + n_i) d_ki + (n_k + n_j) d_kj - n_k d_ij) / (n_k + n_i + n_j), of squared distances"""
    total = size + (n_i + n_j)
    return ((size + n_i) * to_i + (size + n_j) * to_j - size * d) / total


_UPDATES = {"complete": _complete, "average": _average, "ward": _ward}


# -- the tree ---------------------------------------------------------------------------------------------------------


def dendrogram(merges: list[Merge], n: int) -> np.ndarray:
    """The tree in SciPy's linkage format: (n - 1, 4) float64, rows [cluster, cluster, height, number of points].

    Points are clusters 0 .. n - 1; row k makes cluster n + k. Rows are sorted by height, the smaller cluster number
    comes first.
    """
    tree = np.empty((n - 1, 4))
    cluster, size = list(range(n)), [1] * (2 * n - 1)  # `cluster` is right at the root of each set
    sets = _DisjointSets(n)
    for k, merge in enumerate(sorted(merges, key=lambda merge: merge.height)):
        a, b = sets.find(merge.i), sets.find(merge.j)
        i, j = sorted((cluster[a], cluster[b]))
        size[n + k] = size[i] + size[j]
        tree[k] = i, j, merge.height, size[n + k]
        cluster[sets.join(a, b)] = n + k
    return tree


def cut(tree: np.ndarray, n_merges: int) -> np.ndarray:
    """Labels (n,) after the first ``n_merges`` merges of ``tree``; clusters are numbered by their first point."""
    n = len(tree) + 1
    of_cluster = np.arange(2 * n - 1)  # the cluster each one ended up in
    for k in range(n_merges - 1, -1, -1):
        of_cluster[tree[k, :2].astype(np.intp)] = of_cluster[n + k]
    _, first, labels = np.unique(of_cluster[:n], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[labels]


class _DisjointSets:
    """A union-find structure: each set is named by its root."""

    def __init__(self, n: int) -> None:
        self.parent = list(range(n))

    def find(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def join(self, a: int, b: int) -> int:
        self.parent[b] = a
        return a
