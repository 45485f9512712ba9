"""The gradient of SNE, exact, on all cores: each row of P and Q is a distribution of its own, so row blocks suffice.

The formulas are those of :mod:`scratchnet.manifold.sne`, whose dense version is the reference that this one is tested
against. Blocks are added up in their order: the same bits for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchnet import blocks
from scratchnet.backend import Array, Module, get_xp
from scratchnet.distances import squared_differences
from scratchnet.manifold.affinities import set_self
from scratchnet.manifold.sne import Kernel, log_similarities, sum_p_log_ratio

ROWS = 256  # of a block; their number decides what is added first, and with it the last bits


class RowObjective:
    """sum_i KL(P_i || Q_i) over rows that each sum to one, and its gradient.

    Parameters
    ----------
    conditional : callable
        ``conditional(rows, columns)`` gives p_j|i for two slices; it is asked once for each block of rows.
    n : int
        Number of points.
    kernel : Kernel
    xp : module
        Where P lives.
    """

    def __init__(self, conditional: Callable[[slice, slice], Array], n: int, kernel: Kernel, xp: Module) -> None:
        self.kernel, self._on_host = kernel, xp is np
        self._places = [slice(i, min(i + ROWS, n)) for i in range(0, n, ROWS)]
        self._P = self._map(lambda i: conditional(self._places[i], slice(0, n)))

    def _map(self, function: Callable[[int], Any]) -> list[Any]:
        """``function(i)`` of every block, on threads; the results in order."""
        if not self._on_host:  # a device orders its own work, and which one is meant only this thread knows
            return [function(i) for i in range(len(self._places))]
        return blocks.map(lambda i: function(int(i[0])), np.arange(len(self._places)), size=1)

    def kl(self, Y: Array) -> Array:
        """The sum of the rows' divergences in nats, as a 0-d array."""
        return sum(self._map(lambda i: sum_p_log_ratio(self._P[i], self._log_q(Y, i)[1])))

    def gradient(self, Y: Array, exaggeration: float = 1.0) -> Array:  # (8.3)
        """Its derivative (n, k), with P multiplied by ``exaggeration``."""

        def block(i: int) -> Array:
            pull, push = self._springs(Y, i)
            pull *= exaggeration
            pull -= push
            return pull

        return self._net_force(Y, block)

    def forces(self, Y: Array) -> tuple[Array, Array]:
        """The attracting and the repelling part of the gradient, each (n, k)."""
        attraction = self._net_force(Y, lambda i: self._springs(Y, i)[0])
        return attraction, -self._net_force(Y, lambda i: self._springs(Y, i)[1])

    def _springs(self, Y: Array, i: int) -> tuple[Array, Array]:
        """Block i of P f and of Q f."""
        s, log_q = self._log_q(Y, i)
        slope, Q = self.kernel.slope(s), get_xp(s).exp(log_q, out=log_q)
        Q *= slope
        slope *= self._P[i]
        return slope, Q

    def _log_q(self, Y: Array, i: int) -> tuple[Array, Array]:
        """Block i of the squared distances, and of log q_j|i."""
        rows = self._places[i]
        s = squared_differences(Y[rows], Y)
        log_w = self.kernel.log_weight(s)
        set_self(log_w, rows.start, 0, -np.inf)
        return s, log_similarities(log_w, by_row=True)

    def _net_force(self, Y: Array, block: Callable[[int], Array]) -> Array:
        """2 sum_j (S_ij + S_ji) (y_i - y_j) for S whose i-th block of rows is ``block(i)``."""

        def part(i: int) -> tuple[Array, Array, Array]:
            S, y = block(i), Y[self._places[i]]
            return S.sum(axis=1)[:, None] * y - S @ Y, S.sum(axis=0), S.T @ y

        by_rows, sums, by_columns = zip(*self._map(part), strict=True)
        return 2 * (get_xp(Y).concatenate(by_rows) + sum(sums)[:, None] * Y - sum(by_columns))
