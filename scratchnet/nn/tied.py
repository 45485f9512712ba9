"""A layer that has no weights of its own: tied weights."""

from __future__ import annotations

from scratchnet.backend import Array
from scratchnet.nn.initializers import zeros
from scratchnet.nn.layers import Dense, Layer, join
from scratchnet.nn.params import Params

__all__ = ["TransposedDense"]


class TransposedDense(Layer):
    """y = x W' + b with the W (n_out, n_in) of another layer, ``dense``.   x (B, n_in), b (n_out,), y (B, n_out).

    The loss depends on W along two paths, here and in ``dense``, so its gradient is a sum of two shares. ``dense``
    overwrites dW with its own; this layer keeps its share until :meth:`add_gradient`, to be called after both backward
    passes, adds it. Tied weights: Vincent et al. 2010.

    Parameters
    ----------
    dense : Dense
        Declared in the same parameters, and bound to them.
    """

    def __init__(self, dense: Dense) -> None:
        self.dense, self.n_in, self.n_out = dense, dense.n_out, dense.n_in

    def declare(self, params: Params, prefix: str) -> None:
        """b (n_out,), with W left to ``dense``."""
        params.declare(join(prefix, "b"), (self.n_out,), zeros)

    def bind(self, params: Params, prefix: str) -> None:
        """b and its gradient db, views of ``params``."""
        self.b, self.db = params.views[join(prefix, "b")]

    def forward(self, x: Array) -> Array:
        """y = x W' + b; raises ValueError if x has another width."""
        if x.ndim != 2 or x.shape[1] != self.n_in:
            raise ValueError(f"{self!r} takes x of shape (B, {self.n_in}), got {tuple(x.shape)}")
        self.x = x
        return x @ self.dense.W.T + self.b

    def backward(self, dy: Array, need_dx: bool = True) -> Array:
        """dW = dy' x, kept for :meth:`add_gradient`; db = sum_B dy, dx = dy W.  (2.8)"""
        self.dW = dy.T @ self.x
        self.db[...] = dy.sum(axis=0)
        return dy @ self.dense.W if need_dx else None

    def add_gradient(self) -> None:
        """dW = the share of ``dense`` + the share of this layer.  (2.8)"""
        self.dense.dW += self.dW

    def __repr__(self) -> str:
        return f"TransposedDense({self.dense!r})"
