"""Does a variational autoencoder sample from the distribution that its KL term assumes? A gradient check cannot tell.

With sigma = exp(logvar) in the sampler, forward and backward pass agree and every gradient is right, while the closed
form of the KL belongs to another distribution. What finds it is Monte Carlo through the model's own sampler.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

from scratchnet.autoencoders import evidence
from scratchnet.autoencoders.base_vae import BaseVAE
from scratchnet.autoencoders.conditional import ConditionalVAE
from scratchnet.backend import Array, Rng, get_xp
from scratchnet.validation import check_integer

__all__ = ["LIMIT", "ConsistencyReport", "ConsistencyRow", "consistency_check"]

LIMIT = 5.0  # standard errors: a correct model fails one of these checks about once in a hundred thousand runs


class ConsistencyRow(NamedTuple):
    """One comparison: what theory says, what Monte Carlo found, the difference in standard errors."""

    name: str
    expected: float
    found: float
    deviation: float
    ok: bool


@dataclass
class ConsistencyReport:
    """The result of :func:`consistency_check`; ``print`` it for a table.

    Attributes
    ----------
    rows : list of (name, expected, found, deviation, ok)
        For bounds ``expected`` is the lower one, ``found`` the one that must not be less.
    ok : bool
        Nothing deviates by more than 5 standard errors.
    """

    rows: list[ConsistencyRow]
    n_images: int
    n_samples: int
    binarisation: str

    @property
    def ok(self) -> bool:
        return all(row.ok for row in self.rows)

    def __str__(self) -> str:
        width = max(len(row.name) for row in self.rows)
        lines = [f"{'check':<{width}}  {'expected':>12}  {'found':>12}  {'deviation':>9}"]
        for name, expected, found, deviation, ok in self.rows:
            lines.append(f"{name:<{width}}  {expected:>12.5g}  {found:>12.5g}  {deviation:>7.1f}se  {_verdict(ok)}")
        data = f"{self.n_images} samples" + (f", {self.binarisation}" if self.binarisation else "")
        lines.append(f"({data}; {self.n_samples} draws each; nats; more than {LIMIT:g} standard errors are wrong)")
        return "\n".join(lines)


def consistency_check(
    vae: BaseVAE, X: Any = None, y: Any = None, *, n_samples: int = 1000, random_state: int = 0
) -> ConsistencyReport:
    """Check a fitted VAE, IWAE or conditional VAE against itself.

    - The draws of its sampler have the mean and the standard deviation that ``posterior`` claims.
    - KL(q(z|x) || p(z)) by Monte Carlo, the mean of log q(z|x) - log p(z) over those draws, equals the closed form.
    - ELBO <= importance-weighted bound with 10 draws <= with 100 draws, in expectation.

    Parameters
    ----------
    X : array_like (n, n_features), optional
        Data to check on, such as 100 held-out rows; by default 100 rows that the model generates.
    y : the condition of X, for a conditional model
    n_samples : int
        Draws of z per row.
    random_state : int
        Of the draws.
    """
    if not isinstance(vae, BaseVAE):
        raise TypeError(f"consistency_check needs a variational autoencoder, got {type(vae).__name__}")
    draws = check_integer(n_samples, "n_samples", minimum=100)
    if isinstance(vae, ConditionalVAE):
        if X is None or y is None:
            raise ValueError("a conditional model is checked on data: pass X and y")
        data = vae.check_batch(X, y)
    else:
        data = vae.check_batch(vae.sample(100, random_state=random_state) if X is None else X)
    noise = Rng(random_state, get_xp(data[0]))
    data = (vae.binarise(data[0], noise), *data[1:])
    rows = [*_sampler(vae, data, draws, noise), *_bounds(vae, data, draws, noise)]
    return ConsistencyReport(rows, len(data[0]), draws, vae.binarisation if vae.likelihood == "bernoulli" else "")


def _sampler(vae: BaseVAE, data: tuple[Array, ...], draws: int, noise: Rng) -> list[ConsistencyRow]:
    """Moments and KL of what the sampler makes of the encoder's output, against ``posterior`` and the closed form."""
    xp, (mu, sigma) = get_xp(data[0]), vae.encode(*data)
    mu, sigma = mu.astype("float64"), sigma.astype("float64")
    h, (n, d) = vae.encoder_.forward(evidence.beside(*data)), mu.shape
    total, squares = xp.zeros((n, d)), xp.zeros((n, d))
    kl, kl_squares = xp.zeros(n), xp.zeros(n)
    for _ in range(draws):
        z = vae.sample_.forward(h, noise.standard_normal((n, d), dtype=vae.dtype)).astype("float64")
        u = (z - mu) / sigma  # N(0, 1), if z ~ N(mu, sigma^2)
        total += u
        squares += u * u
        log_ratio = (0.5 * (z * z - u * u) - xp.log(sigma)).sum(axis=1)  # log q(z|x) - log p(z)
        kl += log_ratio
        kl_squares += log_ratio * log_ratio
    closed, error = (
        float(vae.kl_entries(*data).sum(axis=1, dtype="float64").mean()),
        _standard_error(kl, kl_squares, draws),
    )
    N = draws * n
    rows = [
        _equal("z: mean of (z - mu) / sigma", 0.0, float(total.sum()) / (N * d), 1 / sqrt(N * d)),
        _equal("z: variance of (z - mu) / sigma", 1.0, float(squares.sum()) / (N * d), sqrt(2 / (N * d))),
    ]
    for name, found, expected, scale in (("mean", total, 0.0, 1.0), ("variance", squares, 1.0, sqrt(2))):
        by_latent = found.sum(axis=0) / N
        worst = int(abs(by_latent - expected).argmax())
        rows.append(_equal(f"z: {name}, latent {worst} (furthest)", expected, float(by_latent[worst]), scale / sqrt(N)))
    return [*rows, _equal("KL: closed form, Monte Carlo", closed, float(kl.sum()) / N, error)]


