"""A layer that has no weights of its own: tied weights."""

from __future__ import annotations

from scratchnet.backend import Array, get_xp
from scratchnet.nn.initializers import zeros
from scratchnet.nn.layers import Dense, Layer, join
from scratchnet.nn.params import Params


class TransposedDense(Layer):
    """y = x W' + b with the W (n_out, n_in) of another layer, ``dense``.   x (B, n_in), b (n_out,), y (B, n_out).

    The loss depends on W along two paths, here and in ``dense``, so its gradient is a sum of two shares. ``dense``
    overwrites dW with its own; this layer keeps its share until :meth:`add_gradient`, to be called after both backward
    passes, adds it. ``dense`` must be declared and bound to the same parameters.
    """

    def __init__(self, dense: Dense) -> None:
        self.dense, self.n_in, self.n_out = dense, dense.n_out, dense.n_in

    def declare(self, params: Params, prefix: str) -> None:
        params.declare(join(prefix, "b"), (self.n_out,), zeros)

    def bind(self, params: Params, prefix: str) -> None:
        self.b, self.db = params.views[join(prefix, "b")]

    def forward(self, x: Array) -> Array:
        if x.ndim != 2 or x.shape[1] != self.n_in:
            raise ValueError(f"{self!r} takes x of shape (B, {self.n_in}), got {tuple(x.shape)}")
        self.x = x
        y = get_xp(x).matmul(x, self.dense.W.T, out=self._buffer("y", (len(x), self.n_out), x))
        y += self.b
        return y

    def backward(self, dy: Array, need_dx: bool = True) -> Array:  # (2.8) dW' = x'dy, so dW = dy'x; dx = dy W
        xp = get_xp(dy)
        self.dW = xp.matmul(dy.T, self.x, out=self._buffer("dW", self.dense.W.shape, dy))
        xp.sum(dy, axis=0, out=self.db)
        if not need_dx:
            return None
        return xp.matmul(dy, self.dense.W, out=self._buffer("dx", self.x.shape, dy))

    def add_gradient(self) -> None:
        """(2.8)  dW = the share of ``dense`` + the share of this layer."""
        self.dense.dW += self.dW

    def __repr__(self) -> str:
        return f"TransposedDense({self.dense!r})"
