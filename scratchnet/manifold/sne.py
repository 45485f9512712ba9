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

For symmetric P and Q that is 4 (diag(S1) Y - S Y), the factor 4 of the papers.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from scratchnet.backend import Array, RandomState, Rng, asarray, get_xp
from scratchnet.base import Estimator, check_array, check_choice, check_integer, check_number, progress
from scratchnet.decomposition import PCA
from scratchnet.manifold.affinities import Affinities, Distances, affinities, affinities_to
from scratchnet.manifold.tiles import TiledObjective

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
    """KL(P || Q) = sum_ij p_ij log(p_ij / q_ij) in nats, as a 0-d array.

    Parameters
    ----------
    Y : (n, k)
        The embedding.
    P : (n, n)
        Affinities with a zero diagonal. They and Q sum to one, in each row where ``by_row``, else over all pairs.
    """
    xp = get_xp(Y, P)
    log_q = _log_similarities(kernel.log_weight(_squared_distances(Y, Y)), by_row)
    there = P > 0
    return (P * (xp.log(xp.where(there, P, 1)) - xp.where(there, log_q, 0))).sum()


def kl_gradient(Y: Array, P: Array, kernel: Kernel, by_row: bool = False, exaggeration: float = 1.0) -> Array:
    """The derivative (n, k) of :func:`kl_divergence` by Y: 2 (diag((S + S')1) Y - (S + S') Y), S = (P - Q) f.

    ``exaggeration`` multiplies P, and with it the attraction, without P being changed.
    """
    xp, s = get_xp(Y, P), _squared_distances(Y, Y)
    Q = xp.exp(_log_similarities(kernel.log_weight(s), by_row))
    return _spring_forces(Y, (exaggeration * P - Q) * kernel.slope(s))


def kl_forces(Y: Array, P: Array, kernel: Kernel, by_row: bool = False) -> tuple[Array, Array]:
    """The two parts of :func:`kl_gradient`, each (n, k): the attraction by P, and the repulsion by -Q."""
    xp, s = get_xp(Y, P), _squared_distances(Y, Y)
    slope = kernel.slope(s)
    Q = xp.exp(_log_similarities(kernel.log_weight(s), by_row))
    return _spring_forces(Y, P * slope), -_spring_forces(Y, Q * slope)


def _spring_forces(Y: Array, S: Array) -> Array:
    """2 sum_j (S_ij + S_ji) (y_i - y_j)."""
    S = S + S.T
    return 2 * (S.sum(axis=1)[:, None] * Y - S @ Y)


def _squared_distances(A: Array, B: Array) -> Array:
    """(n, m): |a_i - b_j|^2, by differences: these points have few coordinates."""
    return sum((A[:, k, None] - B[:, k]) ** 2 for k in range(A.shape[1]))


def _log_similarities(log_w: Array, by_row: bool, others: bool = False) -> Array:
    """log q from log w (written over): minus log Z, the logarithm of the sum over the row or over all pairs i != j."""
    xp = get_xp(log_w)
    if not others:
        xp.fill_diagonal(log_w, -np.inf)
    axis = 1 if by_row else None
    log_w -= log_w.max(axis=axis, keepdims=True)
    log_w -= xp.log(xp.exp(log_w).sum(axis=axis, keepdims=True))
    return log_w


@dataclass(frozen=True)
class Objective:
    """KL(P || Q) and its gradient as functions of the embedding alone."""

    P: Array
    kernel: Kernel
    by_row: bool = False

    def kl(self, Y: Array) -> Array:
        return kl_divergence(Y, self.P, self.kernel, self.by_row)

    def gradient(self, Y: Array, exaggeration: float = 1.0) -> Array:
        return kl_gradient(Y, self.P, self.kernel, self.by_row, exaggeration)

    def forces(self, Y: Array) -> tuple[Array, Array]:
        return kl_forces(Y, self.P, self.kernel, self.by_row)


