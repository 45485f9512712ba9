"""k-means: points grouped around centres."""

from __future__ import annotations

import time
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from scratchnet.backend import Array, RandomState, Rng, get_xp
from scratchnet.base import Estimator, TransformerMixin
from scratchnet.cluster.geometry import Cosine, Euclidean, Manhattan
from scratchnet.cluster.lloyd import Lloyd, MedianLloyd, SphericalLloyd
from scratchnet.cluster.seeding import kmeans_plusplus, random_rows
from scratchnet.cluster.steps import Block, cut, nearest_and_costs, pieces
from scratchnet.distances import check_not_lost
from scratchnet.rows import Rows
from scratchnet.validation import check_array, check_choice, check_integer, check_number

__all__ = ["KMeans", "LloydState"]

_STARTS = {"k-means++": kmeans_plusplus, "random": random_rows}
_METRICS: dict[str, tuple[type[Euclidean], type[Lloyd]]] = {
    "euclidean": (Euclidean, Lloyd),
    "cosine": (Cosine, SphericalLloyd),
    "manhattan": (Manhattan, MedianLloyd),
}


@dataclass(frozen=True)
class LloydState:
    """k-means after one step.

    Attributes
    ----------
    step : "start", "assign", "move" or "end"
        "end" comes once per run: labels and objective recomputed from the final centres.
    iteration : int
        Rounds of assign and move in this run so far, this one included. ``n_iter`` is another name for it.
    run : int
        Which of the ``n_init`` runs, from 0.
    centers : (n_clusters, n_features)
    labels : (n_samples,), or None at the start
    objective : float
        J for these labels and centres; NaN at the start. It never rises within a run.
    relocated : tuple of int
        Rows that this move step gave to empty clusters.
    seconds : float
        Since the first state was asked for.
    """

    step: str
    iteration: int
    run: int
    centers: Array
    labels: Array | None
    objective: float
    relocated: tuple[int, ...] = ()
    seconds: float = 0.0

    @property
    def n_iter(self) -> int:
        return self.iteration

    def __str__(self) -> str:
        return f"run {self.run}, round {self.iteration}, {self.step}: J = {self.objective:.6g}"


