"""Principal component analysis by eigendecomposition of the covariance.

The direction a with the largest variance a'Sa under a'a = 1 makes the Lagrangian a'Sa - l (a'a - 1) stationary:
S a = l a. So components are eigenvectors of the covariance S, and the variance along each one is its eigenvalue.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from scratchnet.backend import Array, get_xp
from scratchnet.base import Estimator, TransformerMixin
from scratchnet.decomposition.scatter import eigh, float_dtype, mean_and_scatter
from scratchnet.rows import rows_of
from scratchnet.validation import check_bool, check_integer, check_number

__all__ = ["PCA", "PCAState"]

_STEPS = ("mean", "scatter", "components")


@dataclass(frozen=True)
class PCAState:
    """A PCA after one of its steps.

    Attributes
    ----------
    iteration : int
        0, 1, 2.
    step : {"mean", "scatter", "components"}
        What is known now.
    objective : float
        The variance that the components found so far leave unexplained: NaN after the mean, then the total variance,
        then what the components leave.
    seconds : float
        Since the first state was asked for. Mean and scatter come out of one pass over the data.
    """

    iteration: int
    step: str
    objective: float
    seconds: float

    def __str__(self) -> str:
        found = {"mean": "found", "scatter": f"total variance {self.objective:g}"}
        return f"{self.step}: {found.get(self.step, f'variance {self.objective:g} unexplained')}"


class PCA(TransformerMixin, Estimator):
    """Principal component analysis; the model of probabilistic PCA gives it a likelihood.

    With rows x (1, d), S = sum (x - mean)'(x - mean) / (n - 1) and S a_k = l_k a_k, l_1 >= l_2 >= ...:

    - ``transform``: z_k = (x - mean) a_k, divided by sqrt(l_k) when whitened;
    - ``score_samples``: log N(x; mean, A'(L - s^2 I)A + s^2 I), s^2 the mean of the d - k variances left out
      (Tipping and Bishop, Probabilistic principal component analysis, 1999).

    Data are centred before anything is multiplied, block by block, and the blocks are added up in float64, so data far
    from the origin keep their variances. Data may be larger than memory (numpy.memmap; bytes become float32 in their
    blocks). With fewer rows than columns the eigenvectors come from the n x n products of rows. ``partial_fit`` takes
    rows batch by batch.

    Parameters
    ----------
    n_components : int, float or None
        How many components to keep; a fraction in (0, 1) keeps the fewest that explain at least that share of the
        variance; None keeps all min(n_samples, n_features).
    whiten : bool
        Divide every score by its standard deviation. Directions without variance get the score 0.
    backend : str, optional
        Where to compute, by default the current backend.

    Attributes
    ----------
    components_ : (k, n_features)
        Orthonormal rows, by falling variance; the entry of largest magnitude in each is positive.
    explained_variance_, explained_variance_ratio_ : (k,)
        l_k, and its share of the total variance (0 for constant data).
    singular_values_ : (k,)
        sqrt((n_samples - 1) l_k), the singular values of the centred data.
    mean_ : (n_features,)
    noise_variance_ : float
        s^2 above; 0 if no direction is left out.
    n_components_, n_samples_ : int
        What was kept, and how many rows were seen.
    rank_ : int
        In how many directions the data vary at all, by more than rounding.

    Notes
    -----
    One sample, constant data and data of low rank are fine: variances are 0 where there is none, and components are
    then some orthonormal directions.

    Examples
    --------
    >>> X = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])
    >>> pca = PCA(1).fit(X)
    >>> pca.components_.round(4), pca.explained_variance_.round(4), pca.rank_
    (array([[0.4472, 0.8944]]), array([8.3333]), 1)
    >>> pca.inverse_transform(pca.transform([[0.0, 5.0]])).round(4)  # the nearest point on the line
    array([[2., 4.]])
    """

    components_: Array
    explained_variance_: Array
    explained_variance_ratio_: Array
    singular_values_: Array
    mean_: Array
    noise_variance_: float
    n_components_: int
    n_samples_: int
    rank_: int
    _found: tuple[Array, Array, Array]  # for partial_fit: mean, all eigenvalues and vectors of the scatter, in float64

    def __init__(
        self, n_components: int | float | None = None, *, whiten: bool = False, backend: str | None = None
    ) -> None:
        self.n_components = n_components
        self.whiten = whiten
        self.backend = backend

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Find mean, components and variances of X (n_samples, n_features)."""
        return self._drain(self.steps(X), total=len(_STEPS))

    def steps(self, X: ArrayLike) -> Iterator[PCAState]:
        """Mean, scatter and components of X (n_samples, n_features), one state each; fitted with the last.

        Raises
        ------
        TypeError, ValueError
            If X is not finite numbers, ``n_components`` does not suit its shape, or variances overflow or vanish.

        Examples
        --------
        >>> X = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0], [2.0, 1.0]])
        >>> for state in PCA(1).steps(X):
        ...     print(state)
        mean: found
        scatter: total variance 1.66667
        components: variance 0.333333 unexplained
        """
        fresh = self._fresh()
        rows = fresh._check_fit(X, small_integers=True)
        fresh._check_parameters(min(rows.shape))
        return self._adopt(fresh, fresh._learn(rows))

    def _learn(self, X: Array) -> Generator[PCAState]:
        began, xp, (n, d) = time.perf_counter(), get_xp(X), X.shape

        def state(iteration: int, objective: float) -> PCAState:
            return PCAState(iteration, _STEPS[iteration], objective, time.perf_counter() - began)

        with np.errstate(over="ignore", invalid="ignore"):  # eigh reports it
            if n >= d:
                mean, scatter = mean_and_scatter(X)
            else:
                mean = X.mean(axis=0, dtype=np.float64)
                rows = X - mean  # float64: there are fewer rows than columns, so this is small
                scatter = rows @ rows.T
            total = float(scatter.trace()) / max(n - 1, 1)
        yield state(0, float("nan"))
        yield state(1, total)
        with np.errstate(over="ignore", invalid="ignore"):  # eigh reports it
            values, vectors = eigh(scatter, n, X)
        if n < d:
            # rows' vectors has orthogonal columns of length sqrt(value). QR scales them to one, and where the length is
            # 0 it puts some direction orthogonal to all the others.
            vectors = xp.linalg.qr(rows.T @ vectors)[0]
        left = self._keep(n, mean, values, vectors, float_dtype(X))
        yield state(2, left)

    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Take in the next rows X (n, n_features): afterwards this is the PCA of all rows so far, exactly.

        Nothing is approximated or forgotten: means m and scatters S of two sets of a and b rows merge into
        S_a + S_b + (m_a - m_b)'(m_a - m_b) a b / (a + b) (Chan, Golub and LeVeque, Updating formulae and a pairwise
        algorithm for computing sample variances, 1979). Each call recomputes the eigenvectors: few large batches are
        faster than many small ones. As long as fewer rows than ``n_components`` were seen, there are as many components
        as rows. ``fit`` starts anew.
        """
        fresh = self._fresh()
        first = "components_" not in vars(self)
        if not first:
            fresh._become(self)
        rows = fresh._check_fit(X) if first else fresh._check(X, dtype=self.components_.dtype)
        xp, (n, d) = get_xp(rows), rows.shape
        fresh._check_parameters(d)
        with np.errstate(over="ignore", invalid="ignore"):  # eigh reports it
            mean, scatter = mean_and_scatter(rows)
            if not first:
                mean_before, values, vectors = self._found
                before, n = self.n_samples_, n + self.n_samples_
                shift = mean - mean_before  # derivation 7.3
                scatter = scatter + (vectors * values) @ vectors.T + xp.outer(shift, shift) * (before * len(rows) / n)
                mean = mean_before + shift * (len(rows) / n)
            values, vectors = eigh(scatter, n, rows)
        fresh._keep(n, mean, values, vectors, rows.dtype)
        return self._become(fresh)

    def _check_parameters(self, largest: int) -> None:
        check_bool(self.whiten, "whiten")
        if self.n_components is not None and not isinstance(self.n_components, (float, np.floating)):
            limit = "the smaller of n_samples and n_features"
            check_integer(self.n_components, "n_components", minimum=1, maximum=largest, limit=limit)

    def _keep(self, n: int, mean: Array, values: Array, vectors: Array, dtype: Any) -> float:
        """Set the fitted attributes from the eigenvalues of the scatter of n rows, falling, and its eigenvectors.

        Returns the variance that the components leave unexplained.
        """
        xp, d = get_xp(mean), len(mean)
        largest = min(n, d)
        variances = xp.maximum(values, 0)[:largest] / max(n - 1, 1)
        total = float(variances.sum())
        k = self.n_components_ = self._choose(variances, total, largest)
        self._found = mean, values[:largest], vectors[:, :largest]
        self.n_samples_ = n
        self.mean_ = mean.astype(dtype)
        self.components_ = _fix_signs(vectors.T[:k]).astype(dtype)
        self.explained_variance_ = variances[:k].astype(dtype)
        self.explained_variance_ratio_ = (variances[:k] / (total or 1.0)).astype(dtype)
        self.singular_values_ = xp.sqrt(variances[:k] * (n - 1)).astype(dtype)
        # what rounding makes of a variance of 0: sums of products, whose errors add up like a random walk
        self._no_variance = max(n, d) ** 0.5 * float(np.finfo(dtype).eps) * float(variances[0])
        self.rank_ = int((variances > self._no_variance).sum())
        left = float(variances[k:].sum())
        self.noise_variance_ = left / (d - k) if k < d else 0.0
        self._usable = True
        return left

    def _choose(self, variances: Array, total: float, largest: int) -> int:
        """The number of components that ``n_components`` asks for."""
        if self.n_components is None:
            return largest
        if not isinstance(self.n_components, (float, np.floating)):
            return min(int(self.n_components), largest)
        fraction = check_number(self.n_components, "n_components", minimum=0.0, maximum=1.0, open_minimum=True)
        if fraction == 1.0:
            raise ValueError("n_components=1.0 is ambiguous: pass 1 for one component, None for all of the variance")
        return int((variances.cumsum() < fraction * total).sum()) + 1 if total > 0 else 1

    def transform(self, X: ArrayLike) -> Array:
        """Scores (n, k) of X (n, n_features): coordinates along the components."""
        rows = rows_of(self._check(X, small_integers=True))
        return rows.collect(_project, self.mean_, self.components_.T * self._scale())

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def inverse_transform(self, Z: ArrayLike) -> Array:
        """The points (n, n_features) with scores Z (n, k); ``inverse_transform(transform(X))`` projects X."""
        self._check_is_fitted()
        scores = self._check(Z, name="Z", n_features=self.n_components_)
        scale = get_xp(scores).sqrt(self.explained_variance_) if self.whiten else 1.0
        return (scores * scale) @ self.components_ + self.mean_

    def _scale(self) -> Array | float:
        """(k,): what whitening multiplies each score with; 0 for a direction without variance."""
        if not self.whiten:
            return 1.0
        variance, xp = self.explained_variance_, get_xp(self.explained_variance_)
        there = variance > self._no_variance
        return there / xp.sqrt(xp.where(there, variance, 1))

    def score_samples(self, X: ArrayLike) -> Array:
        """Log-likelihood in nats (n,) of each row under probabilistic PCA, in float64.

        Raises
        ------
        ValueError
            If the fitted covariance is singular: the likelihood has no finite value then.
        """
        rows = self._check(X, small_integers=True)
        xp, d, k = get_xp(rows), self.n_features_in_, self.n_components_
        variance = self.explained_variance_.astype(np.float64)
        smallest = float(variance[-1]) if k == d else self.noise_variance_
        if smallest <= self._no_variance:
            raise ValueError(
                f"the covariance of this PCA (n_components_={k} of {d} features, fitted to {self.n_samples_} samples) "
                f"is singular: its smallest variance is {smallest:.3g}, so no likelihood exists. Keep fewer components"
            )
        A, mean, noise = self.components_.astype(np.float64), self.mean_.astype(np.float64), self.noise_variance_

        log_det = xp.log(variance).sum() + ((d - k) * np.log(noise) if k < d else 0.0)
        distance = rows_of(rows).collect(_distance, mean, A, variance, noise)
        return -0.5 * (d * np.log(2 * np.pi) + log_det + distance)

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """The mean of ``score_samples(X)``: nats per sample, higher is better."""
        return float(self.score_samples(X).mean())


def _project(x: Array, kept: None, mean: Array, A: Array) -> tuple[Array, None]:
    """The scores of a block of rows: z = (x - mean) A."""
    return (x - mean) @ A, None


def _distance(x: Array, kept: None, mean: Array, A: Array, variance: Array, noise: float) -> tuple[Array, None]:
    """Squared Mahalanobis distances to the mean: along the k components, and the rest in units of the noise."""
    x = x - mean
    scores = x @ A.T
    along = (scores**2 / variance).sum(axis=1)
    return (along if len(A) == A.shape[1] else along + ((x - scores @ A) ** 2).sum(axis=1) / noise), None


def _fix_signs(components: Array) -> Array:
    """Each row times +-1, so that its entry of largest magnitude is positive."""
    xp = get_xp(components)
    largest = xp.take_along_axis(components, xp.abs(components).argmax(axis=1)[:, None], axis=1)
    return xp.where(largest < 0, -components, components)
