"""A tile of t-SNE and of symmetric SNE: every step one call of NumPy on arrays that stay in the cache.

The formulas are ``tile_forces`` and ``tile_cost`` of :mod:`scratchnet.manifold.sne`. What makes the difference:

- 1 + s_ij/dof is one product of rank k + 2: [y_i, 1, |y_i|^2/dof] [-2 x_j/dof, 1 + |x_j|^2/dof, 1]';
- sum_j m_ij (y_i - x_j) = y_i (M 1)_i - (M X)_i is one product of M with each column of [X, 1], and its transpose does
  the same for the columns;
- M is in turn p f and w f, in two arrays that are used again for the next tile.

Measured on iterations of exact t-SNE, one thread: the formulas take 3 to 4 times as long.
"""

from __future__ import annotations

import numpy as np

from scratchnet.rows import scratch

__all__ = ["gaussian_cost", "gaussian_forces", "student_cost", "student_forces"]

Forces = tuple[np.ndarray, np.ndarray | None, float, float]


def student_forces(P: np.ndarray, y: np.ndarray, x: np.ndarray, diagonal: bool, dof: float) -> Forces:
    """Attraction and repulsion on rows and columns, the sum of w, 0."""
    M, T, W = tiles = scratch("t-SNE tiles", (3, *P.shape), P.dtype)
    here, there = _distances(y, x, diagonal, 1 / dof, 1.0, T)
    np.divide(1, T, out=T)  # f, without its constant
    W = T if dof == 1 else np.power(T, (dof + 1) / 2, out=W)
    z = np.dot(W, there[-1])  # cheaper than W.sum()
    np.multiply(P, T, out=M)
    np.multiply(W, T, out=T)
    return *_net_forces(tiles[:2], here, there, diagonal, (dof + 1) / (2 * dof)), float(z.sum(dtype=np.float64)), 0.0


def gaussian_forces(P: np.ndarray, y: np.ndarray, x: np.ndarray, diagonal: bool) -> Forces:
    """Attraction and repulsion on rows and columns, the sum of w relative to the largest, the largest log w."""
    M, T = tiles = scratch("t-SNE tiles", (3, *P.shape), P.dtype)[:2]
    here, there = _distances(y, x, diagonal, 1.0, 0.0, T)
    nearest = min(T.min(), np.finfo(T.dtype).max)
    np.exp(np.subtract(nearest, T, out=T), out=T)  # w; f = 1
    np.copyto(M, P)
    z = np.dot(T, there[-1])
    return *_net_forces(tiles, here, there, diagonal, 1.0), float(z.sum(dtype=np.float64)), -float(nearest)


def student_cost(P: np.ndarray, y: np.ndarray, x: np.ndarray, diagonal: bool, dof: float) -> tuple[float, float, float]:
    """-sum p log w, the sum of w, 0."""
    M, T = scratch("t-SNE tiles", (3, *P.shape), P.dtype)[:2]
    _distances(y, x, diagonal, 1 / dof, 1.0, T)
    log_w = np.log(T, out=T)
    log_w *= -(dof + 1) / 2
    cost = _cost(P, log_w, M, diagonal)
    return cost, _total(np.exp(log_w, out=log_w)), 0.0


def gaussian_cost(P: np.ndarray, y: np.ndarray, x: np.ndarray, diagonal: bool) -> tuple[float, float, float]:
    """-sum p log w, the sum of w relative to the largest, the largest log w."""
    M, T = scratch("t-SNE tiles", (3, *P.shape), P.dtype)[:2]
    _distances(y, x, diagonal, 1.0, 0.0, T)
    nearest = min(T.min(), np.finfo(T.dtype).max)
    log_w = np.negative(T, out=T)
    cost = _cost(P, log_w, M, diagonal)
    log_w += nearest
    return cost, _total(np.exp(log_w, out=log_w)), -float(nearest)


def _distances(
    y: np.ndarray, x: np.ndarray, diagonal: bool, scale: float, offset: float, out: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``out`` becomes offset + scale |y_i - x_j|^2, infinite on the diagonal; returns [y, 1]' and [x, 1]'."""
    (r, k), c = y.shape, len(x)
    points = np.empty((k + 2, r if diagonal else r + c), y.dtype)  # [y, 1, scale |y|^2]', then the same for x
    points[:k, :r] = y.T
    if not diagonal:
        points[:k, r:] = x.T
    points[k] = 1
    np.einsum("kn,kn->n", points[:k], points[:k], out=points[k + 1])
    if scale != 1:
        points[k + 1] *= scale
    here, there = points[:, :r], points[:, -c:]
    right = np.empty((k + 2, c), y.dtype)
    np.multiply(there[:k], -2 * scale, out=right[:k])
    np.add(there[k + 1], offset, out=right[k])
    right[k + 1] = 1
    np.matmul(here.T, right, out=out)
    if points[k + 1].max() * np.finfo(y.dtype).eps > 1e-2:
        np.maximum(out, offset, out=out)  # so far out, rounding makes s negative
    if diagonal:
        np.fill_diagonal(out, np.inf)
    return here[:-1], there[:-1]


def _net_forces(
    both: np.ndarray, here: np.ndarray, there: np.ndarray, diagonal: bool, constant: float
) -> tuple[np.ndarray, np.ndarray | None]:
    """constant sum_j m_ij (y_i - x_j), (2, r, k), for both M (2, r, c); and sum_i m_ij (x_j - y_i), (2, c, k)."""
    both = both[:, None]
    on_rows = _net(np.matmul(both, there[:, :, None])[..., 0], here, constant)
    return on_rows, None if diagonal else _net(np.matmul(here[:, None, :], both)[..., 0, :], there, constant)


def _net(sums: np.ndarray, points: np.ndarray, constant: float) -> np.ndarray:
    """From M [X, 1], as (2, k + 1, r), and [Y, 1]': the forces."""
    force = sums[:, -1:] * points[:-1]
    force -= sums[:, :-1]
    if constant != 1:
        force *= constant
    return force.transpose(0, 2, 1)


def _cost(P: np.ndarray, log_w: np.ndarray, scratch: np.ndarray, diagonal: bool) -> float:
    """-sum p log w; P is 0 on the diagonal."""
    if diagonal:
        np.fill_diagonal(log_w, 0)
    cost = -_total(np.multiply(P, log_w, out=scratch))
    if diagonal:
        np.fill_diagonal(log_w, -np.inf)
    return cost


def _total(M: np.ndarray) -> float:
    """The sum of all entries: each row's in the dtype of M, theirs in float64."""
    return float((M @ np.ones(M.shape[1], M.dtype)).sum(dtype=np.float64))
