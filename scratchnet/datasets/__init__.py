"""Data: the embedded digits, loaders for the full sets and for your own files, and synthetic data."""

from scratchnet.datasets.idx import read_idx
from scratchnet.datasets.mnist import cache_folder, load_fashion_mnist, load_mnist
from scratchnet.datasets.synthetic import make_blobs, make_ring, make_swiss_roll
from scratchnet.datasets.table import load_table

__all__ = [
    "cache_folder",
    "load_fashion_mnist",
    "load_mnist",
    "load_table",
    "make_blobs",
    "make_ring",
    "make_swiss_roll",
    "read_idx",
]