def _bounds(vae: BaseVAE, data: tuple[Array, ...], draws: int, noise: Rng) -> list[ConsistencyRow]:
    """The three bounds of log p(x), each a mean over as many draws as there are, on the same draws."""
    xp, n = get_xp(data[0]), len(data[0])
    x, c = data if len(data) == 2 else (*data, None)
    h, rounds = vae.encoder_.forward(evidence.beside(x, c)), draws // 100
    kl = vae.kl_entries(*data).sum(axis=1).astype("float64")
    bounds = xp.zeros((rounds, 3, n))
    for i in range(rounds):
        log_w, nll = xp.zeros((100, n)), xp.zeros(n)
        for k in range(100):
            eps = noise.standard_normal((n, vae.n_latent), dtype=vae.dtype)
            log_w[k] = evidence.log_weights(vae, h, eps, x, c)
            z = vae.sample_.forward(h, eps)
            nll += vae.likelihood_.nll_rows(vae.decoder_.forward(evidence.beside(z, c)), x)
        bounds[i, 0] = -nll / 100 - kl
        bounds[i, 1] = _log_mean(log_w.reshape(10, 10, n)).mean(axis=0)
        bounds[i, 2] = _log_mean(log_w[None])[0]
    names, rows = ("ELBO", "IWAE-10", "IWAE-100"), []
    for low in (0, 1):
        gap = (bounds[:, low + 1] - bounds[:, low]).mean(axis=1)  # mean over the rows, of each round
        error = float(gap.std()) / sqrt(max(1, rounds - 1)) or 1e-12
        expected, found = (float(bounds[:, j].mean()) for j in (low, low + 1))
        deviation = min(0.0, (found - expected) / error)
        rows.append(ConsistencyRow(f"{names[low]} <= {names[low + 1]}", expected, found, deviation, deviation > -LIMIT))
    return rows


def _log_mean(log_w: Array) -> Array:
    """log 1/K sum_k exp(log_w) over the second axis of (rounds, K, n)."""
    xp, top = get_xp(log_w), log_w.max(axis=1, keepdims=True)
    return top[:, 0] + xp.log(xp.exp(log_w - top).mean(axis=1))


def _equal(name: str, expected: float, found: float, error: float) -> ConsistencyRow:
    deviation = (found - expected) / error if error else 0.0
    return ConsistencyRow(name, expected, found, deviation, abs(deviation) <= LIMIT)


def _standard_error(total: Array, squares: Array, draws: int) -> float:
    """Of the mean over all rows and draws: rows differ in their mean, draws of a row only by chance."""
    variance = squares / draws - (total / draws) ** 2
    return sqrt(float(variance.sum()) / draws) / len(total)


def _verdict(ok: bool) -> str:
    return "ok" if ok else "WRONG"
