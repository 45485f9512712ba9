"""The variational autoencoder. Kingma and Welling 2014, "Auto-Encoding Variational Bayes"."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from scratchnet.autoencoders import evidence, likelihoods
from scratchnet.autoencoders.base import BaseAutoencoder
from scratchnet.autoencoders.evidence import beside
from scratchnet.autoencoders.likelihoods import Likelihood
from scratchnet.backend import Array, RandomState, Rng, get_xp, to_numpy
from scratchnet.nn import GaussianSample, he_normal, kl_normal_entries, small_normal
from scratchnet.nn.initializers import Initializer
from scratchnet.validation import check_choice, check_integer, check_number

_TIME_TO_ACT = 100  # updates: the posterior begins near the prior, and small networks take some dozens to leave it
ACTIVE_VARIANCE = 0.01  # a latent is active if its posterior mean varies more than this over the data (Burda 2015)
BINARISATIONS = ("grey", "threshold", "dynamic")


class PosteriorCollapseWarning(UserWarning):
    """No latent carries anything about x after training: the decoder ignores z."""


@dataclass(repr=False, eq=False)
class BaseVAE(BaseAutoencoder):
    """The loss, its gradient and the training of all variational autoencoders. c is the condition of a conditional one,
    (B, n_condition); in the others it is None, and [x | c] is x."""

    beta: float = field(default=1.0, kw_only=True)
    warm_up: int = field(default=0, kw_only=True)
    free_bits: float = field(default=0.0, kw_only=True)
    variance: float | str = field(default=1.0, kw_only=True)
    binarisation: str = field(default="grey", kw_only=True)

    sample_: GaussianSample = field(init=False)

    _outputs_per_latent: ClassVar[int] = 2
    _builds_from: ClassVar[tuple[str, ...]] = (*BaseAutoencoder._builds_from, "variance", "binarisation")

    # -- one batch ----------------------------------------------------------------------------------------------------

    def _forward(self, x: Array, c: Array | None, eps: Array) -> Array:
        h = self.encoder_.forward(beside(x, c))
        z = self.sample_.forward(h, eps)
        return self.decoder_.forward(beside(z, c))

    def _loss(self, x: Array, c: Array | None, eps: Array, beta: float) -> Array:
        nll = self._likelihood.nll(self._forward(x, c, eps), x)
        if not self.free_bits:
            return nll + beta * self.sample_.kl()
        return nll + beta * get_xp(x).maximum(self._kl_by_latent(), self.free_bits).sum()

    def _gradient(self, x: Array, c: Array | None, eps: Array, beta: float) -> Array:
        output = self._forward(x, c, eps)
        dzc = self.decoder_.backward(self._likelihood.nll_grad(output, x))
        dz = dzc[:, : eps.shape[1]]  # nothing flows into the condition
        weight = beta if not self.free_bits else beta * (self._kl_by_latent() > self.free_bits).astype(x.dtype)
        self.encoder_.backward(self.sample_.backward(dz, weight), need_dx=False)  # (5.3), (6.7)
        return self.params_.grad

    def _kl_by_latent(self) -> Array:
        """KL(q(z_j|x) || N(0, 1)) of the last forward pass, mean over its batch, (n_latent,)."""
        return kl_normal_entries(self.sample_.mu, self.sample_.logvar).mean(axis=0)

    def _noise(self, n: int, rng: Rng) -> Array:
        """eps ~ N(0, I), (n, n_latent)."""
        return rng.fill_normal(rng.xp.empty((n, self.n_latent), dtype=self.dtype))

    def _given(self, eps: Array | None, x: Array) -> Array:
        """eps, or the next draw where it is not given."""
        if eps is None:
            self._check_is_fitted()
            return self._train_noise(len(x), self._draws)
        return eps

    def _train_noise(self, n: int, rng: Rng) -> Array:
        """The noise of a training step on n samples."""
        return self._noise(n, rng)

    def _binary(self, x: Array, rng: Rng) -> Array:
        """Grey x as the likelihood is to see it: as it is, x > 1/2, or coins thrown anew with probability x."""
        if self.binarisation == "grey":
            return x
        coins = 0.5 if self.binarisation == "threshold" else rng.device.random(size=x.shape, dtype=x.dtype)
        return (x > coins).astype(x.dtype)

    # -- training -----------------------------------------------------------------------------------------------------

    def _build(self, rng: Rng) -> None:
        super()._build(rng)
        self.sample_, self._beta_now = GaussianSample(), self.beta

    @property
    def _first_weights(self) -> tuple[Initializer, Initializer]:
        """The posterior begins near the prior: z has variance about 1 whatever x is, and He's draw keeps it through the
        decoder. For tanh Glorot's, which is made for slope 1 at 0, does better."""
        return super()._first_weights if self.activation == "tanh" else (he_normal, small_normal)

    def _make_likelihood(self) -> Likelihood:
        return likelihoods.make(self.likelihood, self.variance)

    @contextmanager
    def _during_epoch(self, epoch: int) -> Iterator[None]:
        self._beta_now = self.beta * min(1.0, epoch / (self.warm_up + 1))
        yield

    @property
    def _settled_from(self) -> int:
        return self.warm_up + 1

    def _batch_gradient(self, *batch: Array) -> Array:
        x, c = _with_condition(batch)
        return self._gradient(self._binary(x, self._rng), c, self._train_noise(len(x), self._rng), self._beta_now)

    def _evaluate(self, batch: tuple[Array, ...], noise: Rng) -> dict[str, Array]:
        x, c = _with_condition(batch)
        x = self._binary(x, noise)
        output = self._forward(x, c, self._noise(len(x), noise))
        mu, kl = self.sample_.mu, self._kl_by_latent()
        nll = self._likelihood.nll(output, x)
        difference = self._likelihood.mean(output) - x
        return {
            "reconstruction": nll,
            "kl": kl.sum(),
            "mse": (difference * difference).mean(),
            "kl_per_latent": kl,
            "mu": mu.mean(axis=0, dtype="float64"),
            "mu_squared": (mu.astype("float64") ** 2).mean(axis=0),
        }

    def _summarize(self, totals: dict[str, Any]) -> dict[str, Any]:
        variance = totals.pop("mu_squared") - totals.pop("mu") ** 2
        kl_per_latent = to_numpy(totals.pop("kl_per_latent"))
        row = super()._summarize(totals)
        paid = float(kl_per_latent.clip(self.free_bits).sum()) if self.free_bits else row["kl"]
        row = {"loss": row["reconstruction"] + self._beta_now * paid} | row
        row["effective_beta"] = float(self._beta_now)
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

    @property
    def variance_(self) -> Array:
        """Of the Gaussian likelihood, (n_features,): fixed or learned."""
        if self.likelihood != "gaussian":
            raise ValueError(f"likelihood={self.likelihood!r} has no variance of its own")
        xp = self._xp
        return xp.exp(xp.full(self.n_features_in_, 0.0, dtype=self.dtype) + self._likelihood.logvar)  # type: ignore[union-attr]

    def _check_result(self, n_updates: int) -> None:
        if n_updates >= _TIME_TO_ACT and self.active_units_ == 0:
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

    def _check_parameters(self, has_validation: bool) -> None:
        super()._check_parameters(has_validation)
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

    # -- on arrays that are checked, with a condition or without -------------------------------------------------------

    def _posterior(self, x: Array, c: Array | None = None) -> tuple[Array, Array]:
        xp, d = get_xp(x), self.n_latent
        h = self._map(lambda *batch: self.encoder_.forward(beside(*batch)), *_present(x, c), width=2 * d)
        return xp.ascontiguousarray(h[:, :d]), xp.exp(0.5 * h[:, d:])

    def _decode(self, z: Array, c: Array | None = None) -> Array:
        return self._map(lambda *batch: self._decode_mean(beside(*batch)), *_present(z, c), width=self.n_features_in_)

    def _prior(self, n: int, random_state: RandomState) -> Array:
        self._check_is_fitted()
        return self._noise(check_integer(n, "n"), self._draws if random_state is None else Rng(random_state, self._xp))

    def _kl_entries(self, x: Array, c: Array | None = None) -> Array:
        """KL(q(z_j|x) || N(0, 1)) of every sample and latent, (n, n_latent)."""
        d = self.n_latent

        def rows(*batch: Array) -> Array:
            h = self.encoder_.forward(beside(*batch))
            return kl_normal_entries(h[:, :d], h[:, d:])

        return self._map(rows, *_present(x, c), width=d)


