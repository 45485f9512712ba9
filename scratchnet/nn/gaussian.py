"""The reparameterization trick and the KL term of a variational autoencoder."""

from __future__ import annotations

from scratchnet.backend import Array, get_xp
from scratchnet.nn.divergences import kl_normal
from scratchnet.nn.layers import Layer


class GaussianSample(Layer):
    """z = mu + sigma * eps with sigma = exp(logvar / 2): a draw from N(mu, sigma^2) that gradients flow through.

    h = [mu | logvar] (B, 2d) is an encoder's last output; the noise eps ~ N(0, I) (B, d) comes from outside, so that a
    sampler is a deterministic function and can be gradient-checked. Kingma and Welling 2014, section 2.4.
    """

    def forward(self, h: Array, eps: Array) -> Array:  # type: ignore[override]
        xp, d = get_xp(h, eps), eps.shape[1]
        if h.shape != (len(eps), 2 * d):
            raise ValueError(f"h must be [mu | logvar] of shape {(len(eps), 2 * d)}, got {tuple(h.shape)}")
        self.eps, self.mu, self.logvar = eps, h[:, :d], h[:, d:]
        self.sigma = xp.multiply(self.logvar, 0.5, out=self._buffer("sigma", eps.shape, h))
        xp.exp(self.sigma, out=self.sigma)
        z = xp.multiply(self.sigma, eps, out=self._buffer("z", eps.shape, h))
        z += self.mu
        return z

    def kl(self) -> Array:
        """KL(N(mu, sigma^2) || N(0, I)) of the last forward pass: 1/B sum_b sum_j (mu^2 + sigma^2 - logvar - 1) / 2."""
        return kl_normal(self.mu, self.logvar)

    def backward(self, dz: Array, beta: float = 1.0) -> Array:
        """(5.3)  dL/dh of L = loss(z) + beta * kl(), given dz = dloss/dz.

        dmu     = dz                      + beta mu / B
        dlogvar = dz * eps * sigma / 2    + beta (sigma^2 - 1) / 2B
        """
        xp, (B, d) = get_xp(dz), dz.shape
        dh = self._buffer("dh", (B, 2 * d), dz)
        dmu, dlogvar = dh[:, :d], dh[:, d:]
        xp.multiply(dz, self.eps, out=dmu)  # dmu is not needed yet: scratch
        xp.multiply(self.sigma, beta / B, out=dlogvar)
        dlogvar += dmu  # (dz eps + beta sigma / B) sigma / 2 - beta / 2B
        dlogvar *= self.sigma
        dlogvar *= 0.5
        dlogvar -= 0.5 * beta / B
        xp.multiply(self.mu, beta / B, out=dmu)
        dmu += dz
        return dh

    def __repr__(self) -> str:
        return "GaussianSample()"