class KMeans(TransformerMixin, Estimator):
    """k-means clustering: centres c that make J = sum_i w_i min_c |x_i - c|^2 small.

    Lloyd's algorithm (Least squares quantization in PCM, 1982): assign every point to its nearest centre, move every
    centre to the mean of its points, until no centre moves. J falls with every step, to a minimum that need not be the
    global one: hence several starts. The run with the smallest J is kept.

    Parameters
    ----------
    n_clusters : int
    init : {"k-means++", "random"} or array_like (n_clusters, n_features)
        Greedy k-means++ (Arthur and Vassilvitskii, 2007), random rows, or these centres (then there is one run).
    n_init : int
        Number of starts.
    max_iter : int
        Largest number of rounds per run.
    tol : float
        A run ends when the sum of the squared movements of all centres is at most ``tol`` times the mean variance of a
        feature; 0 goes on until no centre moves.
    metric : {"euclidean", "cosine", "manhattan"}
        What a point x costs at a centre c: |x - c|^2; or 1 - cos(x, c), and centres have length 1 (spherical k-means);
        or sum_j |x_j - c_j|, and centres are medians (k-medians). J, labels and ``transform`` follow it.
    random_state : int, numpy.random.Generator or None
        The same seed gives the same start on every backend.
    backend : str, optional
        Where to compute, by default the current backend.
    verbose : int
        1 shows a progress bar.

    Attributes
    ----------
    cluster_centers_ : (n_clusters, n_features)
    labels_ : (n_samples,) integers
        The nearest of ``cluster_centers_`` to each point: what ``predict`` says about the training data.
    inertia_ : float
        J for these labels and centres, summed in float64.
    n_iter_ : int
        Rounds of the best run.

    Notes
    -----
    A cluster that loses all its points gets the point farthest from its centre. With fewer different points than
    clusters some stay empty, and a warning says so.

    Labels are a function of the row and the centres alone, and sums over clusters are exact
    (:mod:`scratchnet.cluster.steps`): the result has the same bits for any number of threads.

    Examples
    --------
    >>> X = [[1.0, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]]
    >>> km = KMeans(2, init=[[0, 0], [9, 0]]).fit(X)
    >>> km.labels_
    array([0, 0, 0, 1, 1, 1])
    >>> km.cluster_centers_.tolist(), km.inertia_, km.n_iter_
    ([[1.0, 2.0], [10.0, 2.0]], 16.0, 2)
    >>> km.predict([[0.0, 0], [12, 3]])
    array([0, 1])
    """

    _estimator_type = "clusterer"

    cluster_centers_: Array
    labels_: Array
    inertia_: float
    n_iter_: int

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: str | ArrayLike = "k-means++",
        n_init: int = 1,
        max_iter: int = 300,
        tol: float = 1e-4,
        metric: str = "euclidean",
        random_state: RandomState = None,
        backend: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.metric = metric
        self.random_state = random_state
        self.backend = backend
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Find the centres of X.

        Parameters
        ----------
        X : array_like (n_samples, n_features)
        y : ignored
        sample_weight : array_like (n_samples,), optional
            Not negative. A weight w counts a row w times, 0 leaves it out; all 1 by default.

        Raises
        ------
        ValueError, TypeError
            For parameters or data that cannot be used, or fewer rows (of positive weight) than clusters.
        """
        return self._drain(self.steps(X, sample_weight=sample_weight))

    def steps(self, X: ArrayLike, *, sample_weight: ArrayLike | None = None) -> Iterator[LloydState]:
        """Fit like :meth:`fit`, yielding a :class:`LloydState` after every assign and every move step.

        Attributes are those of the best run that has ended. A loop that is left early (``break``, or ``close()`` of the
        generator) counts the centres of the last state as a run: the estimator is fitted.
        """
        fresh = self._fresh()
        rows, lloyd, start = fresh._prepare(X, sample_weight)
        return self._adopt(fresh, fresh._runs(rows, lloyd, start, Rng(fresh.random_state, rows.xp).host))

    def _runs(self, rows: Rows, lloyd: Lloyd, start: Array | None, host: np.random.Generator) -> Generator[LloydState]:
        began, best, geometry = time.perf_counter(), np.inf, lloyd.geometry
        state: LloydState | None = None
        try:
            for run in range(self.n_init if start is None else 1):
                first = start
                if first is None:
                    first = _STARTS[str(self.init)](rows, self.n_clusters, host, geometry)
                for state in self._run(lloyd, geometry.to_local(first)):
                    centers = geometry.to_data(state.centers).astype(first.dtype)
                    state = replace(state, run=run, centers=centers, seconds=time.perf_counter() - began)
                    yield state
                assert state is not None  # a run has a start
                state = self._end(state, rows, best)
                best = min(best, state.objective)
                yield replace(state, seconds=time.perf_counter() - began)
        except GeneratorExit:  # the caller has seen enough
            if state is not None and state.step != "end":
                self._end(state, rows, best)
            raise
        filled = len(rows.xp.unique(self.labels_))
        if filled < self.n_clusters:
            warnings.warn(
                f"only {filled} of n_clusters={self.n_clusters} clusters hold points: X has too few different rows",
                stacklevel=2,
            )

    def _end(self, state: LloydState, rows: Rows, best: float) -> LloydState:
        """The last state of a run, with labels and objective of its centres; kept if that is below the ``best``."""
        labels, objective = _assign(rows, state.centers, self.metric)
        if objective < best:
            self.cluster_centers_, self.labels_ = state.centers, labels
            self.inertia_, self.n_iter_ = objective, state.iteration
            self._usable = True
        return replace(state, step="end", labels=labels, objective=objective, relocated=())

    def _run(self, lloyd: Lloyd, centers: Array) -> Iterator[LloydState]:
        """One descent from ``centers``; these and those of its states are local."""
        smallest_shift, before = self.tol * lloyd.total / (lloyd.total_weight * centers.shape[1]), centers
        yield LloydState("start", 0, 0, centers, None, np.nan)
        for iteration in range(1, self.max_iter + 1):
            lloyd.assign(centers)
            labels = lloyd.labels()
            yield LloydState("assign", iteration, 0, centers, labels, lloyd.objective(centers))
            relocated = lloyd.fill_empty(centers)
            moved = lloyd.middles(centers)
            # where the sums and counts of all clusters are those of the round before, so are their means; or, where
            # rounding sends centres there and back, those of the round before that
            if bool((moved == centers).all() | (moved == before).all()):
                return
            before, centers = centers, moved
            if relocated:
                labels = lloyd.labels()
            yield LloydState("move", iteration, 0, centers, labels, lloyd.objective(centers), relocated)
            if self.tol > 0 and float(((centers - before) ** 2).sum()) <= smallest_shift:
                return

    def predict(self, X: ArrayLike) -> Array:
        """The index (n_samples,) of the nearest centre; ties go to the first."""
        return _assign(cut(self._check(X)), self.cluster_centers_, self.metric)[0]

    def transform(self, X: ArrayLike) -> Array:
        """Distances (n_samples, n_clusters) to every centre in the metric, computed in float64."""
        centers = self.cluster_centers_.astype(np.float64)
        geometry = _METRICS[self.metric][0].around(cut(centers))
        distances: Array = cut(self._check(X)).collect(_distances, geometry.to_local(centers), geometry)
        return distances

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)

    def fit_predict(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Array:
        """``fit(X).labels_``."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def score(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> float:
        """-J on X: higher is better."""
        x = self._check(X)
        return -_assign(cut(x, _check_weight(sample_weight, x)), self.cluster_centers_, self.metric)[1]

    def _prepare(self, X: Any, sample_weight: Any) -> tuple[Rows, Lloyd, Array | None]:
        """Everything checked: the data on the backend, their descent, starting centres or None."""
        X, weight, start = self._check_data(X, sample_weight)
        rows = cut(X, weight, self.n_clusters)
        geometry, lloyd = _METRICS[self.metric]
        with np.errstate(over="ignore", invalid="ignore"):
            descent = lloyd(rows, geometry.around(rows))
        if not np.isfinite(descent.total):
            raise ValueError("X spans so large a range that squared distances overflow; scale it down first")
        check_not_lost(X, descent.total / descent.total_weight, X.dtype)
        return rows, descent, start

    def _check_data(self, X: Any, sample_weight: Any) -> tuple[Array, Array | None, Array | None]:
        k = check_integer(self.n_clusters, "n_clusters")
        check_integer(self.n_init, "n_init")
        check_integer(self.max_iter, "max_iter")
        check_number(self.tol, "tol", minimum=0)
        check_choice(self.metric, "metric", _METRICS)
        X = self._check_fit(X)
        weight = _check_weight(sample_weight, X)
        n = len(X) if weight is None else int((weight > 0).sum())
        if n < k:
            counted = f"n_samples={len(X)}" + ("" if weight is None else f" ({n} of them with a positive weight)")
            raise ValueError(f"n_clusters={k} is more than {counted}; ask for fewer clusters or pass more rows")
        if isinstance(self.init, str):
            check_choice(self.init, "init", _STARTS)
            return X, weight, None
        start = check_array(self.init, name="init", xp=get_xp(X), dtype=X.dtype)
        if start.shape != (k, X.shape[1]):
            raise ValueError(f"init has shape {tuple(start.shape)}, expected {(k, X.shape[1])}: one row per cluster")
        return X, weight, start


