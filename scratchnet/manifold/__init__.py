"""Neighbour embedding: SNE, symmetric SNE and t-SNE, exact."""

from scratchnet.manifold.sne import TSNE

__all__ = ["TSNE"]
