"""Squared distances between the rows of two arrays."""

from __future__ import annotations

from copy import copy
from math import log10
from typing import Any

import numpy as np

from scratchnet.backend import Array, get_xp

__all__ = ["DistancesTo", "check_not_lost", "squared_differences", "squared_distances"]


def squared_distances(X: Array, Y: Array) -> Array:
    """|x_i - y_j|^2 (n, m) in float64, never negative, for X (n, d) and Y (m, d).

    Examples
    --------
    >>> squared_distances(np.array([[0.0, 0], [3, 4]]), np.array([[0.0, 0], [3, 0]]))
    array([[ 0.,  9.],
           [25., 16.]])
    """
    return DistancesTo(Y)(X)


def squared_differences(X: Array, Y: Array) -> Array:
    """The same in the type of X and Y, one coordinate after another: for few coordinates. Nothing cancels."""
    return sum((X[:, k, None] - Y[:, k]) ** 2 for k in range(X.shape[1]))


def check_not_lost(X: Array, square: float, dtype: Any) -> None:
    """Raise ValueError if the rows of X differ by so little that squares of differences underflow in ``dtype``.

    ``square`` is about the largest of these, or less: where it is large enough, X itself is not read. The limit is the
    smallest normal number divided by the precision: below it the smaller terms of a sum of squares are lost.
    """
    finfo = np.finfo(np.dtype(dtype).name)
    smallest = float(finfo.tiny / finfo.eps)
    if square >= smallest:
        return
    span = float((X.max(axis=0).astype(np.float64) - X.min(axis=0)).max())
    if span > 0 and span**2 < smallest:  # with 0 there is nothing to lose
        wider = f"X * {10.0 ** min(-round(log10(span)), 300):.0e}" if finfo.bits == 64 else "X.astype('float64')"
        raise ValueError(
            f"X spans so small a range ({span:.1e}) that squared distances vanish in {finfo.dtype}; pass {wider}"
        )


class DistancesTo:
    """Squared distances to the rows of Y, for many blocks of rows, in float64.

    "euclidean" is |x - y|^2 = |x|^2 - 2 x y' + |y|^2: one matrix product, relative to an origin in the middle of Y,
    because far from it the three terms would cancel. The origin is made of values that occur in Y, so data on a grid
    stay on one: between integers, equal distances come out equal.

    Parameters
    ----------
    Y : (m, d), or (m, m) distances where ``metric`` is "precomputed"
    metric : {"euclidean", "cosine", "precomputed"}
        "cosine" is (1 - cos(x, y))^2; a row of zeros is at distance 1 from everything. With "precomputed" X holds rows
        of distances to Y, which are squared.
    same : float
        |x - y|^2 up to this share of |x|^2 counts as 0: rounding cannot tell such points apart.

    Raises
    ------
    ValueError
        If squares overflow or underflow, or precomputed distances are not distances.
    """

    def __init__(self, Y: Array, metric: str = "euclidean", same: float = 0.0) -> None:
        xp = get_xp(Y)
        self.metric, self.same = metric, same
        if metric == "precomputed":
            _check_symmetric(Y)
        if metric == "euclidean":
            nearest_to_mean = xp.abs(Y - Y.mean(axis=0, dtype=np.float64)).argmin(axis=0)
            self.origin = xp.take_along_axis(Y, nearest_to_mean[None], axis=0).astype(np.float64)
        self.points = self.prepare(Y)
        self.size = (self.points**2).sum(axis=1)
        check_not_lost(Y, float(self.size.max()), np.float64)

    def __len__(self) -> int:
        return len(self.points)

    def __call__(self, X: Array, first: int = 0) -> Array:
        """d^2 (n, m - first) from the rows of X (n, d) to y_j, j >= first; never negative."""
        return self.between(self._place(X), slice(first, None))

    def prepare(self, X: Array) -> Array:
        """X as :meth:`between` takes it, or an error if distances would overflow."""
        xp = get_xp(X)
        if self.metric == "precomputed" and bool((X < 0).any()):
            raise ValueError("metric='precomputed' needs distances: non-negative, and 0 on the diagonal")
        with np.errstate(over="ignore"):
            rows = self._place(X)
            if not bool(xp.isfinite((rows**2).sum())):
                raise ValueError("X spans so large a range that squared distances overflow; scale it down first")
        return rows

    def _place(self, X: Array) -> Array:
        """In float64: relative to the origin (euclidean), of length 1 (cosine), unchanged (precomputed)."""
        xp, X = get_xp(X), X.astype(np.float64)
        if self.metric == "euclidean":
            X -= self.origin
        elif self.metric == "cosine":
            largest = xp.abs(X).max(axis=1, keepdims=True)
            X /= xp.where(largest > 0, largest, 1)  # or squares could overflow
            lengths = xp.sqrt((X**2).sum(axis=1, keepdims=True))
            X /= xp.where(lengths > 0, lengths, 1)
        return X

    def part(self, columns: slice) -> DistancesTo:
        """Distances to these rows of Y alone, in views; with "precomputed" rows must be cut likewise."""
        part = copy(self)
        part.points = self.points[:0] if self.metric == "precomputed" else self.points[columns]
        part.size = self.size[columns]
        return part

    def between(self, rows: Array, columns: slice = slice(None)) -> Array:
        """d^2 (n, columns) from prepared ``rows`` to the rows ``columns`` of Y."""
        xp = get_xp(rows)
        if self.metric == "precomputed":
            return rows[:, columns] ** 2
        if self.metric == "cosine":
            return xp.maximum(1 - rows @ self.points[columns].T, 0) ** 2
        size = (rows**2).sum(axis=1)[:, None]
        d = (-2 * rows) @ self.points[columns].T
        d += size
        d += self.size[columns]
        if self.same:
            d *= d > self.same * size
            return d
        return xp.maximum(d, 0, out=d)


def _check_symmetric(D: Array) -> None:
    if D.shape[0] != D.shape[1]:
        raise ValueError(f"metric='precomputed' needs X as an (n, n) matrix of distances, got shape {tuple(D.shape)}")
    if bool((D.diagonal() != 0).any()):
        raise ValueError("metric='precomputed' needs distances: non-negative, and 0 on the diagonal")
    if not bool(get_xp(D).allclose(D, D.T)):
        raise ValueError("metric='precomputed' needs a symmetric X; symmetrise it with (X + X.T) / 2")
