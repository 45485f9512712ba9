"""The costs of an embedding, with their derivatives, on blocks of pairs; the formulas are those of :mod:`.sne`.

P is never one matrix. A block of :class:`~scratchnet.rows.Rows` is a :class:`~.affinities.Pairs`, some points paired
with some points, and what it keeps is its part of P. Only Y is sent to the blocks in each iteration, only forces come
back. They are added in block order: the same bits for any number of threads, and whether P was kept or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any, Protocol

import numpy as np

from scratchnet.backend import Array, Module, get_xp
from scratchnet.distances import squared_differences
from scratchnet.manifold.affinities import Affinities, Pairs, set_self
from scratchnet.manifold.sne import (
    Similarity,
    TileCost,
    TileForces,
    augmented,
    log_similarities,
    net_force,
    sum_p_log_ratio,
)
from scratchnet.rows import n_threads, rows_from

__all__ = ["FrozenObjective", "JointObjective", "Objective", "RowObjective"]

TILE = 512  # rows and columns on the host; at 256 two threads wait for the interpreter, at 1024 tiles leave the cache
TILE_ON_DEVICE = 4096  # a GPU needs large arrays
ROWS = 256  # of a block of SNE; like the size of a tile it decides what is added first, and with it the last bits


class Objective(Protocol):
    """A cost of an embedding Y (n, k)."""

    def kl(self, Y: Array) -> Array:
        """KL(P || Q) in nats, a 0-d array."""

    def gradient(self, Y: Array, exaggeration: float = 1.0) -> Array:
        """(n, k): its derivative, with P multiplied by ``exaggeration``."""
        attraction, repulsion = self.forces(Y)
        return exaggeration * attraction + repulsion

    def forces(self, Y: Array) -> tuple[Array, Array]:
        """The attracting and the repelling part of the gradient, each (n, k)."""


# ---------------------------------------------------------------------------------------------------------------------
# One distribution over all pairs: symmetric SNE, t-SNE
# ---------------------------------------------------------------------------------------------------------------------


class JointObjective(Objective):
    """KL(P || Q) of the joint affinities p_ij. P is symmetric: half of it is kept, as tiles."""

    def __init__(self, found: Affinities, similarity: Similarity) -> None:
        self.similarity = similarity
        n, xp = len(found), get_xp(found.beta)
        count = -(-n // _tile(xp))
        parts = [slice(a, b) for a, b in pairwise(n * i // count for i in range(count + 1))]  # cut evenly
        places = list(combinations(parts, 2)) + [(part, part) for part in parts]  # the short work last
        self.rows = rows_from([found.pairs(*place) for place in places], xp)

    @staticmethod
    def memory(n: int, itemsize: int, xp: Module) -> float:
        """Bytes of P, and of what the tiles that are being computed take."""
        tile = min(_tile(xp), n)
        working = 40 * n_threads() if xp is np else 8 * itemsize  # per entry of a tile
        return n * (n + tile) / 2 * itemsize + working * tile**2

    def forces(self, Y: Array) -> tuple[Array, Array]:
        """4 sum_j p_ij f_ij (y_i - y_j) and -4 sum_j q_ij f_ij (y_i - y_j)."""
        xp, (n, k), points = get_xp(Y), Y.shape, augmented(Y)
        parts = self.rows.map(_joint_forces, points, self.similarity)
        factor, z, _ = _normaliser([(z, scale) for _, _, z, scale in parts], xp)
        total = xp.zeros((2, k + 1, n), dtype=Y.dtype).transpose(0, 2, 1)  # added along n: the longest axis last
        for t, (pairs, (on_rows, on_columns, _, _)) in enumerate(zip(self.rows.blocks, parts, strict=True)):
            for where, part in (pairs.rows, on_rows), (pairs.columns, on_columns):
                if part is not None:
                    total[:, where] += part if factor is None else _weighted(part, factor[t])
        forces = xp.ascontiguousarray(4 * (total[..., k:] * points[:, :k] - total[..., :k]))
        return forces[0], forces[1] * (-1 / z).astype(Y.dtype)

    def kl(self, Y: Array) -> Array:
        """sum p log p - sum p log w + log Z."""
        parts = self.rows.map(_joint_cost, augmented(Y), self.similarity)
        _, _, log_z = _normaliser([(z, scale) for _, z, scale in parts], self.rows.xp)
        return sum(cost for cost, _, _ in parts) + log_z


def _tile(xp: Module) -> int:
    return TILE if xp is np else TILE_ON_DEVICE


def _normaliser(parts: list[tuple[Array, Array | None]], xp: Module) -> tuple[Array | None, Array, Array]:
    """From each tile's z and scale: exp(scale) relative to the largest (t,), if there are scales; Z relative to that
    too; and log Z."""
    if parts[0][1] is None:
        z = xp.asarray(sum(z for z, _ in parts))
        return None, z, xp.log(z)
    each, scale = (xp.stack([xp.asarray(v, dtype="float64") for v in values]) for values in zip(*parts, strict=True))
    factor = xp.exp(scale - scale.max())
    z = (each * factor).sum()
    return factor, z, scale.max() + xp.log(z)


def _weighted(part: Array, factor: Array) -> Array:
    """Attraction as it is, repulsion times ``factor``."""
    return get_xp(part).stack([part[0], part[1] * factor.astype(part.dtype)])


def _joint(pairs: Pairs) -> tuple[Array, Array]:
    """A tile of P, and its sum of p log p."""
    P = pairs.joint()
    return P, (P * get_xp(P).log(get_xp(P).where(P > 0, P, 1))).sum(dtype=np.float64)


def _joint_forces(pairs: Pairs, kept: Any, points: Array, similarity: Similarity) -> tuple[TileForces, Any]:
    """A tile's part of attraction and repulsion, on its rows and its columns; what it adds to Z, with the scale."""
    kept = kept or _joint(pairs)
    diagonal = pairs.rows == pairs.columns
    on_rows, on_columns, z, scale = similarity.forces(kept[0], points[pairs.rows], points[pairs.columns], diagonal)
    return (on_rows, on_columns, z if diagonal else 2 * z, scale), kept


