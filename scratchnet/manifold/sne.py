"""From SNE to t-SNE: one cost, one gradient, one descent, three kernels.

Points that are neighbours in X, by the affinities p of :mod:`scratchnet.manifold.affinities`, shall be neighbours in
the embedding Y, by similarities q_ij = w(s_ij) / Z with s_ij = |y_i - y_j|^2. The cost is KL(P || Q). The methods
differ in the kernel w and in what sums to one:

==============  ==============================  =====================================  ============================
method          kernel w(s)                     P and Q sum to one                     paper
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
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from scratchnet.backend import Array, asarray, get_xp
from scratchnet.distances import squared_differences

# ---------------------------------------------------------------------------------------------------------------------
# Kernels
# ---------------------------------------------------------------------------------------------------------------------


class Kernel(Protocol):
    """A similarity of two points at squared distance s: log w(s), and f(s) = -d log w / d s."""

    def log_weight(self, s: Array) -> Array: ...

    def slope(self, s: Array) -> Array: ...


@dataclass(frozen=True)
class Gaussian:
    """w(s) = exp(-s): a Gaussian with variance 1/2."""

    def log_weight(self, s: Array) -> Array:
        return -s

    def slope(self, s: Array) -> Array:
        return get_xp(s).ones_like(s)


@dataclass(frozen=True)
class Student:
    """w(s) = (1 + s/dof)^(-(dof + 1)/2): Student's t. dof = 1 is t-SNE's 1 / (1 + s); large dof is a Gaussian."""

    dof: float = 1.0

    def log_weight(self, s: Array) -> Array:
        return -(self.dof + 1) / 2 * get_xp(s).log(1 + s / self.dof)  # log1p is slow, and gains nothing

    def slope(self, s: Array) -> Array:
        return (self.dof + 1) / (2 * self.dof) / (1 + s / self.dof)


# ---------------------------------------------------------------------------------------------------------------------
# Cost and gradient
# ---------------------------------------------------------------------------------------------------------------------


def kl_divergence(Y: Array, P: Array, kernel: Kernel, by_row: bool = False) -> Array:
    """KL(P || Q) = sum_ij p_ij log(p_ij / q_ij) in nats, as a 0-d array.  (8.2)

    Parameters
    ----------
    Y : (n, k)
        The embedding.
    P : (n, n)
        Affinities with a zero diagonal. They and Q sum to one, in each row where ``by_row``, else over all pairs.
    """
    return sum_p_log_ratio(P, _log_similarities_of_pairs(squared_differences(Y, Y), kernel, by_row))


def kl_gradient(Y: Array, P: Array, kernel: Kernel, by_row: bool = False, exaggeration: float = 1.0) -> Array:
    """The derivative (n, k) of :func:`kl_divergence` by Y: 2 (diag((S + S')1) Y - (S + S') Y), S = (P - Q) f.  (8.3)

    ``exaggeration`` multiplies P, and with it the attraction, without P being changed.
    """
    pull, push = springs(Y, P, kernel, by_row)
    pull *= exaggeration
    pull -= push
    return _net_force(Y, pull)


def kl_forces(Y: Array, P: Array, kernel: Kernel, by_row: bool = False) -> tuple[Array, Array]:
    """The two parts of :func:`kl_gradient`, each (n, k): the attraction by P, and the repulsion by -Q.  (8.5)"""
    pull, push = springs(Y, P, kernel, by_row)
    return _net_force(Y, pull), -_net_force(Y, push)


def springs(Y: Array, P: Array, kernel: Kernel, by_row: bool = False) -> tuple[Array, Array]:
    """P f and Q f, each (n, n): how hard i pulls j near and pushes it away, per unit of their distance."""
    xp, s = get_xp(Y, P), squared_differences(Y, Y)
    slope = kernel.slope(s)
    Q = xp.exp(_log_similarities_of_pairs(s, kernel, by_row))
    return P * slope, xp.multiply(Q, slope, out=Q)


def _net_force(Y: Array, S: Array) -> Array:
    """2 sum_j (S_ij + S_ji) (y_i - y_j)."""
    return 2 * ((S.sum(axis=1) + S.sum(axis=0))[:, None] * Y - S @ Y - S.T @ Y)


def sum_p_log_ratio(P: Array, log_q: Array) -> Array:
    """sum p (log p - log q), where 0 log 0 is 0."""
    xp, there = get_xp(P), P > 0
    return (P * (xp.log(xp.where(there, P, 1)) - xp.where(there, log_q, 0))).sum()


def log_similarities(log_w: Array, by_row: bool) -> Array:
    """log q from log w (written over): minus log Z, the logarithm of the sum over the row or over everything."""
    xp, axis = get_xp(log_w), 1 if by_row else None
    log_w -= log_w.max(axis=axis, keepdims=True)
    log_w -= xp.log(xp.exp(log_w).sum(axis=axis, keepdims=True))
    return log_w


def _log_similarities_of_pairs(s: Array, kernel: Kernel, by_row: bool) -> Array:
    """log q_ij (n, n) for i != j, and -inf where i = j."""
    log_w = kernel.log_weight(s)
    get_xp(s).fill_diagonal(log_w, -np.inf)
    return log_similarities(log_w, by_row)


class Objective(Protocol):
    """A cost of an embedding Y (n, k)."""

    def kl(self, Y: Array) -> Array:
        """KL(P || Q) in nats."""

    def gradient(self, Y: Array, exaggeration: float = 1.0) -> Array:
        """(n, k): its derivative, with P multiplied by ``exaggeration``."""
        attraction, repulsion = self.forces(Y)
        attraction *= exaggeration
        attraction += repulsion
        return attraction

    def forces(self, Y: Array) -> tuple[Array, Array]:
        """The attracting and the repelling part of the gradient, each (n, k)."""


@dataclass(frozen=True)
class DenseObjective:
    """The formulas above over all pairs, with P (n, n) as one matrix."""

    P: Array
    kernel: Kernel

    def kl(self, Y: Array) -> Array:
        return kl_divergence(Y, self.P, self.kernel)

    def gradient(self, Y: Array, exaggeration: float = 1.0) -> Array:
        return kl_gradient(Y, self.P, self.kernel, exaggeration=exaggeration)

    def forces(self, Y: Array) -> tuple[Array, Array]:
        return kl_forces(Y, self.P, self.kernel)


@dataclass(frozen=True)
class FrozenObjective:
    """The same row by row, for new points among old ones that stay where they are: only one side of a pair moves.

    dKL_i/dy_i = 2 sum_j (p_j|i - q_j|i) f_ij (y_i - y_j), P (m, n), old (n, k).
    """

    P: Array
    kernel: Kernel
    old: Array

    def kl(self, Y: Array) -> Array:
        log_q = log_similarities(self.kernel.log_weight(squared_differences(Y, self.old)), by_row=True)
        return sum_p_log_ratio(self.P, log_q)

    def forces(self, Y: Array) -> tuple[Array, Array]:
        repulsion = self.gradient(Y, 0.0)
        return self.gradient(Y) - repulsion, repulsion

    def gradient(self, Y: Array, exaggeration: float = 1.0) -> Array:  # (8.6)
        s = squared_differences(Y, self.old)
        Q = get_xp(s).exp(log_similarities(self.kernel.log_weight(s), by_row=True))
        S = (exaggeration * self.P - Q) * self.kernel.slope(s)
        return 2 * (S.sum(axis=1)[:, None] * Y - S @ self.old)


# ---------------------------------------------------------------------------------------------------------------------
# Descent
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EmbeddingState:
    """The descent at ``embedding``, before its next step; iteration 0 is the start.

    Attributes
    ----------
    iteration : int
    embedding : (n, n_components), a copy
    gradient : (n, n_components)
        What the next step follows, exaggerated in the first iterations.
    seconds : float
        Since the descent began.
    """

    iteration: int
    embedding: Array
    gradient: Array
    seconds: float
    objective: Objective

    @cached_property
    def gradient_norm(self) -> float:
        """Of ``gradient``, as a vector."""
        return float(get_xp(self.gradient).linalg.norm(self.gradient))

    @cached_property
    def kl(self) -> float:
        """KL(P || Q) in nats at ``embedding``, never exaggerated. Computed when it is first asked for."""
        return float(self.objective.kl(self.embedding))

    def forces(self) -> tuple[Array, Array]:
        """The attracting and the repelling part of the gradient, each (n, n_components), never exaggerated."""
        return self.objective.forces(self.embedding)

    def __str__(self) -> str:
        return f"KL {self.kl:.4f}"


def descend(
    objective: Objective,
    Y: Array,
    *,
    learning_rate: float,
    max_iter: int,
    exaggeration: float = 1.0,
    min_grad_norm: float = 0.0,
    jitter: float = 0.0,
    rng: np.random.Generator | None = None,
    look_every: int = 50,
) -> Iterator[EmbeddingState]:
    """Gradient descent with momentum and gains from Y, which is written over.

    velocity <- momentum * velocity - learning_rate * gains * gradient, Y <- Y + velocity. The momentum is 0.5 in the
    exaggerated first quarter (at most 250 iterations) and 0.8 after it. A coordinate's gain grows by 0.2 while its
    gradient keeps pushing the way it already moves, and shrinks by a fifth when it turns (Jacobs, 1988).
    Velocity and gains start anew when the exaggeration ends: they were about another cost.

    Where points have many neighbours (a perplexity that is a large share of n), exaggerated attraction wins in every
    direction and the picture shrinks towards a single place, which is a saddle of the cost: it keeps its arrangement,
    but the gradient vanishes. It is then brought back to the size it started with, and a small gradient ends the
    descent only 50 iterations later.

    With ``jitter``, noise of that standard deviation, drawn from ``rng``, is added after each step; it falls to 0 in
    the first half of the iterations (the annealing of Hinton and Roweis).

    Whether the gradient is small, or not finite, is looked at in every iteration on the host; on a device, which would
    have to be waited for, every ``look_every`` iterations and at the last.

    Raises
    ------
    FloatingPointError
        If the gradient stops being finite.
    """
    xp, began = get_xp(Y), time.perf_counter()
    velocity, gains = xp.zeros_like(Y), xp.ones_like(Y)
    exaggerated, size = min(250, max_iter // 4), _size(Y)
    for iteration in range(max_iter + 1):
        first = iteration < exaggerated
        if iteration == exaggerated and exaggeration > 1:
            shrunk = _size(Y)
            again = (shrunk > 0) & (shrunk < size)  # arithmetic, not a question: nothing waits for a device
            Y *= xp.where(again, size / xp.where(again, shrunk, 1), 1).astype(Y.dtype)
            velocity, gains = xp.zeros_like(Y), xp.ones_like(Y)
        gradient = objective.gradient(Y, exaggeration if first else 1.0)
        state = EmbeddingState(iteration, Y.copy(), gradient, time.perf_counter() - began, objective)
        look = xp is np or iteration % look_every == 0 or iteration == max_iter
        if look and not np.isfinite(state.gradient_norm):
            raise FloatingPointError(
                f"the gradient at iteration {iteration} is {state.gradient_norm}; lower "
                f"learning_rate={learning_rate:g} or early_exaggeration={exaggeration:g}"
            )
        yield state
        if look and not first:
            norm = state.gradient_norm
            if norm == 0 or (norm < min_grad_norm and iteration >= exaggerated + 50):
                return
        gains = xp.maximum(xp.where(gradient * velocity < 0, gains + 0.2, gains * 0.8), 0.01)
        velocity *= 0.5 if first else 0.8
        velocity -= learning_rate * gains * gradient
        Y += velocity
        if first and exaggeration > 1:
            Y -= Y.mean(axis=0)  # a shrinking picture keeps its digits only round the origin
        if jitter and rng is not None and 2 * iteration < max_iter:
            Y += asarray(rng.normal(0, jitter * (1 - 2 * iteration / max_iter), Y.shape), Y.dtype, xp)


def _size(Y: Array) -> Array:
    """The distance of all points from their mean, as one number; squares of small ones must not vanish."""
    xp, centered = get_xp(Y), Y - Y.mean(axis=0)
    largest = xp.abs(centered).max()
    largest = xp.where(largest > 0, largest, 1).astype(Y.dtype)
    return xp.linalg.norm(centered / largest) * largest
