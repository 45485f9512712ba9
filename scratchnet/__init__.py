"""scratchnet: autoencoders, clustering and embeddings on NumPy and CuPy, every gradient written by hand and proved."""

from scratchnet.backend import current_backend, use, using

__version__ = "0.1.0"
__all__ = ["__version__", "current_backend", "use", "using"]
