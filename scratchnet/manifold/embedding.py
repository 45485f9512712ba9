"""What the estimators SNE, SymmetricSNE and TSNE share: from data to picture. They are in :mod:`.methods`, the
mathematics is in :mod:`.sne`."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Self

from numpy.typing import ArrayLike

from scratchnet.backend import Array, RandomState, Rng, asarray, get_xp
from scratchnet.base import Estimator, TransformerMixin
from scratchnet.decomposition import PCA
from scratchnet.distances import squared_differences
from scratchnet.manifold.affinities import METRICS, Affinities, affinities, affinities_to, search_memory
from scratchnet.manifold.descent import EmbeddingState, Schedule, descend
from scratchnet.manifold.objectives import FrozenObjective, Objective
from scratchnet.manifold.sne import Similarity
from scratchnet.memory import check_memory
from scratchnet.rows import rows_of
from scratchnet.validation import check_array, check_choice, check_integer, check_number

__all__ = ["NeighbourEmbedding"]

_PLACED = 256  # new points at a time
_LONG = 300  # iterations, after which a descent should have led downhill


@dataclass(repr=False, eq=False)
class NeighbourEmbedding(TransformerMixin, Estimator, ABC):
    """What the three methods share; each makes its own objective.

    Parameters
    ----------
    n_components : int
        Dimensions of the embedding.
    perplexity : float
        The effective number of neighbours of each point, between 1 and n_samples - 1.
    early_exaggeration : float
        Factor on the attraction in the first quarter of the iterations, at most 250.
    learning_rate : float or "auto"
        What "auto" is depends on the method; ``learning_rate_`` holds it and ``verbose`` prints it.
    max_iter : int
        Any number is meaningful; 0 returns the start.
    init : "pca", "random" or (n_samples, n_components)
        Principal components, the first scaled to standard deviation 1e-4; noise of that size; or a start of your own.
    metric : "euclidean", "cosine" or "precomputed"
        The distance whose square enters the affinities. "precomputed": X is an (n, n) matrix of distances.
    min_grad_norm : float
        The descent ends when the norm of its gradient falls below this.
    kl_every : int
        How many iterations lie between two entries of ``kl_history_``; one costs about as much as two iterations.
    random_state : int, numpy.random.Generator or None
        Seed of random starts (and of the coordinates that ``init="pca"`` finds no component for).
    backend : str, optional
        Where to compute, by default the current backend.
    verbose : int
        1 prints the affinities' report and the learning rate, and shows a progress bar.

    Attributes
    ----------
    embedding_ : (n_samples, n_components), in the dtype of X
    kl_divergence_ : float
        KL(P || Q) in nats, P not exaggerated, at ``embedding_``.
    kl_history_ : dict of int to float
        Iteration to KL, every ``kl_every`` iterations from the start and at the end; never exaggerated.
    n_iter_ : int
    learning_rate_ : float
    beta_ : (n_samples,)
        1 / (2 sigma_i^2), by the perplexity.
    affinities_ : Affinities
        ``print(affinities_.report())`` says what is odd about the data: outliers, duplicates.

    Raises
    ------
    MemoryError
        Before anything is computed, if what must be kept does not fit (on the host n^2 numbers, or half of that); the
        message names the largest n that would.
    FloatingPointError
        If the descent diverges.
    """

    n_components: int = 2
    _: KW_ONLY
    perplexity: float = 30.0
    early_exaggeration: float = 1.0
    learning_rate: float | str = "auto"
    max_iter: int = 1000
    init: str | Array = "pca"
    metric: str = "euclidean"
    min_grad_norm: float = 1e-7
    kl_every: int = 50
    random_state: RandomState = None
    backend: str | None = None
    verbose: int = 0

    embedding_: Array = field(init=False)
    kl_history_: dict[int, float] = field(init=False)
    n_iter_: int = field(init=False)
    learning_rate_: float = field(init=False)
    beta_: Array = field(init=False)
    affinities_: Affinities = field(init=False)
    _state: EmbeddingState | None = field(init=False)  # of a descent that is going on
    _kl: float = field(init=False)

    _rate: ClassVar[str]  # what "auto" is, in words

    @property
    def kl_divergence_(self) -> float:  # while the descent goes on it is computed when it is asked for
        return self._kl if self._state is None else self._state.kl

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: between steps they are of an estimator that ends here, without P."""
        now = dict(self.__dict__)
        if now.get("_state") is not None:
            kl = now["_state"].kl
            now |= {"_state": None, "_kl": kl, "kl_history_": {**self.kl_history_, self.n_iter_: kl}}
        return now

    # -- what a method says of itself ---------------------------------------------------------------------------------

    @abstractmethod
    def _similarity(self) -> Similarity:
        """The similarity of two points in the embedding."""

    @abstractmethod
    def _objective(self, found: Affinities) -> Objective:
        """The cost of an embedding of points with these affinities."""

    @abstractmethod
    def _memory(self, n: int, X: Array, search: float) -> float:
        """Bytes, beside the points, for n points like those of X; the perplexity search takes ``search``."""

    @abstractmethod
    def _springs(self, Y: Array) -> tuple[Array, Array]:
        """P f and Q f of all pairs at Y, each (n, n)."""

    @abstractmethod
    def _automatic_rate(self, n: int) -> float:
        """The learning rate that "auto" stands for."""

    def _schedule(self, n: int) -> Schedule:
        """How to descend with n points; checks the parameters it is made of."""
        automatic = isinstance(self.learning_rate, str) and self.learning_rate == "auto"
        exaggeration = check_number(self.early_exaggeration, "early_exaggeration", minimum=1.0)
        return Schedule(
            learning_rate=self._automatic_rate(n)
            if automatic
            else check_number(self.learning_rate, "learning_rate", minimum=0.0, open_minimum=True),
            max_iter=check_integer(self.max_iter, "max_iter", minimum=0),
            exaggeration=exaggeration,
            min_grad_norm=check_number(self.min_grad_norm, "min_grad_norm", minimum=0.0),
            look_every=check_integer(self.kl_every, "kl_every"),
        )

    # -- fit ----------------------------------------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Embed X (n_samples, n_features), or (n, n) distances with metric="precomputed"."""
        states = self.steps(X)
        return self._drain(states, total=int(self.max_iter) + 1)

    def fit_transform(self, X: ArrayLike, y: Any = None) -> Array:
        """``fit(X).embedding_``. (``transform`` places points among those of ``fit``, which is something else.)"""
        return self.fit(X).embedding_

    def steps(self, X: ArrayLike) -> Iterator[EmbeddingState]:
        """The descent, state by state, from the start to ``max_iter``.

        At every state the fitted attributes are those of that state: the loop may be left at any time.

        Examples
        --------
        >>> import numpy as np
        >>> from scratchnet.manifold import TSNE
        >>> X = np.random.default_rng(0).standard_normal((40, 5))
        >>> states = TSNE(perplexity=9, max_iter=100, learning_rate=10).steps(X)
        >>> history = [state.kl for state in states if state.iteration % 50 == 0]
        >>> len(history), history[-1] < history[0]
        (3, True)
        """
        fresh = self._fresh()
        k = check_integer(fresh.n_components, "n_components")
        perplexity = check_number(fresh.perplexity, "perplexity")
        check_choice(fresh.metric, "metric", METRICS)
        fresh._similarity()  # checks its parameters
        points = fresh._check_fit(X, min_samples=2)
        schedule, rng = fresh._schedule(len(points)), Rng(fresh.random_state, get_xp(points))
        fresh._check_memory(points)
        start = fresh._start(points, k, rng)
        fresh.affinities_ = affinities(points, perplexity, fresh.metric)
        fresh.beta_ = fresh.affinities_.beta.astype(points.dtype)
        fresh.learning_rate_ = schedule.learning_rate
        if fresh.verbose:
            scale = f" = {self._rate}" if isinstance(fresh.learning_rate, str) else ""
            print(f"{fresh.affinities_.report()}\nlearning rate {fresh.learning_rate_:g}{scale}")
        objective = fresh._objective(fresh.affinities_)
        return self._adopt(fresh, fresh._descend(descend(objective, start, schedule, rng.host)))

    def _descend(self, states: Iterator[EmbeddingState]) -> Generator[EmbeddingState]:
        """``states``, with fitted attributes as of each; at the end, or when the loop is left, P is dropped."""
        self._state, self.kl_history_ = None, {}
        try:
            for state in states:
                self.embedding_, self.n_iter_, self._state = state.embedding, state.iteration, state
                self._usable = True
                if state.iteration % self.kl_every == 0:
                    self.kl_history_[state.iteration] = state.kl
                yield state
        finally:
            if self._state is not None:
                self.kl_history_[self.n_iter_] = self._kl = self._state.kl
                self._state = None  # and with it P
        self._check_result()

    def _check_result(self) -> None:
        """Warn of a descent that went uphill: on few points a step of the usual length overshoots."""
        start, end = self.kl_history_[0], self.kl_divergence_
        if self.n_iter_ >= _LONG and end > start + 1e-3:
            warnings.warn(
                f"the descent ended higher (KL {end:.3g}) than it began (KL {start:.3g}): "
                f"learning_rate={self.learning_rate_:g} is too large for these {len(self.embedding_)} points; try a "
                "tenth of it, or less perplexity",
                stacklevel=2,
            )

    def _check_memory(self, X: Array) -> None:
        xp = get_xp(X)

        def needed(n: int) -> float:
            """Bytes: the points in float64, and what the method and the search need beside them."""
            return 8 * n * (n if self.metric == "precomputed" else X.shape[1]) + self._memory(
                n, X, search_memory(n, xp)
            )

        check_memory(needed, len(X), xp, f"exact {type(self).__name__}")

    def _start(self, X: Array, k: int, rng: Rng) -> Array:
        """The first embedding (n, k), a new array in X's dtype: principal components or noise with deviation 1e-4."""
        xp, n = get_xp(X), len(X)
        if not isinstance(self.init, str):
            Y = check_array(self.init, name="init", xp=xp, dtype=X.dtype)
            if Y.shape != (n, k):
                raise ValueError(f"init must have shape (n_samples, n_components) = {(n, k)}, got {tuple(Y.shape)}")
            return Y.copy()
        check_choice(self.init, "init", ("pca", "random"))
        Y = asarray(1e-4 * rng.host.standard_normal((n, k)), dtype=X.dtype, xp=xp)
        if self.init == "random":
            return Y
        if self.metric == "precomputed":
            raise ValueError('init="pca" needs features, but metric="precomputed" gives distances: use init="random"')
        pca = PCA(min(k, *X.shape), backend=self.backend).fit(X)
        there = min(pca.rank_, pca.n_components_)
        if there == 0:  # constant data: all at one place, which is where equal points belong
            return xp.zeros_like(Y)
        scores = pca.transform(X)[:, :there]
        Y[:, :there] = scores * (1e-4 / scores[:, 0].std())  # what data of low rank leave empty stays noise
        return Y

    def pair_forces(self) -> tuple[Array, Array, Array]:
        """Distance, attraction and repulsion of all pairs at ``embedding_``, each (n, n): shows the crowding problem.

        At distance r a pair is pulled together by 2 (p_ij f + p_ji f) r, pushed apart by 2 (q_ij f + q_ji f) r.  (8.5)
        """
        Y = self.embedding_
        distance = get_xp(Y).sqrt(squared_differences(Y, Y))
        pull, push = self._springs(Y)
        return distance, 2 * (pull + pull.T) * distance, 2 * (push + push.T) * distance

    # -- new points ---------------------------------------------------------------------------------------------------

    def transform(self, X: ArrayLike) -> Array:
        """Places (m, n_components) for new points X among the embedded ones, which stay where they are.

        Each new point starts at the mean of its neighbours' places, weighted by its affinities to them, and descends
        its own row's KL divergence. So a place does not depend on which other new points come along. With
        metric="precomputed" X holds distances (m, n) to the fitted points.
        """
        points, old = self._check(X), self.embedding_
        perplexity = min(float(self.perplexity), len(old))
        return rows_of(points, size=_PLACED).collect(_place, self.affinities_, perplexity, self._similarity(), old)

    @property
    def _n_features_out(self) -> int:
        return self.embedding_.shape[1]


def _place(
    X: Array, kept: None, found: Affinities, perplexity: float, similarity: Similarity, old: Array
) -> tuple[Array, None]:
    """The places of a block of new points among the ``old``."""
    P = affinities_to(found, X, perplexity)
    schedule = Schedule(learning_rate=0.1, max_iter=250)
    states = descend(FrozenObjective(P, similarity, old), P @ old, schedule)
    return deque(states, maxlen=1)[0].embedding, None