def _check_weight(sample_weight: Any, X: Array) -> Array | None:
    """``sample_weight`` (n,) in X's type, or None."""
    if sample_weight is None:
        return None
    weight = check_array(sample_weight, name="sample_weight", xp=get_xp(X), dtype=X.dtype, ndim=1)
    if len(weight) != len(X):
        raise ValueError(f"sample_weight has {len(weight)} entries, but X has n_samples={len(X)}: pass one per row")
    if bool((weight < 0).any()):
        raise ValueError("sample_weight has negative entries; a weight counts a row w times, pass 0 to leave it out")
    if not bool((weight > 0).any()):
        raise ValueError("sample_weight is zero everywhere: there is nothing to cluster")
    return weight


def _assign(rows: Rows, centers: Array, metric: str) -> tuple[Array, float]:
    """The nearest of ``centers`` for every row (n,), and J, summed in float64."""
    geometry = _METRICS[metric][0].around(cut(centers))
    c = geometry.to_local(centers).astype(centers.dtype)
    labels, costs = zip(*rows.map(_nearest_and_cost, c, geometry), strict=True)
    return rows.xp.concatenate(labels), float(sum(costs))


def _nearest_and_cost(block: Block, kept: Any, centers: Array, geometry: Euclidean) -> tuple[tuple[Array, Array], Any]:
    """The nearest of ``centers`` for every row (m,), and the sum of w times what rows cost there."""
    (labels, costs), kept = nearest_and_costs(block, kept, centers, geometry)
    return (labels, (costs * block[1]).sum(dtype=np.float64)), kept


def _distances(block: Block, kept: Any, centers: Array, geometry: Euclidean) -> tuple[Array, Any]:
    """The distances (m, k) of every row to float64 ``centers``, in the type of the rows."""
    found = []
    for x, _ in pieces(block):
        costs = geometry.costs(geometry.local(x.astype(np.float64)), centers)
        found.append(geometry.distances(costs).astype(x.dtype))
    return get_xp(centers).concatenate(found), kept
