"""Layers: a forward pass with its backward pass right under it. Derivations: docs/derivations.md, section 2.

Three rules hold for all layers:

- ``forward`` and ``backward`` never write into what they are given, and what they return is a new array.
- ``backward`` uses what the *last* ``forward`` kept, so use each layer object in one place of one model only.
- Gradients of parameters are overwritten, not added to; there is nothing to reset between steps.

Shapes: B samples are the rows of x (B, n_in) and y (B, n_out); ``dy`` is dL/dy and has the shape of y.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise

from scratchnet.backend import Array, Rng, get_xp
from scratchnet.kernels import twin
from scratchnet.kernels.host import nn as host
from scratchnet.nn.initializers import Initializer, he_normal, zeros
from scratchnet.nn.params import Params

__all__ = ["Activation", "Dense", "Layer", "Sequential", "dense", "dense_backward", "join"]


class Layer(ABC):
    """A function with a hand-written derivative.

    A layer of your own needs the two passes. One with parameters also declares them and takes its views, as
    :class:`Dense` does. examples/custom_layer.py shows both.
    """

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """y = f(x), keeping what the backward pass needs."""

    @abstractmethod
    def backward(self, dy: Array, need_dx: bool = True) -> Array:
        """Write dL/d(parameters) into their gradient views; return dL/dx, or None where ``need_dx`` is false."""

    def declare(self, params: Params, prefix: str) -> None:  # noqa: B027  (most layers have no parameters)
        """Ask ``params`` for this layer's parameters under names that begin with ``prefix``."""

    def bind(self, params: Params, prefix: str) -> None:  # noqa: B027
        """Take this layer's views from ``params`` after allocation."""

    def build(self, rng: Rng | None = None, dtype: str = "float32") -> Params:
        """Parameters for this layer alone, or for a whole network if it is a :class:`Sequential`.

        Parameters
        ----------
        rng : Rng, optional
            Draws the first weights and says where they live; by default an unseeded one on the current backend.
        dtype : {"float32", "float64"}

        Raises
        ------
        ValueError
            If the dtype is another one, or a layer object appears twice.
        """
        params = Params()
        self.declare(params, "")
        params.allocate(rng if rng is not None else Rng(), dtype)
        self.bind(params, "")
        return params


def join(prefix: str, name: str | int) -> str:
    """The name of a part: "encoder" and 0 give "encoder.0"; an empty prefix adds nothing."""
    return f"{prefix}.{name}" if prefix else str(name)


