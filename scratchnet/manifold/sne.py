"""From SNE to t-SNE: one cost, one gradient, two similarities.

Points that are neighbours in X, by the affinities p of :mod:`scratchnet.manifold.affinities`, should be neighbours in
the embedding Y, by similarities q_ij = w(s_ij) / Z with s_ij = |y_i - y_j|^2. The cost is KL(P || Q). The methods
differ in the similarity w and in what sums to one:

==============  ==============================  =====================================  ============================
method          similarity w(s)                 P and Q sum to one                     paper
==============  ==============================  =====================================  ============================
SNE             exp(-s), a Gaussian with        in each row: p_j|i, q_j|i              Hinton and Roweis, 2002
                variance 1/2
symmetric SNE   exp(-s)                         over all pairs: p_ij, q_ij             Cook et al., 2007
t-SNE           (1 + s/dof)^(-(dof + 1)/2),     over all pairs: p_ij, q_ij             van der Maaten and Hinton,
                Student's t                                                            2008
==============  ==============================  =====================================  ============================

All three gradients are one formula. With the slope f = -d log w / d s, which is 1 for the Gaussian and
(dof + 1) / (2 dof) / (1 + s/dof) for Student's t, and S_ij = (p_ij - q_ij) f_ij,

    dKL/dy_i = 2 sum_j (S_ij + S_ji) (y_i - y_j) = 2 (diag((S + S')1) Y - (S + S') Y)_i.

For symmetric P and Q that is 4 (diag(S1) Y - S Y), the factor 4 of the papers. P f pulls pairs together, Q f pushes
them apart. The Gaussian's pull grows with distance without end and its push reaches a few units, so distant
pairs crowd the picture; Student's pull lets go, and its push reaches far. Numbers like (8.3) are those of
docs/derivations.md.

First come the formulas for all pairs at once, then the same for a tile of pairs, which is what
:mod:`.objectives` adds up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from scratchnet.backend import Array, get_xp
from scratchnet.distances import squared_differences
from scratchnet.kernels import twin
from scratchnet.kernels.host import tsne as host

__all__ = [
    "GaussianSimilarity",
    "Similarity",
    "StudentSimilarity",
    "TileCost",
    "TileForces",
    "augmented",
    "gaussian_forces",
    "kl_divergence",
    "kl_forces",
    "kl_gradient",
    "log_similarities",
    "net_force",
    "springs",
    "squared_distances_of_pairs",
    "student_cost",
    "student_forces",
    "sum_p_log_ratio",
    "tile_cost",
    "tile_forces",
]

# ---------------------------------------------------------------------------------------------------------------------
# All pairs
# ---------------------------------------------------------------------------------------------------------------------


def kl_divergence(Y: Array, P: Array, similarity: Similarity, by_row: bool = False) -> Array:
    """KL(P || Q) = sum_ij p_ij log(p_ij / q_ij) in nats, as a 0-d array.  (8.2)

    Parameters
    ----------
    Y : (n, k)
        The embedding.
    P : (n, n)
        Affinities with a zero diagonal. They and Q sum to one, in each row where ``by_row``, else over all pairs.
    """
    log_w = similarity.log_weight(squared_distances_of_pairs(Y, Y, diagonal=True))
    return sum_p_log_ratio(P, log_similarities(log_w, by_row))


def kl_gradient(Y: Array, P: Array, similarity: Similarity, by_row: bool = False, exaggeration: float = 1.0) -> Array:
    """The derivative (n, k) of :func:`kl_divergence` with respect to Y; S = (P - Q) f.  (8.3)

    ``exaggeration`` multiplies P, and with it the attraction.
    """
    pull, push = springs(Y, P, similarity, by_row)
    S = exaggeration * pull - push
    return 2 * net_force(S + S.T, Y, Y)


def kl_forces(Y: Array, P: Array, similarity: Similarity, by_row: bool = False) -> tuple[Array, Array]:
    """The two parts of :func:`kl_gradient`, each (n, k): the attraction by P, and the repulsion by -Q.  (8.5)"""
    pull, push = springs(Y, P, similarity, by_row)
    return 2 * net_force(pull + pull.T, Y, Y), -2 * net_force(push + push.T, Y, Y)


def springs(Y: Array, P: Array, similarity: Similarity, by_row: bool = False) -> tuple[Array, Array]:
    """P f and Q f, each (n, n): how hard i pulls j near and pushes it away, per unit of their distance."""
    s = squared_distances_of_pairs(Y, Y, diagonal=True)
    Q, f = get_xp(s).exp(log_similarities(similarity.log_weight(s), by_row)), similarity.slope(s)
    return P * f, Q * f


def net_force(S: Array, y: Array, x: Array) -> Array:
    """sum_j S_ij (y_i - x_j), (r, k), for S (r, c), y (r, k), x (c, k)."""
    return S.sum(axis=1)[:, None] * y - S @ x


def sum_p_log_ratio(P: Array, log_q: Array) -> Array:
    """sum p (log p - log q), where 0 log 0 is 0."""
    xp, there = get_xp(P), P > 0
    return (P * (xp.log(xp.where(there, P, 1)) - xp.where(there, log_q, 0))).sum()


def log_similarities(log_w: Array, by_row: bool) -> Array:
    """log q = log w - log Z, Z the sum over the row or over everything; relative to the largest, so Z is at least 1."""
    xp, axis = get_xp(log_w), 1 if by_row else None
    log_w = log_w - log_w.max(axis=axis, keepdims=True)
    return log_w - xp.log(xp.exp(log_w).sum(axis=axis, keepdims=True))


def squared_distances_of_pairs(y: Array, x: Array, diagonal: bool) -> Array:
    """s_ij = |y_i - x_j|^2; on the ``diagonal``, where x is y, a point is infinitely far from itself: w_ii = 0."""
    s = squared_differences(y, x)
    if diagonal:
        get_xp(s).fill_diagonal(s, np.inf)
    return s


# ---------------------------------------------------------------------------------------------------------------------
# A tile: the pairs of some points (rows) with some (columns)
# ---------------------------------------------------------------------------------------------------------------------

TileForces: TypeAlias = "tuple[Array, Array | None, Array, Array | None]"
"""M [x, 1] (2, r, k + 1) and M' [y, 1] (2, c, k + 1) for M = p f and M = w f: (M 1)_i y_i - (M x)_i are the forces; the
sum of w, and its scale: the true weights are w exp(scale), or w where that is None. On the diagonal, where the columns
are the rows, None stands for them."""

TileCost: TypeAlias = "tuple[Array, Array, Array | None]"
"""-sum p log w; the sum of w, and its scale as above."""


def tile_forces(P: Array, y: Array, x: Array, diagonal: bool, similarity: Similarity) -> TileForces:
    """What a tile adds to attraction sum_j p_ij f_ij (y_i - x_j), repulsion sum_j w_ij f_ij (y_i - x_j), and Z.  (8.5)

    Parameters
    ----------
    P : (r, c)
        Affinities.
    y, x : (r, k + 2), (c, k + 2)
        The rows and the columns of the tile in the embedding, as :func:`augmented` gives them.
    diagonal : bool
        Whether x is y.
    """
    xp, s = get_xp(P), squared_distances_of_pairs(y[:, :-2], x[:, :-2], diagonal)
    w, scale = similarity.weight(s)
    pull, push = P * similarity.slope(s), w * similarity.slope(s)
    x1, y1 = x[:, :-1], y[:, :-1]
    on_rows = xp.stack([pull @ x1, push @ x1])
    on_columns = None if diagonal else xp.stack([pull.T @ y1, push.T @ y1])
    return on_rows, on_columns, w.sum(dtype=np.float64), scale


def tile_cost(P: Array, y: Array, x: Array, diagonal: bool, similarity: Similarity) -> TileCost:
    """A tile's share of KL(P || Q) = sum p log p - sum p log w + log Z; arguments as in :func:`tile_forces`.  (8.2)"""
    s = squared_distances_of_pairs(y[:, :-2], x[:, :-2], diagonal)
    w, scale = similarity.weight(s)
    log_w = get_xp(P).where(P > 0, similarity.log_weight(s), 0)
    return -(P * log_w).sum(dtype=np.float64), w.sum(dtype=np.float64), scale


