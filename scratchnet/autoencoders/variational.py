"""The variational autoencoder. Kingma and Welling 2014, "Auto-Encoding Variational Bayes"."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from numpy.typing import ArrayLike

from scratchnet.autoencoders import evidence, likelihoods
from scratchnet.autoencoders.base import BaseAutoencoder
from scratchnet.autoencoders.evidence import beside
from scratchnet.autoencoders.likelihoods import Likelihood
from scratchnet.autoencoders.model import Draws
from scratchnet.backend import Array, RandomState, Rng, get_xp
from scratchnet.nn import GaussianSample, he_normal, kl_normal_entries, small_normal
from scratchnet.nn.initializers import Initializer
from scratchnet.validation import check_choice, check_integer, check_number

__all__ = ["ACTIVE_VARIANCE", "BINARISATIONS", "VAE", "BaseVAE", "NoiseAndCoins", "PosteriorCollapseWarning", "seen"]

_UPDATES_BEFORE_COLLAPSE_CHECK = 100  # the posterior begins near the prior; small networks take dozens to leave it
ACTIVE_VARIANCE = 0.01  # a latent is active if its posterior mean varies more than this over the data (Burda 2015)
BINARISATIONS = ("grey", "threshold", "dynamic")


class PosteriorCollapseWarning(UserWarning):
    """No latent carries anything about x after training: the decoder ignores z."""


class NoiseAndCoins(NamedTuple):
    """The noise of a training step with ``binarisation="dynamic"``: eps (B, n_latent) of the sampler, and coins
    (B, n_features), uniform on [0, 1), under which x is replaced by x > coins."""

    eps: Array
    coins: Array


@dataclass(repr=False, eq=False)
class BaseVAE(BaseAutoencoder):
    """Terms, gradient and training of all variational autoencoders. c is the condition of a conditional one,
    (B, n_condition); in the others it is None, and [x | c] is x."""

    beta: float = field(default=1.0, kw_only=True)
    warm_up: int = field(default=0, kw_only=True)
    free_bits: float = field(default=0.0, kw_only=True)
    variance: float | str = field(default=1.0, kw_only=True)
    binarisation: str = field(default="grey", kw_only=True)

    sample_: GaussianSample = field(init=False)

    outputs_per_latent: ClassVar[int] = 2
    builds_from: ClassVar[tuple[str, ...]] = (*BaseAutoencoder.builds_from, "variance", "binarisation")

    # -- the protocol -------------------------------------------------------------------------------------------------

    def noise(self, n: int, rng: Draws) -> Any:
        """eps ~ N(0, I), (n, n_latent); with dynamic binarisation :class:`NoiseAndCoins`."""
        eps = rng.standard_normal(self.eps_shape(n), dtype=self.dtype)
        if self.binarisation != "dynamic":
            return eps
        return NoiseAndCoins(eps, rng.random((n, self.n_features_in_), dtype=self.dtype))

    def eps_shape(self, n: int) -> tuple[int, ...]:
        """Of the sampler's noise for n samples."""
        return n, self.n_latent

    def weights(self, epoch: int) -> dict[str, float]:
        """1 for the reconstruction, the effective beta for the KL."""
        return {"reconstruction": 1.0, "kl": self.effective_beta(epoch)}

    def forward(self, x: Array, c: Array | None, eps: Array) -> Array:
        """The decoder's output for z = mu(x, c) + sigma(x, c) * eps, which is kept for the history."""
        z = self.sample_.forward(self.encoder_.forward(beside(x, c)), eps)
        self.output_ = self.decoder_.forward(beside(z, c))
        return self.output_

    def _terms(self, x: Array, c: Array | None, noise: Any) -> dict[str, Array]:
        x, eps = seen(x, noise)
        reconstruction = self.likelihood_.nll(self.forward(x, c, eps), x)
        if not self.free_bits:
            return {"reconstruction": reconstruction, "kl": self.sample_.kl()}
        return {"reconstruction": reconstruction, "kl": get_xp(x).maximum(self._kl_by_latent(), self.free_bits).sum()}

    def _gradient(self, x: Array, c: Array | None, noise: Any, weights: Mapping[str, float] | None) -> Array:
        noise, weights = self.given(len(x), noise, weights)
        x, eps = seen(x, noise)
        output = self.forward(x, c, eps)
        dzc = self.decoder_.backward(self.likelihood_.nll_grad(output, x, weights["reconstruction"]))
        dz = dzc[:, : self.n_latent]  # nothing flows into the condition
        beta: Any = float(weights["kl"])
        if self.free_bits:
            beta = beta * (self._kl_by_latent() > self.free_bits).astype(x.dtype)
        self.encoder_.backward(self.sample_.backward(dz, beta), need_dx=False)  # (5.3), (6.7)
        return self.params_.grad

    @property
    def terms_are_means(self) -> bool:
        """-log p and KL are; free bits look at the mean KL of a batch, so they are not."""
        return not self.free_bits

    def _kl_by_latent(self) -> Array:
        """KL(q(z_j|x) || N(0, 1)) of the last forward pass, mean over its batch, (n_latent,)."""
        return kl_normal_entries(self.sample_.mu, self.sample_.logvar).mean(axis=0)

    def effective_beta(self, epoch: int) -> float:
        """The weight of the KL term in an epoch: beta * min(1, epoch / (warm_up + 1))."""
        return float(self.beta * min(1.0, epoch / (self.warm_up + 1 if self.epochs else 1)))

    def binarise(self, x: Array, rng: Draws) -> Array:
        """x as the likelihood sees it: unchanged, thresholded, or a fresh Bernoulli(x) draw."""
        if self.binarisation == "dynamic":
            return (x > rng.random(x.shape, dtype=x.dtype)).astype(x.dtype)
        return (x > 0.5).astype(x.dtype) if self.binarisation == "threshold" else x

    # -- history ------------------------------------------------------------------------------------------------------

    def measures(self, *batch_and_noise: Any) -> dict[str, Array]:
        """KL without free bits, squared error, KL per latent, and two moments of the posterior means."""
        x, _ = seen(batch_and_noise[0], batch_and_noise[-1])
        mu, kl = self.sample_.mu, self._kl_by_latent()
        return {
            "kl": kl.sum(),
            "mse": ((self.likelihood_.mean(self.output_) - x) ** 2).mean(),
            "kl_per_latent": kl,
            "mu": mu.mean(axis=0, dtype="float64"),
            "mu_squared": (mu.astype("float64") ** 2).mean(axis=0),
        }

    def summary(self, row: dict[str, Any], epoch: int) -> dict[str, Any]:
        """The history's row, with the effective beta, the active units and the binarisation."""
        variance, kl_per_latent = row.pop("mu_squared") - row.pop("mu") ** 2, row.pop("kl_per_latent")
        row = super().summary(row, epoch)
        row["effective_beta"] = self.effective_beta(epoch)
        row["active_units"] = int((variance > ACTIVE_VARIANCE).sum())
        row["kl_per_latent"] = kl_per_latent.tolist()
        if self.likelihood == "bernoulli":
            row["binarisation"] = self.binarisation
        return row

    @property
    def active_units_(self) -> int:
        """Latents whose posterior mean varies by more than 0.01 over (up to 2000 of) the training samples."""
        if not self.history_:
            raise ValueError("active_units_ is measured after an epoch, but the model has trained for none")
        return self.history_[self.best_epoch_ - 1]["active_units"]

    def after_training(self, n_updates: int) -> None:
        """Warn of a posterior collapse."""
        if n_updates >= _UPDATES_BEFORE_COLLAPSE_CHECK and self.active_units_ == 0:
            row = self.history_[self.best_epoch_ - 1]
            warnings.warn(
                f"posterior collapse: none of the {self.n_latent} latents is active after epoch {row['epoch']} (KL "
                f"{row['kl']:.3g} nats beside a reconstruction of {row['reconstruction']:.4g}, effective beta "
                f"{row['effective_beta']:g}); the decoder ignores z. Let the KL term weigh less at first "
                "(warm_up=10), pay for a minimum (free_bits=0.1), lower beta, or train for more epochs; with "
                "likelihood='gaussian' try variance='learned': noise larger than the data leaves nothing to encode",
                PosteriorCollapseWarning,
                stacklevel=2,
            )

    # -- the networks -------------------------------------------------------------------------------------------------

    def declare(self) -> None:
        """Make the networks and the sampler."""
        super().declare()
        self.sample_ = GaussianSample()

    @property
    def initializers(self) -> tuple[Initializer, Initializer]:
        """The posterior begins near the prior: z has variance about 1 whatever x is, and He's draw keeps it through the
        decoder. For tanh Glorot's, which is made for slope 1 at 0, does better."""
        return super().initializers if self.activation == "tanh" else (he_normal, small_normal)

    def make_likelihood(self) -> Likelihood:
        """p(x | decoder output), with the variance of a Gaussian one."""
        return likelihoods.make(self.likelihood, self.variance)

    @property
    def variance_(self) -> Array:
        """Of the Gaussian likelihood, (n_features,): fixed or learned."""
        if not isinstance(self.likelihood_, likelihoods.Gaussian):
            raise ValueError(f"likelihood={self.likelihood!r} has no variance of its own")
        xp = self._xp
        return xp.exp(xp.full(self.n_features_in_, 0.0, dtype=self.dtype) + self.likelihood_.logvar)

    # -- checking -----------------------------------------------------------------------------------------------------

    def check_parameters(self, has_validation: bool) -> None:
        """Raise ValueError or TypeError for parameters that make no model."""
        super().check_parameters(has_validation)
        check_number(self.beta, "beta", minimum=0)
        check_integer(self.warm_up, "warm_up", minimum=0)
        check_number(self.free_bits, "free_bits", minimum=0)
        check_choice(self.binarisation, "binarisation", BINARISATIONS)
        if isinstance(self.variance, str):
            check_choice(self.variance, "variance", ("learned",))
        else:
            check_number(self.variance, "variance", minimum=0, open_minimum=True)
        if 0 < self.epochs <= self.warm_up:
            raise ValueError(f"warm_up={self.warm_up} must be below epochs={self.epochs}: beta would never be reached")
        for name, default, only in (("variance", 1.0, "gaussian"), ("binarisation", "grey", "bernoulli")):
            if self.likelihood != only and getattr(self, name) != default:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} belongs to likelihood={only!r}, but likelihood={self.likelihood!r}"
                )

    def _as_target(self, X: Array) -> Array:
        X = super()._as_target(X)
        return (X > 0.5).astype(X.dtype) if self.binarisation == "threshold" else X

    # -- batches of arrays that are checked, with a condition or without -----------------------------------------------

    def encode(self, x: Array, c: Array | None = None) -> tuple[Array, Array]:
        """(mu, sigma) of q(z|x, c), each (B, n_latent)."""
        h, d = self.encoder_.forward(beside(x, c)), self.n_latent
        return h[:, :d], get_xp(h).exp(0.5 * h[:, d:])

    def decode(self, z: Array, c: Array | None = None) -> Array:
        """E[x|z, c], (B, n_features)."""
        return super().decode(beside(z, c))

    def kl_entries(self, x: Array, c: Array | None = None) -> Array:
        """KL(q(z_j|x, c) || N(0, 1)) of every sample and latent, (B, n_latent)."""
        h, d = self.encoder_.forward(beside(x, c)), self.n_latent
        return kl_normal_entries(h[:, :d], h[:, d:])

    def elbo_rows(self, rng: Draws, x: Array, c: Array | None = None, *, n_samples: int) -> Array:
        """The ELBO of each sample, (B,)."""
        return evidence.elbo(self, self.binarise(x, rng), c, n_samples, rng)

    def importance_bound(self, rng: Draws, x: Array, c: Array | None = None, *, n_importance: int) -> Array:
        """The importance-weighted bound of each sample, (B,)."""
        return evidence.importance_bound(self, self.binarise(x, rng), c, n_importance, rng)

    def prior(self, n: int, random_state: RandomState = None) -> Array:
        """z ~ N(0, I), (n, n_latent)."""
        self._check_is_fitted()
        rng = self._draws if random_state is None else Rng(random_state, self._xp)
        return rng.standard_normal((check_integer(n, "n"), self.n_latent), dtype=self.dtype)


def seen(x: Array, noise: Any) -> tuple[Array, Array]:
    """(x as the likelihood sees it, eps): without coins x is what it is."""
    if isinstance(noise, NoiseAndCoins):
        return (x > noise.coins).astype(x.dtype), noise.eps
    return x, noise


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