class Activation(Layer):
    """A layer without parameters; y and dx have the shape of x."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Dense(Layer):
    """y = x W + b.   x (B, n_in), W (n_in, n_out), b (n_out,), y (B, n_out).

    Parameters
    ----------
    n_in, n_out : int
        Widths, at least 1.
    init : callable
        ``init(generator, shape)`` draws the first W, by default He's for ReLU; b starts at 0.

    Examples
    --------
    >>> import numpy as np
    >>> dense = Dense(2, 3)
    >>> params = dense.build(Rng(0))
    >>> params.views["W"][0][...] = [[1, 2, 3], [4, 5, 6]]
    >>> dense.forward(np.array([[1, 2]], "float32"))
    array([[ 9., 12., 15.]], dtype=float32)
    >>> dense.backward(np.array([[1, 0, 0]], "float32"))
    array([[1., 4.]], dtype=float32)
    >>> dense.dW
    array([[1., 0., 0.],
           [2., 0., 0.]], dtype=float32)
    """

    W: Array = None

    def __init__(self, n_in: int, n_out: int, init: Initializer = he_normal) -> None:
        if n_in < 1 or n_out < 1:
            raise ValueError(f"Dense({n_in}, {n_out}): both widths must be at least 1")
        self.n_in, self.n_out, self.init = n_in, n_out, init

    def declare(self, params: Params, prefix: str) -> None:
        """W (n_in, n_out) and b (n_out,)."""
        params.declare(join(prefix, "W"), (self.n_in, self.n_out), self.init)
        params.declare(join(prefix, "b"), (self.n_out,), zeros)

    def bind(self, params: Params, prefix: str) -> None:
        """W, b and their gradients dW, db, views of ``params``."""
        self.W, self.dW = params.views[join(prefix, "W")]
        self.b, self.db = params.views[join(prefix, "b")]

    def forward(self, x: Array) -> Array:
        """y = x W + b.

        Raises
        ------
        RuntimeError
            If the layer has no parameters yet.
        ValueError, TypeError
            If x has another width or dtype than the parameters.
        """
        if type(x) is not type(self.W) or x.shape[1:] != (self.n_in,) or x.dtype != self.W.dtype:
            self._check(x)
        self.x = x
        return dense(x, self.W, self.b)

    def backward(self, dy: Array, need_dx: bool = True) -> Array:
        """dW = x' dy, db = sum_B dy, dx = dy W'.  (2.1)"""
        return dense_backward(dy, self.x, self.W, self.dW, self.db, need_dx)

    def _check(self, x: Array) -> None:
        if self.W is None:
            raise RuntimeError(f"{self!r} has no parameters yet; call build() on the network it stands in")
        get_xp(x, self.W)  # raises if x is not an array, or one of another library
        if x.ndim != 2 or x.shape[1] != self.n_in:
            raise ValueError(f"{self!r} takes x of shape (B, {self.n_in}), got {tuple(x.shape)}")
        if x.dtype != self.W.dtype:
            raise TypeError(
                f"{self!r} holds {self.W.dtype} parameters but x is {x.dtype}; convert with "
                f"x.astype('{self.W.dtype}') or build the network with that dtype"
            )

    def __repr__(self) -> str:
        return f"Dense({self.n_in}, {self.n_out})"


@twin(host=host.dense)
def dense(x: Array, W: Array, b: Array) -> Array:
    """(2.1)  y = x W + b."""
    return x @ W + b


@twin(host=host.dense_backward, cuda=host.dense_backward)  # out= of a product saves a copy on a GPU, too
def dense_backward(dy: Array, x: Array, W: Array, dW: Array, db: Array, need_dx: bool) -> Array:
    """(2.1)  dW = x' dy and db = sum_B dy are written; dx = dy W' is returned if it is needed."""
    dW[...] = x.T @ dy
    db[...] = dy.sum(axis=0)
    return dy @ W.T if need_dx else None


class Sequential(Layer):
    """Layers one after the other, f_n(... f_1(x)).

    Parameters are named by position, activations included: ``0.W``, ``0.b``, ``2.W``, ...

    Raises
    ------
    ValueError
        If there is no layer, a layer object appears twice, or the widths of two Dense layers do not fit.

    Examples
    --------
    >>> from scratchnet.nn import ReLU
    >>> net = Sequential(Dense(4, 3), ReLU(), Dense(3, 2))
    >>> net.build(Rng(0))
    Params(23 values
      0.W              4x3
      0.b              3
      2.W              3x2
      2.b              2
    )
    """

    def __init__(self, *layers: Layer) -> None:
        if not layers:
            raise ValueError("Sequential needs at least one layer")
        leaves = [id(leaf) for layer in layers for leaf in _leaves(layer)]
        if len(set(leaves)) < len(leaves):
            raise ValueError("the same layer object stands twice in this Sequential; make one object for each place")
        for i, j in pairwise(i for i, layer in enumerate(layers) if not isinstance(layer, Activation)):
            a, b = layers[i], layers[j]
            if isinstance(a, Dense) and isinstance(b, Dense) and a.n_out != b.n_in:
                raise ValueError(f"{a!r} at {i} is followed by {b!r} at {j}: the widths {a.n_out} and {b.n_in} differ")
        self.layers = list(layers)

    def declare(self, params: Params, prefix: str) -> None:
        """The parameters of all layers."""
        for i, layer in enumerate(self.layers):
            layer.declare(params, join(prefix, i))

    def bind(self, params: Params, prefix: str) -> None:
        """The views of all layers."""
        for i, layer in enumerate(self.layers):
            layer.bind(params, join(prefix, i))

    def forward(self, x: Array) -> Array:
        """f_n(... f_1(x))."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy: Array, need_dx: bool = True) -> Array:
        """The chain rule, last layer first.  (2.6)"""
        for layer in self.layers[:0:-1]:
            dy = layer.backward(dy)
        return self.layers[0].backward(dy, need_dx)

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"


def _leaves(layer: Layer) -> list[Layer]:
    """The layers inside nested Sequentials."""
    return [leaf for part in layer.layers for leaf in _leaves(part)] if isinstance(layer, Sequential) else [layer]
