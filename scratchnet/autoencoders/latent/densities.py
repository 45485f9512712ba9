"""Densities fitted to codes: they turn a plain autoencoder into a generative model, and score how typical a code is."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from math import log, pi
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from scratchnet.backend import Array, RandomState, Rng, get_xp
from scratchnet.base import Estimator
from scratchnet.cluster import KMeans
from scratchnet.validation import check_choice, check_integer, check_number

__all__ = ["GaussianDensity", "GaussianMixture", "MixtureState"]


class GaussianDensity(Estimator):
    """N(mean, covariance) fitted to codes by maximum likelihood.

    Parameters
    ----------
    covariance : {"full", "diagonal"}
        "diagonal" treats latents as independent, which plain autoencoders' latents are not: its draws decode to worse
        images.

    Attributes
    ----------
    mean_ : (n_latent,)
    covariance_ : (n_latent, n_latent)

    Examples
    --------
    >>> density = GaussianDensity().fit([[0.0, 0], [2, 0], [0, 2], [2, 2]])
    >>> density.mean_, density.covariance_.tolist()
    (array([1., 1.]), [[1.0, 0.0], [0.0, 1.0]])
    >>> density.log_density([[1.0, 1], [5, 5]]).round(3)  # -log 2 pi; 16 less
    array([ -1.838, -17.838])
    """

    mean_: Array
    covariance_: Array
    _factor: Array

    def __init__(self, covariance: str = "full") -> None:
        self.covariance = covariance

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """mean = sum_i x_i / n and covariance = sum_i (x_i - mean)(x_i - mean)' / n of codes X (n, n_latent)."""
        fresh = self._fresh()
        check_choice(fresh.covariance, "covariance", ("full", "diagonal"))
        x = fresh._check_fit(X, dtype="float64", min_samples=2)
        fresh.mean_ = x.mean(axis=0)
        centred, xp = x - fresh.mean_, get_xp(x)
        full = centred.T @ centred / len(x)
        fresh.covariance_ = full if fresh.covariance == "full" else xp.diag(xp.diag(full))
        fresh._factor = _cholesky(fresh.covariance_)
        return self._become(fresh)

    def log_density(self, X: ArrayLike) -> Array:
        """log N(x; mean, covariance) of each code, (n,) in nats; higher is more typical."""
        return _log_normal(self._check(X, dtype="float64") - self.mean_, self._factor)

    def sample(self, n: int, *, random_state: RandomState = None) -> Array:
        """Draws, (n, n_latent)."""
        self._check_is_fitted()
        rng = Rng(random_state, self._xp)
        eps = rng.fill_normal(self._xp.empty((check_integer(n, "n"), self.n_features_in_)))
        return self.mean_ + eps @ self._factor.T


@dataclass(frozen=True)
class MixtureState:
    """A Gaussian mixture after a round of expectation maximisation.

    Attributes
    ----------
    iteration : int
        From 1.
    objective : float
        The mean log-likelihood of the codes, in nats: higher is better.
    seconds : float
        Since the first state was asked for.
    """

    iteration: int
    objective: float
    seconds: float

    def __str__(self) -> str:
        return f"round {self.iteration}: {self.objective:.4f} nats"


