"""What the models' string arguments stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from scratchnet.backend import Array
from scratchnet.nn import (
    SGD,
    Adam,
    Layer,
    LeakyReLU,
    Momentum,
    ReLU,
    Sigmoid,
    Softplus,
    Tanh,
    bce_with_logits,
    bce_with_logits_grad,
    bce_with_logits_rows,
    gaussian_nll,
    gaussian_nll_grad,
    gaussian_nll_rows,
    sigmoid,
)

ACTIVATIONS: dict[str, type[Layer]] = {
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "softplus": Softplus,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
}

OPTIMIZERS: dict[str, Any] = {"adam": Adam, "momentum": Momentum, "sgd": SGD}


class Likelihood(NamedTuple):
    """p(x | decoder output): its negative log, the gradient, the same row by row, and E[x]."""

    nll: Callable[..., Array]
    nll_grad: Callable[..., Array]
    nll_rows: Callable[..., Array]
    mean: Callable[..., Array]


LIKELIHOODS = {
    "bernoulli": Likelihood(bce_with_logits, bce_with_logits_grad, bce_with_logits_rows, sigmoid),
    "gaussian": Likelihood(gaussian_nll, gaussian_nll_grad, gaussian_nll_rows, lambda output: output),
}
