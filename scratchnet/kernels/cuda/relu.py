"""The backward pass of a ReLU in one pass over memory, without an array of truth values.

The formula is ``relu_grad`` of :mod:`scratchnet.nn.activations`.
"""

from __future__ import annotations

import numpy as np

from scratchnet.backend import Array, get_xp
from scratchnet.kernels.cuda import CudaKernel, plain

__all__ = ["RELU_GRAD", "gradient"]

RELU_GRAD = CudaKernel(
    "relu_grad",
    r"""
// Thread i has entry i.
extern "C" __global__ void relu_grad(const REAL* dy, const REAL* y, REAL* dx, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) dx[i] = dy[i] * (REAL)(y[i] > 0);
}
""",
)
_THREADS = 256


def gradient(dy: Array, y: Array) -> Array:
    """dy where y > 0, else 0."""
    dx = get_xp(dy).empty(dy.shape, dtype=dy.dtype)
    args = plain(dy, dx.dtype), plain(y, dx.dtype), dx, np.int64(dy.size)
    RELU_GRAD.launch(dx.dtype, -(-dy.size // _THREADS), _THREADS, *args)
    return dx
