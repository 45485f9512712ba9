"""Activations: elementwise functions and the k largest. Derivations: docs/derivations.md, section 2."""

from __future__ import annotations

from scratchnet.backend import Array, get_xp
from scratchnet.kernels import twin
from scratchnet.kernels.cuda import relu
from scratchnet.kernels.host import nn as host
from scratchnet.nn.layers import Activation

__all__ = [
    "ACTIVATIONS",
    "LeakyReLU",
    "ReLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "TopK",
    "relu_grad",
    "sigmoid",
    "softplus",
]


class ReLU(Activation):
    """y = max(x, 0)."""

    def forward(self, x: Array) -> Array:
        self.y = get_xp(x).maximum(x, 0)
        return self.y

    def backward(self, dy: Array, need_dx: bool = True) -> Array:  # (2.2)
        return relu_grad(dy, self.y) if need_dx else None


@twin(cuda=relu.gradient)
def relu_grad(dy: Array, y: Array) -> Array:
    """(2.2)  dx = dy where y > 0, else 0."""
    return dy * (y > 0)


class LeakyReLU(Activation):
    """y = x where x > 0, else slope x.

    Parameters
    ----------
    slope : float
        At least 0 and below 1.
    """

    def __init__(self, slope: float = 0.01) -> None:
        if not 0 <= slope < 1:
            raise ValueError(f"slope={slope} must be at least 0 and below 1")
        self.slope = slope

    def forward(self, x: Array) -> Array:
        self.y = get_xp(x).maximum(x, self.slope * x)  # slope < 1: the larger of the two
        return self.y

    def backward(self, dy: Array, need_dx: bool = True) -> Array:  # (2.2)  (where() takes three times as long)
        return dy * (self.y > 0) + self.slope * dy * (self.y <= 0) if need_dx else None

    def __repr__(self) -> str:
        return f"LeakyReLU({self.slope})"


class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x))."""

    def forward(self, x: Array) -> Array:
        self.y = sigmoid(x)
        return self.y

    def backward(self, dy: Array, need_dx: bool = True) -> Array:  # (2.3)
        return dy * self.y * (1 - self.y) if need_dx else None


class Tanh(Activation):
    """y = tanh(x).

    Examples
    --------
    >>> import numpy as np
    >>> tanh = Tanh()
    >>> tanh.forward(np.array([[0.0, 1.0]])).round(4)
    array([[0.    , 0.7616]])
    >>> tanh.backward(np.array([[1.0, 1.0]])).round(4)
    array([[1.  , 0.42]])
    """

    def forward(self, x: Array) -> Array:
        self.y = get_xp(x).tanh(x)
        return self.y

    def backward(self, dy: Array, need_dx: bool = True) -> Array:  # (2.4)
        return dy * (1 - self.y**2) if need_dx else None


class Softplus(Activation):
    """y = log(1 + exp(x)), a smooth ReLU."""

    def forward(self, x: Array) -> Array:
        self.x = x
        return softplus(x)

    def backward(self, dy: Array, need_dx: bool = True) -> Array:  # (2.5)
        return dy * sigmoid(self.x) if need_dx else None


class TopK(Activation):
    """y = x where x is among the k largest of its row, else 0; of tied entries the first are kept.

    The sparse code of a k-sparse autoencoder. Makhzani and Frey 2014, "k-Sparse Autoencoders".

    Parameters
    ----------
    k : int
        At least 1; may be changed between steps.
    """

    def __init__(self, k: int) -> None:
        if k < 1:
            raise ValueError(f"k={k} must be at least 1")
        self.k = k

    def forward(self, x: Array) -> Array:
        order = get_xp(x).argsort(-x, axis=1, kind="stable")
        self.kept = order.argsort(axis=1) < self.k  # the rank of each entry in its row
        return x * self.kept

    def backward(self, dy: Array, need_dx: bool = True) -> Array:  # (2.7)
        return dy * self.kept if need_dx else None

    def __repr__(self) -> str:
        return f"TopK({self.k})"


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2, which overflows for no x and needs no branch."""
    return 0.5 * (1 + get_xp(x).tanh(0.5 * x))


@twin(host=host.softplus)
def softplus(x: Array) -> Array:
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)), which overflows for no x."""
    xp = get_xp(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-abs(x)))


ACTIVATIONS: dict[str, type[Activation]] = {
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "softplus": Softplus,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
}
"""Activations by the names that models take."""
