"""Agglomerative clustering: the two closest clusters merge, until one is left."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from scratchnet.backend import Array, asarray, to_numpy
from scratchnet.base import Estimator, progress
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

    def fit(self, X: Any, y: Any = None) -> Self:
        """Build the tree of X (n_samples, n_features), and cut it."""
        fresh, X = self._prepare(X)
        states = self._merges(fresh, X)
        deque(progress(states, total=len(X) - 1, description="merges", verbose=self.verbose), maxlen=0)
        return self

    def steps(self, X: Any) -> Iterator[Merge]:
        """Fit like :meth:`fit`, yielding every :class:`Merge`, in the order in which they are found: not by height.

        Some of the merges are no tree, nor a level of one. So the fitted attributes come all at once, when the last
        merge is done; a loop that is left early leaves the estimator as it was: not fitted, or with its former tree.
        """
        yield from self._merges(*self._prepare(X))

    def _prepare(self, X: Any) -> tuple[Self, Array]:
        """An estimator to fit in this one's place, and X, checked and on the backend."""
        fresh = type(self)(**self.get_params())
        check_choice(self.linkage, "linkage", LINKAGES)
        X = fresh._check_fit(X)
        n = len(X)
        self._check_cut(self.n_clusters, self.distance_threshold, n)
        itemsize, what = X.dtype.itemsize, f"the distances between all points, in {X.dtype},"
        check_memory(lambda n: n * (n - 1) // 2 * itemsize, n, np, what)
        check_range(X, squared=self.linkage == "ward")
        return fresh, X

    def _merges(self, fresh: Self, X: Array) -> Iterator[Merge]:
        n = len(X)
        condensed = condensed_distances(X, squared=fresh.linkage == "ward")
        merges = []
        if fresh.linkage == "single":
            found = minimum_spanning_tree(condensed, n)
        else:
            found = nearest_neighbor_chain(condensed, n, fresh.linkage)
        for merge in found:
            merges.append(merge)
            yield merge
        fresh._keep(dendrogram(merges, n))
        self._become(fresh)

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

    def fit_predict(self, X: Any, y: Any = None) -> Array:
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
