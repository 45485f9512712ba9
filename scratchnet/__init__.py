"""scratchnet: autoencoders, clustering and embeddings on NumPy and CuPy, every gradient written by hand and proved.

Its modules are loaded when they are first used: ``import scratchnet as sn`` is enough for ``sn.nn.Dense(4, 3)``.
"""

from importlib import import_module
from typing import Any

from scratchnet.backend import current_backend, use, using

__version__ = "0.1.0"
_MODULES = (
    "autoencoders",
    "backend",
    "cluster",
    "datasets",
    "decomposition",
    "distances",
    "manifold",
    "metrics",
    "neighbors",
    "nn",
    "plots",
    "rows",
    "testing",
)
__all__ = ["__version__", "current_backend", "use", "using", *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"scratchnet.{name}")
    raise AttributeError(f"module 'scratchnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
