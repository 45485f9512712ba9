"""Agglomerative clustering: the two closest clusters merge, until one is left."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from scratchnet.backend import Array, asarray, to_numpy
from scratchnet.base import Estimator
from scratchnet.cluster.linkage import (
    Merge,
    check_range,
    condensed_distances,
    cut,
    dendrogram,
    minimum_spanning_tree,
    nearest_neighbor_chain,
)
from scratchnet.memory import check_memory
from scratchnet.validation import check_choice, check_integer, check_number

__all__ = ["LINKAGES", "AgglomerativeClustering"]

LINKAGES = ("ward", "complete", "average", "single")


class AgglomerativeClustering(Estimator):
    """Hierarchical clustering: every point is a cluster at first, then the two closest clusters merge, n - 1 times.

    What "closest" means is the linkage, for clusters A and B with means a and b:

    - "single": min |x - y| over x in A, y in B;
    - "complete": max |x - y|;
    - "average": mean |x - y|;
    - "ward": sqrt(2 |A| |B| / (|A| + |B|)) |a - b|. Half its square is what the merge adds to the objective of k-means.

    The tree is built once. :meth:`cut` reads any clustering off it.

    Parameters
    ----------
    n_clusters : int or None
    linkage : {"ward", "complete", "average", "single"}
    distance_threshold : float, optional
        Cut the tree here instead of at ``n_clusters``: merges of this height or more do not happen.
    backend : str, optional
        Where distances are computed, by default the current backend. The tree is built on the host.
    verbose : int
        1 shows a progress bar.

    Attributes
    ----------
    labels_ : (n_samples,) integers
        Clusters, numbered by their first point.
    n_clusters_ : int
    linkage_matrix_ : (n_samples - 1, 4) float64
        The tree in SciPy's format: the two clusters that merge, the height, the number of points. Points are clusters
        0 .. n - 1, row k makes cluster n + k, heights never fall.
    children_ : (n_samples - 1, 2) integers
    distances_ : (n_samples - 1,) float64
        Columns of it: the clusters, the heights.

    Notes
    -----
    Takes n (n - 1) / 2 numbers of X's type. If that is more than the available memory, a MemoryError says so, and which
    n would fit, before anything is allocated.

    Examples
    --------
    >>> model = AgglomerativeClustering(2, linkage="average").fit([[0.0], [1], [4], [6]])
    >>> model.labels_
    array([0, 0, 1, 1])
    >>> model.linkage_matrix_.tolist()
    [[0.0, 1.0, 1.0, 2.0], [2.0, 3.0, 2.0, 2.0], [4.0, 5.0, 4.5, 4.0]]
    >>> model.cut(3)
    array([0, 0, 1, 2])
    """

    _estimator_type = "clusterer"

    labels_: Array
    n_clusters_: int
    linkage_matrix_: Array
    children_: Array
    distances_: Array

    def __init__(
        self,
        n_clusters: int | None = 2,
        *,
        linkage: str = "ward",
        distance_threshold: float | None = None,
        backend: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.linkage = linkage
        self.distance_threshold = distance_threshold
        self.backend = backend
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Build the tree of X, and cut it.

        Parameters
        ----------
        X : array_like (n_samples, n_features)
        y : ignored

        Raises
        ------
        ValueError, TypeError
            For parameters or data that cannot be used.
        MemoryError
            If the distances between all points do not fit.
        """
        fresh = self._fresh()
        x = fresh._prepare(X)
        return self._drain(self._adopt(fresh, fresh._merges(x)), total=len(x) - 1)

    def steps(self, X: ArrayLike) -> Iterator[Merge]:
        """Fit like :meth:`fit`, yielding every :class:`Merge`, in the order in which they are found: not by height.

        Some of the merges are not a tree, nor a level of one. So the fitted attributes come all at once, when the last
        merge is done; a loop that is left early leaves the estimator as it was: not fitted, or with its former tree.
        """
        fresh = self._fresh()
        return self._adopt(fresh, fresh._merges(fresh._prepare(X)))

    def _prepare(self, X: ArrayLike) -> Array:
        """Everything checked; X on the backend."""
        check_choice(self.linkage, "linkage", LINKAGES)
        x = self._check_fit(X)
        self._check_cut(self.n_clusters, self.distance_threshold, len(x))
        itemsize, what = x.dtype.itemsize, f"the distances between all points, in {x.dtype},"
        check_memory(lambda n: n * (n - 1) // 2 * itemsize, len(x), np, what)
        check_range(x, squared=self.linkage == "ward")
        return x

    def _merges(self, X: Array) -> Generator[Merge]:
        n, began, merges = len(X), time.perf_counter(), list[Merge]()
        condensed = condensed_distances(X, squared=self.linkage == "ward")
        if self.linkage == "single":
            found = minimum_spanning_tree(condensed, n)
        else:
            found = nearest_neighbor_chain(condensed, n, self.linkage)
        for merge in found:
            merges.append(merge._replace(iteration=len(merges) + 1, seconds=time.perf_counter() - began))
            yield merges[-1]
        self._keep(dendrogram(merges, n))
        self._usable = True

    def _keep(self, tree: np.ndarray) -> None:
        self.linkage_matrix_ = asarray(tree, xp=self._xp)
        self.children_ = asarray(tree[:, :2].astype(np.int64), xp=self._xp)
        self.distances_ = asarray(tree[:, 2].copy(), xp=self._xp)
        self.labels_ = self.cut(self.n_clusters, self.distance_threshold)
        self.n_clusters_ = int(self.labels_.max()) + 1

    def cut(self, n_clusters: int | None = None, distance_threshold: float | None = None) -> Array:
        """The labels (n_samples,) of ``n_clusters`` clusters, or of those at the height ``distance_threshold``."""
        self._check_is_fitted()
        tree = to_numpy(self.linkage_matrix_)
        self._check_cut(n_clusters, distance_threshold, len(tree) + 1)
        if distance_threshold is not None:
            n_merges = int((tree[:, 2] < distance_threshold).sum())
        else:
            n_merges = len(tree) + 1 - int(n_clusters)  # type: ignore[arg-type]  # checked above
        return asarray(cut(tree, n_merges), xp=self._xp)

    def fit_predict(self, X: ArrayLike, y: object = None) -> Array:
        """``fit(X).labels_``."""
        return self.fit(X).labels_

    @staticmethod
    def _check_cut(n_clusters: int | None, distance_threshold: float | None, n: int) -> None:
        if distance_threshold is not None:
            check_number(distance_threshold, "distance_threshold", minimum=0)
        elif n_clusters is None:
            raise ValueError("n_clusters=None and distance_threshold=None: one of them must say where to cut the tree")
        elif check_integer(n_clusters, "n_clusters") > n:
            raise ValueError(f"n_clusters={n_clusters} is more than n_samples={n}; ask for fewer clusters")
