"""NumPy twins of :mod:`scratchnet.nn`: Dense, softplus, Momentum and Adam."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["adam", "dense", "dense_backward", "momentum", "softplus"]

BLOCK = 1 << 16  # entries of a vector that stay in a core's cache through all passes of an update


def dense(x: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    """x W + b with the bias added in place; ``dot`` has half of matmul's call overhead."""
    y = x.dot(W)
    y += b
    return y


def dense_backward(
    dy: np.ndarray, x: np.ndarray, W: np.ndarray, dW: np.ndarray, db: np.ndarray, need_dx: bool
) -> np.ndarray | None:
    """The products are written straight into the gradient. Methods alone: CuPy has them, too."""
    x.T.dot(dy, out=dW)
    dy.sum(axis=0, out=db)
    return dy.dot(W.T) if need_dx else None


def softplus(x: np.ndarray) -> np.ndarray:
    """Without log1p, which is ten times as slow as log.

    With e = exp(-|x|) and d = 1 + e as rounded, log(1 + e) = log(d) + log(1 + r / d) with the rounding error
    r = e - (d - 1). r / d is so small that it equals its log1p.
    """
    e = np.abs(x)
    np.negative(e, out=e)
    np.exp(e, out=e)
    d = e + 1
    y = np.log(d)
    e += 1 - d  # both exact
    e /= d
    y += e
    y += np.maximum(x, 0)
    return y


def momentum(
    theta: np.ndarray, grad: np.ndarray, v: np.ndarray, decay: float, rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """v = decay v - rate grad and theta + v, in place."""
    for t, g, w, tmp in _blocks(theta, grad, v):
        w *= decay
        w -= np.multiply(g, rate, out=tmp)
        t += w
    return theta, v


def adam(
    theta: np.ndarray,
    grad: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    beta1: float,
    beta2: float,
    rate: float,
    eps: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Adam's update in place, without temporaries."""
    for t, g, m_, v_, tmp in _blocks(theta, grad, m, v):
        m_ *= beta1
        m_ += g
        np.multiply(g, g, out=tmp)
        v_ *= beta2
        v_ += tmp
        np.sqrt(v_, out=tmp)
        tmp += eps
        np.divide(m_, tmp, out=tmp)
        tmp *= rate
        t -= tmp
    return theta, m, v


def _blocks(*vectors: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """The vectors cut into blocks, views of each and scratch of the block's length."""
    n = vectors[0].size
    scratch = np.empty_like(vectors[0][:BLOCK])
    if n <= BLOCK:
        yield *vectors, scratch
        return
    for i in range(0, n, BLOCK):
        cut = [v[i : i + BLOCK] for v in vectors]
        yield *cut, scratch[: len(cut[0])]
