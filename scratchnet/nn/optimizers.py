"""Optimizers: formulas on two vectors, theta and grad. Derivation of Adam's scalars: docs/derivations.md, 9."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import sqrt

import numpy as np

from scratchnet.backend import Array, get_xp
from scratchnet.kernels import twin
from scratchnet.kernels.cuda import adam
from scratchnet.nn.params import Params

_BLOCK = 1 << 16  # entries of theta that stay in a core's cache through all passes of an update


class Optimizer(ABC):
    """Updates ``params.theta`` in place from ``params.grad``; ``learning_rate`` may be changed between steps."""

    def __init__(self, params: Params, learning_rate: float, n_moments: int = 0) -> None:
        if not learning_rate > 0:
            raise ValueError(f"learning_rate={learning_rate} must be above 0")
        self.params, self.learning_rate = params, learning_rate
        xp, n = get_xp(params.theta), params.theta.size
        self.moments = [xp.zeros_like(params.theta) for _ in range(n_moments)]
        block = min(_BLOCK, n) if xp is np else n  # a device has no such cache
        scratch, vectors = xp.empty_like(params.theta[:block]), (params.theta, params.grad, *self.moments)
        #: (scratch, theta, grad, *moments) block by block: views, made once
        self._blocks = [(scratch[: n - i], *(v[i : i + block] for v in vectors)) for i in range(0, n, max(block, 1))]

    @abstractmethod
    def step(self) -> None:
        """One update."""


class SGD(Optimizer):
    """theta <- theta - lr * grad."""

    def __init__(self, params: Params, learning_rate: float = 1e-2) -> None:
        super().__init__(params, learning_rate)

    def step(self) -> None:
        xp = get_xp(self.params.theta)
        for tmp, theta, grad in self._blocks:
            theta -= xp.multiply(grad, self.learning_rate, out=tmp)


class Momentum(Optimizer):
    """v <- momentum * v - lr * grad;  theta <- theta + v.   Polyak 1964."""

    def __init__(self, params: Params, learning_rate: float = 1e-2, momentum: float = 0.9) -> None:
        super().__init__(params, learning_rate, n_moments=1)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum={momentum} must be at least 0 and below 1")
        self.momentum = momentum

    def step(self) -> None:
        xp = get_xp(self.params.theta)
        for tmp, theta, grad, v in self._blocks:
            v *= self.momentum
            v -= xp.multiply(grad, self.learning_rate, out=tmp)
            theta += v


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,   theta <- theta - lr m_hat / (sqrt(v_hat) + eps).

    m_hat = m / (1 - b1^t), v_hat = v / (1 - b2^t); both corrections are folded into two scalars a step.
    Kingma and Ba 2015, algorithm 1.
    """

    def __init__(
        self,
        params: Params,
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, learning_rate, n_moments=2)
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
            raise ValueError(f"beta1={beta1} and beta2={beta2} must be at least 0 and below 1")
        self.beta1, self.beta2, self.eps, self.t = beta1, beta2, eps, 0

    def step(self) -> None:
        self.t += 1
        # (9.2) the moments are kept without their factors 1 - b1 and 1 - b2: two passes less; the two scalars have them
        correction = sqrt((1 - self.beta2**self.t) / (1 - self.beta2))
        rate = self.learning_rate * correction * (1 - self.beta1) / (1 - self.beta1**self.t)
        eps = self.eps * correction
        for tmp, theta, grad, m, v in self._blocks:
            adam_update(theta, grad, m, v, tmp, self.beta1, self.beta2, rate, eps)


@twin(cuda=adam.update)
def adam_update(
    theta: Array, grad: Array, m: Array, v: Array, tmp: Array, beta1: float, beta2: float, rate: float, eps: float
) -> None:
    """(9.2)  m <- b1 m + g,   v <- b2 v + g^2,   theta <- theta - rate m / (sqrt(v) + eps), in place."""
    xp = get_xp(theta)
    m *= beta1
    m += grad
    xp.multiply(grad, grad, out=tmp)
    v *= beta2
    v += tmp
    xp.sqrt(v, out=tmp)
    tmp += eps
    xp.divide(m, tmp, out=tmp)
    tmp *= rate
    theta -= tmp
