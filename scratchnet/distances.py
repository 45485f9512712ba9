"""Distances between the rows of two arrays."""

from __future__ import annotations

import numpy as np

from scratchnet.backend import Array, get_xp


def squared_distances(X: Array, Y: Array) -> Array:
    """|x_i - y_j|^2 = |x_i|^2 - 2 x_i y_j' + |y_j|^2, (n, m) in float64, never negative.

    One matrix product, relative to the mean of Y: far from the origin the three terms would cancel.

    Parameters
    ----------
    X : (n, n_features)
    Y : (m, n_features)
    """
    xp, origin = get_xp(X, Y), Y.mean(axis=0, dtype=np.float64)
    X, Y = X - origin, Y - origin
    d = X @ Y.T
    d *= -2
    d += (X**2).sum(axis=1)[:, None]
    d += (Y**2).sum(axis=1)
    return xp.maximum(d, 0, out=d)
