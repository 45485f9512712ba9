"""Bias and ReLU behind a matrix product in one pass, and the ReLU's backward pass without an array of truth values.

The formulas are ``bias_relu`` and ``relu_grad`` of :mod:`scratchnet.nn.layers`.
"""

from __future__ import annotations

import numpy as np

from scratchnet.backend import Array
from scratchnet.kernels.cuda import CudaKernel, plain

FORWARD = CudaKernel(
    "bias_relu",
    r"""
// Thread i has entry i of x, (n / width, width), in memory order: coalesced. b is so short that it stays in a cache.
extern "C" __global__ void bias_relu(const REAL* x, const REAL* b, REAL* y, long long n, long long width) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    REAL a = x[i] + b[i % width];
    y[i] = a < 0 ? 0 : a;  // NaN < 0 is false: a NaN stays one, and training notices
}
""",
)
BACKWARD = CudaKernel(
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


def forward(x: Array, b: Array, out: Array) -> Array:
    """max(x + b, 0) into ``out``."""
    args = plain(x, out.dtype), plain(b, out.dtype), out, np.int64(x.size), np.int64(len(b))
    FORWARD.launch(out.dtype, -(-x.size // _THREADS), _THREADS, *args)
    return out


def backward(dy: Array, y: Array, out: Array) -> Array:
    """dy where y > 0, else 0, into ``out``."""
    args = plain(dy, out.dtype), plain(y, out.dtype), out, np.int64(dy.size)
    BACKWARD.launch(out.dtype, -(-dy.size // _THREADS), _THREADS, *args)
    return out
