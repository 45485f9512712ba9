"""How good a clustering, an embedding or a detector is.

Labels may be anything that sorts: integers, strings, booleans. Points and labels come as arrays of any backend or as
lists; every metric returns a float, and higher is better.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from scratchnet.backend import Array, get_xp, to_numpy
from scratchnet.distances import DistancesTo
from scratchnet.neighbors import check_labels, count_votes, nearest_neighbors
from scratchnet.rows import rows_of, rows_per_block
from scratchnet.validation import check_array, check_integer

__all__ = [
    "adjusted_rand",
    "auroc",
    "best_assignment",
    "clustering_accuracy",
    "continuity",
    "knn_accuracy",
    "normalized_mutual_info",
    "silhouette",
    "trustworthiness",
]

# ---------------------------------------------------------------------------------------------------------------------
# Two labelings of the same points
# ---------------------------------------------------------------------------------------------------------------------


def normalized_mutual_info(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """2 I(a, b) / (H(a) + H(b)), in [0, 1]: 1 for the same partition; 1 too where both have a single cluster.

    With p_ij the share of points in class i and cluster j, I = sum_ij p_ij log(p_ij / (p_i p_j)) and
    H(a) = -sum_i p_i log p_i. It does not matter what the labels are called, nor which labeling comes first.

    Parameters
    ----------
    labels_true, labels_pred : array_like (n,)

    Examples
    --------
    >>> normalized_mutual_info([0, 0, 1, 1], ["b", "b", "a", "a"])
    1.0
    >>> round(normalized_mutual_info([0, 0, 1, 1], [0, 0, 1, 2]), 3)
    0.8
    """
    counts = _contingency(labels_true, labels_pred)
    p = counts / counts.sum()
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    entropies = _entropy(rows) + _entropy(columns)
    if entropies == 0:
        return 1.0
    information = entropies - _entropy(p.ravel())  # I(a, b) = H(a) + H(b) - H(a, b)
    return float(min(max(2 * information / entropies, 0.0), 1.0))


def adjusted_rand(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """The share of pairs that both labelings treat alike, adjusted for chance: 1 for the same, about 0 at random.

    (sum_ij C(n_ij, 2) - E) / ((A + B) / 2 - E) with A = sum_i C(n_i, 2), B = sum_j C(n_j, 2), E = A B / C(n, 2)
    (Hubert and Arabie, Comparing partitions, 1985).

    Parameters
    ----------
    labels_true, labels_pred : array_like (n,)

    Examples
    --------
    >>> round(adjusted_rand([0, 0, 1, 1], [0, 0, 1, 2]), 3)
    0.571
    """
    counts = _contingency(labels_true, labels_pred)
    both, a, b, pairs = (_pairs(n) for n in (counts, counts.sum(axis=1), counts.sum(axis=0), counts.sum()))
    if a == b and (a == 0 or a == pairs):  # all points alone, or all in one cluster, in both
        return 1.0
    expected = a * b / pairs
    return float((both - expected) / ((a + b) / 2 - expected))


def clustering_accuracy(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """The share of points labelled correctly when every cluster is given one class, in the best way, no class twice.

    Parameters
    ----------
    labels_true, labels_pred : array_like (n,)

    Examples
    --------
    >>> clustering_accuracy(["x", "x", "y", "y"], [1, 1, 0, 2])
    0.75
    """
    counts = _contingency(labels_true, labels_pred)
    size = max(counts.shape)
    square = np.zeros((size, size))
    square[: counts.shape[0], : counts.shape[1]] = counts
    matched = square[np.arange(size), best_assignment(-square)]
    return float(matched.sum() / counts.sum())


def best_assignment(cost: np.ndarray) -> np.ndarray:
    """The permutation p that minimises sum_i cost[i, p[i]]: (n,) for cost (n, n), in O(n^3).

    The Hungarian method with shortest augmenting paths. It keeps a potential u for each row and v for each column, with
    u_i + v_j <= cost_ij, and equality where i and j are matched: such a matching of all rows is the cheapest. Rows come
    in one at a time, each along the path of least reduced cost cost_ij - u_i - v_j to a free column.
    """
    n = len(cost)
    u, v = np.zeros(n), np.zeros(n + 1)  # column n is where a new row waits
    row_of = np.full(n + 1, -1)
    for new_row in range(n):
        row_of[n], column = new_row, n
        distance, previous, done = np.full(n, np.inf), np.full(n, n), np.zeros(n + 1, dtype=bool)
        while row_of[column] >= 0:  # Dijkstra's algorithm over columns
            done[column] = True
            row = row_of[column]
            through = cost[row] - u[row] - v[:n]
            shorter = ~done[:n] & (through < distance)
            distance[shorter], previous[shorter] = through[shorter], column
            step = distance[~done[:n]].min()
            u[row_of[done]] += step
            v[done] -= step
            distance[~done[:n]] -= step
            column = int(np.flatnonzero(~done[:n] & (distance == 0))[0])
        while column != n:  # hand every row on the path to the next column
            row_of[column] = row_of[previous[column]]
            column = previous[column]
        row_of[n] = -1
    return np.argsort(row_of[:n])


def _contingency(labels_true: ArrayLike, labels_pred: ArrayLike) -> np.ndarray:
    """n_ij (classes, clusters): how many points have class i and cluster j."""
    a, b = check_labels(labels_true, "labels_true"), check_labels(labels_pred, "labels_pred")
    if len(a) != len(b):
        raise ValueError(f"labels_true has {len(a)} labels and labels_pred {len(b)}; they must label the same points")
    (classes, i), (clusters, j) = np.unique(a, return_inverse=True), np.unique(b, return_inverse=True)
    shape = len(classes), len(clusters)
    return np.bincount(i * shape[1] + j, minlength=shape[0] * shape[1]).reshape(shape)


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def _pairs(n: np.ndarray) -> float:
    """sum C(n, 2), without overflow."""
    n = n.astype(np.float64)
    return float((n * (n - 1) / 2).sum())


# ---------------------------------------------------------------------------------------------------------------------
# Points
# ---------------------------------------------------------------------------------------------------------------------


def silhouette(X: ArrayLike, labels: ArrayLike) -> float:
    """The mean over points of (b - a) / max(a, b), in [-1, 1]; 0 for a point alone in its cluster.

    a is the mean distance to the other points of the own cluster, b the smallest mean distance to the points of another
    (Rousseeuw, Silhouettes, 1987). Costs n^2 distances, and memory for a block of them.

    Parameters
    ----------
    X : array_like (n, n_features)
    labels : array_like (n,)
        At least 2 clusters, at most n - 1.

    Examples
    --------
    >>> round(silhouette([[0.0], [1], [9], [10]], [0, 0, 1, 1]), 3)
    0.889
    """
    x = _points(X, "X")
    xp, n = get_xp(x), len(x)
    y = check_labels(labels, "labels")
    if len(y) != n:
        raise ValueError(f"labels has {len(y)} entries, but X has {n} rows: pass one per row")
    codes = np.unique(y, return_inverse=True)[1]
    k = int(codes.max()) + 1
    if not 2 <= k <= n - 1:
        raise ValueError(f"labels holds {k} clusters of {n} points; silhouettes need at least 2 and at most n - 1")
    own = xp.asarray(codes)
    members = (own[:, None] == xp.arange(k)).astype(np.float64)
    rows = rows_of(x, own, xp.arange(n), size=rows_per_block(x, n))
    return float(rows.sum(_silhouettes, DistancesTo(x), members)) / n


def _silhouettes(
    block: tuple[Array, Array, Array], kept: Any, distances: DistancesTo, members: Array
) -> tuple[Array, Any]:
    """The sum of (b - a) / max(a, b) over a block: rows, their clusters and numbers. ``members`` (n, k) is one-hot."""
    x, own, number = block
    xp, sizes = get_xp(x), members.sum(axis=0)
    here, d = xp.arange(len(x)), xp.sqrt(distances(x))
    d[here, number] = 0  # rounding may leave more
    to_cluster = d @ members
    others = sizes[own] - 1
    a = to_cluster[here, own] / xp.maximum(others, 1)
    to_cluster /= sizes
    to_cluster[here, own] = np.inf
    b = to_cluster.min(axis=1)
    largest = xp.maximum(a, b)
    s = (b - a) / xp.where(largest > 0, largest, 1)
    return (s * (others > 0)).sum(), kept


def trustworthiness(X: ArrayLike, Z: ArrayLike, n_neighbors: int = 5) -> float:
    """Whether neighbours in the embedding are neighbours in the data: 1 if all k nearest are, in [0, 1].

    1 - 2 / (n k (2n - 3k - 1)) sum_i sum_j max(r(i, j) - k, 0), over the k nearest neighbours j of i in Z; j is the
    r(i, j)-th nearest neighbour of i in X, and ties all have the smallest rank (Venna and Kaski, Neighborhood
    preservation in nonlinear projection methods, 2001).

    Parameters
    ----------
    X : array_like (n, n_features)
        The data.
    Z : array_like (n, n_components)
        The embedding of the same points.
    n_neighbors : int
        k, less than n / 2.

    Examples
    --------
    >>> X = [[0.0, 0], [1, 0], [2, 0.1], [3, 0], [4, 0]]
    >>> trustworthiness(X, [[0.0], [1], [2], [3], [4]], n_neighbors=2)
    1.0
    >>> round(trustworthiness(X, [[0.0], [3], [1], [4], [2]], n_neighbors=2), 3)
    0.4
    """
    x, z = _points(X, "X"), _points(Z, "Z")
    xp, n = get_xp(x, z), len(x)
    if len(z) != n:
        raise ValueError(f"X has {n} rows and Z {len(z)}; they must hold the same points")
    k = check_integer(n_neighbors, "n_neighbors", maximum=max((n - 1) // 2, 1))
    rows = rows_of(x, xp.arange(n), nearest_neighbors(z, k)[0], size=rows_per_block(x, n))
    excess = float(rows.sum(_excess_ranks, DistancesTo(x)))
    return 1 - 2 * excess / (n * k * (2 * n - 3 * k - 1))


def _excess_ranks(block: tuple[Array, Array, Array], kept: Any, distances: DistancesTo) -> tuple[Array, Any]:
    """sum_ij max(r(i, j) - k, 0) over a block: rows, their numbers, the k neighbours of each in the embedding."""
    (x, number, neighbors), xp = block, get_xp(block[0])
    d, k = distances(x), neighbors.shape[1]
    d[xp.arange(len(x)), number] = np.inf
    to_neighbors = xp.take_along_axis(d, neighbors, axis=1)
    excess = 0
    for j in range(k):
        rank = 1 + (d < to_neighbors[:, j : j + 1]).sum(axis=1)
        excess = excess + xp.maximum(rank - k, 0).sum()
    return excess, kept


def continuity(X: ArrayLike, Z: ArrayLike, n_neighbors: int = 5) -> float:
    """Whether neighbours in the data stay neighbours in the embedding: :func:`trustworthiness` the other way round.

    Examples
    --------
    >>> continuity([[0.0], [1], [5], [6]], [[0.0], [1], [5], [6]], n_neighbors=1)
    1.0
    """
    return trustworthiness(Z, X, n_neighbors)


def knn_accuracy(
    X: ArrayLike, y: ArrayLike, n_neighbors: int = 1, *, train: tuple[ArrayLike, ArrayLike] | None = None
) -> float:
    """The share of rows of X whose class is the most frequent one among their nearest neighbours.

    Ties go to the first class in order.

    Parameters
    ----------
    X : array_like (n, n_features)
    y : array_like (n,)
    n_neighbors : int
    train : (X, y), optional
        Where the neighbours are sought. By default among all other rows of X (leave one out).

    Examples
    --------
    >>> knn_accuracy([[0.0], [1], [8], [9]], [0, 0, 1, 0])
    0.5
    """
    x, labels = _points(X, "X"), check_labels(y, "y")
    others, y_others = (
        (x, labels) if train is None else (_points(train[0], "train[0]"), check_labels(train[1], "train[1]"))
    )
    if len(labels) != len(x) or len(y_others) != len(others):
        raise ValueError(
            f"{len(x)} and {len(others)} rows have {len(labels)} and {len(y_others)} labels: pass one per row"
        )
    neighbors = to_numpy(nearest_neighbors(x, n_neighbors, None if train is None else others)[0])
    classes, codes = np.unique(y_others, return_inverse=True)
    votes = count_votes(codes[neighbors], len(classes))
    return float(np.mean(classes[votes.argmax(axis=1)] == labels))


# ---------------------------------------------------------------------------------------------------------------------
# Scores
# ---------------------------------------------------------------------------------------------------------------------


def auroc(y_true: ArrayLike, score: ArrayLike) -> float:
    """The area under the ROC curve: the probability that a positive scores higher than a negative, ties counted half.

    Parameters
    ----------
    y_true : array_like (n,)
        True or 1 for positives, False or 0 for negatives; both must occur.
    score : array_like (n,)
        Higher means more likely positive.

    Examples
    --------
    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    y, scores = check_labels(y_true, "y_true"), check_array(score, name="score", xp=np, dtype=np.float64, ndim=1)
    if len(y) != len(scores):
        raise ValueError(f"y_true has {len(y)} entries and score {len(scores)}; pass one score for each")
    if y.dtype.kind not in "biuf" or set(np.unique(y).tolist()) != {0, 1}:
        raise ValueError(f"y_true must hold both True and False (or 1 and 0), got {np.unique(y)[:5].tolist()}")
    positive = y == 1
    _, place, ties = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(ties) - (ties - 1) / 2)[place]  # from 1; equal scores share their mean rank
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    return float((rank[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def _points(X: ArrayLike, name: str) -> Array:
    """X (n, d) checked, where it is if it is an array, else on the current backend."""
    try:
        return check_array(X, name=name, xp=get_xp(X))
    except TypeError:
        return check_array(X, name=name)
