"""The moments of a block of rows for PCA."""

from __future__ import annotations

import numpy as np

from scratchnet.rows import scratch

__all__ = ["moments"]


def moments(x: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and scatter of x - near: centred into memory that is used again, summed by a product with ones."""
    c = np.subtract(x, near, out=scratch("centred", x.shape, near.dtype))
    return (np.ones(len(x), near.dtype) @ c).astype(np.float64), (c.T @ c).astype(np.float64)
