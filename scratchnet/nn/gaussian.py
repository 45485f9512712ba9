"""The reparameterization trick and the KL term of a variational autoencoder."""

from __future__ import annotations

from scratchnet.backend import Array, get_xp
from scratchnet.kernels import twin
from scratchnet.kernels.cuda import gaussian
from scratchnet.nn.divergences import kl_normal
from scratchnet.nn.layers import Layer


class GaussianSample(Layer):
    """z = mu + sigma * eps with sigma = exp(logvar / 2): a draw from N(mu, sigma^2) that gradients flow through.

    h = [mu | logvar] (B, 2d) is an encoder's last output; the noise eps ~ N(0, I) (B, d) comes from outside, so that a
    sampler is a deterministic function and can be gradient-checked. Kingma and Welling 2014, section 2.4.
    """

    def forward(self, h: Array, eps: Array) -> Array:  # type: ignore[override]
        get_xp(h, eps)  # complains about mixed libraries
        d = eps.shape[1]
        if h.shape != (len(eps), 2 * d):
            raise ValueError(f"h must be [mu | logvar] of shape {(len(eps), 2 * d)}, got {tuple(h.shape)}")
        self.h, self.eps, self.mu, self.logvar = h, eps, h[:, :d], h[:, d:]
        self.sigma, z = self._buffer("sigma", eps.shape, h), self._buffer("z", eps.shape, h)
        self._kl_rows = reparameterize(h, eps, self.sigma, z)
        return z

    def kl(self) -> Array:
        """KL(N(mu, sigma^2) || N(0, I)) of the last forward pass: 1/B sum_b sum_j (mu^2 + sigma^2 - logvar - 1) / 2."""
        return kl_normal(self.mu, self.logvar) if self._kl_rows is None else self._kl_rows.mean()

    def backward(self, dz: Array, beta: float = 1.0) -> Array:
        """(5.3)  dL/dh of L = loss(z) + beta * kl(), given dz = dloss/dz.

        dmu     = dz                      + beta mu / B
        dlogvar = dz * eps * sigma / 2    + beta (sigma^2 - 1) / 2B
        """
        dh = self._buffer("dh", self.h.shape, dz)
        reparameterize_grad(dz, self.h, self.eps, self.sigma, beta, dh)
        return dh

    def __repr__(self) -> str:
        return "GaussianSample()"


@twin(cuda=gaussian.sample)
def reparameterize(h: Array, eps: Array, sigma: Array, z: Array) -> Array | None:
    """sigma = exp(logvar / 2) and z = mu + sigma * eps, written. A twin that has the KL of each sample at no cost
    returns it, (B,)."""
    xp, d = get_xp(h), eps.shape[1]
    xp.multiply(h[:, d:], 0.5, out=sigma)
    xp.exp(sigma, out=sigma)
    xp.multiply(sigma, eps, out=z)
    z += h[:, :d]
    return None


@twin(cuda=gaussian.sample_grad)
def reparameterize_grad(dz: Array, h: Array, eps: Array, sigma: Array, beta: Array | float, dh: Array) -> None:
    """(5.3)  dL/dh = [dmu | dlogvar], written; ``beta`` is a number, or one a latent (d,)."""
    xp, (B, d) = get_xp(dz), dz.shape
    dmu, dlogvar = dh[:, :d], dh[:, d:]
    xp.multiply(dz, eps, out=dmu)  # dmu is not needed yet: scratch
    xp.multiply(sigma, beta / B, out=dlogvar)
    dlogvar += dmu  # (dz eps + beta sigma / B) sigma / 2 - beta / 2B
    dlogvar *= sigma
    dlogvar *= 0.5
    dlogvar -= 0.5 * beta / B
    xp.multiply(h[:, :d], beta / B, out=dmu)
    dmu += dz