@dataclass(frozen=True)
class FrozenObjective:
    """The same row by row, for new points among old ones that stay where they are: only one side of a pair moves.

    dKL_i/dy_i = 2 sum_j (p_j|i - q_j|i) f_ij (y_i - y_j), P (m, n), old (n, k).
    """

    P: Array
    kernel: Kernel
    old: Array

    def gradient(self, Y: Array, exaggeration: float = 1.0) -> Array:
        s = _squared_distances(Y, self.old)
        Q = get_xp(s).exp(_log_similarities(self.kernel.log_weight(s), by_row=True, others=True))
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
    gradient_norm : float
        Of the gradient that the next step follows, exaggerated in the first iterations.
    seconds : float
        Since the descent began.
    """

    iteration: int
    embedding: Array
    gradient_norm: float
    seconds: float
    objective: Any

    @property
    def kl(self) -> float:
        """KL(P || Q) in nats at ``embedding``, never exaggerated. Computed when it is asked for."""
        return float(self.objective.kl(self.embedding))

    def __str__(self) -> str:
        return f"KL {self.kl:.4f}"


def descend(
    objective: Any,
    Y: Array,
    *,
    learning_rate: float,
    max_iter: int,
    exaggeration: float = 1.0,
    min_grad_norm: float = 0.0,
) -> Iterator[EmbeddingState]:
    """Gradient descent with momentum and gains from Y, which is written over.

    velocity <- momentum * velocity - learning_rate * gains * gradient, Y <- Y + velocity. The momentum is 0.5 in the
    exaggerated first quarter (at most 250 iterations) and 0.8 after it. A coordinate's gain grows by 0.2 while its
    gradient keeps pushing the way it already moves, and shrinks by a fifth when it turns (Jacobs, 1988).

    Raises
    ------
    FloatingPointError
        If the gradient stops being finite.
    """
    xp, began = get_xp(Y), time.perf_counter()
    velocity, gains = xp.zeros_like(Y), xp.ones_like(Y)
    exaggerated = min(250, max_iter // 4)
    for iteration in range(max_iter + 1):
        first = iteration < exaggerated
        gradient = objective.gradient(Y, exaggeration if first else 1.0)
        norm = float(xp.linalg.norm(gradient))
        if not np.isfinite(norm):
            raise FloatingPointError(
                f"the gradient at iteration {iteration} is {norm}; lower learning_rate={learning_rate:g} "
                f"or early_exaggeration={exaggeration:g}"
            )
        yield EmbeddingState(iteration, Y.copy(), norm, time.perf_counter() - began, objective)
        if not first and norm < min_grad_norm:
            return
        gains = xp.maximum(xp.where(gradient * velocity < 0, gains + 0.2, gains * 0.8), 0.01)
        velocity *= 0.5 if first else 0.8
        velocity -= learning_rate * gains * gradient
        Y += velocity


# ---------------------------------------------------------------------------------------------------------------------
# Estimators
# ---------------------------------------------------------------------------------------------------------------------


class _NeighbourEmbedding(Estimator):
    """What the three methods share; a subclass has a constructor, a kernel, and says what sums to one."""

    _by_row = False

    n_components: int
    perplexity: float
    early_exaggeration: float
    learning_rate: float | str
    max_iter: int
    init: str | Array
    metric: str
    min_grad_norm: float
    random_state: RandomState
    verbose: int

    embedding_: Array
    kl_divergence_: float
    n_iter_: int
    learning_rate_: float
    beta_: Array

    def _kernel(self) -> Kernel:
        raise NotImplementedError

    def fit(self, X: Any, y: Any = None) -> Self:
        """Embed X (n_samples, n_features), or (n, n) distances with metric="precomputed"."""
        states = self.steps(X)
        total, name = check_integer(self.max_iter, "max_iter", minimum=0) + 1, type(self).__name__
        for _ in progress(states, total=total, description=name, verbose=self.verbose):
            pass
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Array:
        """``fit(X).embedding_``. (``transform`` places points among those of ``fit``, which is something else.)"""
        return self.fit(X).embedding_

    def steps(self, X: Any) -> Iterator[EmbeddingState]:
        """The descent, state by state, from the start to ``max_iter``; the estimator is fitted when it is drained."""
        k = check_integer(self.n_components, "n_components")
        exaggeration = check_number(self.early_exaggeration, "early_exaggeration", minimum=1.0)
        max_iter = check_integer(self.max_iter, "max_iter", minimum=0)
        perplexity = check_number(self.perplexity, "perplexity")
        min_grad_norm = check_number(self.min_grad_norm, "min_grad_norm", minimum=0.0)
        check_choice(self.metric, "metric", ("euclidean", "cosine", "precomputed"))
        kernel = self._kernel()
        X = self._check_fit(X, min_samples=2)
        n, dtype = len(X), X.dtype

        self.learning_rate_ = self._rate(n, exaggeration)
        Y = self._start(X, k)
        self._distances = Distances(X, self.metric)
        found = affinities(self._distances, perplexity)
        self.beta_ = found.beta.astype(dtype)
        if self.verbose:
            print(f"{type(self).__name__}: {n} samples, learning rate {self.learning_rate_:g}")
        for state in descend(
            self._objective(found, kernel),
            Y,
            learning_rate=self.learning_rate_,
            max_iter=max_iter,
            exaggeration=exaggeration,
            min_grad_norm=min_grad_norm,
        ):
            self.embedding_, self.n_iter_ = state.embedding, state.iteration
            yield state
        self.kl_divergence_ = state.kl

    def transform(self, X: Any) -> Array:
        """Places (m, n_components) for new points X among the embedded ones, which stay where they are.

        Each new point starts at the mean of its neighbours' places, weighted by its affinities to them, and descends
        its own row's KL divergence. So a place does not depend on which other new points come along. With
        metric="precomputed" X holds distances (m, n) to the fitted points.
        """
        X = self._check(X)
        P = affinities_to(self._distances, X, min(float(self.perplexity), len(self._distances)))
        old = self.embedding_
        P = P.astype(old.dtype)
        states = descend(FrozenObjective(P, self._kernel(), old), P @ old, learning_rate=0.1, max_iter=250)
        return deque(states, maxlen=1)[0].embedding

    def _objective(self, found: Affinities, kernel: Kernel) -> Objective | TiledObjective:
        """Cost and gradient of the embedding: by tiles where P is symmetric and in the host's memory, else dense."""
        everyone = slice(0, len(found))
        if self._by_row:
            return Objective(found.conditional(everyone, everyone), kernel, by_row=True)
        if get_xp(found.beta) is not np:
            return Objective(found.joint(everyone, everyone), kernel)
        return TiledObjective(found.joint, len(found), getattr(kernel, "dof", None), found.distances.dtype)

    def _rate(self, n: int, exaggeration: float) -> float:
        if self.learning_rate == "auto":
            return max(n / exaggeration / 4, 50.0)
        return check_number(self.learning_rate, "learning_rate", open_minimum=True, minimum=0.0)

    def _start(self, X: Array, k: int) -> Array:
        """The first embedding (n, k), in X's dtype and our own: principal components or noise with deviation 1e-4."""
        xp, n = get_xp(X), len(X)
        if not isinstance(self.init, str):
            Y = check_array(self.init, name="init", xp=xp, dtype=X.dtype)
            if Y.shape != (n, k):
                raise ValueError(f"init must have shape (n_samples, n_components) = {(n, k)}, got {tuple(Y.shape)}")
            return Y.copy()
        check_choice(self.init, "init", ("pca", "random"))
        noise = 1e-4 * Rng(self.random_state, xp).host.standard_normal((n, k))
        Y = asarray(noise, dtype=X.dtype, xp=xp)
        if self.init == "random":
            return Y
        if self.metric == "precomputed":
            raise ValueError('init="pca" needs features, but metric="precomputed" gives distances: use init="random"')
        pca = PCA(min(k, *X.shape)).fit(X)
        there = int((pca.explained_variance_ > pca._no_variance).sum())
        if there == 0:  # constant data: all at one place, which is where equal points belong
            return xp.zeros_like(Y)
        scores = pca.transform(X)[:, :there]
        Y[:, :there] = scores * (1e-4 / scores[:, 0].std())  # what data of low rank leave empty stays noise
        return Y


