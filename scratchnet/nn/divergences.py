"""Kullback-Leibler divergences with their gradients, in nats: KL(p || q) = E_p[log p - log q] >= 0.

Values are summed over the features (last axis) and averaged over the batch, like the losses, as 0-d arrays; a single
distribution may be given as a vector. Shapes that differ and empty batches raise ValueError.
Derivations: docs/derivations.md, section 4.
"""

from __future__ import annotations

from scratchnet.backend import Array, Module, get_xp

__all__ = [
    "kl_bernoulli",
    "kl_bernoulli_grad",
    "kl_discrete",
    "kl_discrete_grad",
    "kl_normal",
    "kl_normal_entries",
    "kl_normal_grad",
]


def kl_discrete(p: Array, q: Array) -> Array:
    """sum_i p_i log(p_i / q_i) for probabilities p, q (B, k) or (k,).

    A term with p_i = 0 is 0, one with q_i = 0 < p_i is infinite.
    """
    xp = get_xp(p, q)
    _check_same(p, q)
    return _mean_over_batch(_p_log_ratio(xp, p, q))


def kl_discrete_grad(p: Array, q: Array) -> tuple[Array, Array]:
    """(4.1)  (dKL/dp, dKL/dq) = (log(p / q) + 1, -p / q) / B for p, q > 0.

    The entries of p and q are free: nothing holds them to a sum of 1.
    """
    xp = get_xp(p, q)
    _check_same(p, q)
    B = _batch(p)
    return (xp.log(p / q) + 1) / B, -p / q / B


def kl_bernoulli(p: Array, q: Array) -> Array:
    """sum_j p_j log(p_j / q_j) + (1 - p_j) log((1 - p_j) / (1 - q_j)) for probabilities p, q in [0, 1], (B, d) or (d,).

    The penalty of a sparse autoencoder is this with p = rho, the mean activation that is wanted.
    """
    xp = get_xp(p, q)
    _check_same(p, q)
    return _mean_over_batch(_p_log_ratio(xp, p, q) + _p_log_ratio(xp, 1 - p, 1 - q))


def _p_log_ratio(xp: Module, p: Array, q: Array) -> Array:
    """p log(p / q) of each entry: 0 where p is 0, infinite where only q is 0."""
    positive = p > 0
    terms = p * (xp.log(xp.where(positive, p, 1)) - xp.log(xp.where(q > 0, q, 1)))
    return xp.where(positive & (q <= 0), xp.inf, terms)


def kl_bernoulli_grad(p: Array, q: Array) -> tuple[Array, Array]:
    """(4.2)  (dKL/dp, dKL/dq) = (logit(p) - logit(q), (q - p) / (q (1 - q))) / B for p, q in (0, 1)."""
    xp = get_xp(p, q)
    B = _batch(p)
    return (xp.log(p / q) - (xp.log1p(-p) - xp.log1p(-q))) / B, (q - p) / (q * (1 - q)) / B


def kl_normal(mu: Array, logvar: Array, mu2: Array | None = None, logvar2: Array | None = None) -> Array:
    """KL(N(mu, s^2) || N(mu2, s2^2)) with s^2 = exp(logvar), diagonal; by default against the prior N(0, I).

    Against N(0, 1):  (mu^2 + s^2 - logvar - 1) / 2.
    In general:       (((mu - mu2)^2 + s^2) / s2^2 - (logvar - logvar2) - 1) / 2.

    Parameters
    ----------
    mu, logvar : array (B, d) or (d,)
    mu2, logvar2 : array of the same shape, optional
        The second distribution; both or neither.

    Examples
    --------
    >>> import numpy as np
    >>> float(kl_normal(np.array([1.0, 0.0]), np.array([0.0, 0.0])))
    0.5
    """
    delta, difference, inverse = _normal_parts(mu, logvar, mu2, logvar2)
    return _mean_over_batch(_kl_normal_terms(delta, difference, inverse))


def kl_normal_entries(mu: Array, logvar: Array) -> Array:
    """KL(N(mu, s^2) || N(0, 1)) of each entry, (B, d): its row sums belong to samples, its column means to latents."""
    return _kl_normal_terms(*_normal_parts(mu, logvar, None, None))


def _kl_normal_terms(delta: Array, difference: Array, inverse: Array | float) -> Array:
    excess = get_xp(difference).expm1(difference)  # variance ratio - 1, exact where the two variances nearly agree
    return 0.5 * (delta * delta * inverse + (excess - difference))


def kl_normal_grad(
    mu: Array, logvar: Array, mu2: Array | None = None, logvar2: Array | None = None
) -> tuple[Array, ...]:
    """(dKL/dmu, dKL/dlogvar), followed by dKL/dmu2, dKL/dlogvar2 where a second distribution is given.

    (4.4) Against N(0, 1):  mu / B  and  (s^2 - 1) / 2B.
    (4.3) In general:       (mu - mu2) / s2^2,  (s^2 / s2^2 - 1) / 2,  -(mu - mu2) / s2^2,
                            (1 - ((mu - mu2)^2 + s^2) / s2^2) / 2,  each over B.
    """
    delta, difference, inverse = _normal_parts(mu, logvar, mu2, logvar2)
    excess = get_xp(difference).expm1(difference)
    B = _batch(mu)
    dmu, dlogvar = delta * inverse / B, 0.5 * excess / B
    if mu2 is None:
        return dmu, dlogvar
    return dmu, dlogvar, -dmu, -0.5 * (delta * delta * inverse + excess) / B


def _normal_parts(
    mu: Array, logvar: Array, mu2: Array | None, logvar2: Array | None
) -> tuple[Array, Array, Array | float]:
    """mu - mu2, logvar - logvar2 and 1 / s2^2; the variance ratio is exp(logvar - logvar2), never a quotient."""
    if mu2 is None and logvar2 is None:
        get_xp(mu, logvar)  # raises if they are of two libraries
        return mu, logvar, 1
    if mu2 is None or logvar2 is None:
        raise ValueError("give both mu2 and logvar2, or neither (the prior N(0, I))")
    xp = get_xp(mu, logvar, mu2, logvar2)
    _check_same(mu, mu2)
    return mu - mu2, logvar - logvar2, xp.exp(-logvar2)


def _check_same(p: Array, q: Array) -> None:
    if p.shape != q.shape:
        raise ValueError(f"two distributions must have the same shape, got {tuple(p.shape)} and {tuple(q.shape)}")


def _batch(a: Array) -> int:
    if a.ndim > 1 and len(a) == 0:
        raise ValueError("empty batch: a mean over no samples is undefined")
    return len(a) if a.ndim > 1 else 1


def _mean_over_batch(terms: Array) -> Array:
    return terms.sum() / _batch(terms)
