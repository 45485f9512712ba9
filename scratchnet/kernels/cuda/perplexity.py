"""The search for every point's bandwidth: all Newton steps of a row in one launch, and nothing asks the host.

The formula is ``calibrate`` of :mod:`scratchnet.manifold.perplexity`, step by step; there all rows of a block are
searched side by side, and every step is a dozen passes over a matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet.backend import Array, get_xp
from scratchnet.kernels.cuda import REDUCE, CudaKernel, plain

__all__ = ["PERPLEXITY", "search"]

PERPLEXITY = CudaKernel(
    "perplexity",
    REDUCE
    + r"""
// Block r has row r of the squared distances d (r, n). Its threads go through the row side by side: coalesced.
// All threads of a block hold the same sums, so all take the same step, and leave the loop together.
// itself: how many entries of the row are the point's own; such an entry counts as exp(0) = 1 in z.
extern "C" __global__ void perplexity(const double* d, double* found, long long rows, long long n, double itself,
                                      double target, double start, double tolerance, double largest, int steps) {
    d += blockIdx.x * n;
    double nearest = d[0], sum = 0;
    for (long long j = threadIdx.x; j < n; j += blockDim.x) {
        nearest = min(nearest, d[j]);
        sum += d[j];
    }
    for (int away = 16; away > 0; away /= 2) nearest = min(nearest, __shfl_xor_sync(0xffffffffu, nearest, away));
    __shared__ double of_warp[32];
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = nearest;
    __syncthreads();
    for (int warp = 0; warp < (int)blockDim.x / 32; ++warp) nearest = min(nearest, of_warp[warp]);
    double scale = (block_sum(sum) - itself * nearest) / (n - itself);  // the mean squared distance
    if (!(scale > 0)) scale = 1;

    double s = start, low = -1e3, high = 1e3, beta = 0, z = 0, entropy = 0;  // s = log(beta)
    for (int step = 0; step < steps; ++step) {
        beta = exp(s);
        const REAL minus_beta = (REAL)-beta;
        double first = 0, second = 0;
        z = 0;
        for (long long j = threadIdx.x; j < n; j += blockDim.x) {
            const REAL t = (REAL)((d[j] - nearest) / scale);
            REAL e = exp(t * minus_beta);
            z += e;
            e *= t;
            first += e;
            e *= t;
            second += e;
        }
        z = block_sum(z) - itself;
        const double mean = block_sum(first) / z, variance = block_sum(second) / z - mean * mean;
        entropy = log(z) + beta * mean;
        const double error = entropy - target;
        if (error > 0) low = s;
        if (error < 0) high = s;
        if (!(fabs(error) >= tolerance && (error < 0 || s < largest))) break;
        const double newton = error / max(beta * beta * variance, 1e-300);
        double next = s + min(max(newton, -3.0), 3.0);
        if (!(next > low && next < high)) next = (low + high) / 2;
        s = min(next, largest);
    }
    if (threadIdx.x == 0) {
        found[blockIdx.x] = beta / scale;
        found[rows + blockIdx.x] = log(z);
        found[2 * rows + blockIdx.x] = entropy;
    }
}
""",
)
_THREADS = 256  # of a block


def search(
    d: Array, perplexity: float, others: int, dtype: Any, limits: tuple[float, float, int]
) -> tuple[Array, Array, Array]:
    """(beta, log_z, entropy), each (r,) float64, for the squared distances d (r, n); exponentials in ``dtype``."""
    xp, (r, n), (tolerance, largest, steps) = get_xp(d), d.shape, limits
    found = xp.empty((3, r), dtype="float64")
    start = 2 / 3 * np.log(others / perplexity)
    numbers = (np.float64(v) for v in (n - others, np.log(perplexity), start, tolerance, largest))
    args = plain(d, "float64"), found, np.int64(r), np.int64(n), *numbers, np.int32(steps)
    PERPLEXITY.launch(dtype, r, _THREADS, *args)
    return found[0], found[1], found[2]
