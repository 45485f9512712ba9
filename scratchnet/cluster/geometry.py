"""What "near" means to k-means: squared Euclidean distance, cosine, Manhattan.

A geometry says what it costs to assign a point to a centre. Points come in *local* coordinates, some rows at a time, so
that data on disk are never in memory as a whole.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from scratchnet.backend import Array, get_xp
from scratchnet.rows import Rows, rows_per_block

__all__ = ["Cosine", "Euclidean", "Manhattan", "squares"]


class Euclidean:
    """cost = |x - c|^2, relative to ``origin`` (d,): far from it the terms of |x|^2 - 2 x c' + |c|^2 would cancel."""

    def __init__(self, origin: Array, shifted: bool = True) -> None:
        self.origin, self.shifted = origin, shifted

    @classmethod
    def around(cls, rows: Rows) -> Self:
        """The geometry of rows, whose blocks are (x, weight, ...).

        The origin is their weighted mean, rounded to their type; or 0 if that is no farther from the mean than the rows
        are, which saves every block a subtraction.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            total, size, count = rows.sum(_moments)
            mean = total / count
            shifted = not bool((mean**2).sum() <= size / count / 2)
        origin = mean if shifted else rows.xp.zeros_like(mean)
        return cls(origin.astype(rows.blocks[0][0].dtype), shifted)

    def local(self, x: Array) -> Array:
        """Rows of data (n, d) in local coordinates, C-contiguous: a new array, or x itself."""
        x = get_xp(x).ascontiguousarray(x)
        return x - self.origin if self.shifted else x

    def to_local(self, centers: Array) -> Array:
        """Centres (k, d) in local coordinates, float64."""
        return self.local(centers.astype(np.float64))

    def to_data(self, centers: Array) -> Array:
        """Local centres (k, d) in the coordinates of the data."""
        return centers + self.origin

    def nearest(self, x: Array, centers: Array) -> Array:
        """argmin_c cost (n,) for local x (n, d) and centers (k, d); ties go to the first.

        A function of the row and the centres alone: the last bits of a matrix product depend on which other rows are in
        it. So where several centres are as near as its rounding can tell, differences in float64 decide.
        """
        xp, s = get_xp(x), self.scores(x, centers)
        near, labels = s <= (s.min(axis=1) + self.doubt(x, centers))[:, None], s.argmin(axis=1)
        undecided = xp.flatnonzero(near.sum(axis=1) > 1)
        if len(undecided):
            rows, columns = xp.nonzero(near[undecided])
            costs = xp.full((len(undecided), len(centers)), np.inf)
            x, own = x[undecided[rows]].astype(np.float64), centers[columns].astype(np.float64)
            costs[rows, columns] = self.own_costs(x, own)
            labels[undecided] = costs.argmin(axis=1)
        return labels

    def scores(self, x: Array, centers: Array) -> Array:
        """The cost (n, k) of every local row at every centre, up to a constant per row: |c|^2 - 2 x c'."""
        s = x @ centers.T
        s *= -2
        s += squares(centers)
        return s

    def doubt(self, x: Array, centers: Array) -> Array:
        """(n,): scores of a row that differ by no more may be in the wrong order."""
        return 2 * self.slack(x) * (squares(x) + squares(centers).max())

    @staticmethod
    def slack(x: Array) -> float:
        """A squared distance to x (n, d) from a matrix product is wrong by at most this times |x|^2 + |c|^2."""
        return float((32 + x.shape[1] ** 0.5) * np.finfo(x.dtype).eps)

    def costs(self, x: Array, centers: Array) -> Array:
        """The cost (n, k) of every local row at every centre, never negative."""
        return get_xp(x).maximum(self.scores(x, centers) + squares(x)[:, None], 0)

    def own_costs(self, x: Array, own: Array) -> Array:
        """The cost (n,) of every local row at its own centre, row for row: x and own (n, d). Nothing cancels."""
        return squares(x - own)

    def distances(self, costs: Array) -> Array:
        """Costs as distances."""
        return get_xp(costs).sqrt(costs)

    def rounding(self, x: Array) -> Array:
        """Below this cost (n,) a local row may be a copy of its centre."""
        return (64 * np.finfo(x.dtype).eps) ** 2 * squares(x)


class Cosine(Euclidean):
    """cost = 1 - cos(x, c); local rows and centres have length 1. A row of zeros costs 1 everywhere."""

    @classmethod
    def around(cls, rows: Rows) -> Self:
        """Angles are measured at zero, whatever the rows are."""
        x = rows.blocks[0][0]
        return cls(rows.xp.zeros(x.shape[1], dtype=x.dtype), shifted=False)

    def local(self, x: Array) -> Array:
        xp = get_xp(x)
        x = xp.ascontiguousarray(x)
        largest = xp.abs(x).max(axis=1, keepdims=True)
        x = x / xp.where(largest > 0, largest, 1)  # squares must not overflow
        length = xp.sqrt((x**2).sum(axis=1, keepdims=True))
        return x / xp.where(length > 0, length, 1)

    def scores(self, x: Array, centers: Array) -> Array:
        """-cos(x, c) (n, k)."""
        return -(x @ centers.T)

    def doubt(self, x: Array, centers: Array) -> Array:
        return get_xp(x).full(len(x), 2 * self.slack(x), dtype=x.dtype)

    def costs(self, x: Array, centers: Array) -> Array:
        return get_xp(x).maximum(self.scores(x, centers) + 1, 0)

    def own_costs(self, x: Array, own: Array) -> Array:
        return get_xp(x).maximum(1 - (x * own).sum(axis=1), 0)

    def distances(self, costs: Array) -> Array:
        return costs

    def rounding(self, x: Array) -> Array:
        return get_xp(x).full(len(x), 64 * np.finfo(x.dtype).eps, dtype=x.dtype)


class Manhattan(Euclidean):
    """cost = sum_j |x_j - c_j|."""

    def nearest(self, x: Array, centers: Array) -> Array:
        return self.costs(x, centers).argmin(axis=1)  # no matrix product: rows do not meet

    def costs(self, x: Array, centers: Array) -> Array:
        xp = get_xp(x, centers)
        return xp.stack([xp.abs(x - c).sum(axis=1) for c in centers], axis=1)

    def own_costs(self, x: Array, own: Array) -> Array:
        return get_xp(x).abs(x - own).sum(axis=1)

    def distances(self, costs: Array) -> Array:
        return costs

    def rounding(self, x: Array) -> Array:
        return 64 * np.finfo(x.dtype).eps * get_xp(x).abs(x).sum(axis=1)


def squares(x: Array) -> Array:
    """|x|^2 (n,) of every row."""
    return get_xp(x).einsum("ij,ij->i", x, x)


def _moments(block: tuple[Array, ...], kept: object) -> tuple[tuple[Array, ...], object]:
    """Of a block: the weighted sums of x (d,) and of |x|^2, and the weights' sum."""
    x, w, size = *block[:2], rows_per_block(block[0])
    xp = get_xp(x)
    columns: Any = 0.0
    total: Any = 0.0
    for i in range(0, len(x), size):
        some, weight = xp.ascontiguousarray(x[i : i + size]), w[i : i + size]
        columns, total = columns + (weight @ some).astype(np.float64), total + weight @ squares(some)
    return (columns, total, w.sum(dtype=np.float64)), kept
