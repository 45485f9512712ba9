"""Neighbour embedding: SNE, symmetric SNE and t-SNE, exact."""

from scratchnet.manifold.embedding import SNE, TSNE, SymmetricSNE

__all__ = ["SNE", "TSNE", "SymmetricSNE"]
