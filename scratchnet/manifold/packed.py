"""The gradient of t-SNE on a GPU, exact, with half of n^2 numbers: :mod:`scratchnet.kernels.tsne` does the work.

The formulas are those of :mod:`scratchnet.manifold.sne`, whose dense version is the reference that this one is tested
against. Sums are added up in a fixed order: the same data give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scratchnet.backend import Array, Module
from scratchnet.kernels import tsne
from scratchnet.kernels.tsne import TILE
from scratchnet.manifold.sne import Objective

_STRIP = 8  # rows of tiles that are computed at once: few large matrix products


class PackedObjective(Objective):
    """KL(P || Q) over all pairs and its gradient, for arrays that kernels run on.

    Parameters
    ----------
    joint : callable
        ``joint(rows, columns)`` gives p_ij for two slices; it is asked for each pair of rows and columns once.
    n : int
        Number of points.
    dof : float
        Degrees of freedom of Student's t.
    dtype : dtype
        Of P, and of the computation; Z and the cost are summed in float64.
    xp : module
        Where P lives.
    """

    def __init__(self, joint: Callable[[slice, slice], Array], n: int, dof: float, dtype: Any, xp: Module) -> None:
        self.dof, side = dof, -(-n // TILE)
        self._P = xp.empty((side * (side + 1) // 2, TILE * TILE), dtype=dtype)
        places = [(i, j) for i in range(side) for j in range(i, side)]
        self._places = tuple(xp.asarray(blocks, dtype="int32") for blocks in zip(*places, strict=True))
        done = 0
        for first in range(0, side, _STRIP):
            last, start = min(first + _STRIP, side), first * TILE
            strip = xp.zeros(((last - first) * TILE, (side - first) * TILE), dtype=dtype)  # padded
            found = joint(slice(start, min(last * TILE, n)), slice(start, n))
            strip[: found.shape[0], : found.shape[1]] = found
            for i in range(last - first):  # from the tile on the diagonal to the right
                tiles = tsne.pack(strip[i * TILE : (i + 1) * TILE, i * TILE :])
                self._P[done : done + len(tiles)] = tiles
                done += len(tiles)

    @staticmethod
    def memory(n: int, k: int, itemsize: int) -> float:
        """Bytes, at most: P, what an iteration holds, and what a strip of affinities takes until it is packed."""
        padded = (-(-n // TILE) + 1) * TILE
        iteration = 2 * k * padded**2 / TILE * itemsize
        return padded**2 * itemsize / 2 + max(iteration, _STRIP * TILE * padded * (32 + 3 * itemsize))

    def forces(self, Y: Array) -> tuple[Array, Array]:
        """The attracting and the repelling part of the gradient, each (n, k)."""
        return tsne.forces(self._P, Y, self._places, self.dof)

    def kl(self, Y: Array) -> Array:
        """KL(P || Q) in nats."""
        return tsne.cost(self._P, Y, self._places, self.dof)
