"""p(x | decoder output): what the models' ``likelihood`` and ``variance`` stand for."""

from __future__ import annotations

from math import log

from scratchnet.backend import Array, get_xp
from scratchnet.nn import (
    Params,
    bce_with_logits,
    bce_with_logits_grad,
    bce_with_logits_rows,
    gaussian_nll,
    gaussian_nll_grad,
    gaussian_nll_rows,
    sigmoid,
    softplus,
    zeros,
)

__all__ = ["NAMES", "SMALLEST_SD", "Bernoulli", "Gaussian", "LearnedGaussian", "Likelihood", "make"]

NAMES = ("bernoulli", "gaussian")
SMALLEST_SD = 0.01  # of a learned Gaussian: below it a constant feature would be worth infinitely many nats


class Bernoulli:
    """x_j in [0, 1] is a coin with the logit output_j."""

    def declare(self, params: Params, n_features: int) -> None:
        """Parameters of its own: none."""

    def bind(self, params: Params) -> None:
        """Takes its parameters' views."""

    def nll(self, output: Array, x: Array) -> Array:
        """-log p(x|output), a mean over the batch."""
        return bce_with_logits(output, x)

    def nll_rows(self, output: Array, x: Array) -> Array:
        """-log p(x|output) of each sample, (B,)."""
        return bce_with_logits_rows(output, x)

    def nll_grad(self, output: Array, x: Array, weight: Array | float = 1.0) -> Array:
        """The gradient with respect to ``output`` of 1/B sum_b weight_b * nll_b; ``weight`` is a number or (B,)."""
        return _weigh(weight, bce_with_logits_grad(output, x))

    def mean(self, output: Array) -> Array:
        """E[x|output]."""
        return sigmoid(output)


class Gaussian:
    """x_j ~ N(output_j, variance)."""

    logvar: Array | float

    def __init__(self, variance: float = 1.0) -> None:
        self.logvar = log(variance)

    def declare(self, params: Params, n_features: int) -> None:
        """Parameters of its own: none."""

    def bind(self, params: Params) -> None:
        """Takes its parameters' views."""

    def nll(self, output: Array, x: Array) -> Array:
        """-log p(x|output), a mean over the batch."""
        return gaussian_nll(output, x, self.logvar)

    def nll_rows(self, output: Array, x: Array) -> Array:
        """-log p(x|output) of each sample, (B,)."""
        return gaussian_nll_rows(output, x, self.logvar)

    def nll_grad(self, output: Array, x: Array, weight: Array | float = 1.0) -> Array:
        """The gradient with respect to ``output`` of 1/B sum_b weight_b * nll_b; ``weight`` is a number or (B,)."""
        return _weigh(weight, gaussian_nll_grad(output, x, logvar=self.logvar))

    def mean(self, output: Array) -> Array:
        """E[x|output]."""
        return output


class LearnedGaussian(Gaussian):
    """x_j ~ N(output_j, s_j^2) with one variance per feature, s_j^2 = exp(r_j) + 0.01^2; r_j is a trained parameter.

    Its optimum is the mean squared error of the feature, so reconstruction and KL are balanced by the data, not by
    hand. The variance is per feature, not per sample and feature: a network that may be certain of a sample that it
    knows by heart gains without limit, and training breaks. The floor prevents the same for constant features.
    Rybkin, Daniilidis and Levine 2021, "Simple and effective VAE training with calibrated decoders".
    """

    def __init__(self) -> None:
        """Its variance comes from the parameters."""

    def declare(self, params: Params, n_features: int) -> None:
        params.declare("likelihood.logvar", (n_features,), zeros)

    def bind(self, params: Params) -> None:
        self.r, self.dr = params.views["likelihood.logvar"]

    @property
    def logvar(self) -> Array:  # type: ignore[override]
        """log(exp(r) + floor) = log floor + softplus(r - log floor), (n_features,)."""
        return softplus(self.r - 2 * log(SMALLEST_SD)) + 2 * log(SMALLEST_SD)

    def nll_grad(self, output: Array, x: Array, weight: Array | float = 1.0) -> Array:
        """(3.2)  As above; and with respect to r_j: 1/B sum_b weight_b [1 - (x_bj - output_bj)^2 / s_j^2] / 2 times
        dlogvar/dr = sigmoid(r - log floor)."""
        logvar = self.logvar
        squares = (output - x) ** 2 * get_xp(x).exp(-logvar)
        self.dr[...] = sigmoid(self.r - 2 * log(SMALLEST_SD)) * _weigh(weight, 1 - squares).mean(axis=0) / 2
        return _weigh(weight, gaussian_nll_grad(output, x, logvar=logvar))


Likelihood = Bernoulli | Gaussian


def make(name: str, variance: float | str = 1.0) -> Likelihood:
    """The likelihood of that name; ``variance`` is a number or "learned"."""
    if name == "bernoulli":
        return Bernoulli()
    return LearnedGaussian() if isinstance(variance, str) else Gaussian(variance)


def _weigh(weight: Array | float, gradient: Array) -> Array:
    """weight_b * gradient_b, (B, d)."""
    if getattr(weight, "ndim", 0):
        return weight[:, None] * gradient  # type: ignore[index]
    return gradient if weight == 1 else float(weight) * gradient
