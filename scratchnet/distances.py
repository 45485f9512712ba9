"""Distances between the rows of two arrays."""

from __future__ import annotations

import numpy as np

from scratchnet.backend import Array, get_xp


def squared_distances(X: Array, Y: Array) -> Array:
    """|x_i - y_j|^2 (n, m) in float64, never negative, for X (n, d) and Y (m, d)."""
    return DistancesTo(Y)(X)


class DistancesTo:
    """Squared distances to the rows of Y (m, d), for many blocks of rows: |x - y|^2 = |x|^2 - 2 x y' + |y|^2.

    One matrix product in float64, relative to an origin amid Y: far from it the three terms would cancel. The origin is
    made of values that occur in Y, so data on a grid stay on one: between integers, equal distances come out equal.
    """

    def __init__(self, Y: Array) -> None:
        xp, mean = get_xp(Y), Y.mean(axis=0, dtype=np.float64)
        nearest_to_mean = xp.abs(Y - mean).argmin(axis=0)
        self.origin = xp.take_along_axis(Y, nearest_to_mean[None], axis=0).astype(np.float64)
        Y = Y - self.origin
        self.size = (Y**2).sum(axis=1)
        Y *= -2
        self.minus_2Y = Y

    def __call__(self, X: Array, first: int = 0) -> Array:
        """|x_i - y_j|^2 (n, m - first) for X (n, d) and j >= first."""
        xp = get_xp(X, self.minus_2Y)
        X = X - self.origin
        d = X @ self.minus_2Y[first:].T
        d += (X**2).sum(axis=1)[:, None]
        d += self.size[first:]
        return xp.maximum(d, 0, out=d)
