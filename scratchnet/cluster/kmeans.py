"""k-means: points grouped round centres."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from scratchnet import blocks
from scratchnet.backend import Array, RandomState, Rng, get_xp, runs_kernels
from scratchnet.base import Estimator, TransformerMixin, all_or_nothing, progress
from scratchnet.cluster.bounds import BoundedLloyd
from scratchnet.cluster.fused import FusedLloyd
from scratchnet.cluster.geometry import Cosine, Euclidean, Manhattan
from scratchnet.cluster.lloyd import Lloyd, MedianLloyd, SphericalLloyd
from scratchnet.cluster.seeding import kmeans_plusplus, random_rows
from scratchnet.distances import check_not_lost
from scratchnet.validation import check_array, check_choice, check_integer, check_number

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
        "end" comes once a run: labels and objective recomputed from the final centres.
    n_iter : int
        Rounds of assign and move so far, this one included.
    run : int
        Which of the ``n_init`` runs, from 0.
    centers : (n_clusters, n_features)
    labels : (n_samples,), or None at the start
    objective : float
        J for these labels and centres; NaN at the start. It never rises within a run.
    relocated : tuple of int
        Rows that this move step gave to empty clusters.
    """

    step: str
    n_iter: int
    run: int
    centers: Array
    labels: Array | None
    objective: float
    relocated: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"run {self.run}, round {self.n_iter}, {self.step}: J = {self.objective:.6g}"


