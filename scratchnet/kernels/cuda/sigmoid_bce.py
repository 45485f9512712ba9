"""Cross-entropy of logits: its value per row and its gradient, each in one pass over logits and targets.

The formulas are ``_bce_rows`` and ``_bce_grad`` of :mod:`scratchnet.nn.losses`.
"""

from __future__ import annotations

import numpy as np

from scratchnet.backend import Array, get_xp
from scratchnet.kernels.cuda import NULL, REDUCE, CudaKernel, plain

__all__ = ["SIGMOID_BCE", "gradient", "rows"]

SIGMOID_BCE = CudaKernel(
    "sigmoid_bce",
    REDUCE
    + r"""
// Block b has row b. Its threads go through the row side by side, blockDim.x entries at a time: coalesced.
// rows and grad are written; either may be a null pointer.
extern "C" __global__ void sigmoid_bce(const REAL* logits, const REAL* target, REAL* rows, REAL* grad,
                                       REAL scale, long long width) {
    long long start = blockIdx.x * width;
    REAL sum = 0;
    for (long long j = threadIdx.x; j < width; j += blockDim.x) {
        REAL l = logits[start + j], t = target[start + j];
        if (rows) sum += (l > 0 ? l : (REAL)0) + log1p(exp(-fabs(l))) - t * l;  // softplus(l) - t l
        if (grad) grad[start + j] = (((REAL)0.5 * (1 + tanh((REAL)0.5 * l))) - t) * scale;  // (sigmoid(l) - t) / B
    }
    if (rows) {  // the same for all threads of the block, so all of them come to block_sum
        sum = block_sum(sum);
        if (threadIdx.x == 0) rows[blockIdx.x] = sum;
    }
}
""",
)
_THREADS = 128


def rows(logits: Array, target: Array) -> Array:
    """-log p of each row, (B,)."""
    found = get_xp(logits).empty(len(logits), dtype=logits.dtype)
    _launch(logits, target, found, NULL)
    return found


def gradient(logits: Array, target: Array) -> Array:
    """(sigmoid(l) - t) / B."""
    grad = get_xp(logits).empty(logits.shape, dtype=logits.dtype)
    _launch(logits, target, NULL, grad)
    return grad


def _launch(logits: Array, target: Array, rows: Array, grad: Array) -> None:
    (B, d), dtype = logits.shape, logits.dtype
    logits, target = plain(logits, dtype), plain(target, dtype)
    SIGMOID_BCE.launch(dtype, B, _THREADS, logits, target, rows, grad, dtype.type(1 / B), np.int64(d))
