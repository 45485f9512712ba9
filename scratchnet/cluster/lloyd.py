"""The two steps of Lloyd's algorithm: assign every point to its nearest centre, move every centre amid its points.

(Lloyd, Least squares quantization in PCM, 1982.) Sums run in float64 whatever the type of the data.
"""

from __future__ import annotations

import numpy as np

from scratchnet import blocks
from scratchnet.backend import Array, get_xp, to_numpy
from scratchnet.cluster.geometry import Euclidean, squares
from scratchnet.kernels import twin
from scratchnet.kernels.cuda import kmeans

_AT_ONCE = 1 << 20  # entries of a cluster whose medians are found together: it need not fit into memory


class Lloyd:
    """k-means: weighted points, their current clusters, and the sums that the next centres come from.

    All centres are in the local coordinates of ``geometry``, in float64.

    Parameters
    ----------
    X : (n, d)
        The data; never held in local coordinates as a whole.
    weight : (n,) or None
    n_clusters : int
    geometry : Euclidean

    Attributes
    ----------
    labels : (n,) integers, or None before the first :meth:`assign`
    sums : (n_clusters, d) float64
        s_c = sum of w x over the points of cluster c.
    counts : (n_clusters,) float64
        n_c = sum of w over the points of cluster c.
    total, total_weight : float
        The sums of w |x|^2 and w over all points.
    """

    labels: Array = None
    sums: Array
    counts: Array

    def __init__(self, X: Array, weight: Array | None, n_clusters: int, geometry: Euclidean) -> None:
        self.xp = get_xp(X)
        self.X, self.n_clusters, self.geometry = X, n_clusters, geometry
        self.weight = weight if weight is not None else self.xp.ones(len(X), dtype=X.dtype)
        self.size = self.xp.concatenate(blocks.map(lambda x: squares(geometry.local(x)), X))  # |x|^2
        self.total = float((self.size * self.weight).sum(dtype=np.float64))
        self.total_weight = float(self.weight.sum(dtype=np.float64))

    # -- assign -------------------------------------------------------------------------------------------------------

    def assign(self, centers: Array) -> bool:
        """Give every point to the nearest of ``centers`` (k, d), the first of equals; whether any point moved."""
        g, c = self.geometry, centers.astype(self.X.dtype)
        labels = self.xp.concatenate(blocks.map(lambda x: g.nearest(g.local(x), c), self.X))
        moved = self.labels is None or bool((labels != self.labels).any())
        self.labels = labels
        if moved:
            self._sum_up()
        return moved

    def _sum_up(self) -> None:
        g, k = self.geometry, self.n_clusters
        self.sums = blocks.sum(
            lambda x, labels, w: cluster_sums(g.local(x), labels, w, k), self.X, self.labels, self.weight
        )
        self._count()

    def _count(self) -> None:
        counts = self.xp.bincount(self.labels, weights=self.weight, minlength=self.n_clusters)
        self.counts = counts.astype(np.float64)

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
        labels, weight = to_numpy(self.labels), to_numpy(self.weight)
        cost, on_center = (to_numpy(a) * weight for a in self._own_costs(centers))
        members = np.bincount(labels[weight > 0], minlength=self.n_clusters)
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

    def _own_costs(self, centers: Array) -> tuple[Array, Array]:
        """(n,) each: what every point costs where it is, and what of that may be rounding."""
        xp, g = self.xp, self.geometry

        def block(x: Array, own: Array) -> tuple[Array, Array]:
            x = g.local(x)
            return g.own_costs(x, centers[own]), g.rounding(x)

        found = blocks.map(block, self.X, self.labels)
        return xp.concatenate([cost for cost, _ in found]), xp.concatenate([rounding for _, rounding in found])


class SphericalLloyd(Lloyd):
    """Spherical k-means: every centre is the direction of the sum of its points' directions.

    (Dhillon and Modha, Concept decompositions for large sparse text data using clustering, 2001.)
    """

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

    def _sum_up(self) -> None:
        self._count()  # medians come from the points themselves

    def objective(self, centers: Array) -> float:
        """J = sum_i w_i sum_j |x_ij - c(i)_j| for the current clusters."""
        return float((self._own_costs(centers)[0] * self.weight).sum(dtype=np.float64))

    def middles(self, centers: Array) -> Array:
        """The weighted median of every cluster (k, d): the smallest value with half of the weight at or below it."""
        xp, found = self.xp, []
        for c, before in enumerate(centers):
            here = xp.flatnonzero((self.labels == c) & (self.weight > 0))
            found.append(self._median(here) if len(here) else before)
        return xp.stack(found)

    def _median(self, rows: Array) -> Array:
        xp, (_, d) = self.xp, self.X.shape
        origin, weight, found = self.geometry.origin, self.weight[rows], []
        width = max(1, _AT_ONCE // len(rows))
        for j in range(0, d, width):
            x = self.X[rows, j : j + width] - origin[j : j + width]
            order = x.argsort(axis=0)
            reached = weight[order].cumsum(axis=0, dtype=np.float64)
            half = (reached >= reached[-1] / 2).argmax(axis=0)[None]
            found.append(xp.take_along_axis(xp.take_along_axis(x, order, axis=0), half, axis=0)[0].astype(np.float64))
        return xp.concatenate(found)


@twin(cuda=kmeans.assign_and_add)
def assign_and_add(scores: Array, x: Array, weight: Array, sums: Array, counts: Array) -> Array:
    """The nearest centre of each row of x (n, d), given its ``scores`` (n, k); weighted sums of the rows and of their
    weights are added to ``sums`` (k, d) and ``counts`` (k,), in float64."""
    labels = scores.argmin(axis=1)
    sums += cluster_sums(x, labels, weight, len(counts))
    counts += get_xp(x).bincount(labels, weights=weight, minlength=len(counts))
    return labels


def cluster_sums(x: Array, labels: Array, weight: Array, n_clusters: int, before: Array | None = None) -> Array:
    """The sum of w x over the rows of each cluster: (n_clusters, d) float64, as a product with one-hot labels.

    With the labels that rows had ``before``: what each sum has gained.
    """
    all_labels = get_xp(x).arange(n_clusters)
    one_hot = (labels[:, None] == all_labels) * weight[:, None]
    if before is not None:
        one_hot -= (before[:, None] == all_labels) * weight[:, None]
    return (one_hot.T @ x).astype(np.float64)
