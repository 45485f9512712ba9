"""What "near" means to k-means: squared Euclidean distance, cosine, Manhattan.

A geometry says what a point costs that is assigned to a centre. Points come in *local* coordinates, a block of rows
at a time, so that data on disk are never in memory as a whole.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from scratchnet import blocks
from scratchnet.backend import Array, get_xp


class Euclidean:
    """cost = |x - c|^2, relative to ``origin`` (d,): far from it the parts of x c' would cancel."""

    def __init__(self, origin: Array, shifted: bool = True) -> None:
        self.origin, self.shifted = origin, shifted

    @classmethod
    def around(cls, X: Array, weight: Array | None = None) -> Self:
        """With the weighted mean of X (n, d) as origin, rounded to X's type; or 0 if that is no farther from the mean
        than the points are, which saves every block a subtraction."""
        xp = get_xp(X)

        def block(x: Array, w: Array) -> tuple[Array, ...]:
            return tuple(a.astype(np.float64) for a in (w @ x, w @ squares(x), w.sum()))

        with np.errstate(over="ignore", invalid="ignore"):
            ones = weight if weight is not None else xp.ones(len(X), dtype=X.dtype)
            total, size, count = blocks.sum(block, X, ones)
            mean = total / count
            shifted = not bool((mean**2).sum() <= size / count / 2)
        return cls((mean if shifted else xp.zeros_like(mean)).astype(X.dtype), shifted)

    def local(self, x: Array) -> Array:
        """Rows of data (n, d) in local coordinates: a new array, or x itself."""
        return x - self.origin if self.shifted else x

    def to_local(self, centers: Array) -> Array:
        """Centres (k, d) in local coordinates, float64."""
        return self.local(centers.astype(np.float64))

    def to_data(self, centers: Array) -> Array:
        """Local centres (k, d) in the coordinates of the data."""
        return centers + self.origin

    def nearest(self, x: Array, centers: Array) -> Array:
        """argmin_c cost (n,) for local x (n, d) and centers (k, d), the first of equals."""
        return scores(x, centers, squares(centers)).argmin(axis=1)

    def costs(self, x: Array, centers: Array) -> Array:
        """The cost (n, k) of every local row at every centre, never negative."""
        s = scores(x, centers, squares(centers))
        s += squares(x)[:, None]
        return get_xp(s).maximum(s, 0, out=s)

    def own_costs(self, x: Array, own: Array) -> Array:
        """The cost (n,) of every local row at its own centre, row for row: x and own (n, d). By differences: exact."""
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
    def around(cls, X: Array, weight: Array | None = None) -> Self:
        """Angles are seen from zero, whatever X is."""
        return cls(get_xp(X).zeros(X.shape[1], dtype=X.dtype), shifted=False)

    def local(self, x: Array) -> Array:
        xp = get_xp(x)
        largest = xp.abs(x).max(axis=1, keepdims=True)
        x = x / xp.where(largest > 0, largest, 1)  # squares must not overflow
        length = xp.sqrt((x**2).sum(axis=1, keepdims=True))
        return x / xp.where(length > 0, length, 1)

    def costs(self, x: Array, centers: Array) -> Array:
        s = x @ centers.T
        s *= -1
        s += 1
        return get_xp(s).maximum(s, 0, out=s)

    def own_costs(self, x: Array, own: Array) -> Array:
        return get_xp(x).maximum(1 - (x * own).sum(axis=1), 0)

    def distances(self, costs: Array) -> Array:
        return costs

    def rounding(self, x: Array) -> Array:
        return get_xp(x).full(len(x), 64 * np.finfo(x.dtype).eps, dtype=x.dtype)


class Manhattan(Euclidean):
    """cost = sum_j |x_j - c_j|."""

    def nearest(self, x: Array, centers: Array) -> Array:
        return self.costs(x, centers).argmin(axis=1)

    def costs(self, x: Array, centers: Array) -> Array:
        xp = get_xp(x, centers)
        return xp.stack([xp.abs(x - c).sum(axis=1) for c in centers], axis=1)

    def own_costs(self, x: Array, own: Array) -> Array:
        return get_xp(x).abs(x - own).sum(axis=1)

    def distances(self, costs: Array) -> Array:
        return costs

    def rounding(self, x: Array) -> Array:
        return 64 * np.finfo(x.dtype).eps * get_xp(x).abs(x).sum(axis=1)


def scores(x: Array, centers: Array, size: Array) -> Array:
    """|x - c|^2 - |x|^2 = |c|^2 - 2 x c' (n, k), for x (n, d), centers (k, d) and their ``size`` |c|^2 (k,)."""
    s = x @ centers.T
    s *= -2
    s += size
    return s


def squares(x: Array) -> Array:
    """|x|^2 (n,) of every row."""
    return get_xp(x).einsum("ij,ij->i", x, x)
