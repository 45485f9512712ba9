"""The reparameterization trick and the KL term of a variational autoencoder. docs/derivations.md, section 5."""

from __future__ import annotations

from scratchnet.backend import Array, get_xp
from scratchnet.kernels import twin
from scratchnet.kernels.cuda import gaussian as cuda
from scratchnet.nn.divergences import kl_normal
from scratchnet.nn.layers import Layer

__all__ = ["GaussianSample", "reparameterize", "reparameterize_grad"]


class GaussianSample(Layer):
    """z = mu + sigma * eps with sigma = exp(logvar / 2): a draw from N(mu, sigma^2) that gradients flow through.

    h = [mu | logvar] (B, 2d) is an encoder's last output; the noise eps ~ N(0, I) (B, d) comes from outside, so that a
    sampler is a deterministic function and can be gradient-checked. Kingma and Welling 2014, "Auto-Encoding Variational
    Bayes", section 2.4.

    Attributes
    ----------
    mu, logvar, sigma, eps : array (B, d)
        Of the last forward pass.

    Examples
    --------
    >>> import numpy as np
    >>> sample = GaussianSample()
    >>> sample.forward(h=np.array([[1.0, 0.0]]), eps=np.array([[-0.5]]))
    array([[0.5]])
    >>> float(sample.kl())
    0.5
    >>> sample.backward(dz=np.array([[3.0]]), beta=2.0)
    array([[ 5.  , -0.75]])
    """

    def forward(self, h: Array, eps: Array) -> Array:  # type: ignore[override]
        """z = mu + sigma * eps.

        Parameters
        ----------
        h : array (B, 2d)
            [mu | logvar] of each sample, logvar = log sigma^2.
        eps : array (B, d)
            Draws from N(0, I).

        Returns
        -------
        array (B, d)

        Raises
        ------
        ValueError
            If h is not twice as wide as eps, or has another number of rows.
        """
        get_xp(h, eps)  # raises if they are of two libraries
        d = eps.shape[1]
        if h.shape != (len(eps), 2 * d):
            raise ValueError(f"h must be [mu | logvar] of shape {(len(eps), 2 * d)}, got {tuple(h.shape)}")
        self.h, self.eps, self.mu, self.logvar = h, eps, h[:, :d], h[:, d:]
        z, self.sigma = reparameterize(h, eps)
        return z

    def kl(self) -> Array:
        """KL(N(mu, sigma^2) || N(0, I)) of the last forward pass: 1/B sum_b sum_j (mu^2 + sigma^2 - logvar - 1) / 2."""
        return kl_normal(self.mu, self.logvar)

    def backward(self, dz: Array, beta: float | Array = 1.0) -> Array:
        """dL/dh of L = loss(z) + beta * kl(), given dz = dloss/dz.  (5.3)

            dmu     = dz                      + beta mu / B
            dlogvar = dz * eps * sigma / 2    + beta (sigma^2 - 1) / 2B

        Parameters
        ----------
        dz : array (B, d)
        beta : float, or array (d,)
            Weight of the KL term, the same for all latents or one each.

        Returns
        -------
        array (B, 2d)
            [dmu | dlogvar].
        """
        return reparameterize_grad(dz, self.h, self.eps, self.sigma, beta)

    def __repr__(self) -> str:
        return "GaussianSample()"


@twin(cuda=cuda.sample)
def reparameterize(h: Array, eps: Array) -> tuple[Array, Array]:
    """(5.2)  z = mu + sigma eps and sigma = exp(logvar / 2) for h = [mu | logvar], each (B, d)."""
    d = eps.shape[1]
    sigma = get_xp(h).exp(h[:, d:] / 2)
    return h[:, :d] + sigma * eps, sigma


@twin(cuda=cuda.sample_grad)
def reparameterize_grad(dz: Array, h: Array, eps: Array, sigma: Array, beta: float | Array) -> Array:
    """(5.3)  dL/dh = [dmu | dlogvar], (B, 2d); ``beta`` is a number, or (d,)."""
    B, mu = len(dz), h[:, : dz.shape[1]]
    dmu = dz + beta * mu / B
    dlogvar = (dz * eps * sigma + beta * (sigma**2 - 1) / B) / 2
    return get_xp(dz).concatenate([dmu, dlogvar], axis=1)
