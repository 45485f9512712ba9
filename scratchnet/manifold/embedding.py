"""What the estimators SNE, SymmetricSNE and TSNE share: from data to picture. They are in :mod:`.methods`, the
mathematics is in :mod:`.sne`."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from scratchnet import blocks
from scratchnet.backend import Array, RandomState, Rng, asarray, get_xp, runs_kernels
from scratchnet.base import Estimator, TransformerMixin, all_or_nothing, progress
from scratchnet.decomposition import PCA
from scratchnet.distances import squared_differences
from scratchnet.kernels.cuda.tsne import DIMENSIONS
from scratchnet.manifold.affinities import METRICS, Affinities, affinities, affinities_to, search_memory
from scratchnet.manifold.packed import PackedObjective
from scratchnet.manifold.rows import RowObjective
from scratchnet.manifold.sne import (
    DenseObjective,
    EmbeddingState,
    FrozenObjective,
    Kernel,
    Objective,
    Student,
    descend,
    springs,
)
from scratchnet.manifold.tiles import TILE, TiledObjective
from scratchnet.memory import check_memory, fits
from scratchnet.validation import check_array, check_choice, check_integer, check_number

_PLACED = 256  # new points at a time
_LONG = 300  # iterations, after which a descent should have led downhill
_DENSE = 8  # matrices of n^2 numbers that the dense formulas hold at once, P among them


@dataclass(repr=False, eq=False)
class NeighbourEmbedding(TransformerMixin, Estimator, ABC):
    """What the three methods share; a subclass says which kernel, and what sums to one.

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

    _by_row: ClassVar[bool] = False
    _has_kernels: ClassVar[bool] = False  # those of :mod:`scratchnet.kernels.cuda.tsne`
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

    @abstractmethod
    def _kernel(self) -> Kernel:
        """The kernel of the embedding."""

    @abstractmethod
    def _automatic_rate(self, n: int) -> float:
        """The learning rate that "auto" stands for."""

    # -- fit ----------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Embed X (n_samples, n_features), or (n, n) distances with metric="precomputed"."""
        total = check_integer(self.max_iter, "max_iter", minimum=0) + 1
        deque(progress(self.steps(X), total=total, description=type(self).__name__, verbose=self.verbose), maxlen=0)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Array:
        """``fit(X).embedding_``. (``transform`` places points among those of ``fit``, which is something else.)"""
        return self.fit(X).embedding_

    def steps(self, X: Any) -> Iterator[EmbeddingState]:
        """The descent, state by state, from the start to ``max_iter``.

        At every state the fitted attributes are those of that state: the loop may be left at any time.

        Examples
        --------
        >>> X = np.random.default_rng(0).standard_normal((40, 5))
        >>> history = [state.kl for state in TSNE(perplexity=9).steps(X) if state.iteration % 50 == 0]
        """
        kl_every, descent, history = self.kl_every, self._prepare(X), dict[int, float]()
        self._state = None
        try:
            for state in descent:
                self.embedding_, self.n_iter_, self.kl_history_ = state.embedding, state.iteration, history
                self._state = state
                if state.iteration % kl_every == 0:
                    history[state.iteration] = state.kl
                yield state
        finally:
            if self._state is not None:
                history[self.n_iter_] = self._kl = self._state.kl
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

    @all_or_nothing
    def _prepare(self, X: Any) -> Iterator[EmbeddingState]:
        """The descent that ``steps`` runs, after everything is checked and the affinities are known."""
        k = check_integer(self.n_components, "n_components")
        exaggeration = check_number(self.early_exaggeration, "early_exaggeration", minimum=1.0)
        max_iter = check_integer(self.max_iter, "max_iter", minimum=0)
        perplexity = check_number(self.perplexity, "perplexity")
        check_integer(self.kl_every, "kl_every")
        min_grad_norm = check_number(self.min_grad_norm, "min_grad_norm", minimum=0.0)
        check_choice(self.metric, "metric", METRICS)
        kernel, jitter = self._kernel(), check_number(getattr(self, "jitter", 0.0), "jitter", minimum=0.0)
        X = self._check_fit(X, min_samples=2)
        n, dtype, rng = len(X), X.dtype, Rng(self.random_state, get_xp(X))
        self._check_memory(X)

        if self.learning_rate == "auto":
            self.learning_rate_ = self._automatic_rate(n)
        else:
            self.learning_rate_ = check_number(self.learning_rate, "learning_rate", minimum=0.0, open_minimum=True)
        Y = self._start(X, k, rng)
        self.affinities_ = affinities(X, perplexity, self.metric)
        self.beta_ = self.affinities_.beta.astype(dtype)
        if self.verbose:
            scale = f" = {self._rate}" if self.learning_rate == "auto" else ""
            print(f"{self.affinities_.report()}\nlearning rate {self.learning_rate_:g}{scale}")
        return descend(
            self._objective(kernel),
            Y,
            learning_rate=self.learning_rate_,
            max_iter=max_iter,
            exaggeration=exaggeration,
            min_grad_norm=min_grad_norm,
            jitter=jitter,
            rng=rng.host,
            look_every=self.kl_every,
        )

    def _objective(self, kernel: Kernel) -> Objective:
        found, n = self.affinities_, len(self.affinities_)
        if self._by_row:
            return RowObjective(found.conditional, n, kernel, get_xp(found.beta))
        if self._is_packed(found.beta):
            assert isinstance(kernel, Student)
            return self._packed_objective(kernel, found)
        if get_xp(found.beta) is np:
            return TiledObjective(found.joint, n, getattr(kernel, "dof", None), found.dtype)
        return DenseObjective(found.joint(slice(0, n), slice(0, n)), kernel)

    def _packed_objective(self, kernel: Student, found: Affinities) -> PackedObjective:
        xp, n = get_xp(found.beta), len(found)
        needed = PackedObjective.memory(n, self.n_components, found.dtype.itemsize)
        if not (keep := fits(needed, xp)):
            warnings.warn(
                f"the affinities of n_samples={n} take {needed / 2**30:.1f} GiB, more than the device has left: they "
                "are computed anew in every iteration, which takes many times as long. Fewer columns help (PCA(50) "
                "first), and fewer rows" + (", and float32" if found.dtype.itemsize > 4 else ""),
                stacklevel=2,
            )
        return PackedObjective(found.joint, n, kernel.dof, found.dtype, xp, keep)

    def _is_packed(self, X: Array) -> bool:
        """Whether the kernels of t-SNE take over: on a GPU, in few dimensions."""
        return self._has_kernels and runs_kernels(X) and self.n_components in DIMENSIONS

    def _check_memory(self, X: Array) -> None:
        xp, itemsize = get_xp(X), X.dtype.itemsize

        def needed(n: int) -> float:
            """Bytes: the points in float64, P, and what the search or (by row) an iteration holds beside it."""
            points = 8 * n * (n if self.metric == "precomputed" else X.shape[1])
            search = search_memory(n, xp)
            if self._is_packed(X):
                return points + max(PackedObjective.memory(n, self.n_components, itemsize, keep=False), search)
            if self._by_row:
                return points + n**2 * itemsize + search
            matrices = (1 + TILE / n) / 2 if xp is np else _DENSE
            return points + max(matrices * n**2 * itemsize, search)

        check_memory(needed, len(X), xp, f"exact {type(self).__name__}")

    def _start(self, X: Array, k: int, rng: Rng) -> Array:
        """The first embedding (n, k), in X's dtype and our own: principal components or noise with deviation 1e-4."""
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
        there = int((pca.explained_variance_ > pca._no_variance).sum())
        if there == 0:  # constant data: all at one place, which is where equal points belong
            return xp.zeros_like(Y)
        scores = pca.transform(X)[:, :there]
        Y[:, :there] = scores * (1e-4 / scores[:, 0].std())  # what data of low rank leave empty stays noise
        return Y

    def pair_forces(self) -> tuple[Array, Array, Array]:
        """Of all pairs at ``embedding_``: distance, attraction and repulsion, three of (n, n). (To see crowding.)"""
        everyone, Y = slice(0, len(self.embedding_)), self.embedding_
        P = (self.affinities_.conditional if self._by_row else self.affinities_.joint)(everyone, everyone)
        distance = get_xp(Y).sqrt(squared_differences(Y, Y))
        pull, push = springs(Y, P, self._kernel(), self._by_row)
        return distance, 2 * (pull + pull.T) * distance, 2 * (push + push.T) * distance

    # -- new points ---------------------------------------------------------------------------------------------------

    def transform(self, X: Any) -> Array:
        """Places (m, n_components) for new points X among the embedded ones, which stay where they are.

        Each new point starts at the mean of its neighbours' places, weighted by its affinities to them, and descends
        its own row's KL divergence. So a place does not depend on which other new points come along. With
        metric="precomputed" X holds distances (m, n) to the fitted points.
        """
        X, old, kernel = self._check(X), self.embedding_, self._kernel()
        perplexity = min(float(self.perplexity), len(old))

        def place(X: Array) -> Array:
            P = affinities_to(self.affinities_, X, perplexity)
            states = descend(FrozenObjective(P, kernel, old), P @ old, learning_rate=0.1, max_iter=250)
            return deque(states, maxlen=1)[0].embedding

        return get_xp(X).concatenate(blocks.map(place, X, size=_PLACED))

    @property
    def _n_features_out(self) -> int:
        return self.embedding_.shape[1]