class TSNE(_NeighbourEmbedding):
    """t-distributed stochastic neighbour embedding, exact (van der Maaten and Hinton, 2008).

    Parameters
    ----------
    n_components : int
        Dimensions of the embedding.
    perplexity : float
        The effective number of neighbours of each point, between 1 and n_samples - 1.
    early_exaggeration : float
        Factor on the attraction in the first quarter of the iterations, at most 250.
    learning_rate : float or "auto"
        "auto" is max(n_samples / early_exaggeration / 4, 50); the gradient carries its factor 4.
    max_iter : int
        Any number is meaningful; 0 returns the start.
    init : "pca", "random" or (n_samples, n_components)
        Principal components, the first scaled to standard deviation 1e-4; noise of that size; or a start of your own.
    metric : "euclidean", "cosine" or "precomputed"
        The distance whose square enters the affinities. "precomputed": X is an (n, n) matrix of distances.
    dof : float
        Degrees of freedom of Student's t. Smaller means heavier tails and tighter clusters.
    min_grad_norm : float
        The descent ends when the norm of its gradient falls below this.
    random_state : seed for init="random"

    Attributes
    ----------
    embedding_ : (n_samples, n_components), in the dtype of X
    kl_divergence_ : float
        Of the affinities, not exaggerated, at ``embedding_``; nats.
    n_iter_ : int
    learning_rate_ : float
    beta_ : (n_samples,)
        1 / (2 sigma_i^2), by the perplexity.

    Notes
    -----
    float32 data are embedded in float32, float64 data in float64, which takes twice the time and memory.
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        perplexity: float = 30.0,
        early_exaggeration: float = 12.0,
        learning_rate: float | str = "auto",
        max_iter: int = 1000,
        init: str | Array = "pca",
        metric: str = "euclidean",
        dof: float = 1.0,
        min_grad_norm: float = 1e-7,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.perplexity = perplexity
        self.early_exaggeration = early_exaggeration
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.init = init
        self.metric = metric
        self.dof = dof
        self.min_grad_norm = min_grad_norm
        self.random_state = random_state
        self.verbose = verbose

    def _kernel(self) -> Student:
        return Student(check_number(self.dof, "dof", minimum=0.0, open_minimum=True))