class GaussianMixture(Estimator):
    """sum_k weight_k N(mean_k, covariance_k), fitted to codes by expectation maximisation.

    E-step: responsibilities r_ik = weight_k N(x_i; k) / sum_l weight_l N(x_i; l). M-step: weights, means and
    covariances of the points weighted by r. The likelihood never falls (Dempster, Laird and Rubin 1977), the small
    regularization aside. Starts from k-means.

    Parameters
    ----------
    n_components : int
    max_iter : int
        Largest number of rounds.
    tol : float
        Ends when the mean log-likelihood rises by less than ``tol`` nats.
    regularization : float
        Added to the diagonal of every covariance, as a share of the mean variance of a latent: keeps components from
        shrinking onto single points.
    random_state : int, generator or None

    Attributes
    ----------
    weights_ : (n_components,)
    means_ : (n_components, n_latent)
    covariances_ : (n_components, n_latent, n_latent)
    log_likelihood_ : list of float
        Mean over the codes after each round, in nats.

    Examples
    --------
    >>> X = np.array([[-5.2], [-5.0], [-4.8], [4.9], [5.1]])
    >>> mixture = GaussianMixture(2, random_state=0).fit(X)
    >>> order = mixture.means_[:, 0].argsort()
    >>> mixture.means_[order, 0].round(2), mixture.weights_[order].round(2)
    (array([-5.,  5.]), array([0.6, 0.4]))
    """

    weights_: Array
    means_: Array
    covariances_: Array
    log_likelihood_: list[float]

    def __init__(
        self,
        n_components: int = 10,
        *,
        max_iter: int = 100,
        tol: float = 1e-3,
        regularization: float = 1e-3,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.max_iter = max_iter
        self.tol = tol
        self.regularization = regularization
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Fit to codes X (n, n_latent)."""
        return self._drain(self.steps(X))

    def steps(self, X: ArrayLike) -> Iterator[MixtureState]:
        """Fit like :meth:`fit`, yielding a :class:`MixtureState` after every round.

        Attributes are those of the latest round, also where the loop is left early.
        """
        fresh = self._fresh()
        check_integer(fresh.n_components, "n_components")
        check_integer(fresh.max_iter, "max_iter")
        check_number(fresh.tol, "tol", minimum=0)
        check_number(fresh.regularization, "regularization", minimum=0)
        x = fresh._check_fit(X, dtype="float64", min_samples=2)
        start = KMeans(fresh.n_components, random_state=fresh.random_state, backend=fresh._fitted_on)
        return self._adopt(fresh, fresh._rounds(x, start.fit(x).labels_))

    def _rounds(self, X: Array, labels: Array) -> Generator[MixtureState]:
        began, xp = time.perf_counter(), get_xp(X)
        floor = self.regularization * float(X.var(axis=0).mean())
        r = (labels[:, None] == xp.arange(self.n_components)).astype("float64")
        self.log_likelihood_ = []
        for iteration in range(1, self.max_iter + 1):
            self._maximise(X, r, floor)
            log_joint = self._log_joint(X)
            log_p = _logsumexp(log_joint)
            r = xp.exp(log_joint - log_p[:, None])
            self.log_likelihood_.append(float(log_p.mean()))
            self._usable = True
            yield MixtureState(iteration, self.log_likelihood_[-1], time.perf_counter() - began)
            if iteration > 1 and self.log_likelihood_[-1] - self.log_likelihood_[-2] < self.tol:
                return

    def _maximise(self, X: Array, r: Array, floor: float) -> None:
        """n_k = sum_i r_ik; weight_k = n_k / n, mean_k = sum_i r_ik x_i / n_k, and the covariance around it."""
        xp, d = get_xp(X), X.shape[1]
        n = r.sum(axis=0) + 1e-12
        self.weights_ = n / n.sum()
        self.means_ = r.T @ X / n[:, None]
        covariances = []
        for j in range(len(n)):
            centred = X - self.means_[j]
            covariances.append((centred * r[:, j : j + 1]).T @ centred / n[j] + floor * xp.eye(d))
        self.covariances_ = xp.stack(covariances)
        self._factors = xp.stack([_cholesky(c) for c in covariances])

    def _log_joint(self, X: Array) -> Array:
        """log [weight_k N(x_i; k)], (n, n_components)."""
        xp = get_xp(X)
        columns = [_log_normal(X - mean, factor) for mean, factor in zip(self.means_, self._factors, strict=True)]
        return xp.stack(columns, axis=1) + xp.log(self.weights_)

    def log_density(self, X: ArrayLike) -> Array:
        """log p(x) of each code, (n,) in nats; higher is more typical."""
        return _logsumexp(self._log_joint(self._check(X, dtype="float64")))

    def sample(self, n: int, *, random_state: RandomState = None) -> Array:
        """Draws, (n, n_latent): a component by its weight, then a point from it."""
        self._check_is_fitted()
        xp, rng = self._xp, Rng(random_state, self._xp)
        eps = rng.fill_normal(xp.empty((check_integer(n, "n"), self.n_features_in_)))
        weights = np.asarray([float(w) for w in self.weights_])
        component = xp.asarray(rng.host.choice(len(weights), n, p=weights / weights.sum()))
        return self.means_[component] + (self._factors[component] @ eps[:, :, None])[:, :, 0]


def _log_normal(centred: Array, factor: Array) -> Array:
    """log N(x; 0, LL') for rows x: -|L^-1 x|^2 / 2 - sum_j log L_jj - d/2 log 2 pi."""
    xp, d = get_xp(centred), centred.shape[1]
    whitened = xp.linalg.solve(factor, centred.T)
    return -0.5 * (whitened * whitened).sum(axis=0) - xp.log(xp.diag(factor)).sum() - 0.5 * d * log(2 * pi)


def _cholesky(covariance: Array) -> Array:
    """L with LL' = covariance; a direction without any variance is given a 1e-12th of the mean one."""
    xp = get_xp(covariance)
    floor = 1e-12 * (float(xp.trace(covariance)) / len(covariance) or 1.0)
    return xp.linalg.cholesky(covariance + floor * xp.eye(len(covariance)))


def _logsumexp(a: Array) -> Array:
    """log sum exp over the columns, (n,)."""
    top = a.max(axis=1, keepdims=True)
    xp = get_xp(a)
    return top[:, 0] + xp.log(xp.exp(a - top).sum(axis=1))
