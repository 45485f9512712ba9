"""Nearest neighbours by brute force: exact, and one matrix product a block of rows."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np

from scratchnet import blocks
from scratchnet.backend import Array, asarray, get_xp, to_numpy
from scratchnet.base import DataConversionWarning, Estimator, all_or_nothing, as_scikit_learn_knows
from scratchnet.distances import DistancesTo
from scratchnet.validation import check_integer


def nearest_neighbors(X: Array, n_neighbors: int, among: Array | None = None) -> tuple[Array, Array]:
    """The ``n_neighbors`` nearest rows of ``among`` for each row of X: indices and distances (n, n_neighbors).

    Nearest first. Without ``among`` they are sought among the other rows of X: no row is its own neighbour. Distances
    are computed in float64.

    Parameters
    ----------
    X : (n, n_features)
    n_neighbors : int
        At most the number of rows to choose from.
    among : (m, n_features), optional
    """
    others = X if among is None else among
    xp, m = get_xp(X, others), len(others)
    distances = DistancesTo(others)
    k = check_integer(n_neighbors, "n_neighbors", maximum=m - (among is None))

    def block(x: Array, row: Array) -> tuple[Array, Array]:
        d = distances(x)
        if among is None:
            d[xp.arange(len(x)), row] = np.inf
        found = xp.argpartition(d, k - 1, axis=1)[:, :k] if k < m else xp.broadcast_to(xp.arange(m), d.shape)
        d = xp.take_along_axis(d, found, axis=1)
        order = d.argsort(axis=1)
        return xp.take_along_axis(found, order, axis=1), xp.sqrt(xp.take_along_axis(d, order, axis=1))

    found = blocks.map(block, X, xp.arange(len(X)), size=blocks.rows_per_block(X, m))
    return xp.concatenate([i for i, _ in found]), xp.concatenate([d for _, d in found])


def count_votes(codes: Array, n_classes: int) -> Array:
    """How often each class 0 .. n_classes - 1 stands in each row of ``codes`` (n, k): (n, n_classes) float64."""
    xp = get_xp(codes)
    votes = xp.zeros((len(codes), n_classes))
    for column in codes.T:
        votes += column[:, None] == xp.arange(n_classes)
    return votes


class KNeighborsClassifier(Estimator):
    """The class that most of the k nearest training points have; the first in order where several are as frequent.

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
    """

    _estimator_type = "classifier"
    _requires_y = True

    classes_: np.ndarray

    def __init__(self, n_neighbors: int = 5, *, backend: str | None = None) -> None:
        self.n_neighbors = n_neighbors
        self.backend = backend

    @all_or_nothing
    def fit(self, X: Any, y: Any) -> Self:
        """Remember X (n, n_features) and its labels y (n,)."""
        if y is None:
            raise ValueError("KNeighborsClassifier requires y to be passed, but the target y is None")
        y = check_labels(y, "y")
        X = self._check_fit(X)
        if len(y) != len(X):
            raise ValueError(f"y has {len(y)} labels, but X has n_samples={len(X)}: pass one a row")
        if check_integer(self.n_neighbors, "n_neighbors") > len(X):
            raise ValueError(f"n_neighbors={self.n_neighbors} is more than n_samples={len(X)}; ask for fewer")
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._X, self._codes = X.copy(), asarray(codes, xp=get_xp(X))
        return self

    def predict_proba(self, X: Any) -> Array:
        """The share of each class among the k nearest neighbours: (n, n_classes) float64."""
        X = self._check(X)
        neighbors = nearest_neighbors(X, self.n_neighbors, among=self._X)[0]
        return count_votes(self._codes[neighbors], len(self.classes_)) / self.n_neighbors

    def predict(self, X: Any) -> Array:
        """The most frequent class among the neighbours: (n,). Labels that are no numbers come as a NumPy array."""
        best = self.predict_proba(X).argmax(axis=1)
        if self.classes_.dtype.kind in "biuf":
            return asarray(self.classes_, xp=get_xp(best))[best]
        return self.classes_[to_numpy(best)]

    def score(self, X: Any, y: Any) -> float:
        """The share of rows whose class is predicted right."""
        return float(np.mean(to_numpy(self.predict(X)) == check_labels(y, "y")))


def check_labels(y: Any, name: str) -> np.ndarray:
    """Class labels as a 1-D NumPy array, or an error that names the argument."""
    y = to_numpy(y)
    if y.ndim == 2 and y.shape[1] == 1:
        message = f"A column-vector y was passed when a 1d array was expected; pass {name}.ravel()"
        warnings.warn(message, as_scikit_learn_knows(DataConversionWarning), stacklevel=3)
        y = y.ravel()
    if y.ndim != 1:
        raise ValueError(f"{name} must be 1-D, one label a row, got shape {y.shape}")
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
