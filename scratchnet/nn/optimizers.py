"""Optimizers: formulas on two vectors, theta and grad. Derivation of Adam's scalars: docs/derivations.md, section 9."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import sqrt

from scratchnet.backend import Array, get_xp
from scratchnet.kernels import twin
from scratchnet.kernels.cuda import adam as cuda
from scratchnet.kernels.host import nn as host
from scratchnet.nn.params import Params, put

__all__ = ["OPTIMIZERS", "SGD", "Adam", "Momentum", "Optimizer", "adam", "momentum"]


class Optimizer(ABC):
    """Updates ``params.theta``, in place because layers hold views of it, from ``params.grad``, which it leaves alone.

    Parameters
    ----------
    params : Params
        After allocation.
    learning_rate : float
        Above 0; may be changed between steps.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(self, params: Params, learning_rate: float) -> None:
        if not learning_rate > 0:
            raise ValueError(f"learning_rate={learning_rate} must be above 0")
        self.params, self.learning_rate = params, learning_rate

    @abstractmethod
    def step(self) -> None:
        """One update. Nothing in it waits for a device."""


class SGD(Optimizer):
    """Stochastic gradient descent: theta <- theta - learning_rate * grad.

    Parameters
    ----------
    params : Params
    learning_rate : float
        Above 0.
    """

    def __init__(self, params: Params, learning_rate: float = 1e-2) -> None:
        super().__init__(params, learning_rate)

    def step(self) -> None:
        theta = self.params.theta
        put(theta - self.learning_rate * self.params.grad, theta)


class Momentum(Optimizer):
    """v <- momentum * v - learning_rate * grad,  theta <- theta + v.

    Polyak 1964, "Some methods of speeding up the convergence of iteration methods".

    Parameters
    ----------
    params : Params
    learning_rate : float
        Above 0.
    momentum : float
        Share of the last step that goes into the next one, in [0, 1).

    Attributes
    ----------
    v : array (n,)
        The last step.
    """

    def __init__(self, params: Params, learning_rate: float = 1e-2, momentum: float = 0.9) -> None:
        super().__init__(params, learning_rate)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum={momentum} must be at least 0 and below 1")
        self.momentum, self.v = momentum, get_xp(params.theta).zeros_like(params.theta)

    def step(self) -> None:
        theta = self.params.theta
        new, self.v = momentum(theta, self.params.grad, self.v, self.momentum, self.learning_rate)
        put(new, theta)


@twin(host=host.momentum)
def momentum(theta: Array, grad: Array, v: Array, decay: float, rate: float) -> tuple[Array, Array]:
    """v = decay v - rate g,  theta = theta + v."""
    v = decay * v - rate * grad
    return theta + v, v


class Adam(Optimizer):
    """Steps whose size hardly depends on that of the gradient:

        m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2,
        theta <- theta - learning_rate m_hat / (sqrt(v_hat) + eps),

    with m_hat = m / (1 - beta1^t) and v_hat = v / (1 - beta2^t) at step t. Kingma and Ba 2015, "Adam: A method for
    stochastic optimization", algorithm 1.

    Parameters
    ----------
    params : Params
    learning_rate : float
        Above 0.
    beta1, beta2 : float
        Decay of the two means, in [0, 1).
    eps : float
        Added to the root of v_hat.

    Attributes
    ----------
    m, v : array (n,)
        The two means, without their factors 1 - beta1 and 1 - beta2.
    t : int
        Steps taken.

    Examples
    --------
    >>> import numpy as np
    >>> params = Params.of(w=np.array([1.0, 1.0]))
    >>> params.grad[...] = [5.0, -0.001]
    >>> Adam(params, learning_rate=0.1).step()
    >>> params.theta.round(3)
    array([0.9, 1.1])
    """

    def __init__(
        self,
        params: Params,
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, learning_rate)
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
            raise ValueError(f"beta1={beta1} and beta2={beta2} must be at least 0 and below 1")
        self.beta1, self.beta2, self.eps, self.t = beta1, beta2, eps, 0
        zeros_like = get_xp(params.theta).zeros_like
        self.m, self.v = zeros_like(params.theta), zeros_like(params.theta)

    def step(self) -> None:
        """One update. Bias corrections, 1 - beta1 and 1 - beta2 are folded into two scalars.  (9.1), (9.2)"""
        self.t += 1
        correction = sqrt((1 - self.beta2**self.t) / (1 - self.beta2))
        rate = self.learning_rate * correction * (1 - self.beta1) / (1 - self.beta1**self.t)
        theta, eps = self.params.theta, self.eps * correction
        new, self.m, self.v = adam(theta, self.params.grad, self.m, self.v, self.beta1, self.beta2, rate, eps)
        put(new, theta)


@twin(host=host.adam, cuda=cuda.update)
def adam(
    theta: Array, grad: Array, m: Array, v: Array, beta1: float, beta2: float, rate: float, eps: float
) -> tuple[Array, Array, Array]:
    """(9.2)  m = b1 m + g,  v = b2 v + g^2,  theta = theta - rate m / (sqrt(v) + eps)."""
    m, v = beta1 * m + grad, beta2 * v + grad**2
    return theta - rate * (m / (get_xp(v).sqrt(v) + eps)), m, v


OPTIMIZERS: dict[str, Callable[[Params, float], Optimizer]] = {"adam": Adam, "momentum": Momentum, "sgd": SGD}
"""Optimizers by the names that models take: each is called with (params, learning_rate)."""