def augmented(Y: Array) -> Array:
    """[y, 1, |y|^2] (n, k + 2), about the mean of Y (n, k), where squares lose least: every tile needs it."""
    xp, y = get_xp(Y), get_xp(Y).ascontiguousarray(Y.T)  # (k, n): sums along n are fast
    y = y - y.mean(axis=1, keepdims=True)
    return xp.concatenate([y, xp.ones_like(y[:1]), sum(row**2 for row in y)[None]]).T


@twin(host=host.student_forces)
def student_forces(P: Array, y: Array, x: Array, diagonal: bool, dof: float) -> TileForces:
    """:func:`tile_forces` of t-SNE."""
    return tile_forces(P, y, x, diagonal, StudentSimilarity(dof))


@twin(host=host.gaussian_forces)
def gaussian_forces(P: Array, y: Array, x: Array, diagonal: bool) -> TileForces:
    """:func:`tile_forces` of symmetric SNE."""
    return tile_forces(P, y, x, diagonal, GaussianSimilarity())


@twin(host=host.student_cost)
def student_cost(P: Array, y: Array, x: Array, diagonal: bool, dof: float) -> TileCost:
    """:func:`tile_cost` of t-SNE."""
    return tile_cost(P, y, x, diagonal, StudentSimilarity(dof))


