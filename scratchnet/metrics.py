"""How good a clustering, an embedding or a detector is.

Labels may be anything that sorts: integers, strings, booleans. Points and labels come as arrays of any backend or as
lists; every metric returns a float, and higher is better.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet import blocks
from scratchnet.backend import Array, get_xp, to_numpy
from scratchnet.distances import DistancesTo
from scratchnet.neighbors import check_labels, count_votes, nearest_neighbors
from scratchnet.validation import check_array, check_integer

# ---------------------------------------------------------------------------------------------------------------------
# Two labelings of the same points
# ---------------------------------------------------------------------------------------------------------------------


def normalized_mutual_info(labels_true: Any, labels_pred: Any) -> float:
    """2 I(a, b) / (H(a) + H(b)), in [0, 1]: 1 for the same partition; 1 too where both have a single cluster.

    With p_ij the share of points in class i and cluster j, I = sum_ij p_ij log(p_ij / (p_i p_j)) and
    H(a) = -sum_i p_i log p_i.
    It does not matter what the labels are called, nor which labeling comes first.
    """
    counts = _contingency(labels_true, labels_pred)
    p = counts / counts.sum()
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    entropies = _entropy(rows) + _entropy(columns)
    if entropies == 0:
        return 1.0
    information = entropies - _entropy(p.ravel())  # I(a, b) = H(a) + H(b) - H(a, b)
    return float(min(max(2 * information / entropies, 0.0), 1.0))


def adjusted_rand(labels_true: Any, labels_pred: Any) -> float:
    """The share of pairs that both labelings treat alike, adjusted for chance: 1 for the same, about 0 at random.

    (sum_ij C(n_ij, 2) - E) / ((A + B) / 2 - E) with A = sum_i C(n_i, 2), B = sum_j C(n_j, 2), E = A B / C(n, 2)
    (Hubert and Arabie, Comparing partitions, 1985).
    """
    counts = _contingency(labels_true, labels_pred)
    both, a, b, pairs = (_pairs(n) for n in (counts, counts.sum(axis=1), counts.sum(axis=0), counts.sum()))
    if a == b and (a == 0 or a == pairs):  # all points alone, or all in one cluster, in both
        return 1.0
    expected = a * b / pairs
    return float((both - expected) / ((a + b) / 2 - expected))


def clustering_accuracy(labels_true: Any, labels_pred: Any) -> float:
    """The share of points labelled right when every cluster is given one class, in the best way, no class twice."""
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


def _contingency(labels_true: Any, labels_pred: Any) -> np.ndarray:
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


def silhouette(X: Any, labels: Any) -> float:
    """The mean over points of (b - a) / max(a, b), in [-1, 1]; 0 for a point alone in its cluster.

    a is the mean distance to the other points of the own cluster, b the smallest mean distance to the points of another
    (Rousseeuw, Silhouettes, 1987). Costs n^2 distances, and memory for a block of them.

    Parameters
    ----------
    X : array_like (n, n_features)
    labels : array_like (n,)
        At least 2 clusters, at most n - 1.
    """
    X = _points(X, "X")
    xp, n = get_xp(X), len(X)
    y = check_labels(labels, "labels")
    if len(y) != n:
        raise ValueError(f"labels has {len(y)} entries, but X has {n} rows: pass one a row")
    codes = np.unique(y, return_inverse=True)[1]
    k = int(codes.max()) + 1
    if not 2 <= k <= n - 1:
        raise ValueError(f"labels holds {k} clusters of {n} points; silhouettes need at least 2 and at most n - 1")
    own = xp.asarray(codes)
    members = (own[:, None] == xp.arange(k)).astype(np.float64)
    sizes = members.sum(axis=0)
    distances = DistancesTo(X)

    def block(x: Array, own: Array, row: Array) -> Array:
        here = xp.arange(len(x))
        d = xp.sqrt(distances(x))
        d[here, row] = 0  # rounding may leave more
        to_cluster = d @ members
        others = sizes[own] - 1
        a = to_cluster[here, own] / xp.maximum(others, 1)
        to_cluster /= sizes
        to_cluster[here, own] = np.inf
        b = to_cluster.min(axis=1)
        largest = xp.maximum(a, b)
        s = (b - a) / xp.where(largest > 0, largest, 1)
        return (s * (others > 0)).sum()

    return float(blocks.sum(block, X, own, xp.arange(n), size=blocks.rows_per_block(X, n))) / n


def trustworthiness(X: Any, Z: Any, n_neighbors: int = 5) -> float:
    """Whether neighbours in the embedding are neighbours in the data: 1 if all k nearest are, in [0, 1].

    1 - 2 / (n k (2n - 3k - 1)) sum_i sum_j max(r(i, j) - k, 0), over the k nearest neighbours j of i in Z; j is the
    r(i, j)-th nearest neighbour of i in X, of equals all the first (Venna and Kaski, Neighborhood preservation in
    nonlinear projection methods, 2001).

    Parameters
    ----------
    X : array_like (n, n_features)
        The data.
    Z : array_like (n, n_components)
        The embedding of the same points.
    n_neighbors : int
        k, less than n / 2.
    """
    X, Z = _points(X, "X"), _points(Z, "Z")
    xp, n = get_xp(X, Z), len(X)
    if len(Z) != n:
        raise ValueError(f"X has {n} rows and Z {len(Z)}; they must hold the same points")
    k = check_integer(n_neighbors, "n_neighbors", maximum=max((n - 1) // 2, 1))
    distances = DistancesTo(X)

    def block(x: Array, row: Array, neighbors: Array) -> Array:
        d = distances(x)
        d[xp.arange(len(x)), row] = np.inf
        to_neighbors = xp.take_along_axis(d, neighbors, axis=1)
        excess = 0
        for j in range(k):
            rank = 1 + (d < to_neighbors[:, j : j + 1]).sum(axis=1)
            excess = excess + xp.maximum(rank - k, 0).sum()
        return excess

    neighbors = nearest_neighbors(Z, k)[0]
    excess = float(blocks.sum(block, X, xp.arange(n), neighbors, size=blocks.rows_per_block(X, n)))
    return 1 - 2 * excess / (n * k * (2 * n - 3 * k - 1))


def continuity(X: Any, Z: Any, n_neighbors: int = 5) -> float:
    """Whether neighbours in the data stay neighbours in the embedding: :func:`trustworthiness` the other way round."""
    return trustworthiness(Z, X, n_neighbors)


def knn_accuracy(X: Any, y: Any, n_neighbors: int = 1, *, train: tuple[Any, Any] | None = None) -> float:
    """The share of rows of X whose class is the most frequent one among their nearest neighbours.

    Of equally frequent classes the first in order counts.

    Parameters
    ----------
    X : array_like (n, n_features)
    y : array_like (n,)
    n_neighbors : int
    train : (X, y), optional
        Where the neighbours are sought. By default among all other rows of X (leave one out).
    """
    X, y = _points(X, "X"), check_labels(y, "y")
    others, y_others = (X, y) if train is None else (_points(train[0], "train[0]"), check_labels(train[1], "train[1]"))
    if len(y) != len(X) or len(y_others) != len(others):
        raise ValueError(f"{len(X)} and {len(others)} rows have {len(y)} and {len(y_others)} labels: pass one a row")
    neighbors = to_numpy(nearest_neighbors(X, n_neighbors, None if train is None else others)[0])
    classes, codes = np.unique(y_others, return_inverse=True)
    votes = count_votes(codes[neighbors], len(classes))
    return float(np.mean(classes[votes.argmax(axis=1)] == y))


# ---------------------------------------------------------------------------------------------------------------------
# Scores
# ---------------------------------------------------------------------------------------------------------------------


def auroc(y_true: Any, score: Any) -> float:
    """The area under the ROC curve: the probability that a positive scores higher than a negative, ties counted half.

    Parameters
    ----------
    y_true : array_like (n,)
        True or 1 for positives, False or 0 for negatives; both must occur.
    score : array_like (n,)
        Higher means more likely positive.
    """
    y, score = check_labels(y_true, "y_true"), check_array(score, name="score", xp=np, dtype=np.float64, ndim=1)
    if len(y) != len(score):
        raise ValueError(f"y_true has {len(y)} entries and score {len(score)}; pass one score for each")
    if y.dtype.kind not in "biuf" or set(np.unique(y).tolist()) != {0, 1}:
        raise ValueError(f"y_true must hold both True and False (or 1 and 0), got {np.unique(y)[:5].tolist()}")
    positive = y == 1
    _, place, ties = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(ties) - (ties - 1) / 2)[place]  # from 1; equal scores share their mean rank
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    return float((rank[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def _points(X: Any, name: str) -> Array:
    """X (n, d) checked, where it is if it is an array, else on the current backend."""
    try:
        return check_array(X, name=name, xp=get_xp(X))
    except TypeError:
        return check_array(X, name=name)
