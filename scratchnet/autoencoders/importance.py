"""The importance-weighted autoencoder. Burda, Grosse and Salakhutdinov 2016, "Importance weighted autoencoders"."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from typing import Any

from scratchnet.autoencoders.evidence import importance_bound
from scratchnet.autoencoders.variational import VAE
from scratchnet.backend import Array, Rng, get_xp
from scratchnet.validation import check_integer


@dataclass(repr=False, eq=False)
class IWAE(VAE):
    """A :class:`~scratchnet.autoencoders.VAE` trained on the importance-weighted bound with K draws a sample,

        loss = -E[log 1/K sum_k w_k],    w_k = p(x|z_k) p(z_k) / q(z_k|x),    z_k = mu + sigma * eps_k.

    With K = 1 that is the VAE's loss with its KL term by a single draw, log q(z|x) - log p(z), in place of the closed
    form. With K the bound rises to log p(x), and the posterior may be less of a Gaussian: a poor draw among good ones
    costs little. K decoder passes a sample and step. Everything else, ``elbo`` and ``log_likelihood`` too, is the
    VAE's; so is the history, whose ``loss`` is this one beside the two terms of the ELBO.

    Parameters
    ----------
    n_importance : int
        K.
    beta, warm_up
        Weight of log p(z) - log q(z|x) in log w_k, as for the VAE; 1 for the bound.
    free_bits : must be 0
        There is no KL term of its own that a minimum could be set for.
    hidden, n_latent, ...
        As for :class:`~scratchnet.autoencoders.VAE`.
    """

    n_importance: int = field(default=5, kw_only=True)

    # loss(x, eps) and gradient(x, eps) are the VAE's, with eps (K, B, n_latent)

    def _draw(self, x: Array, eps: Array, beta: float) -> tuple[Array, Array, Array]:
        """Draw k of sample b stands in row k B + b. Returns (x K times, the decoder's output, log w (K, B))."""
        xp, (K, B, d) = get_xp(x, eps), eps.shape
        h, x = xp.tile(self.encoder_.forward(x), (K, 1)), xp.tile(x, (K, 1))
        eps = eps.reshape(K * B, d)
        z = self.sample_.forward(h, eps)
        output = self.decoder_.forward(z)
        log_ratio = 0.5 * (eps * eps + self.sample_.logvar - z * z).sum(axis=1)  # (6.4) log p(z) / q(z|x)
        return x, output, (beta * log_ratio - self._likelihood.nll_rows(output, x)).reshape(K, B)

    def _loss(self, x: Array, c: None, eps: Array, beta: float) -> Array:
        """eps (K, B, n_latent)."""
        xp, (_, _, log_w) = get_xp(x), self._draw(x, eps, beta)
        top = log_w.max(axis=0)
        return (log(len(eps)) - top - xp.log(xp.exp(log_w - top).sum(axis=0))).mean()

    def _gradient(self, x: Array, c: None, eps: Array, beta: float) -> Array:
        """(6.8)  With the normalised weights v_k = w_k / sum_l w_l, dL/dlog w_kb = -v_kb / B."""
        xp, (K, B, d) = get_xp(x), eps.shape
        x, output, log_w = self._draw(x, eps, beta)
        v = xp.exp(log_w - log_w.max(axis=0))
        v /= v.sum(axis=0)
        share = v.reshape(K * B) / B
        dz = self.decoder_.backward(self._likelihood.nll_grad(output, x, share))
        dz = dz + (beta * share)[:, None] * (self.sample_.mu + self.sample_.sigma * self.sample_.eps)  # of -log p(z)
        dh = self.sample_.backward(dz, beta=0.0).reshape(K, B, 2 * d).sum(axis=0)
        dh[:, d:] -= 0.5 * beta / B  # of log q at fixed eps; the weights sum to 1
        self.encoder_.backward(dh, need_dx=False)
        return self.params_.grad

    def _train_noise(self, n: int, rng: Rng) -> Array:
        """eps ~ N(0, I), (K, n, n_latent)."""
        return rng.fill_normal(rng.xp.empty((self.n_importance, n, self.n_latent), dtype=self.dtype))

    def _evaluate(self, batch: tuple[Array, ...], noise: Rng) -> dict[str, Array]:
        (x,) = batch
        parts = super()._evaluate(batch, noise)
        bound = importance_bound(self, self._binary(x, noise), None, self.n_importance, noise, self._beta_now)
        return parts | {"loss": -bound.mean()}

    def _summarize(self, totals: dict[str, Any]) -> dict[str, Any]:
        loss = totals.pop("loss")
        return super()._summarize(totals) | {"loss": float(loss)}

    def _check_parameters(self, has_validation: bool) -> None:
        super()._check_parameters(has_validation)
        check_integer(self.n_importance, "n_importance")
        if self.free_bits:
            raise ValueError(
                f"free_bits={self.free_bits}: the importance-weighted bound has no KL term; use free_bits=0"
            )
