"""Clustering: by centroids (k-means), by connectivity (agglomerative), by graphs (cliques)."""

from scratchnet.cluster.cliques import epsilon_graph, k_neighbor_graph, maximal_cliques
from scratchnet.cluster.hierarchical import AgglomerativeClustering
from scratchnet.cluster.kmeans import KMeans, LloydState

__all__ = [
    "AgglomerativeClustering",
    "KMeans",
    "LloydState",
    "epsilon_graph",
    "k_neighbor_graph",
    "maximal_cliques",
]
