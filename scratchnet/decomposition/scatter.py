"""Mean and scatter of rows in one pass, and the scatter's eigenvectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet.backend import Array, get_xp
from scratchnet.distances import check_not_lost
from scratchnet.kernels import twin
from scratchnet.kernels.host import pca as host
from scratchnet.rows import rows_of, rows_per_block

__all__ = ["eigh", "float_dtype", "mean_and_scatter", "moments"]

_ROWS = 2048  # of a block: on the host a product of fewer costs more in sums than it gains from the cache


def mean_and_scatter(X: Array) -> tuple[Array, Array]:
    """The mean m (d,) of the rows of X (n, d), and the sum of (x - m)'(x - m) over them (d, d), in float64.

    One pass over X, about a point c near the mean, that of the first block: with the sum s of x - c, m = c + s/n, and
    the scatter about c is too large by s's/n. In no direction is c farther away than the standard deviation times the
    root of the number of blocks (by Cauchy and Schwarz), so little is lost even to float32.
    """
    xp, n = get_xp(X), len(X)
    size = _ROWS if xp is np else rows_per_block(X)
    near = X[:size].mean(axis=0, dtype=np.float64).astype(float_dtype(X))
    total, scatter = rows_of(X, size=size).sum(_moments, near)
    return near + total / n, scatter - xp.outer(total, total) / n


def _moments(x: Array, kept: None, near: Array) -> tuple[tuple[Array, Array], None]:
    """The sum of x - near (d,), and of their outer products (d, d), over a block of rows."""
    return moments(x, near), None


@twin(host=host.moments)
def moments(x: Array, near: Array) -> tuple[Array, Array]:
    """The sum of c = x - near over rows x, and c'c, multiplied in the precision of ``near``, summed in float64."""
    c = x - near
    return c.sum(axis=0, dtype=np.float64), (c.T @ c).astype(np.float64)


def float_dtype(X: Array) -> Any:
    """The dtype that X is computed in: its own, or float32 for small integers."""
    return X.dtype if X.dtype.kind == "f" else np.dtype(np.float32)


def eigh(S: Array, n: int, X: Array) -> tuple[Array, Array]:
    """Eigenvalues, falling, and eigenvectors of the scatter S of n rows, X the last of them; an error if variances
    overflow or vanish."""
    dtype, variance = float_dtype(X), float(S.trace()) / max(n - 1, 1)
    if not variance <= np.finfo(dtype).max:  # NaN is not
        raise ValueError(f"X spans so large a range that its variances overflow {dtype}; scale it down first")
    check_not_lost(X, variance, dtype)
    values, vectors = get_xp(S).linalg.eigh(S)
    return values[::-1], vectors[:, ::-1]
