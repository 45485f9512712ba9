"""What the models' string arguments stand for."""

from __future__ import annotations

from typing import Any

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
)

__all__ = ["ACTIVATIONS", "OPTIMIZERS"]

ACTIVATIONS: dict[str, type[Layer]] = {
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "softplus": Softplus,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
}

OPTIMIZERS: dict[str, Any] = {"adam": Adam, "momentum": Momentum, "sgd": SGD}