# ---------------------------------------------------------------------------------------------------------------------
# Similarities
# ---------------------------------------------------------------------------------------------------------------------


class Similarity(Protocol):
    """The similarity w(s) of two points at squared distance s."""

    def log_weight(self, s: Array) -> Array:
        """log w(s)."""

    def slope(self, s: Array) -> Array:
        """f(s) = -d log w / d s."""

    def weight(self, s: Array) -> tuple[Array, Array | None]:
        """w exp(-scale) and a scale with which not all weights vanish, however far apart points are; or w(s), None."""

    def forces(self, P: Array, y: Array, x: Array, diagonal: bool) -> TileForces:
        """:func:`tile_forces`, by the fastest twin."""

    def cost(self, P: Array, y: Array, x: Array, diagonal: bool) -> TileCost:
        """:func:`tile_cost`, by the fastest twin."""


@dataclass(frozen=True)
class GaussianSimilarity:
    """w(s) = exp(-s): a Gaussian with variance 1/2."""

    def log_weight(self, s: Array) -> Array:
        return -s

    def slope(self, s: Array) -> Array:
        return get_xp(s).ones_like(s)

    def weight(self, s: Array) -> tuple[Array, Array | None]:
        xp = get_xp(s)
        nearest = xp.minimum(s.min(), np.finfo(s.dtype).max)
        return xp.exp(nearest - s), -nearest

    def forces(self, P: Array, y: Array, x: Array, diagonal: bool) -> TileForces:
        return gaussian_forces(P, y, x, diagonal)

    def cost(self, P: Array, y: Array, x: Array, diagonal: bool) -> TileCost:
        return tile_cost(P, y, x, diagonal, self)


@dataclass(frozen=True)
class StudentSimilarity:
    """w(s) = (1 + s/dof)^(-(dof + 1)/2): Student's t. dof = 1 is t-SNE's 1 / (1 + s); large dof is a Gaussian."""

    dof: float = 1.0

    def log_weight(self, s: Array) -> Array:
        return -(self.dof + 1) / 2 * get_xp(s).log(1 + s / self.dof)  # log1p is slow, and gains nothing

    def slope(self, s: Array) -> Array:
        return (self.dof + 1) / (2 * self.dof) / (1 + s / self.dof)

    def weight(self, s: Array) -> tuple[Array, Array | None]:
        return (1 + s / self.dof) ** (-(self.dof + 1) / 2), None

    def forces(self, P: Array, y: Array, x: Array, diagonal: bool) -> TileForces:
        return student_forces(P, y, x, diagonal, self.dof)

    def cost(self, P: Array, y: Array, x: Array, diagonal: bool) -> TileCost:
        return student_cost(P, y, x, diagonal, self.dof)
