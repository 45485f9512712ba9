"""Adam over the flat vector of all parameters, in one pass: theta, m and v are read and written once, grad read once.

The formula is ``adam`` of :mod:`scratchnet.nn.optimizers`; operation by operation it takes nine passes.
"""

from __future__ import annotations

import numpy as np

from scratchnet.backend import Array
from scratchnet.kernels.cuda import CudaKernel

__all__ = ["ADAM", "update"]

ADAM = CudaKernel(
    "adam",
    r"""
// Thread i updates entry i. Neighbouring threads have neighbouring entries: all seven accesses are coalesced.
extern "C" __global__ void adam(REAL* theta, const REAL* grad, REAL* m, REAL* v,
                                REAL beta1, REAL beta2, REAL rate, REAL eps, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;  // the last block is longer than what is left
    REAL g = grad[i];
    REAL first = m[i] * beta1 + g, second = v[i] * beta2 + g * g;
    m[i] = first;
    v[i] = second;
    theta[i] -= rate * (first / (sqrt(second) + eps));
}
""",
)
_THREADS = 256


def update(
    theta: Array, grad: Array, m: Array, v: Array, beta1: float, beta2: float, rate: float, eps: float
) -> tuple[Array, Array, Array]:
    """Adam's update in place: theta, m and v are returned."""
    real, n = theta.dtype.type, theta.size
    scalars = real(beta1), real(beta2), real(rate), real(eps)
    ADAM.launch(theta.dtype, -(-n // _THREADS), _THREADS, theta, grad, m, v, *scalars, np.int64(n))
    return theta, m, v
