"""Clustering: k-means by centroids."""

from scratchnet.cluster.kmeans import KMeans, LloydState

__all__ = ["KMeans", "LloydState"]
