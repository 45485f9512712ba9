"""First values of weights, drawn on the host in float64. Shapes are (n_in, n_out)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["Initializer", "glorot_uniform", "he_normal", "small_normal", "zeros"]

Initializer = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
"""Draws an array of a shape on the host, so that one seed gives the same weights on every backend."""


def he_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """N(0, 2 / n_in): keeps the variance of activations through ReLU, which halves it.

    He et al. 2015, "Delving deep into rectifiers", eq. 10.
    """
    return rng.standard_normal(shape) * np.sqrt(2 / shape[0])


def glorot_uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """U(-a, a) with a = sqrt(6 / (n_in + n_out)), which balances the variances of activations and gradients.

    For layers that are nearly linear at 0: tanh, sigmoid, none. Glorot and Bengio 2010, "Understanding the difficulty
    of training deep feedforward neural networks", eq. 16.
    """
    limit = np.sqrt(6 / sum(shape))
    return rng.uniform(-limit, limit, shape)


def small_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """N(0, 0.1 / n_in), for the last layer of a network whose output is to begin near 0.

    That is a tenth of the variance 1 / n_in, which keeps the variance of the input. LeCun et al. 1998, "Efficient
    BackProp", section 4.6.
    """
    return rng.standard_normal(shape) * np.sqrt(0.1 / shape[0])


def zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """0 everywhere: biases."""
    return np.zeros(shape)
