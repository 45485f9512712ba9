"""How likely a model finds data: two lower bounds of log p(x).

A batch comes as x, with the condition c of a conditional model; results are (B,) in nats.
"""

from __future__ import annotations

from math import log
from typing import Protocol

from scratchnet.autoencoders.likelihoods import Likelihood
from scratchnet.autoencoders.model import Draws
from scratchnet.backend import Array, get_xp
from scratchnet.nn import GaussianSample, Sequential, kl_normal_entries

__all__ = ["LatentModel", "beside", "elbo", "importance_bound", "log_weights"]


class LatentModel(Protocol):
    """What is needed of a variational autoencoder."""

    encoder_: Sequential
    decoder_: Sequential
    sample_: GaussianSample
    likelihood_: Likelihood
    n_latent: int


def elbo(model: LatentModel, x: Array, c: Array | None, n_samples: int, rng: Draws) -> Array:
    """(6.2)  E_q[log p(x|z)] - KL(q(z|x) || p(z)): the KL in closed form, the expectation by ``n_samples`` draws."""
    h, nll = model.encoder_.forward(beside(x, c)), 0.0
    for _ in range(n_samples):
        z = model.sample_.forward(h, rng.standard_normal((len(x), model.n_latent), dtype=x.dtype))
        nll = nll + model.likelihood_.nll_rows(model.decoder_.forward(beside(z, c)), x)
    return -nll / n_samples - kl_normal_entries(model.sample_.mu, model.sample_.logvar).sum(axis=1)


def importance_bound(model: LatentModel, x: Array, c: Array | None, K: int, rng: Draws) -> Array:
    """(6.4)  log 1/K sum_k w_k of each sample, (B,) in float64, w_k = p(x|z_k) p(z_k) / q(z_k|x), z_k ~ q(z|x).

    One draw at a time: memory does not grow with K. The sum of exponentials keeps the largest exponent so far.
    """
    xp, h = get_xp(x), model.encoder_.forward(beside(x, c))
    top, total = xp.full(len(x), -xp.inf, dtype="float64"), xp.zeros(len(x), dtype="float64")
    for _ in range(K):
        log_w = log_weights(model, h, rng.standard_normal((len(x), model.n_latent), dtype=x.dtype), x, c)
        higher = xp.maximum(top, log_w)
        total = total * xp.exp(top - higher) + xp.exp(log_w - higher)
        top = higher
    return top + xp.log(total) - log(K)


def log_weights(model: LatentModel, h: Array, eps: Array, x: Array, c: Array | None) -> Array:
    """(6.4)  log w of one draw z = mu + sigma eps per sample, (B,) in float64; h = [mu | logvar]."""
    z = model.sample_.forward(h, eps)
    log_ratio = 0.5 * (eps * eps + model.sample_.logvar - z * z).sum(axis=1)  # log p(z) / q(z|x)
    return log_ratio.astype("float64") - model.likelihood_.nll_rows(model.decoder_.forward(beside(z, c)), x)


def beside(a: Array, c: Array | None = None) -> Array:
    """[a | c], or a itself without a condition."""
    return a if c is None else get_xp(a, c).concatenate([a, c], axis=1)
