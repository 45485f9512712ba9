"""Neighbour embedding: SNE, symmetric SNE and t-SNE, exact; and what their affinities say about the data."""

from scratchnet.manifold.affinities import AffinityReport, affinity_report
from scratchnet.manifold.methods import SNE, TSNE, SymmetricSNE

__all__ = ["SNE", "TSNE", "AffinityReport", "SymmetricSNE", "affinity_report"]
