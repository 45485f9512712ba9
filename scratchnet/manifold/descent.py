"""Gradient descent with momentum and gains, as a generator of states."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scratchnet.backend import Array, asarray, get_xp
from scratchnet.manifold.objectives import Objective

__all__ = ["EmbeddingState", "Schedule", "descend"]


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
        Since the first state was asked for.
    cost : Objective
        What is minimised, as a function of any embedding.
    """

    iteration: int
    embedding: Array
    gradient: Array
    seconds: float
    cost: Objective

    @cached_property
    def gradient_norm(self) -> float:
        """Of ``gradient``, as a vector."""
        return float(get_xp(self.gradient).linalg.norm(self.gradient))

    @cached_property
    def kl(self) -> float:
        """KL(P || Q) in nats at ``embedding``, never exaggerated. Computed when it is first asked for."""
        return float(self.cost.kl(self.embedding))

    @property
    def objective(self) -> float:
        """``kl``."""
        return self.kl

    def forces(self) -> tuple[Array, Array]:
        """The attracting and the repelling part of the gradient, each (n, n_components), never exaggerated."""
        return self.cost.forces(self.embedding)

    def __str__(self) -> str:
        return f"KL {self.kl:.4f}"


@dataclass(frozen=True)
class Schedule:
    """How to descend.

    Attributes
    ----------
    learning_rate : float
    max_iter : int
    exaggeration : float
        Factor on the attraction in the first quarter of the iterations, at most 250.
    min_grad_norm : float
        The descent ends where the gradient's norm is below it.
    jitter : float
        Standard deviation of noise that is added after each step; it falls to 0 in the first half of the iterations
        (the annealing of Hinton and Roweis).
    look_every : int
        On a device, iterations between two looks at the gradient's norm, which wait for the device.
    """

    learning_rate: float
    max_iter: int
    exaggeration: float = 1.0
    min_grad_norm: float = 0.0
    jitter: float = 0.0
    look_every: int = 50

    @property
    def exaggerated(self) -> int:
        """The number of exaggerated iterations."""
        return min(250, self.max_iter // 4)


def descend(
    cost: Objective, start: Array, schedule: Schedule, rng: np.random.Generator | None = None
) -> Iterator[EmbeddingState]:
    """Gradient descent with momentum and gains from ``start`` (n, k); ``rng`` draws the jitter, if there is any.

    velocity <- momentum * velocity - learning_rate * gains * gradient, Y <- Y + velocity. The momentum is 0.5 while
    the attraction is exaggerated and 0.8 after it. A coordinate's gain grows by 0.2 while its gradient keeps pushing
    the way it already moves, and shrinks by a fifth when it turns (Jacobs, Increased rates of convergence through
    learning rate adaptation, 1988). Velocity and gains are reset when the exaggeration ends: they belong to another
    cost.

    Where points have many neighbours (a perplexity that is a large share of n), exaggerated attraction wins in every
    direction and the picture shrinks towards a single place, which is a saddle of the cost: it keeps its arrangement,
    but the gradient vanishes. It is then brought back to the size it started with, and a small gradient ends the
    descent only 50 iterations later.

    Raises
    ------
    FloatingPointError
        If the gradient stops being finite.
    """
    xp, began, Y, size = get_xp(start), time.perf_counter(), start, _size(start)
    velocity, gains = xp.zeros_like(Y), xp.ones_like(Y)
    for iteration in range(schedule.max_iter + 1):
        exaggerated = iteration < schedule.exaggerated
        if iteration == schedule.exaggerated and schedule.exaggeration > 1:
            shrunk = _size(Y)
            again = (shrunk > 0) & (shrunk < size)  # kept on the device: no synchronisation
            Y = Y * xp.where(again, size / xp.where(again, shrunk, 1), 1).astype(Y.dtype)
            velocity, gains = xp.zeros_like(Y), xp.ones_like(Y)
        gradient = cost.gradient(Y, schedule.exaggeration if exaggerated else 1.0)
        state = EmbeddingState(iteration, Y.copy(), gradient, time.perf_counter() - began, cost)
        look = xp is np or iteration % schedule.look_every == 0 or iteration == schedule.max_iter
        if look and not np.isfinite(state.gradient_norm):
            raise FloatingPointError(
                f"the gradient at iteration {iteration} is {state.gradient_norm}; lower "
                f"learning_rate={schedule.learning_rate:g} or early_exaggeration={schedule.exaggeration:g}"
            )
        yield state
        if look and not exaggerated:
            norm = state.gradient_norm
            if norm == 0 or (norm < schedule.min_grad_norm and iteration >= schedule.exaggerated + 50):
                return
        gains = xp.maximum(xp.where(gradient * velocity < 0, gains + 0.2, gains * 0.8), 0.01)
        velocity = (0.5 if exaggerated else 0.8) * velocity - schedule.learning_rate * gains * gradient
        Y = Y + velocity
        if exaggerated and schedule.exaggeration > 1:
            Y = Y - Y.mean(axis=0)  # a shrinking picture keeps its digits only round the origin
        if schedule.jitter and rng is not None and 2 * iteration < schedule.max_iter:
            noise = rng.normal(0, schedule.jitter * (1 - 2 * iteration / schedule.max_iter), Y.shape)
            Y = Y + asarray(noise, Y.dtype, xp)


def _size(Y: Array) -> Array:
    """The distance of all points from their mean, as one number; squares of small ones must not vanish."""
    xp, centered = get_xp(Y), Y - Y.mean(axis=0)
    largest = xp.abs(centered).max()
    largest = xp.where(largest > 0, largest, 1).astype(Y.dtype)
    return xp.linalg.norm(centered / largest) * largest
