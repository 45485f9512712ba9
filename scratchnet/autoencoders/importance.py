"""The importance-weighted autoencoder. Burda, Grosse and Salakhutdinov 2016, "Importance weighted autoencoders"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log
from typing import Any

from scratchnet.autoencoders.base_vae import seen
from scratchnet.autoencoders.variational import VAE
from scratchnet.backend import Array, get_xp
from scratchnet.validation import check_integer

__all__ = ["IWAE"]


@dataclass(repr=False, eq=False)
class IWAE(VAE):
    """A :class:`~scratchnet.autoencoders.VAE` trained on the importance-weighted bound with K draws per sample,

        loss = -E[log 1/K sum_k w_k],    w_k = p(x|z_k) p(z_k) / q(z_k|x),    z_k = mu + sigma * eps_k.

    With K = 1 that is the VAE's loss with its KL term by a single draw, log q(z|x) - log p(z), in place of the closed
    form. With K the bound rises to log p(x), and the posterior may be less of a Gaussian: a poor draw among good ones
    costs little. K decoder passes per sample and step. Everything else, ``elbo`` and ``log_likelihood`` too, is the
    VAE's; so is the history, whose ``loss`` is this one beside the two terms of the ELBO.

    Parameters
    ----------
    n_importance : int
        K.
    beta, warm_up
        Weight of log p(z) - log q(z|x) in log w_k, as for the VAE; 1 for the bound. It is not the weight of a term, so
        during the warm-up the history's loss is that of the final beta.
    free_bits : must be 0
        There is no separate KL term that a minimum could be set for.
    hidden, n_latent, ...
        As for :class:`~scratchnet.autoencoders.VAE`.

    Examples
    --------
    >>> from scratchnet.datasets import load_mnist
    >>> X, _ = load_mnist("test")
    >>> model = IWAE((50,), 5, n_importance=5, epochs=1, random_state=0).fit(X)
    >>> model.history_.units["loss"], model.elbo(X[:3]).shape
    ('nats/sample', (3,))
    """

    n_importance: int = field(default=5, kw_only=True)

    _epoch_beta: float | None = field(init=False, default=None)  # on copies that are trained

    def eps_shape(self, n: int) -> tuple[int, ...]:
        """Of the sampler's noise for n samples: K draws of each."""
        return self.n_importance, n, self.n_latent

    def weights(self, epoch: int) -> dict[str, float]:
        """There is one term."""
        return {"negative_bound": 1.0}

    def prepare_epoch(self, epoch: int) -> None:
        """Train with the beta of this epoch."""
        self._epoch_beta = self.effective_beta(epoch)

    def terms(self, x: Array, noise: Any) -> dict[str, Array]:
        """{"negative_bound": -log 1/K sum_k w_k}, mean over the batch in nats. The noise is eps (K, B, n_latent), or
        what :meth:`noise` gives."""
        xp, (_, _, log_w) = get_xp(x), self._weigh_draws(x, noise)
        top = log_w.max(axis=0)
        return {"negative_bound": (log(len(log_w)) - top - xp.log(xp.exp(log_w - top).sum(axis=0))).mean()}

    def gradient(self, x: Array, noise: Any = None, weights: Mapping[str, float] | None = None) -> Array:
        """(6.8)  With the normalised weights v_k = w_k / sum_l w_l, dL/dlog w_kb = -v_kb / B. Written into
        ``params_.grad`` and returned."""
        noise, weights = self.given(len(x), noise, weights)
        (B, d), weight, beta = (len(x), self.n_latent), float(weights["negative_bound"]), self._beta
        x, eps, log_w = self._weigh_draws(x, noise)
        w = get_xp(x).exp(log_w - log_w.max(axis=0))
        v = (weight * w / w.sum(axis=0)).reshape(-1)
        dz = self.decoder_.backward(self.likelihood_.nll_grad(self.output_, x, (len(v) / B) * v))
        dz = dz + (beta / B * v)[:, None] * (self.sample_.mu + self.sample_.sigma * eps)  # of -log p(z)
        dh = self.sample_.backward(dz, 0.0).reshape(-1, B, 2 * d).sum(axis=0)
        dh[:, d:] -= 0.5 * weight * beta / B  # of log q at fixed eps; the v_k sum to 1
        self.encoder_.backward(dh, need_dx=False)
        return self.params_.grad

    def _weigh_draws(self, x: Array, noise: Any) -> tuple[Array, Array, Array]:
        """(x K times, eps (K B, n_latent), log w (K, B)); draw k of sample b stands in row k B + b."""
        x, eps = seen(x, noise)
        xp, (K, B, d) = get_xp(x, eps), eps.shape
        h, x, eps = xp.tile(self.encoder_.forward(x), (K, 1)), xp.tile(x, (K, 1)), eps.reshape(K * B, d)
        z = self.sample_.forward(h, eps)
        self.output_ = self.decoder_.forward(z)
        log_ratio = 0.5 * (eps * eps + self.sample_.logvar - z * z).sum(axis=1)  # (6.4) log p(z) / q(z|x)
        return x, eps, (self._beta * log_ratio - self.likelihood_.nll_rows(self.output_, x)).reshape(K, B)

    @property
    def _beta(self) -> float:
        return self.beta if self._epoch_beta is None else self._epoch_beta

    @property
    def terms_are_means(self) -> bool:
        """The bound is a mean over samples."""
        return True

    @property
    def first_comparable_epoch(self) -> int:
        """The first epoch after the warm-up."""
        return self.warm_up + 1

    @property
    def rows_at_once(self) -> int:
        """Fewer than for a VAE: each is decoded K times."""
        return max(1, super().rows_at_once // self.n_importance)

    def measures(self, x: Array, noise: Any) -> dict[str, Array]:
        """The two terms of the ELBO, means over the K draws, and the VAE's measures."""
        x, eps = seen(x, noise)
        x = get_xp(x).tile(x, (len(eps), 1))
        return {"reconstruction": self.likelihood_.nll(self.output_, x), **super().measures(x, eps)}

    def check_parameters(self, has_validation: bool) -> None:
        """Raise ValueError or TypeError for parameters that make no model."""
        super().check_parameters(has_validation)
        check_integer(self.n_importance, "n_importance")
        if self.free_bits:
            raise ValueError(
                f"free_bits={self.free_bits}: the importance-weighted bound has no KL term; use free_bits=0"
            )
