"""The gradient of t-SNE and of symmetric SNE, exact, on all cores, with half of n^2 numbers.

The formulas are those of :mod:`scratchnet.manifold.sne`, whose dense version is the reference that this one is tested
against. P is symmetric, so it is cut into tiles of which the upper triangle is kept, and each tile serves both its rows
and its columns. Within a tile every step is one call of NumPy on an array that stays in the cache:

- 1 + s_ij is one product of rank k + 2: [y_i, 1, |y_i|^2] [-2 y_j, 1 + |y_j|^2, 1]';
- sum_j m_ij (y_i - y_j) = y_i (M 1)_i - (M Y)_i is one product of M with each column of [Y, 1];
- Z, the sum of all w_ij, is known after the last tile only, so attraction and repulsion are summed apart.

Tiles run on threads and are added up in their order: the same bits for any number of threads. The size of a tile moves
the last bits, because it decides what is added first.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from scratchnet import blocks
from scratchnet.backend import Array
from scratchnet.manifold.sne import Objective

TILE = 512  # rows and columns; at 256 two threads wait for the interpreter, at 1024 tiles leave the cache


class TiledObjective(Objective):
    """KL(P || Q) over all pairs and its gradient, for NumPy arrays.

    Parameters
    ----------
    joint : callable
        ``joint(rows, columns)`` gives p_ij for two slices; it is asked once for each tile.
    n : int
        Number of points.
    dof : float or None
        Degrees of freedom of Student's t; None is the Gaussian.
    dtype : dtype
        Of P, and of the computation.
    """

    def __init__(self, joint: Callable[[slice, slice], Array], n: int, dof: float | None, dtype: Any) -> None:
        self.n, self.dof, self.dtype = n, dof, np.dtype(dtype)
        count = -(-n // TILE)
        parts = [slice(a, b) for a, b in pairwise(n * i // count for i in range(count + 1))]  # cut evenly
        self._places = list(combinations(parts, 2)) + [(part, part) for part in parts]  # the short work last
        self._scratch = blocks.Scratch(lambda: np.empty((3, TILE * TILE), self.dtype))
        self._tiles: list[Array] = self._map(lambda i, rows, columns: joint(rows, columns).astype(self.dtype))
        self._p_log_p = sum(self._map(self._p_log_p_tile))

    def _map(self, function: Callable[[int, slice, slice], Any]) -> list[Any]:
        """``function(i, rows, columns)`` of every tile, on threads; the results in order."""
        return blocks.map(lambda i: function(int(i[0]), *self._places[int(i[0])]), np.arange(len(self._places)), size=1)

    # -- gradient -----------------------------------------------------------------------------------------------------

    def forces(self, Y: Array) -> tuple[Array, Array]:
        """The parts of the gradient, 4 sum_j p_ij f_ij (y_i - y_j) and -4 sum_j q_ij f_ij (y_i - y_j), each (n, k)."""
        left, right = self._factors(Y)
        points = left[:-1]  # [Y, 1]'
        clip = float(left[-1].max()) * np.finfo(self.dtype).eps > 1e-2  # so far out, rounding may fake an s below 0
        sums, z = np.zeros((2, *points.shape), self.dtype), 0.0
        tiles = self._map(lambda i, rows, columns: self._tile(i, rows, columns, left, right, clip))
        for (rows, columns), (forward, backward, weight) in zip(self._places, tiles, strict=True):
            z += weight if backward is None else 2 * weight
            sums[..., rows] += forward
            if backward is not None:
                sums[..., columns] += backward
        sums[1] /= -z
        constant = 4.0 if self.dof is None else 2 * (self.dof + 1) / self.dof  # 4 times that of f
        attraction, repulsion = constant * (sums[:, -1:] * points[:-1] - sums[:, :-1])
        return np.ascontiguousarray(attraction.T), np.ascontiguousarray(repulsion.T)

    def _tile(
        self, i: int, rows: slice, columns: slice, left: Array, right: Array, clip: bool
    ) -> tuple[Array, Array | None, float]:
        """M [Y, 1] (2, k + 1, rows) and M' [Y, 1] for M = p f and M = w f, and sum w; f without its constant factor."""
        P, dof = self._tiles[i], self.dof
        here, there = left[:-1, rows], left[:-1, columns]  # [Y, 1]'
        with self._scratch.borrow() as scratch:
            tiles = scratch[:, : P.size].reshape(3, *P.shape)
            M, T, W = tiles
            np.matmul(left[:, rows].T, right[:, columns], out=T)
            if clip:
                np.maximum(T, 0 if dof is None else 1, out=T)
            if rows == columns:
                np.fill_diagonal(T, np.inf)
            if dof is None:
                np.exp(np.negative(T, out=T), out=T)  # w; f = 1
                np.copyto(M, P)
                z = np.dot(T, there[-1])
            else:
                np.divide(1, T, out=T)  # f
                W = T if dof == 1 else np.power(T, (dof + 1) / 2, out=W)
                z = np.dot(W, there[-1])
                np.multiply(P, T, out=M)
                np.multiply(W, T, out=T)
            both = tiles[:2, None]
            forward = np.matmul(both, there[:, :, None])[..., 0]
            backward = None if rows == columns else np.matmul(here[:, None, :], both)[..., 0, :]
        return forward, backward, float(z.sum(dtype=np.float64))

    def _factors(self, Y: Array) -> tuple[Array, Array]:
        """[Y, 1, |y|^2/dof]' and [-2 Y/dof, 1 + |y|^2/dof, 1]', each (k + 2, n).

        left' right is 1 + s/dof, or s - min s for the Gaussian.
        """
        n, k = Y.shape
        scale, offset = (1.0, 0.0) if self.dof is None else (1 / self.dof, 1.0)
        left, right = np.empty((2, k + 2, n), self.dtype)
        left[:k] = (Y - Y.mean(axis=0)).T  # near the origin the product loses least
        left[k] = right[k + 1] = 1
        np.einsum("kn,kn->n", left[:k], left[:k], out=left[k + 1])
        left[k + 1] *= scale
        np.multiply(left[:k], -2 * scale, out=right[:k])
        np.add(left[k + 1], offset, out=right[k])
        if self.dof is None:  # relative to the nearest pair, or all weights could vanish
            right[k] -= min(
                self._map(lambda i, rows, columns: _nearest(left[:, rows].T @ right[:, columns], rows == columns))
            )
        return left, right

    # -- cost ---------------------------------------------------------------------------------------------------------

    def kl(self, Y: Array) -> float:
        """KL(P || Q) = sum_ij p_ij (log p_ij - log w_ij) + log Z in nats."""
        left, right = self._factors(Y)
        parts = self._map(lambda i, rows, columns: self._kl_tile(i, rows, columns, left, right))
        cost, z = np.sum(parts, axis=0)
        return float(self._p_log_p + cost + np.log(z))

    def _p_log_p_tile(self, i: int, rows: slice, columns: slice) -> float:
        """The tile's sum of p log p, where 0 log 0 is 0."""
        P = self._tiles[i]
        cost = _total(P * np.log(np.maximum(P, np.finfo(self.dtype).tiny)))
        return cost if rows == columns else 2 * cost

    def _kl_tile(self, i: int, rows: slice, columns: slice, left: Array, right: Array) -> tuple[float, float]:
        """The tile's sum of -p log w, and its sum of w."""
        P = self._tiles[i]
        with self._scratch.borrow() as scratch:
            T, M, _ = scratch[:, : P.size].reshape(3, *P.shape)
            np.matmul(left[:, rows].T, right[:, columns], out=T)
            if self.dof is None:
                log_w = np.negative(np.maximum(T, 0, out=T), out=T)
            else:
                log_w = np.log(np.maximum(T, 1, out=T), out=T)
                log_w *= -(self.dof + 1) / 2
            cost = -_total(np.multiply(P, log_w, out=M))
            if rows == columns:
                np.fill_diagonal(log_w, -np.inf)
            z = _total(np.exp(log_w, out=log_w))
        return (cost, z) if rows == columns else (2 * cost, 2 * z)


def _total(M: Array) -> float:
    """The sum of all entries: each row's in the dtype of M, theirs in float64."""
    return float((M @ np.ones(M.shape[1], M.dtype)).sum(dtype=np.float64))


def _nearest(s: Array, diagonal: bool) -> float:
    """The smallest s_ij of a tile, i != j."""
    if diagonal:
        np.fill_diagonal(s, np.inf)
    return float(s.min())
