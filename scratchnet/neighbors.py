"""Nearest neighbours by brute force: exact, and one matrix product per block of rows."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from scratchnet.backend import Array, asarray, get_xp, to_numpy
from scratchnet.base import DataConversionWarning, Estimator, as_scikit_learn_knows
from scratchnet.distances import DistancesTo
from scratchnet.rows import rows_of, rows_per_block
from scratchnet.validation import check_integer

__all__ = ["KNeighborsClassifier", "check_labels", "count_votes", "nearest_neighbors"]


def nearest_neighbors(X: Array, n_neighbors: int, among: Array | None = None) -> tuple[Array, Array]:
    """The ``n_neighbors`` nearest rows of ``among`` for each row of X: indices and distances (n, n_neighbors).

    Nearest first. Without ``among`` they are sought among the other rows of X: a point is not its own neighbour.
    Distances are computed in float64.

    Parameters
    ----------
    X : (n, n_features)
    n_neighbors : int
        At most the number of rows to choose from.
    among : (m, n_features), optional

    Examples
    --------
    >>> index, distance = nearest_neighbors(np.array([[0.0], [1], [3]]), 2)
    >>> index.tolist(), distance.tolist()
    ([[1, 2], [0, 2], [1, 0]], [[1.0, 3.0], [1.0, 2.0], [2.0, 3.0]])
    """
    others = X if among is None else among
    xp, m = get_xp(X, others), len(others)
    distances = DistancesTo(others)
    k = check_integer(n_neighbors, "n_neighbors", maximum=m - (among is None))
    rows = rows_of(X, xp.arange(len(X)), size=rows_per_block(X, m))
    index, distance = rows.collect(_nearest, distances, k, among is None)
    return index, distance


def _nearest(
    block: tuple[Array, Array], kept: Any, distances: DistancesTo, k: int, among_themselves: bool
) -> tuple[tuple[Array, Array], Any]:
    """Indices and distances (m, k) of the k nearest for every row of a block."""
    (x, number), xp, m = block, get_xp(block[0]), len(distances)
    d = distances(x)
    if among_themselves:
        d[xp.arange(len(x)), number] = np.inf
    found = xp.argpartition(d, k - 1, axis=1)[:, :k] if k < m else xp.broadcast_to(xp.arange(m), d.shape)
    d = xp.take_along_axis(d, found, axis=1)
    order = d.argsort(axis=1)
    return (xp.take_along_axis(found, order, axis=1), xp.sqrt(xp.take_along_axis(d, order, axis=1))), kept


def count_votes(codes: Array, n_classes: int) -> Array:
    """How often each class 0 .. n_classes - 1 occurs in each row of ``codes`` (n, k): (n, n_classes) float64."""
    xp = get_xp(codes)
    votes = xp.zeros((len(codes), n_classes))
    for column in codes.T:
        votes += column[:, None] == xp.arange(n_classes)
    return votes


class KNeighborsClassifier(Estimator):
    """The class that most of the k nearest training points have; ties go to the first class in order.

    Parameters
    ----------
    n_neighbors : int
        k.
    backend : str, optional
        Where to compute, by default the current backend.

    Attributes
    ----------
    classes_ : (n_classes,) NumPy array
        The labels seen, sorted; they may be strings.

    Examples
    --------
    >>> model = KNeighborsClassifier(3).fit([[0.0], [1], [2], [8], [9]], ["low", "low", "low", "high", "high"])
    >>> model.predict([[1.5], [7.0]]).tolist()
    ['low', 'high']
    >>> model.predict_proba([[7.0]]).round(2)
    array([[0.67, 0.33]])
    """

    _estimator_type = "classifier"
    _requires_y = True

    classes_: np.ndarray

    def __init__(self, n_neighbors: int = 5, *, backend: str | None = None) -> None:
        self.n_neighbors = n_neighbors
        self.backend = backend

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Remember X and its labels.

        Parameters
        ----------
        X : array_like (n, n_features)
        y : array_like (n,)
            Integers, strings or booleans.

        Raises
        ------
        ValueError, TypeError
            For data or labels that cannot be used, or fewer rows than neighbours.
        """
        fresh = self._fresh()
        fresh._remember(X, y)
        return self._become(fresh)

    def _remember(self, X: Any, y: Any) -> None:
        if y is None:
            raise ValueError("KNeighborsClassifier requires y to be passed, but the target y is None")
        y = check_labels(y, "y")
        X = self._check_fit(X)
        if len(y) != len(X):
            raise ValueError(f"y has {len(y)} labels, but X has n_samples={len(X)}: pass one per row")
        if check_integer(self.n_neighbors, "n_neighbors") > len(X):
            raise ValueError(f"n_neighbors={self.n_neighbors} is more than n_samples={len(X)}; ask for fewer")
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._X, self._codes = X.copy(), asarray(codes, xp=get_xp(X))

    def predict_proba(self, X: ArrayLike) -> Array:
        """The share of each class among the k nearest neighbours: (n, n_classes) float64."""
        X = self._check(X)
        neighbors = nearest_neighbors(X, self.n_neighbors, among=self._X)[0]
        return count_votes(self._codes[neighbors], len(self.classes_)) / self.n_neighbors

    def predict(self, X: ArrayLike) -> Array:
        """The most frequent class among the neighbours: (n,). Labels that are not numbers come as a NumPy array."""
        best = self.predict_proba(X).argmax(axis=1)
        if self.classes_.dtype.kind in "biuf":
            return asarray(self.classes_, xp=get_xp(best))[best]
        return self.classes_[to_numpy(best)]

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """The share of rows whose class is predicted correctly."""
        return float(np.mean(to_numpy(self.predict(X)) == check_labels(y, "y")))


def check_labels(y: ArrayLike, name: str) -> np.ndarray:
    """Class labels as a 1-D NumPy array, or an error that names the argument."""
    y = to_numpy(y)
    if y.ndim == 2 and y.shape[1] == 1:
        message = f"A column-vector y was passed when a 1d array was expected; pass {name}.ravel()"
        warnings.warn(message, as_scikit_learn_knows(DataConversionWarning), stacklevel=3)
        y = y.ravel()
    if y.ndim != 1:
        raise ValueError(f"{name} must be 1-D, one label per row, got shape {y.shape}")
    if len(y) == 0:
        raise ValueError(f"{name} is empty")
    if y.dtype.kind == "O":
        try:
            np.unique(y)
        except TypeError as error:
            raise TypeError(f"{name} mixes labels that have no order ({error}); make them all of one type") from None
    if y.dtype.kind == "f":
        if not np.isfinite(y).all():
            raise ValueError(f"{name} contains NaN or infinity")
        if (y != np.floor(y)).any():
            raise ValueError(
                f"Unknown label type: {name} is continuous; class labels are integers, strings or booleans"
            )
    return y
