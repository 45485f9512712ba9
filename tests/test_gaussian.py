"""The reparameterization trick: moments, the closed-form KL against Monte Carlo through the same sampler, extremes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scratchnet.autoencoders import VAE
from scratchnet.backend import Rng, asarray, to_numpy
from scratchnet.nn import GaussianSample, Params, check_gradient


class WrongSigma(GaussianSample):
    """The mistake that no gradient check can find: sigma = exp(logvar), forward and backward agreeing."""

    def forward(self, h, eps):
        d = eps.shape[1]
        z = super().forward(np.concatenate([h[:, :d], 2 * h[:, d:]], axis=1), eps)
        self.logvar = h[:, d:]
        return z

    def kl(self):
        return 0.5 * (self.mu**2 + np.exp(self.logvar) - self.logvar - 1).sum() / len(self.mu)

    def backward(self, dz, beta=1.0):
        dmu = dz + beta * self.mu / len(dz)
        dlogvar = dz * self.eps * self.sigma + 0.5 * beta * (np.exp(self.logvar) - 1) / len(dz)
        return np.concatenate([dmu, dlogvar], axis=1)


def monte_carlo_kl(sample, mu, logvar, n, seed):
    """Mean and standard error of log q(z) - log p(z) over draws of ``sample``, summed over latents."""
    h = np.concatenate([np.tile(mu, (n, 1)), np.tile(logvar, (n, 1))], axis=1)
    eps = Rng(seed, np).fill_normal(np.empty((n, len(mu))))
    z = to_numpy(sample.forward(asarray(h), asarray(eps)))
    log_q = -0.5 * ((z - mu) ** 2 / np.exp(logvar) + logvar).sum(axis=1)
    log_p = -0.5 * (z**2).sum(axis=1)
    return (log_q - log_p).mean(), (log_q - log_p).std() / n**0.5


MU, LOGVAR = np.array([0.5, -1.0, 0.0, 2.0]), np.array([0.8, -1.2, 0.3, 1.1])


def test_monte_carlo_through_the_sampler_agrees_with_the_closed_form(xp, seed):
    sample = GaussianSample()
    mean, error = monte_carlo_kl(sample, MU, LOGVAR, 20_000, seed)
    closed = float(sample.kl())
    assert error < 0.05 * closed, "a test that can tell"
    assert abs(mean - closed) < 4.5 * error


def test_monte_carlo_finds_sigma_equal_to_exp_logvar_and_a_gradient_check_does_not(seed, rng):
    sample = WrongSigma()
    mean, error = monte_carlo_kl(sample, MU, LOGVAR, 20_000, seed)
    assert abs(mean - sample.kl()) > 20 * error

    eps, w = rng.standard_normal((2, 6, 4))
    params = Params.of(h=rng.standard_normal((6, 8)))
    h, dh = params.views["h"]
    sample.forward(h, eps)
    dh[...] = sample.backward(w)
    assert check_gradient(lambda: (w * sample.forward(h, eps)).sum() + sample.kl(), params).ok


def test_monte_carlo_through_a_public_model(seed, rng):
    """The same at the level of a user's VAE: draws around posterior(X) against kl_per_latent(X)."""
    X = rng.uniform(size=(40, 6))
    vae = VAE(hidden=(5,), n_latent=3, epochs=0, dtype="float64", random_state=seed).fit(X)
    vae.params_.theta[...] = rng.standard_normal(vae.params_.theta.size)
    mu, sigma = vae.posterior(X)
    z = mu + sigma * rng.standard_normal((20_000, *mu.shape))
    terms = -0.5 * ((z - mu) / sigma) ** 2 - np.log(sigma) + 0.5 * z**2
    error = terms.std(axis=0).mean(axis=0) / 20_000**0.5
    np.testing.assert_array_less(abs(terms.mean(axis=(0, 1)) - vae.kl_per_latent(X)), 4.5 * error)


def test_moments(xp, seed):
    n = 50_000
    h = np.tile(np.concatenate([MU, LOGVAR]), (n, 1))
    z = to_numpy(GaussianSample().forward(asarray(h), Rng(seed).fill_normal(xp.empty((n, 4)))))
    np.testing.assert_allclose(z.mean(axis=0), MU, atol=4.5 * np.exp(LOGVAR.max() / 2) / n**0.5)
    np.testing.assert_allclose(z.var(axis=0), np.exp(LOGVAR), rtol=4.5 * (2 / n) ** 0.5)


def test_values_by_hand(xp, dtype):
    """mu = 1, sigma = 2, eps = -0.5: z = 0.  dz = 3, beta = 2, B = 1: dmu = 3 + 2, dlogvar = -1.5 + (4 - 1)."""
    sample = GaussianSample()
    z = sample.forward(asarray([[1.0, math.log(4)]], dtype), asarray([[-0.5]], dtype))
    assert float(z[0, 0]) == pytest.approx(0, abs=1e-6)
    assert float(sample.kl()) == pytest.approx(2 - math.log(2), rel=1e-6)
    dh = to_numpy(sample.backward(asarray([[3.0]], dtype), beta=2.0))
    np.testing.assert_allclose(dh, [[5, 1.5]], rtol=1e-6)


def test_without_beta_only_the_loss_flows_back(xp, rng):
    sample = GaussianSample()
    h, eps, dz = (asarray(rng.standard_normal(shape)) for shape in ((5, 6), (5, 3), (5, 3)))
    sample.forward(h, eps)
    dh = to_numpy(sample.backward(dz, beta=0.0))
    np.testing.assert_array_equal(dh[:, :3], to_numpy(dz))


@pytest.mark.parametrize("logvar", [-60.0, 60.0])
def test_logvar_of_sixty(xp, dtype, logvar):
    sample = GaussianSample()
    z = sample.forward(asarray([[0.0, logvar]], dtype), asarray([[1.0]], dtype))
    assert float(z[0, 0]) == pytest.approx(math.exp(logvar / 2), rel=1e-5)
    dh = to_numpy(sample.backward(asarray([[0.0]], dtype)))[0]
    assert dh[0] == 0
    assert dh[1] == pytest.approx((math.exp(logvar) - 1) / 2, rel=1e-5)


def test_shapes_are_checked(xp):
    with pytest.raises(ValueError, match=r"h must be \[mu \| logvar\] of shape \(2, 6\), got \(2, 5\)"):
        GaussianSample().forward(xp.zeros((2, 5)), xp.zeros((2, 3)))


def test_inputs_are_left_alone(rng):
    h, eps, dz = rng.standard_normal((4, 6)), rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
    for a in (h, eps, dz):
        a.flags.writeable = False
    sample = GaussianSample()
    sample.forward(h, eps)
    sample.backward(dz)