def _joint_cost(pairs: Pairs, kept: Any, points: Array, similarity: Similarity) -> tuple[TileCost, Any]:
    """A tile's sum of p log p - p log w; what it adds to Z, and the scale of that. Each side of the diagonal counts."""
    P, p_log_p = kept = kept or _joint(pairs)
    diagonal = pairs.rows == pairs.columns
    cost, z, scale = similarity.cost(P, points[pairs.rows], points[pairs.columns], diagonal)
    return (p_log_p + cost, z, scale) if diagonal else (2 * (p_log_p + cost), 2 * z, scale), kept


# ---------------------------------------------------------------------------------------------------------------------
# A distribution per point: SNE
# ---------------------------------------------------------------------------------------------------------------------


class RowObjective(Objective):
    """sum_i KL(P_i || Q_i) of the conditional affinities p_j|i: blocks of whole rows suffice."""

    def __init__(self, found: Affinities, similarity: Similarity) -> None:
        self.similarity, n = similarity, len(found)
        rows = [slice(i, min(i + ROWS, n)) for i in range(0, n, ROWS)]
        self.rows = rows_from([found.pairs(part, slice(0, n)) for part in rows], get_xp(found.beta))

    @staticmethod
    def memory(n: int, itemsize: int) -> float:
        """Bytes of P."""
        return n**2 * itemsize

    def kl(self, Y: Array) -> Array:
        return self.rows.sum(_row_cost, Y, self.similarity)

    def gradient(self, Y: Array, exaggeration: float = 1.0) -> Array:  # (8.3)
        return 2 * self.rows.sum(_row_gradient, Y, self.similarity, exaggeration)

    def forces(self, Y: Array) -> tuple[Array, Array]:
        attraction, repulsion = self.rows.sum(_row_forces, Y, self.similarity)
        return 2 * attraction, -2 * repulsion


def _row_cost(pairs: Pairs, kept: Any, Y: Array, similarity: Similarity) -> tuple[Array, Any]:
    """sum_i KL(P_i || Q_i) over the block."""
    P = kept if kept is not None else pairs.conditional()
    return sum_p_log_ratio(P, _log_q(pairs, Y, similarity)[1]), P


def _row_gradient(pairs: Pairs, kept: Any, Y: Array, similarity: Similarity, exaggeration: float) -> tuple[Array, Any]:
    """What the block's rows of S = (P - Q) f do to all points, (n, k)."""
    P = kept if kept is not None else pairs.conditional()
    s, log_q = _log_q(pairs, Y, similarity)
    S = (exaggeration * P - get_xp(s).exp(log_q)) * similarity.slope(s)
    return _on_all(S, pairs.rows, Y), P


def _row_forces(pairs: Pairs, kept: Any, Y: Array, similarity: Similarity) -> tuple[tuple[Array, Array], Any]:
    """The same for P f and Q f apart."""
    P = kept if kept is not None else pairs.conditional()
    s, log_q = _log_q(pairs, Y, similarity)
    f = similarity.slope(s)
    return (_on_all(P * f, pairs.rows, Y), _on_all(get_xp(s).exp(log_q) * f, pairs.rows, Y)), P


def _log_q(pairs: Pairs, Y: Array, similarity: Similarity) -> tuple[Array, Array]:
    """The block's squared distances in the embedding, and its log q_j|i."""
    s = squared_differences(Y[pairs.rows], Y)
    log_w = similarity.log_weight(s)
    set_self(log_w, pairs.rows.start, 0, -np.inf)
    return s, log_similarities(log_w, by_row=True)


def _on_all(S: Array, rows: slice, Y: Array) -> Array:
    """sum_j (S_ij + S_ji) (y_i - y_j) for S of which ``rows`` are there and all others are 0."""
    force = net_force(S.T, Y, Y[rows])
    force[rows] += net_force(S, Y[rows], Y)
    return force


# ---------------------------------------------------------------------------------------------------------------------
# New points
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FrozenObjective(Objective):
    """A divergence per new point, among old ones that stay where they are: only one side of a pair moves.

    dKL_i/dy_i = 2 sum_j (p_j|i - q_j|i) f_ij (y_i - y_j), P (m, n), old (n, k).
    """

    P: Array
    similarity: Similarity
    old: Array

    def kl(self, Y: Array) -> Array:
        log_w = self.similarity.log_weight(squared_differences(Y, self.old))
        return sum_p_log_ratio(self.P, log_similarities(log_w, by_row=True))

    def forces(self, Y: Array) -> tuple[Array, Array]:
        repulsion = self.gradient(Y, 0.0)
        return self.gradient(Y) - repulsion, repulsion

    def gradient(self, Y: Array, exaggeration: float = 1.0) -> Array:  # (8.6)
        s = squared_differences(Y, self.old)
        Q = get_xp(s).exp(log_similarities(self.similarity.log_weight(s), by_row=True))
        return 2 * net_force((exaggeration * self.P - Q) * self.similarity.slope(s), Y, self.old)