class KMeans(TransformerMixin, Estimator):
    """k-means clustering: centres c that make J = sum_i w_i min_c |x_i - c|^2 small.

    Lloyd's algorithm: assign every point to its nearest centre, move every centre to the mean of its points, until
    nothing changes. J falls with every step, to a minimum that need not be the global one: hence several starts. The
    run with the smallest J is kept.

    Parameters
    ----------
    n_clusters : int
    init : {"k-means++", "random"} or array_like (n_clusters, n_features)
        Greedy k-means++ (Arthur and Vassilvitskii, 2007), random rows, or these centres (then there is one run).
    n_init : int
        Number of starts.
    max_iter : int
        Largest number of rounds a run.
    tol : float
        A run ends when the sum of the squared movements of all centres is at most ``tol`` times the mean variance of a
        feature; 0 goes on until no point changes its cluster.
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
        init: Any = "k-means++",
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

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Find the centres of X (n_samples, n_features). A weight w counts a row w times."""
        states = progress(
            self.steps(X, sample_weight=sample_weight), total=None, description="k-means", verbose=self.verbose
        )
        deque(states, maxlen=0)
        return self

    def steps(self, X: Any, *, sample_weight: Any = None) -> Iterator[LloydState]:
        """Fit like :meth:`fit`, yielding a :class:`LloydState` after every assign and every move step.

        Attributes are those of the best run that has ended. A loop that is left early (``break``, or ``close()`` of the
        generator) counts the centres of the last state as a run: the estimator is fitted.
        """
        X, weight, start, geometry, lloyd = self._prepare(X, sample_weight)
        xp, rng = get_xp(X), Rng(self.random_state, get_xp(X))
        state: LloydState | None = None
        best = np.inf
        try:
            for run in range(self.n_init if start is None else 1):
                first = start
                if first is None:
                    first = _STARTS[self.init](X, weight, self.n_clusters, rng.host, geometry)
                for state in self._run(lloyd, geometry.to_local(first)):
                    state = replace(state, run=run, centers=geometry.to_data(state.centers).astype(X.dtype))
                    yield state
                assert state is not None  # a run has a start
                state = self._end(state, X, weight, best)
                best = min(best, state.objective)
                yield state
        except GeneratorExit:  # the caller has seen enough
            if state is not None and state.step != "end":
                self._end(state, X, weight, best)
            raise
        filled = len(xp.unique(self.labels_))
        if filled < self.n_clusters:
            warnings.warn(
                f"only {filled} of n_clusters={self.n_clusters} clusters hold points: X has too few different rows",
                stacklevel=2,
            )

    def _end(self, state: LloydState, X: Array, weight: Array | None, best: float) -> LloydState:
        """The last state of a run, with labels and objective of its centres; kept if that is below the ``best``."""
        labels, objective = _assign(X, weight, state.centers, self.metric)
        if objective < best:
            self.cluster_centers_, self.labels_ = state.centers, labels
            self.inertia_, self.n_iter_ = objective, state.n_iter
        return replace(state, step="end", labels=labels, objective=objective, relocated=())

    def _run(self, lloyd: Lloyd, centers: Array) -> Iterator[LloydState]:
        """One descent from ``centers``; these and those of its states are local."""
        lloyd.labels = None
        smallest_shift = self.tol * lloyd.total / (lloyd.total_weight * lloyd.X.shape[1])
        yield LloydState("start", 0, 0, centers, None, np.nan)
        for n_iter in range(1, self.max_iter + 1):
            moved = lloyd.assign(centers)
            yield LloydState("assign", n_iter, 0, centers, lloyd.labels, lloyd.objective(centers))
            if not moved:  # the centres are the middles of these clusters already
                return
            relocated = lloyd.fill_empty(centers)
            before, centers = centers, lloyd.middles(centers)
            yield LloydState("move", n_iter, 0, centers, lloyd.labels, lloyd.objective(centers), relocated)
            if self.tol > 0 and float(((centers - before) ** 2).sum()) <= smallest_shift:
                return

    def predict(self, X: Any) -> Array:
        """The index (n_samples,) of the nearest centre."""
        X = self._check(X)
        return _assign(X, None, self.cluster_centers_, self.metric)[0]

    def transform(self, X: Any) -> Array:
        """Distances (n_samples, n_clusters) to every centre, computed in float64."""
        X = self._check(X)
        centers = self.cluster_centers_.astype(np.float64)
        g = _METRICS[self.metric][0].around(centers)
        c = g.to_local(centers)
        found = blocks.map(lambda x: g.distances(g.costs(g.local(x.astype(np.float64)), c)).astype(x.dtype), X)
        return get_xp(X).concatenate(found)

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Array:
        """``fit(X).labels_``."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """-J on X: higher is better."""
        X = self._check(X)
        return -_assign(X, _check_weight(sample_weight, X), self.cluster_centers_, self.metric)[1]

    @all_or_nothing
    def _prepare(self, X: Any, sample_weight: Any) -> tuple[Array, Array | None, Array | None, Euclidean, Lloyd]:
        """Everything checked, on the backend: X, weights or None, starting centres or None, geometry, descent."""
        X, weight, start = self._check_data(X, sample_weight)
        geometry = _METRICS[self.metric][0].around(X, weight)
        with np.errstate(over="ignore", invalid="ignore"):
            lloyd = _lloyd(X, weight, self.n_clusters, geometry, self.metric)
        if not np.isfinite(lloyd.total):
            raise ValueError("X spans so large a range that squared distances overflow; scale it down first")
        check_not_lost(X, lloyd.total / lloyd.total_weight, X.dtype)
        return X, weight, start, geometry, lloyd

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
            raise ValueError(f"init has shape {tuple(start.shape)}, expected {(k, X.shape[1])}: one row a cluster")
        return X, weight, start


def _lloyd(X: Array, weight: Array | None, n_clusters: int, geometry: Euclidean, metric: str) -> Lloyd:
    """The descent for ``metric``; with bounds on the host, where distances cost more than keeping track of bounds;
    with kernels on a GPU."""
    descent = _METRICS[metric][1]
    if descent is Lloyd and get_xp(X) is np and X.shape[1] >= 32 and n_clusters <= 4 * X.shape[1]:
        descent = BoundedLloyd
    elif descent is Lloyd and runs_kernels(X):
        descent = FusedLloyd
    return descent(X, weight, n_clusters, geometry)


def _check_weight(sample_weight: Any, X: Array) -> Array | None:
    """``sample_weight`` (n,) in X's type, or None."""
    if sample_weight is None:
        return None
    weight = check_array(sample_weight, name="sample_weight", xp=get_xp(X), dtype=X.dtype, ndim=1)
    if len(weight) != len(X):
        raise ValueError(f"sample_weight has {len(weight)} entries, but X has n_samples={len(X)}: pass one a row")
    if bool((weight < 0).any()):
        raise ValueError("sample_weight has negative entries; a weight counts a row w times, pass 0 to leave it out")
    if not bool((weight > 0).any()):
        raise ValueError("sample_weight is zero everywhere: there is nothing to cluster")
    return weight


def _assign(X: Array, weight: Array | None, centers: Array, metric: str) -> tuple[Array, float]:
    """The nearest of ``centers`` for every row of X (n,), and J, summed in float64."""
    geometry = _METRICS[metric][0].around(centers)
    c = geometry.to_local(centers).astype(X.dtype)

    def block(x: Array, w: Array | None = None) -> tuple[Array, Array]:
        x = geometry.local(x)
        labels = geometry.nearest(x, c)
        cost = geometry.own_costs(x, c[labels])
        return labels, (cost if w is None else cost * w).sum(dtype=np.float64)

    found = blocks.map(block, X) if weight is None else blocks.map(block, X, weight)
    return get_xp(X).concatenate([labels for labels, _ in found]), float(sum(cost for _, cost in found))
