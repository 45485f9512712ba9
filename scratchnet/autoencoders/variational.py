"""The variational autoencoder. Kingma and Welling 2014, "Auto-Encoding Variational Bayes"."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from typing import Any, ClassVar

from scratchnet.autoencoders.base import EVALUATION_SEED, BaseAutoencoder
from scratchnet.backend import Array, RandomState, Rng, get_xp, to_numpy
from scratchnet.base import check_integer, check_number
from scratchnet.nn import GaussianSample, kl_normal_entries

ACTIVE_VARIANCE = 0.01  # a latent is active if its posterior mean varies more than this over the data (Burda 2015)


@dataclass(repr=False, eq=False)
class VAE(BaseAutoencoder):
    """Posterior q(z|x) = N(mu(x), sigma(x)^2), prior p(z) = N(0, I), likelihood p(x|z); minimises

        loss = E_q[-log p(x|z)] + beta * KL(q(z|x) || p(z)),    z = mu + sigma * eps,  eps ~ N(0, I),

    with one draw of eps a sample and step. The encoder's last Dense gives [mu | logvar], sigma = exp(logvar / 2). Both
    terms are sums over features and means over samples, in nats: with beta = 1 the negative loss is the ELBO.

    Parameters
    ----------
    beta : float
        Weight of the KL term; above 1 it is the beta-VAE of Higgins et al. 2017.
    hidden, n_latent, activation, likelihood, epochs, batch_size, learning_rate, optimizer, validation_fraction, \
