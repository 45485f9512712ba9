"""The sampler of a variational autoencoder, forward and backward in one pass each.

The formulas are ``reparameterize`` and ``reparameterize_grad`` of :mod:`scratchnet.nn.gaussian`.
"""

from __future__ import annotations

import numpy as np

from scratchnet.backend import Array, get_xp
from scratchnet.kernels.cuda import NULL, CudaKernel, plain

__all__ = ["BACKWARD", "FORWARD", "sample", "sample_grad"]

FORWARD = CudaKernel(
    "gaussian_sample",
    r"""
// Thread i has entry i of eps, (n, d). h is [mu | logvar], so mu and logvar of neighbouring threads are neighbours.
extern "C" __global__ void gaussian_sample(const REAL* h, const REAL* eps, REAL* z, REAL* sigma, long long n,
                                           long long d) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n * d) return;
    long long at = (i / d) * 2 * d + i % d;  // where mu of this entry stands in h
    REAL s = exp((REAL)0.5 * h[at + d]);
    sigma[i] = s;
    z[i] = h[at] + s * eps[i];
}
""",
)
BACKWARD = CudaKernel(
    "gaussian_sample_grad",
    r"""
// Thread i has entry i of dz, (n, d), and writes dmu and dlogvar of that entry into dh = [dmu | dlogvar].
// weight: one number per latent, or a null pointer where they are all 1.
extern "C" __global__ void gaussian_sample_grad(const REAL* dz, const REAL* h, const REAL* eps, const REAL* sigma,
                                                const REAL* weight, REAL beta, REAL* dh, long long n, long long d) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n * d) return;
    long long at = (i / d) * 2 * d + i % d;  // where mu of this entry stands in h
    REAL s = sigma[i], share = (weight ? weight[i % d] * beta : beta) / n;
    dh[at] = dz[i] + share * h[at];
    dh[at + d] = (REAL)0.5 * (dz[i] * eps[i] * s + share * (s * s - 1));
}
""",
)
_THREADS = 128


def sample(h: Array, eps: Array) -> tuple[Array, Array]:
    """z and sigma, each (B, d)."""
    (B, d), dtype = eps.shape, h.dtype
    z, sigma = (get_xp(h).empty((B, d), dtype=dtype) for _ in range(2))
    args = plain(h, dtype), plain(eps, dtype), z, sigma, np.int64(B), np.int64(d)
    FORWARD.launch(dtype, -(-B * d // _THREADS), _THREADS, *args)
    return z, sigma


def sample_grad(dz: Array, h: Array, eps: Array, sigma: Array, beta: float | Array) -> Array:
    """dL/dh, (B, 2d); ``beta`` is a number, or (d,)."""
    (B, d), dtype = dz.shape, dz.dtype
    dh = get_xp(dz).empty((B, 2 * d), dtype=dtype)
    weight, beta = (NULL, beta) if isinstance(beta, int | float) else (plain(beta, dtype), 1.0)
    args = plain(dz, dtype), plain(h, dtype), plain(eps, dtype), plain(sigma, dtype), weight, dtype.type(beta), dh
    BACKWARD.launch(dtype, -(-B * d // _THREADS), _THREADS, *args, np.int64(B), np.int64(d))
    return dh
