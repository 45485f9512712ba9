"""The sampler of a variational autoencoder: forward with its KL in one pass, and backward.

The formulas are ``reparameterize`` and ``reparameterize_grad`` of :mod:`scratchnet.nn.gaussian`, the KL that of
``kl_normal_entries`` in :mod:`scratchnet.nn.divergences`.
"""

from __future__ import annotations

import numpy as np

from scratchnet.backend import Array, get_xp
from scratchnet.kernels.cuda import NULL, CudaKernel, plain

FORWARD = CudaKernel(
    "gaussian_sample",
    r"""
// One warp a sample: lane j has latents j, j + 32, ... h is [mu | logvar], so mu and logvar of neighbouring lanes are
// neighbours in memory. The KL costs no further reading; its sum over the latents stays within the warp.
extern "C" __global__ void gaussian_sample(const REAL* h, const REAL* eps, REAL* sigma, REAL* z, REAL* kl,
                                           long long n, long long d) {
    long long row = (long long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (row >= n) return;  // whole warps leave: nobody waits for them below
    REAL sum = 0;
    for (long long j = threadIdx.x % 32; j < d; j += 32) {
        REAL mu = h[row * 2 * d + j], logvar = h[row * 2 * d + d + j];
        REAL s = exp((REAL)0.5 * logvar);
        sigma[row * d + j] = s;
        z[row * d + j] = mu + s * eps[row * d + j];
        sum += (REAL)0.5 * (mu * mu + (expm1(logvar) - logvar));  // (mu^2 + sigma^2 - logvar - 1) / 2
    }
    for (int away = 16; away > 0; away /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, away);
    if (threadIdx.x % 32 == 0) kl[row] = sum;
}
""",
)
BACKWARD = CudaKernel(
    "gaussian_sample_grad",
    r"""
// Thread i has entry i of dz, (n, d), and writes dmu and dlogvar of that entry into dh = [dmu | dlogvar].
// weight: one number a latent, or a null pointer where they are all 1.
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


def sample(h: Array, eps: Array, sigma: Array, z: Array) -> Array:
    """sigma and z are written; returns the KL of each sample, (B,)."""
    (B, d), dtype = eps.shape, h.dtype
    kl = get_xp(h).empty(B, dtype=dtype)
    warps = _THREADS // 32
    args = plain(h, dtype), plain(eps, dtype), sigma, z, kl
    FORWARD.launch(dtype, -(-B // warps), _THREADS, *args, np.int64(B), np.int64(d))
    return kl


def sample_grad(dz: Array, h: Array, eps: Array, sigma: Array, beta: Array | float, dh: Array) -> None:
    """dL/dh into ``dh``; ``beta`` is a number, or one a latent (d,)."""
    (B, d), dtype = dz.shape, dz.dtype
    one = isinstance(beta, int | float)
    weight, beta = (NULL, beta) if one else (plain(beta, dtype), 1.0)
    args = plain(dz, dtype), plain(h, dtype), plain(eps, dtype), sigma, weight, dtype.type(beta), dh
    BACKWARD.launch(dtype, -(-B * d // _THREADS), _THREADS, *args, np.int64(B), np.int64(d))