patience, random_state, dtype, backend, verbose
        As for :class:`~scratchnet.autoencoders.Autoencoder`.
    """

    beta: float = field(default=1.0, kw_only=True)

    sample_: GaussianSample = field(init=False)

    _outputs_per_latent: ClassVar[int] = 2
    # -- one batch ----------------------------------------------------------------------------------------------------
    # c is the condition of a ConditionalVAE, (B, n_condition); in a VAE it is None, and [x | c] is x.

    def loss(self, x: Array, eps: Array | None = None) -> Array:
        """-log p(x|z) + beta * KL, mean over the batch, as a 0-d array in nats; eps (B, n_latent) is drawn if not
        given."""
        return self._loss(x, None, eps)

    def gradient(self, x: Array, eps: Array | None = None) -> Array:
        """dloss/dtheta at the given noise, written into ``params_.grad`` and returned."""
        return self._gradient(x, None, eps)

    def _forward(self, x: Array, c: Array | None, eps: Array | None) -> Array:
        h = self.encoder_.forward(_beside(x, c))
        z = self.sample_.forward(h, self._noise(len(x), self._draws) if eps is None else eps)
        return self.decoder_.forward(_beside(z, c))

    def _loss(self, x: Array, c: Array | None, eps: Array | None) -> Array:
        return self._likelihood.nll(self._forward(x, c, eps), x) + self.beta * self.sample_.kl()

    def _gradient(self, x: Array, c: Array | None, eps: Array | None) -> Array:
        output = self._forward(x, c, eps)
        dzc = self.decoder_.backward(self._likelihood.nll_grad(output, x, out=output))  # a Dense does not need its y
        dz = dzc[:, : self.n_latent]  # nothing flows into the condition
        self.encoder_.backward(self.sample_.backward(dz, self.beta), need_dx=False)
        return self.params_.grad

    def _noise(self, n: int, rng: Rng) -> Array:
        """eps ~ N(0, I), (n, n_latent)."""
        return rng.fill_normal(rng.xp.empty((n, self.n_latent), dtype=self.dtype))

    # -- training -----------------------------------------------------------------------------------------------------

    def _build(self, rng: Rng) -> None:
        super()._build(rng)
        self.sample_ = GaussianSample()

    def _check_parameters(self, has_validation: bool) -> None:
        super()._check_parameters(has_validation)
        check_number(self.beta, "beta", minimum=0)

    def _batch_gradient(self, *batch: Array) -> Array:
        return self._gradient(*_with_condition(batch), self._noise(len(batch[0]), self._rng))

    def _evaluate(self, batch: tuple[Array, ...], noise: Rng) -> dict[str, Array]:
        x, c = _with_condition(batch)
        output = self._forward(x, c, self._noise(len(x), noise))
        mu, entries = self.sample_.mu, kl_normal_entries(self.sample_.mu, self.sample_.logvar)
        reconstruction, kl = self._likelihood.nll(output, x), entries.sum() / len(x)
        difference = self._likelihood.mean(output) - x
        return {
            "loss": reconstruction + self.beta * kl,
            "reconstruction": reconstruction,
            "kl": kl,
            "mse": (difference * difference).mean(),
            "kl_per_latent": entries.mean(axis=0),
            "mu": mu.mean(axis=0, dtype="float64"),
            "mu_squared": (mu.astype("float64") ** 2).mean(axis=0),
        }

    def _summarize(self, totals: dict[str, Any]) -> dict[str, Any]:
        variance = totals.pop("mu_squared") - totals.pop("mu") ** 2
        kl_per_latent = to_numpy(totals.pop("kl_per_latent")).tolist()
        row = super()._summarize(totals)
        row["effective_beta"] = float(self.beta)
        row["active_units"] = int((variance > ACTIVE_VARIANCE).sum())
        row["kl_per_latent"] = kl_per_latent
        return row

    @property
    def active_units_(self) -> int:
        """Latents whose posterior mean varies by more than 0.01 over (up to 2000 of) the training samples."""
        if not self.history_:
            raise ValueError("active_units_ is measured after an epoch, but the model has trained for none")
        return self.history_[self.best_epoch_ - 1]["active_units"]

    # -- what comes out -----------------------------------------------------------------------------------------------

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
        return self._elbo(self._check_more(X), n_samples)

    def log_likelihood(self, X: Any, n_importance: int = 500) -> Array:
        """log p(x) of each sample by importance sampling, (n,) nats; higher is better.

        log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x) with z_k ~ q(z|x): a lower bound in expectation, which rises to
        log p(x) with K = ``n_importance``. Takes K decoder passes; the same draws at every call.
        Burda et al. 2015, eq. 8.
        """
        return self._log_likelihood(self._check_more(X), n_importance)

    def kl_per_latent(self, X: Any) -> Array:
        """KL(q(z_j|x) || N(0, 1)), mean over samples, (n_latent,) nats; near 0: the latent carries nothing."""
        return self._kl_entries(self._check(X, dtype=self.dtype)).mean(axis=0)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean ELBO over samples, in nats; higher is better."""
        return float(self._elbo(self._check_more(X), 1).mean())

    # -- the same, on arrays that are checked, with a condition or without ---------------------------------------------

    def _posterior(self, x: Array, c: Array | None = None) -> tuple[Array, Array]:
        xp, d = get_xp(x), self.n_latent
        h = self._map(lambda *batch: self.encoder_.forward(_beside(*batch)), *_present(x, c), width=2 * d)
        return xp.ascontiguousarray(h[:, :d]), xp.exp(0.5 * h[:, d:])

    def _decode(self, z: Array, c: Array | None = None) -> Array:
        return self._map(lambda *batch: self._decode_mean(_beside(*batch)), *_present(z, c), width=self.n_features_in_)

    def _prior(self, n: int, random_state: RandomState) -> Array:
        self._check_is_fitted()
        return self._noise(check_integer(n, "n"), self._draws if random_state is None else Rng(random_state, self._xp))

    def _kl_entries(self, x: Array, c: Array | None = None) -> Array:
        """KL(q(z_j|x) || N(0, 1)) of every sample and latent, (n, n_latent)."""
        d = self.n_latent

        def rows(*batch: Array) -> Array:
            h = self.encoder_.forward(_beside(*batch))
            return kl_normal_entries(h[:, :d], h[:, d:])

        return self._map(rows, *_present(x, c), width=d)

    def _elbo(self, data: tuple[Array, ...], n_samples: int) -> Array:
        noise, K = Rng(EVALUATION_SEED, get_xp(data[0])), check_integer(n_samples, "n_samples")

        def rows(x: Array, c: Array | None = None) -> Array:
            xp, h = get_xp(x), self.encoder_.forward(_beside(x, c))
            eps, nll = xp.empty((len(x), self.n_latent), dtype=x.dtype), xp.zeros(len(x), dtype=x.dtype)
            for _ in range(K):
                z = self.sample_.forward(h, noise.fill_normal(eps))
                nll += self._likelihood.nll_rows(self.decoder_.forward(_beside(z, c)), x)
            return -nll / K - kl_normal_entries(self.sample_.mu, self.sample_.logvar).sum(axis=1)

        return self._map(rows, *data)

    def _log_likelihood(self, data: tuple[Array, ...], n_importance: int) -> Array:
        noise, K = Rng(EVALUATION_SEED, get_xp(data[0])), check_integer(n_importance, "n_importance")

        def rows(x: Array, c: Array | None = None) -> Array:
            xp, h = get_xp(x), self.encoder_.forward(_beside(x, c))
            eps = xp.empty((len(x), self.n_latent), dtype=x.dtype)
            top, total = xp.full(len(x), -xp.inf, dtype="float64"), xp.zeros(len(x), dtype="float64")
            for _ in range(K):  # log-sum-exp that keeps the largest exponent so far
                z = self.sample_.forward(h, noise.fill_normal(eps))
                log_ratio = 0.5 * (eps * eps + self.sample_.logvar - z * z).sum(axis=1)  # (6.4) log p(z) / q(z|x)
                nll = self._likelihood.nll_rows(self.decoder_.forward(_beside(z, c)), x)
                weight = log_ratio.astype("float64") - nll
                higher = xp.maximum(top, weight)
                total = total * xp.exp(top - higher) + xp.exp(weight - higher)
                top = higher
            return top + xp.log(total) - log(K)

        return self._map(rows, *data)


def _with_condition(batch: tuple[Array, ...]) -> tuple[Array, Array | None]:
    """(x,) as (x, None), (x, c) as it is."""
    return (*batch, None) if len(batch) == 1 else batch


def _present(x: Array, c: Array | None) -> tuple[Array, ...]:
    return (x,) if c is None else (x, c)


def _beside(a: Array, c: Array | None = None) -> Array:
    """[a | c], or a itself without a condition."""
    return a if c is None else get_xp(a, c).concatenate([a, c], axis=1)
