"""How likely a model finds data: two lower bounds of log p(x), computed honestly.

Data come as (x,) or (x, c) with the condition c of a conditional model, checked; results are (n,) in nats. The noise is
the same at every call, so that two models meet the same draws.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

from scratchnet.autoencoders.base import EVALUATION_SEED
from scratchnet.backend import Array, Rng, get_xp
from scratchnet.nn import kl_normal_entries


def elbo(model: Any, data: tuple[Array, ...], n_samples: int) -> Array:
    """(6.2)  E_q[log p(x|z)] - KL(q(z|x) || p(z)): the KL in closed form, the expectation by ``n_samples`` draws."""

    def rows(noise: Rng, x: Array, c: Array | None = None) -> Array:
        xp, h = get_xp(x), model.encoder_.forward(beside(x, c))
        eps, nll = xp.empty((len(x), model.n_latent), dtype=x.dtype), xp.zeros(len(x), dtype=x.dtype)
        for _ in range(n_samples):
            z = model.sample_.forward(h, noise.fill_normal(eps))
            nll += model._likelihood.nll_rows(model.decoder_.forward(beside(z, c)), x)
        return -nll / n_samples - kl_normal_entries(model.sample_.mu, model.sample_.logvar).sum(axis=1)

    return _with_noise(model, rows, data)


def log_likelihood(model: Any, data: tuple[Array, ...], n_importance: int) -> Array:
    """(6.4)  The importance bound with K = ``n_importance`` draws."""

    def rows(noise: Rng, x: Array, c: Array | None = None) -> Array:
        return importance_bound(model, x, c, n_importance, noise)

    return _with_noise(model, rows, data)


def importance_bound(model: Any, x: Array, c: Array | None, K: int, noise: Rng, beta: float = 1.0) -> Array:
    """(6.4)  log 1/K sum_k w_k of each sample, (B,) in float64, w_k = p(x|z_k) [p(z_k) / q(z_k|x)]^beta, z_k ~ q(z|x).

    One draw at a time: memory does not grow with K. The sum of exponentials keeps the largest exponent so far.
    """
    xp, h = get_xp(x), model.encoder_.forward(beside(x, c))
    eps = xp.empty((len(x), model.n_latent), dtype=x.dtype)
    top, total = xp.full(len(x), -xp.inf, dtype="float64"), xp.zeros(len(x), dtype="float64")
    for _ in range(K):
        log_w = log_weights(model, h, noise.fill_normal(eps), x, c, beta)
        higher = xp.maximum(top, log_w)
        total = total * xp.exp(top - higher) + xp.exp(log_w - higher)
        top = higher
    return top + xp.log(total) - log(K)


def log_weights(model: Any, h: Array, eps: Array, x: Array, c: Array | None, beta: float = 1.0) -> Array:
    """(6.4)  log w of one draw z = mu + sigma eps a sample, (B,) in float64; h = [mu | logvar]."""
    z = model.sample_.forward(h, eps)
    log_ratio = 0.5 * (eps * eps + model.sample_.logvar - z * z).sum(axis=1)  # log p(z) / q(z|x)
    return beta * log_ratio.astype("float64") - model._likelihood.nll_rows(model.decoder_.forward(beside(z, c)), x)


def _with_noise(model: Any, rows: Callable[..., Array], data: tuple[Array, ...]) -> Array:
    """``rows`` of all data, chunk by chunk, on the noise of evaluations; data are made binary where the model's are."""
    xp = get_xp(data[0])
    noise = Rng(EVALUATION_SEED, xp)
    return model._map(lambda x, *c: rows(noise, model._binary(x, noise), *c), *data)


def beside(a: Array, c: Array | None = None) -> Array:
    """[a | c], or a itself without a condition."""
    return a if c is None else get_xp(a, c).concatenate([a, c], axis=1)
