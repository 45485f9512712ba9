"""Linear decompositions: principal component analysis."""

from scratchnet.decomposition.pca import PCA

__all__ = ["PCA"]
