"""The gradient of t-SNE on a GPU, exact, with half of n^2 numbers: :mod:`scratchnet.kernels.cuda.tsne` does the work.

The formulas are those of :mod:`scratchnet.manifold.sne`, whose dense version is the reference that this one is tested
against. Sums are added up in a fixed order: the same data give the same bits, and whether P is kept, or computed anew
in every iteration because it does not fit, makes no difference to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from scratchnet.backend import Array, Module
from scratchnet.kernels.cuda import plain, tsne
from scratchnet.kernels.cuda.tsne import TILE
from scratchnet.manifold.objectives import Objective

__all__ = ["PackedObjective"]

_STRIP = 8  # rows of tiles that are computed at once: few large matrix products


class PackedObjective(Objective):
    """KL(P || Q) over all pairs and its gradient, for arrays that kernels run on.

    Parameters
    ----------
    joint : callable
        ``joint(rows, columns)`` gives p_ij for two slices. It is asked for each pair of rows and columns once; without
        ``keep`` in every iteration.
    n : int
        Number of points.
    dof : float
        Degrees of freedom of Student's t.
    dtype : dtype
        Of P, and of the computation; Z and the cost are summed in float64.
    xp : module
        Where P lives.
    keep : bool
        Whether P stays in memory.
    """

    def __init__(
        self,
        joint: Callable[[slice, slice], Array],
        n: int,
        dof: float,
        dtype: Any,
        xp: Module,
        keep: bool = True,
    ) -> None:
        self.joint, self.n, self.dof, self.dtype, self.xp = joint, n, dof, dtype, xp
        self._side = side = -(-n // TILE)
        places = [(i, j) for i in range(side) for j in range(i, side)]
        self._places = tuple(xp.asarray(blocks, dtype="int32") for blocks in zip(*places, strict=True))
        self._P = xp.empty((len(places), TILE * TILE), dtype=dtype) if keep else None
        if self._P is not None:
            for where, P in self._rows():
                self._P[where] = P

    @staticmethod
    def memory(n: int, k: int, itemsize: int, keep: bool = True) -> float:
        """Bytes, at most: P, what an iteration holds, and what a strip of affinities takes until it is packed."""
        padded = (-(-n // TILE) + 1) * TILE
        iteration, strip = 2 * k * padded**2 / TILE * itemsize, _STRIP * TILE * padded * (32 + 3 * itemsize)
        return padded**2 * itemsize / 2 + max(iteration, strip) if keep else iteration + strip

    def forces(self, Y: Array) -> tuple[Array, Array]:
        """The attracting and the repelling part of the gradient, each (n, k)."""
        return tsne.forces(self._tiles(), plain(Y, self.dtype), self._places, self.dof)

    def kl(self, Y: Array) -> Array:
        """KL(P || Q) in nats."""
        return tsne.cost(self._tiles(), plain(Y, self.dtype), self._places, self.dof)

    def _tiles(self) -> Iterable[tuple[slice, Array]]:
        """All tiles, packed, in one piece or several, each with its place among all."""
        return self._rows() if self._P is None else [(slice(0, len(self._P)), self._P)]

    def _rows(self) -> Iterator[tuple[slice, Array]]:
        """One row of tiles after the other; affinities are computed for several at once."""
        done, n, side = 0, self.n, self._side
        for first in range(0, side, _STRIP):
            last, start = min(first + _STRIP, side), first * TILE
            strip = self.xp.zeros(((last - first) * TILE, (side - first) * TILE), dtype=self.dtype)  # padded
            found = self.joint(slice(start, min(last * TILE, n)), slice(start, n))
            strip[: found.shape[0], : found.shape[1]] = found
            for i in range(last - first):  # from the tile on the diagonal to the right
                tiles = tsne.pack(strip[i * TILE : (i + 1) * TILE, i * TILE :])
                yield slice(done, done + len(tiles)), tiles
                done += len(tiles)
