"""The estimators SNE, symmetric SNE, t-SNE: objective and learning rate of each; the rest is in :mod:`.embedding`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import ClassVar

from scratchnet.backend import Array, get_xp, runs_kernels
from scratchnet.kernels.cuda.tsne import DIMENSIONS
from scratchnet.manifold.affinities import Affinities
from scratchnet.manifold.descent import Schedule
from scratchnet.manifold.embedding import NeighbourEmbedding
from scratchnet.manifold.objectives import JointObjective, Objective, RowObjective
from scratchnet.manifold.sne import GaussianSimilarity, StudentSimilarity, springs
from scratchnet.manifold.tsne_on_gpu import PackedObjective
from scratchnet.memory import fits
from scratchnet.validation import check_number

__all__ = ["SNE", "TSNE", "SymmetricSNE"]


@dataclass(repr=False, eq=False)
class SNE(NeighbourEmbedding):
    """Stochastic neighbour embedding: Gaussians in X and in Y, one KL divergence per point.

    The cost is sum_i KL(P_i || Q_i), q_j|i = exp(-|y_i - y_j|^2) / Z_i (Hinton and Roweis, Stochastic neighbor
    embedding, 2002); ``kl_divergence_`` is this sum. ``learning_rate="auto"`` is 1 / (4 early_exaggeration). All else
    is as in :class:`~scratchnet.manifold.embedding.NeighbourEmbedding`.

    Parameters
    ----------
    jitter : float
        Standard deviation of noise that is added after each step; it falls to 0 in the first half of the iterations.

    Notes
    -----
    The Gaussian pulls the harder the farther apart two points are: early steps may throw an outlier far away before it
    settles. On 30 points, one of them 1e6 away, perplexity 2, KL goes from 80 over 2e5 to 9.0; with learning_rate=0.02
    it only falls, to 9.3.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((40, 5))
    >>> sne = SNE(perplexity=9, max_iter=100).fit(X)
    >>> sne.embedding_.shape, sne.kl_divergence_ < sne.kl_history_[0]
    ((40, 2), True)
    """

    jitter: float = field(default=0.0, kw_only=True)

    _rate: ClassVar[str] = "1 / (4 early_exaggeration)"

    def _similarity(self) -> GaussianSimilarity:
        return GaussianSimilarity()

    def _objective(self, found: Affinities) -> Objective:
        return RowObjective(found, self._similarity())

    def _memory(self, n: int, X: Array, search: float) -> float:
        return RowObjective.memory(n, X.dtype.itemsize) + search  # an iteration holds as much as the search

    def _springs(self, Y: Array) -> tuple[Array, Array]:
        everyone = slice(0, len(Y))
        return springs(Y, self.affinities_.conditional(everyone, everyone), self._similarity(), by_row=True)

    def _schedule(self, n: int) -> Schedule:
        return replace(super()._schedule(n), jitter=check_number(self.jitter, "jitter", minimum=0.0))

    def _automatic_rate(self, n: int) -> float:
        return 1 / (4 * self.early_exaggeration)


@dataclass(repr=False, eq=False)
class SymmetricSNE(NeighbourEmbedding):
    """Symmetric SNE: Gaussians in Y, but one KL divergence over all pairs.

    The cost is KL(P || Q), q_ij = exp(-|y_i - y_j|^2) / Z (Cook, Sutskever, Mnih and Hinton, Visualizing similarity
    data with a mixture of maps, 2007). ``learning_rate="auto"`` is n_samples / (4 early_exaggeration). All else is as
    in :class:`~scratchnet.manifold.embedding.NeighbourEmbedding`.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((40, 5))
    >>> model = SymmetricSNE(perplexity=9, max_iter=100).fit(X)
    >>> model.embedding_.shape, model.kl_divergence_ < model.kl_history_[0]
    ((40, 2), True)
    """

    _rate: ClassVar[str] = "n_samples / (4 early_exaggeration)"

    def _similarity(self) -> GaussianSimilarity:
        return GaussianSimilarity()

    def _objective(self, found: Affinities) -> Objective:
        return JointObjective(found, self._similarity())

    def _memory(self, n: int, X: Array, search: float) -> float:
        return max(JointObjective.memory(n, X.dtype.itemsize, get_xp(X)), search)

    def _springs(self, Y: Array) -> tuple[Array, Array]:
        everyone = slice(0, len(Y))
        return springs(Y, self.affinities_.joint(everyone, everyone), self._similarity())

    def _automatic_rate(self, n: int) -> float:
        return n / (4 * self.early_exaggeration)


@dataclass(repr=False, eq=False)
class TSNE(NeighbourEmbedding):
    """t-distributed stochastic neighbour embedding, exact.

    The cost is KL(P || Q), q_ij = (1 + |y_i - y_j|^2 / dof)^(-(dof + 1)/2) / Z (van der Maaten and Hinton, Visualizing
    data using t-SNE, 2008). ``learning_rate="auto"`` is max(n_samples / (4 early_exaggeration), 50); the gradient
    carries its factor 4. All else is as in :class:`~scratchnet.manifold.embedding.NeighbourEmbedding`.

    Parameters
    ----------
    early_exaggeration : float
        12 by default.
    dof : float
        Degrees of freedom of Student's t: fewer mean heavier tails and tighter clusters; 1 in any dimension
        (scikit-learn: n_components - 1).

    Notes
    -----
    On fewer than 50 points or so the floor of 50 makes long steps: a duplicate may part from its twin, and the descent
    end above what it could reach (KL 1.19, not .36, on the first 29 MNIST digits and one of them again, perplexity 2);
    n_samples / 4 does better there. A descent that ends above its start is reported by a warning.

    12 is what other implementations exaggerate by. On few points it holds the picture small until it ends, and 4, the
    paper's factor, ends lower: at KL .720, not .735, on the first 1000 MNIST digits; at .941, not .984, on 2000.

    P and the descent are in float32, unless X is float64, which doubles time and memory. The same data give the same
    bits for any number of threads. On a GPU that cannot hold P it is recomputed in every iteration, with a warning.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((40, 5))
    >>> tsne = TSNE(perplexity=9, max_iter=100, learning_rate=10).fit(X)
    >>> tsne.embedding_.shape, tsne.kl_divergence_ < tsne.kl_history_[0]
    ((40, 2), True)
    >>> tsne.transform(X[:3]).shape
    (3, 2)
    """

    early_exaggeration: float = field(default=12.0, kw_only=True)
    dof: float = field(default=1.0, kw_only=True)

    _rate: ClassVar[str] = "max(n_samples / (4 early_exaggeration), 50)"

    def _similarity(self) -> StudentSimilarity:
        return StudentSimilarity(check_number(self.dof, "dof", minimum=0.0, open_minimum=True))

    def _objective(self, found: Affinities) -> Objective:
        if not self._is_packed(found.beta):
            return JointObjective(found, self._similarity())
        xp, n = get_xp(found.beta), len(found)
        needed = PackedObjective.memory(n, self.n_components, found.dtype.itemsize)
        if not (keep := fits(needed, xp)):
            warnings.warn(
                f"the affinities of n_samples={n} take {needed / 2**30:.1f} GiB, more than the device has left: they "
                "are recomputed in every iteration, which takes many times as long. Fewer columns help (PCA(50) "
                "first), and fewer rows" + (", and float32" if found.dtype.itemsize > 4 else ""),
                stacklevel=3,
            )
        return PackedObjective(found.joint, n, self._similarity().dof, found.dtype, xp, keep)

    def _is_packed(self, X: Array) -> bool:
        """Whether the kernels of t-SNE take over: on a GPU, in few dimensions."""
        return runs_kernels(X) and self.n_components in DIMENSIONS

    def _memory(self, n: int, X: Array, search: float) -> float:
        if self._is_packed(X):  # P need not be kept
            return max(PackedObjective.memory(n, self.n_components, X.dtype.itemsize, keep=False), search)
        return max(JointObjective.memory(n, X.dtype.itemsize, get_xp(X)), search)

    def _springs(self, Y: Array) -> tuple[Array, Array]:
        everyone = slice(0, len(Y))
        return springs(Y, self.affinities_.joint(everyone, everyone), self._similarity())

    def _automatic_rate(self, n: int) -> float:
        return max(n / (4 * self.early_exaggeration), 50.0)