@dataclass(repr=False, eq=False)
class VAE(BaseVAE):
    """Posterior q(z|x) = N(mu(x), sigma(x)^2), prior p(z) = N(0, I), likelihood p(x|z); minimises

        loss = E_q[-log p(x|z)] + beta * KL(q(z|x) || p(z)),    z = mu + sigma * eps,  eps ~ N(0, I),

    with one draw of eps a sample and step. The encoder's last Dense gives [mu | logvar], sigma = exp(logvar / 2). Both
    terms are sums over features and means over samples, in nats: with beta = 1 the negative loss is the ELBO.

    Parameters
    ----------
    beta : float
        Weight of the KL term; above 1 it is the beta-VAE of Higgins et al. 2017.
    warm_up : int
        Over so many first epochs beta rises in equal steps, beta * epoch / (warm_up + 1), so that latents are in use
        before they cost in full (Sonderby et al. 2016). ``patience`` counts from when beta is reached.
    free_bits : float
        A latent's KL costs at least so many nats: the KL term is sum_j max(free_bits, mean of KL_j over the minibatch),
        so that using a latent up to there is free (Kingma et al. 2016, eq. 15, with one latent a group).
    variance : float or "learned"
        Of the Gaussian likelihood: one number, or one a feature that is learned (at least 0.01^2; ``variance_``).
    binarisation : {"grey", "threshold", "dynamic"}
        What the Bernoulli likelihood sees of x in [0, 1], in training and in ``elbo``, ``log_likelihood``, ``score``:
        x itself, x > 1/2, or coins thrown anew every time with probability x. Nats under one are not comparable with
        nats under another, so the history names it. ``transform`` and ``reconstruct`` take X as it is.
    hidden, n_latent, activation, likelihood, epochs, batch_size, learning_rate, optimizer, validation_fraction, \
patience, random_state, dtype, backend, verbose
        As for :class:`~scratchnet.autoencoders.Autoencoder`.

    Warns
    -----
    PosteriorCollapseWarning
        If no latent is active when training ends, after 100 updates or more.
    """

    def loss(self, x: Array, eps: Array | None = None) -> Array:
        """-log p(x|z) + beta * KL, mean over the batch, as a 0-d array in nats; eps (B, n_latent) is drawn if not
        given. x is taken as it is, whatever the binarisation."""
        return self._loss(x, None, self._given(eps, x), self.beta)

    def gradient(self, x: Array, eps: Array | None = None) -> Array:
        """dloss/dtheta at the given noise, written into ``params_.grad`` and returned."""
        return self._gradient(x, None, self._given(eps, x), self.beta)

    def posterior(self, X: Any) -> tuple[Array, Array]:
        """(mu, sigma) of q(z|x), each (n, n_latent)."""
        return self._posterior(self._check(X, dtype=self.dtype))

    def transform(self, X: Any) -> Array:
        """Posterior means, (n, n_latent)."""
        return self.posterior(X)[0]

    def inverse_transform(self, Z: Any) -> Array:
        """E[x|z], (n, n_features): probabilities for the Bernoulli likelihood."""
        return self._decode(self._check(Z, name="Z", dtype=self.dtype, n_features=self.n_latent))

    def reconstruct(self, X: Any) -> Array:
        """E[x|z] at the posterior mean, (n, n_features)."""
        return self._decode(self.transform(X))

    def sample(self, n: int, *, random_state: RandomState = None) -> Array:
        """Generate: z ~ N(0, I), then E[x|z], (n, n_features). With ``random_state`` the same n images every time."""
        return self._decode(self._prior(n, random_state))

    def elbo(self, X: Any, *, n_samples: int = 1) -> Array:
        """E_q[log p(x|z)] - KL(q(z|x) || p(z)) <= log p(x) of each sample, (n,) nats; higher is better.

        The KL is in closed form, the expectation a mean over ``n_samples`` draws, the same ones at every call.
        """
        return evidence.elbo(self, self._check_more(X), check_integer(n_samples, "n_samples"))

    def log_likelihood(self, X: Any, n_importance: int = 500) -> Array:
        """log p(x) of each sample by importance sampling, (n,) nats; higher is better.

        log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x) with z_k ~ q(z|x): a lower bound in expectation, which rises to
        log p(x) with K = ``n_importance``. Takes K decoder passes; the same draws at every call.
        Burda et al. 2016, eq. 8.
        """
        return evidence.log_likelihood(self, self._check_more(X), check_integer(n_importance, "n_importance"))

    def kl_per_latent(self, X: Any) -> Array:
        """KL(q(z_j|x) || N(0, 1)), mean over samples, (n_latent,) nats; near 0: the latent carries nothing."""
        return self._kl_entries(self._check(X, dtype=self.dtype)).mean(axis=0)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean ELBO over samples, in nats; higher is better."""
        return float(self.elbo(X).mean())


def _with_condition(batch: tuple[Array, ...]) -> tuple[Array, Array | None]:
    """(x,) as (x, None), (x, c) as it is."""
    return (*batch, None) if len(batch) == 1 else batch


def _present(x: Array, c: Array | None) -> tuple[Array, ...]:
    return (x,) if c is None else (x, c)
