"""Linear decompositions: principal component analysis."""

from scratchnet.decomposition.pca import PCA, PCAState

__all__ = ["PCA", "PCAState"]
