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
    gaussian_nll_logvar_grad,
    gaussian_nll_rows,
    sigmoid,
    softplus,
    zeros,
)

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

    def nll_grad(self, output: Array, x: Array, weights: Array | None = None) -> Array:
        """The derivative of :meth:`nll` by ``output``, written over ``output``: the last layer, a Dense, does not need
        it again. With ``weights`` (B,) that of sum_b weights_b nll_b, in which the mean's 1/B stands for them."""
        return _weigh(bce_with_logits_grad(output, x, out=output), weights)

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
        return gaussian_nll(output, x, self.logvar)

    def nll_rows(self, output: Array, x: Array) -> Array:
        return gaussian_nll_rows(output, x, self.logvar)

    def nll_grad(self, output: Array, x: Array, weights: Array | None = None) -> Array:
        return _weigh(gaussian_nll_grad(output, x, out=output, logvar=self.logvar), weights)

    def mean(self, output: Array) -> Array:
        return output


class LearnedGaussian(Gaussian):
    """x_j ~ N(output_j, s_j^2) with one variance a feature, s_j^2 = exp(r_j) + 0.01^2, and r_j a weight like any other.

    Its optimum is the mean squared error of the feature, so the reconstruction and the KL are weighed by the data and
    not by hand. One variance a feature, not one a sample and feature: a network that may answer "certain" for a sample
    it happens to know gains without limit, and training breaks. The floor does the same for features that are constant.
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

    def nll_grad(self, output: Array, x: Array, weights: Array | None = None) -> Array:
        """(3.2)  As the others', and the gradient by r: that by logvar times dlogvar/dr = sigmoid(r - log floor)."""
        logvar = self.logvar
        slope = sigmoid(self.r - 2 * log(SMALLEST_SD))
        if weights is None:
            self.dr[...] = slope * gaussian_nll_logvar_grad(output, x, logvar)
        else:
            squares = (output - x) ** 2 * get_xp(x).exp(-logvar)
            self.dr[...] = slope * 0.5 * (weights[:, None] * (1 - squares)).sum(axis=0)
        return _weigh(gaussian_nll_grad(output, x, out=output, logvar=logvar), weights)


Likelihood = Bernoulli | Gaussian


def make(name: str, variance: float | str = 1.0) -> Likelihood:
    """The likelihood of that name; ``variance`` is a number or "learned"."""
    if name == "bernoulli":
        return Bernoulli()
    return LearnedGaussian() if isinstance(variance, str) else Gaussian(variance)


def _weigh(gradient: Array, weights: Array | None) -> Array:
    """From the mean over the batch to a weighted sum."""
    if weights is not None:
        gradient *= (len(gradient) * weights)[:, None]
    return gradient
