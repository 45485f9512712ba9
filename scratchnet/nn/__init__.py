"""Layers, losses, divergences and optimizers, each backward pass beside its forward pass.

Examples
--------
>>> import numpy as np
>>> from scratchnet.backend import Rng
>>> x, t = np.random.default_rng(0).standard_normal((2, 50, 3))
>>> net = Sequential(Dense(3, 8), Tanh(), Dense(8, 3))
>>> params = net.build(Rng(0, np), "float64")
>>> net.backward(mse_grad(net.forward(x), t), need_dx=False)
>>> check_gradient(lambda: mse(net.forward(x), t), params).ok
True
>>> before = mse(net.forward(x), t)
>>> Adam(params).step()
>>> bool(mse(net.forward(x), t) < before)
True
"""

from scratchnet.nn.activations import (
    ACTIVATIONS,
    LeakyReLU,
    ReLU,
    Sigmoid,
    Softplus,
    Tanh,
    TopK,
    sigmoid,
    softplus,
)
from scratchnet.nn.divergences import (
    kl_bernoulli,
    kl_bernoulli_grad,
    kl_discrete,
    kl_discrete_grad,
    kl_normal,
    kl_normal_entries,
    kl_normal_grad,
)
from scratchnet.nn.gaussian import GaussianSample
from scratchnet.nn.gradcheck import GradientReport, GradientRow, check_gradient
from scratchnet.nn.initializers import glorot_uniform, he_normal, small_normal, zeros
from scratchnet.nn.layers import Activation, Dense, Layer, Sequential, join
from scratchnet.nn.losses import (
    bce,
    bce_grad,
    bce_with_logits,
    bce_with_logits_grad,
    bce_with_logits_rows,
    gaussian_nll,
    gaussian_nll_grad,
    gaussian_nll_logvar_grad,
    gaussian_nll_rows,
    mse,
    mse_grad,
)
from scratchnet.nn.optimizers import OPTIMIZERS, SGD, Adam, Momentum, Optimizer
from scratchnet.nn.params import Params
from scratchnet.nn.tied import TransposedDense

__all__ = [
    "ACTIVATIONS",
    "OPTIMIZERS",
    "SGD",
    "Activation",
    "Adam",
    "Dense",
    "GaussianSample",
    "GradientReport",
    "GradientRow",
    "Layer",
    "LeakyReLU",
    "Momentum",
    "Optimizer",
    "Params",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "TopK",
    "TransposedDense",
    "bce",
    "bce_grad",
    "bce_with_logits",
    "bce_with_logits_grad",
    "bce_with_logits_rows",
    "check_gradient",
    "gaussian_nll",
    "gaussian_nll_grad",
    "gaussian_nll_logvar_grad",
    "gaussian_nll_rows",
    "glorot_uniform",
    "he_normal",
    "join",
    "kl_bernoulli",
    "kl_bernoulli_grad",
    "kl_discrete",
    "kl_discrete_grad",
    "kl_normal",
    "kl_normal_entries",
    "kl_normal_grad",
    "mse",
    "mse_grad",
    "sigmoid",
    "small_normal",
    "softplus",
    "zeros",
]
