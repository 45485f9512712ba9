"""Optimizers: formulas on two vectors, theta and grad. Derivation of Adam's scalars: docs/derivations.md, 9."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from math import sqrt

import numpy as np

from scratchnet.backend import Array, get_xp
from scratchnet.nn.params import Params

_BLOCK = 1 << 16  # entries of theta that stay in a core's cache through all passes of an update


class Optimizer(ABC):
    """Updates ``params.theta`` in place from ``params.grad``; ``learning_rate`` may be changed between steps."""

    def __init__(self, params: Params, learning_rate: float) -> None:
        if not learning_rate > 0:
            raise ValueError(f"learning_rate={learning_rate} must be above 0")
        self.params, self.learning_rate = params, learning_rate
        xp = get_xp(params.theta)
        size = max(1, params.theta.size)
        self._block = min(_BLOCK, size) if xp is np else size  # a device has no such cache
        self._tmp = xp.empty_like(params.theta[: self._block])

    @abstractmethod
    def step(self) -> None:
        """One update."""

    def _blocks(self, *vectors: Array) -> Iterator[tuple[Array, ...]]:
        """(theta, grad, scratch, *vectors) block by block."""
        every = (self.params.theta, self.params.grad, *vectors)
        for i in range(0, self.params.theta.size, self._block):
            theta, grad, *rest = (v[i : i + self._block] for v in every)
            yield theta, grad, self._tmp[: len(theta)], *rest


class SGD(Optimizer):
    """theta <- theta - lr * grad."""

    def __init__(self, params: Params, learning_rate: float = 1e-2) -> None:
        super().__init__(params, learning_rate)

    def step(self) -> None:
        xp = get_xp(self._tmp)
        for theta, grad, tmp in self._blocks():
            theta -= xp.multiply(grad, self.learning_rate, out=tmp)


class Momentum(Optimizer):
    """v <- momentum * v - lr * grad;  theta <- theta + v.   Polyak 1964."""

    def __init__(self, params: Params, learning_rate: float = 1e-2, momentum: float = 0.9) -> None:
        super().__init__(params, learning_rate)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum={momentum} must be at least 0 and below 1")
        self.momentum, self.v = momentum, get_xp(params.theta).zeros_like(params.theta)

    def step(self) -> None:
        xp = get_xp(self._tmp)
        for theta, grad, tmp, v in self._blocks(self.v):
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
        super().__init__(params, learning_rate)
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
            raise ValueError(f"beta1={beta1} and beta2={beta2} must be at least 0 and below 1")
        xp = get_xp(params.theta)
        self.beta1, self.beta2, self.eps, self.t = beta1, beta2, eps, 0
        self.m, self.v = xp.zeros_like(params.theta), xp.zeros_like(params.theta)

    def step(self) -> None:
        xp = get_xp(self._tmp)
        self.t += 1
        # (9.1) lr m_hat / (sqrt(v_hat) + eps) = rate m / (sqrt(v) + eps_t)
        correction = sqrt(1 - self.beta2**self.t)
        rate, eps = self.learning_rate * correction / (1 - self.beta1**self.t), self.eps * correction
        for theta, g, tmp, m, v in self._blocks(self.m, self.v):
            m *= self.beta1
            m += xp.multiply(g, 1 - self.beta1, out=tmp)
            v *= self.beta2
            xp.multiply(g, g, out=tmp)
            tmp *= 1 - self.beta2
            v += tmp
            xp.sqrt(v, out=tmp)
            tmp += eps
            xp.divide(m, tmp, out=tmp)
            tmp *= rate
            theta -= tmp
