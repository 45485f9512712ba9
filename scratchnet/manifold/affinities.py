"""From points to affinities: how likely i would pick j as its neighbour.

p_j|i = exp(-beta_i d_ij^2) / sum_k exp(-beta_i d_ik^2), p_i|i = 0, beta_i = 1 / (2 sigma_i^2). Each beta_i is found
such that the entropy of p_.|i is the logarithm of the perplexity, the effective number of neighbours (8.1; Hinton and
Roweis, Stochastic neighbor embedding, 2002). The joint affinities of symmetric SNE and t-SNE are
p_ij = (p_j|i + p_i|j) / 2n; they sum to one.

Only beta and the normaliser of each row are kept. Any block of affinities is computed from the points when it is asked
for, so nothing here holds n^2 numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from scratchnet.backend import Array, Module, get_xp, to_numpy
from scratchnet.distances import DistancesTo
from scratchnet.manifold.perplexity import SAME, SearchLimits, calibrate
from scratchnet.rows import n_threads, rows_from
from scratchnet.validation import check_array, check_choice, check_number

__all__ = [
    "METRICS",
    "Affinities",
    "AffinityReport",
    "Pairs",
    "affinities",
    "affinities_to",
    "affinity_report",
    "search_memory",
    "set_self",
]

METRICS = ("euclidean", "cosine", "precomputed")
_BLOCK = 256  # rows of distances at a time
_FAR = 5  # median distances to a nearest neighbour, from which on a point is called an outlier


@dataclass(frozen=True)
class AffinityReport:
    """What the affinities say about the data; ``print`` it. The last three are indices of points.

    Attributes
    ----------
    n : int
    perplexity : float
    beta : (float, float)
        The smallest and the largest.
    entropy_error : float
        Largest difference between a point's entropy and log(perplexity), in nats.
    not_reached : (a,)
        No bandwidth gives them the perplexity: more neighbours than that are equally near.
    duplicates : (b,)
        Another point is at the same place, up to rounding.
    outliers : (c,)
        Their nearest neighbour is over 5 times as far away as the median point's.
    """

    n: int
    perplexity: float
    beta: tuple[float, float]
    entropy_error: float
    not_reached: np.ndarray
    duplicates: np.ndarray
    outliers: np.ndarray

    def __str__(self) -> str:
        found = f"{self.n} points, perplexity {self.perplexity:g}, beta {self.beta[0]:.3g} to {self.beta[1]:.3g}"
        lines = [f"{found}, entropy error {self.entropy_error:.1e}"]
        for name in ("not_reached", "duplicates", "outliers"):
            points = getattr(self, name)
            if len(points):
                first = ", ".join(str(i) for i in points[:5]) + (", ..." if len(points) > 5 else "")
                lines.append(f"{name.replace('_', ' ')}: {len(points)} points ({first})")
        return "\n".join(lines)


@dataclass(frozen=True)
class Pairs:
    """Some points (rows) paired with some points (columns): views of all that their affinities are computed from.

    Attributes
    ----------
    rows, columns : slice
        Which of the ``n`` points they are.
    here, there
        The prepared rows, and the distances to the columns.
    of_rows, of_columns : of three arrays
        beta, nearest and log_z of each; see :class:`Affinities`.
    """

    rows: slice
    columns: slice
    here: Array
    there: DistancesTo
    of_rows: tuple[Array, Array, Array]
    of_columns: tuple[Array, Array, Array]
    n: int
    dtype: Any

    def conditional(self) -> Array:
        """p_j|i for i in ``rows``, j in ``columns``, in ``dtype``."""
        return _gaussian(self._distances(), *self.of_rows, self.dtype)

    def joint(self) -> Array:
        """p_ij = (p_j|i + p_i|j) / 2n for i in ``rows``, j in ``columns``, in ``dtype``."""
        d = self._distances()
        p_j_i, p_i_j = _gaussian(d, *self.of_rows, self.dtype), _gaussian(d.T, *self.of_columns, self.dtype).T
        return (p_j_i + p_i_j) / (2 * self.n)

    def _distances(self) -> Array:
        d = self.there.between(self.here)
        set_self(d, self.rows.start, self.columns.start, np.inf)  # a point is not its own neighbour
        return d


@dataclass(frozen=True)
class Affinities:
    """The affinities of n points: what is needed to compute any block of them. All arrays are (n,) float64.

    Attributes
    ----------
    distances : DistancesTo
        To the points.
    dtype : dtype
        Of the blocks.
    perplexity : float
    beta
        1 / (2 sigma_i^2).
    nearest
        Squared distance to the nearest neighbour.
    log_z
        log sum_j exp(-beta_i (d_ij^2 - nearest_i)).
    entropy
        Of p_.|i in nats; the logarithm of the perplexity, unless too many neighbours are equally near.
    """

    distances: DistancesTo
    dtype: Any
    perplexity: float
    beta: Array
    nearest: Array
    log_z: Array
    entropy: Array

    def __len__(self) -> int:
        return len(self.beta)

    def pairs(self, rows: slice, columns: slice) -> Pairs:
        """The pairs of these points, with what their affinities need; nothing is computed or copied."""
        here, there = self.distances.points[rows], self.distances
        if self.distances.metric == "precomputed":
            here = here[:, columns]
        if columns != slice(0, len(self)):
            there = there.part(columns)
        of_rows, of_columns = ((self.beta[i], self.nearest[i], self.log_z[i]) for i in (rows, columns))
        return Pairs(rows, columns, here, there, of_rows, of_columns, len(self), self.dtype)

    def conditional(self, rows: slice, columns: slice) -> Array:
        """p_j|i for i in ``rows``, j in ``columns``, in ``dtype``."""
        return self.pairs(rows, columns).conditional()

    def joint(self, rows: slice, columns: slice) -> Array:
        """p_ij = (p_j|i + p_i|j) / 2n for i in ``rows``, j in ``columns``, in ``dtype``."""
        return self.pairs(rows, columns).joint()

    def report(self) -> AffinityReport:
        """What is odd about the data, known before any embedding."""
        entropy, beta, nearest = (to_numpy(a) for a in (self.entropy, self.beta, self.nearest))
        apart = np.sqrt(nearest)
        typical = np.median(apart[apart > 0]) if apart.any() else 0.0
        off = np.abs(entropy - np.log(self.perplexity))
        return AffinityReport(
            n=len(self),
            perplexity=self.perplexity,
            beta=(float(beta.min()), float(beta.max())),
            entropy_error=float(off.max()),
            not_reached=np.flatnonzero(off > 1e-5),
            duplicates=np.flatnonzero(nearest == 0),
            outliers=np.flatnonzero(apart > _FAR * typical),
        )


def affinity_report(X: ArrayLike, perplexity: float = 30.0, metric: str = "euclidean") -> AffinityReport:
    """What is odd about the data X (n, n_features), before any embedding.

    Parameters
    ----------
    X, perplexity, metric
        As in :class:`~scratchnet.manifold.TSNE`.

    Raises
    ------
    ValueError
        As :func:`affinities` does.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((50, 3))
    >>> X[7], X[20] = 100, X[21]
    >>> report = affinity_report(X, perplexity=10)
    >>> report.outliers, report.duplicates
    (array([7]), array([20, 21]))
    """
    check_choice(metric, "metric", METRICS)
    return affinities(check_array(X, min_samples=2), check_number(perplexity, "perplexity"), metric).report()


def affinities(X: Array, perplexity: float, metric: str = "euclidean") -> Affinities:
    """Find every point's beta.

    Parameters
    ----------
    X : (n, n_features), or (n, n) distances where ``metric`` is "precomputed"
        The affinities are computed in its dtype; their sums, and distances, in float64.
    perplexity : float
        exp(entropy) of each p_.|i, the effective number of neighbours, in [1, n - 1].
    metric : {"euclidean", "cosine", "precomputed"}

    Raises
    ------
    ValueError
        If the perplexity is above n - 1, the number of neighbours; if X does not hold distances, or its squares
        overflow.
    """
    n, xp = len(X), get_xp(X)
    if not 1 <= perplexity <= n - 1:
        raise ValueError(
            f"perplexity={perplexity:g} must be between 1 and n_samples - 1 = {n - 1}: it is the effective number of "
            f"neighbours, and each of the n_samples={n} samples has {n - 1}"
        )
    distances = DistancesTo(X, metric, same=SAME)
    rows = rows_from([(distances.points[i : i + _BLOCK], i) for i in range(0, n, _BLOCK)], xp)
    nearest, beta, log_z, entropy = rows.collect(_search, distances, perplexity, X.dtype)
    return Affinities(distances, X.dtype, perplexity, beta, nearest, log_z, entropy)


def _search(
    block: tuple[Array, int], kept: None, distances: DistancesTo, perplexity: float, dtype: Any
) -> tuple[tuple[Array, ...], None]:
    """(nearest, beta, log_z, entropy) of a block of points, the first of which is point ``start``."""
    (points, start), n = block, len(distances)
    d = distances.between(points)
    set_self(d, start, 0, np.inf)
    nearest = d.min(axis=1)
    set_self(d, start, 0, nearest)
    return (nearest, *calibrate(d, perplexity, n - 1, dtype, SearchLimits())), None


def search_memory(n: int, xp: Module) -> int:
    """Bytes that the search for n betas holds at once, beside the points."""
    return 32 * min(_BLOCK * n_threads(), n) * n if xp is np else 32 * _BLOCK * n


def affinities_to(old: Affinities, X_new: Array, perplexity: float) -> Array:
    """(m, n): p_j|i of new points i over the ``old`` points j, in the dtype of the old."""
    d = old.distances.between(old.distances.prepare(X_new))
    nearest = d.min(axis=1)
    beta, log_z, _ = calibrate(d, perplexity, len(old), old.dtype, SearchLimits())
    return _gaussian(d, beta, nearest, log_z, old.dtype)


def _gaussian(d: Array, beta: Array, nearest: Array, log_z: Array, dtype: Any) -> Array:
    """p_j|i = exp(-beta_i (d_ij - nearest_i)) / Z_i; the exponent in float64."""
    exponent = beta[:, None] * (nearest[:, None] - d) - log_z[:, None]
    return get_xp(d).exp(exponent.astype(dtype))


def set_self(block: Array, first_row: int, first_column: int, value: Array | float) -> None:
    """Set the entries of ``block`` where row and column are the same point."""
    start, stop = max(first_row, first_column), min(first_row + block.shape[0], first_column + block.shape[1])
    if start < stop:
        same = get_xp(block).arange(start, stop)
        block[same - first_row, same - first_column] = value
