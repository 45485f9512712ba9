"""The variational autoencoder. Kingma and Welling 2014, "Auto-Encoding Variational Bayes"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from scratchnet.autoencoders.base_vae import BaseVAE
from scratchnet.backend import Array, RandomState
from scratchnet.validation import check_integer

__all__ = ["VAE"]


@dataclass(repr=False, eq=False)
class VAE(BaseVAE):
    """Posterior q(z|x) = N(mu(x), sigma(x)^2), prior p(z) = N(0, I), likelihood p(x|z); minimises

        loss = E_q[-log p(x|z)] + beta * KL(q(z|x) || p(z)),    z = mu + sigma * eps,  eps ~ N(0, I),

    with one draw of eps per sample and step. The encoder's last Dense gives [mu | logvar], sigma = exp(logvar / 2).
    Both terms are sums over features and means over samples, in nats: with beta = 1 the negative loss is the ELBO.

    Parameters
    ----------
    beta : float
        Weight of the KL term; above 1 it is the beta-VAE of Higgins et al. 2017.
    warm_up : int
        Over that many first epochs beta rises in equal steps, beta * epoch / (warm_up + 1), so that latents are in use
        before they cost in full (Sonderby et al. 2016). ``patience`` counts from when beta is reached.
    free_bits : float
        A latent's KL costs at least that many nats: the KL term is sum_j max(free_bits, mean of KL_j over the
        minibatch), so that using a latent up to there is free (Kingma et al. 2016, eq. 15, one latent per group).
    variance : float or "learned"
        Of the Gaussian likelihood: one number, or one per feature that is learned (at least 0.01^2; ``variance_``).
    binarisation : {"grey", "threshold", "dynamic"}
        What the Bernoulli likelihood sees of x in [0, 1], in training and in ``elbo``, ``log_likelihood``, ``score``:
        x unchanged, thresholded at 1/2, or a fresh Bernoulli(x) draw each time. Nats under one are not comparable with
        nats under another, so the history names it. ``transform`` and ``reconstruct`` take X unchanged.
    hidden, n_latent, activation, likelihood, epochs, batch_size, learning_rate, optimizer, validation_fraction, \
patience, random_state, dtype, backend, verbose
        As for :class:`~scratchnet.autoencoders.Autoencoder`.

    Warns
    -----
    PosteriorCollapseWarning
        If no latent is active when training ends, after 100 updates or more.

    Examples
    --------
    >>> from scratchnet.datasets import load_mnist
    >>> X, _ = load_mnist("test")
    >>> vae = VAE((50,), 5, epochs=3, learning_rate=3e-3, random_state=0).fit(X)
    >>> vae.transform(X).shape, vae.sample(2).shape
    ((1000, 5), (2, 784))
    >>> bool((vae.log_likelihood(X[:20], 50).mean() > vae.elbo(X[:20]).mean()))
    True
    """

    def terms(self, x: Array, noise: Any) -> dict[str, Array]:
        """{"reconstruction": -log p(x|z), "kl": KL}, means over the batch in nats, 0-d arrays. The noise is eps
        (B, n_latent), under which x is taken unchanged, whatever the binarisation, or what :meth:`noise` gives. With
        free bits "kl" is what is paid."""
        return self._terms(x, None, noise)

    def gradient(self, x: Array, noise: Any = None, weights: Mapping[str, float] | None = None) -> Array:
        """The gradient of the weighted sum of the terms with respect to all parameters, written into ``params_.grad``
        and returned; by default that of ``loss``."""
        return self._gradient(x, None, noise, weights)

    terms_are_means = BaseVAE.terms_are_means

    def posterior(self, X: ArrayLike) -> tuple[Array, Array]:
        """(mu, sigma) of q(z|x), each (n, n_latent)."""
        return self.over_rows("encode", self.check_rows(X))

    def transform(self, X: ArrayLike) -> Array:
        """Posterior means, (n, n_latent)."""
        return self.posterior(X)[0]

    def inverse_transform(self, Z: ArrayLike) -> Array:
        """E[x|z], (n, n_features): probabilities for the Bernoulli likelihood."""
        return self.over_rows("decode", self.check_codes(Z))

    def reconstruct(self, X: ArrayLike) -> Array:
        """E[x|z] at the posterior mean, (n, n_features)."""
        return self.over_rows("decode", self.transform(X))

    def sample(self, n: int, *, random_state: RandomState = None) -> Array:
        """Generate: z ~ N(0, I), then E[x|z], (n, n_features). With ``random_state`` the same n images every time."""
        return self.over_rows("decode", self.prior(n, random_state))

    def elbo(self, X: ArrayLike, *, n_samples: int = 1) -> Array:
        """E_q[log p(x|z)] - KL(q(z|x) || p(z)) <= log p(x) of each sample, (n,) nats; higher is better.

        The KL is in closed form, the expectation a mean over ``n_samples`` draws, the same ones at every call.
        """
        n = check_integer(n_samples, "n_samples")
        return self.over_rows("elbo_rows", *self.check_batch(X), noise=True, n_samples=n)

    def log_likelihood(self, X: ArrayLike, n_importance: int = 500) -> Array:
        """log p(x) of each sample by importance sampling, (n,) nats; higher is better.

        log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x) with z_k ~ q(z|x): a lower bound in expectation, which rises to
        log p(x) with K = ``n_importance``. Takes K decoder passes; the same draws at every call.
        Burda et al. 2016, eq. 8.
        """
        K = check_integer(n_importance, "n_importance")
        return self.over_rows("importance_bound", *self.check_batch(X), noise=True, n_importance=K)

    def kl_per_latent(self, X: ArrayLike) -> Array:
        """KL(q(z_j|x) || N(0, 1)), mean over samples, (n_latent,) nats; near 0: the latent carries nothing."""
        return self.over_rows("kl_entries", self.check_rows(X)).mean(axis=0)

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Mean ELBO over samples, in nats; higher is better."""
        return float(self.elbo(X).mean())
