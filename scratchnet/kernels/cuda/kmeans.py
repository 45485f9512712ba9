"""The assignment step of k-means behind a matrix product: nearest centre, and the sums that the next centres come from.

The formula is ``assign`` of :mod:`scratchnet.cluster.steps`. The scores |c|^2 - 2 x c' stay a matrix product: no kernel
of a page is as fast as cuBLAS. What follows it, the smallest of each row, a decision where several are as small, a
one-hot matrix, a second product of the size of the first, and the counts, is one launch here that reads scores and
points once each.

Points are added to their clusters with atomic additions in float64, in an order that may change from run to run. As
every term is a whole multiple of a unit, the sums are exact, and the same in every order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet.backend import Array, get_xp
from scratchnet.kernels.cuda import CudaKernel, plain

__all__ = ["ASSIGN", "assign"]

ASSIGN = CudaKernel(
    "kmeans_assign",
    r"""
#define ROWS 32   // of a block
#define WARPS 8

// Block b has rows 32 b .. 32 b + 31 of scores (n, k) and x (n, d). Scores that differ by a row's doubt (n) or less may
// be in the wrong order. Terms are rounded to multiples of unit (d), weights to those of weight_unit.
extern "C" __global__ void kmeans_assign(const REAL* scores, const REAL* x, const REAL* centers, const REAL* doubt,
                                         const REAL* weight, const double* unit, double weight_unit, long long* labels,
                                         double* sums, double* counts, long long n, long long k, long long d) {
    __shared__ long long label[ROWS];
    __shared__ int order[ROWS];
    const long long first = (long long)blockIdx.x * ROWS;
    const int rows = n - first < ROWS ? (int)(n - first) : ROWS;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;

    // One warp per row: the lanes go through its scores side by side, then hand each other the best they have seen.
    // Ties go to the first centre, as in argmin.
    for (int r = warp; r < rows; r += WARPS) {
        const REAL* s = scores + (first + r) * k;
        REAL best = s[0];
        long long at = 0;
        for (long long c = lane; c < k; c += 32)
            if (s[c] < best) {
                best = s[c];
                at = c;
            }
        for (int away = 16; away > 0; away /= 2) {
            const REAL other = __shfl_xor_sync(0xffffffffu, best, away);
            const long long there = __shfl_xor_sync(0xffffffffu, at, away);
            if (other < best || (other == best && there < at)) {
                best = other;
                at = there;
            }
        }
        // How many scores are as small as rounding can tell. If several: differences in float64, lanes side by side.
        const REAL limit = best + doubt[first + r];
        int near = 0;
        for (long long c = lane; c < k; c += 32) near += s[c] <= limit;
        for (int away = 16; away > 0; away /= 2) near += __shfl_xor_sync(0xffffffffu, near, away);
        double least = -1;  // none yet
        for (long long c = 0; c < k && near > 1; ++c) {
            if (!(s[c] <= limit)) continue;  // the same for all lanes
            double cost = 0;
            for (long long j = lane; j < d; j += 32) {
                const double away = (double)x[(first + r) * d + j] - (double)centers[c * d + j];
                cost += away * away;
            }
            for (int away = 16; away > 0; away /= 2) cost += __shfl_xor_sync(0xffffffffu, cost, away);
            if (least < 0 || cost < least) {
                least = cost;
                at = c;
            }
        }
        if (lane == 0) {
            label[r] = at;
            labels[first + r] = at;
        }
    }
    __syncthreads();

    // The order of the rows by label: each of 32 threads counts how many rows come before its own.
    if ((int)threadIdx.x < rows) {
        int place = 0;
        for (int r = 0; r < rows; ++r)
            place += label[r] < label[threadIdx.x] || (label[r] == label[threadIdx.x] && r < (int)threadIdx.x);
        order[place] = threadIdx.x;
    }
    __syncthreads();

    // Thread j has features j, j + 256, ...: the reading of a row is coalesced. Rows of one cluster follow each other,
    // so their sum is made in a register, and one atomic addition per cluster and block is left. Feature d is the
    // weight.
    for (long long j = threadIdx.x; j <= d; j += blockDim.x) {
        double sum = 0;
        for (int q = 0; q < rows; ++q) {
            const int r = order[q];
            const double w = weight[first + r];
            sum += j < d ? rint(w * x[(first + r) * d + j] / unit[j]) * unit[j] : rint(w / weight_unit) * weight_unit;
            if (q + 1 == rows || label[order[q + 1]] != label[r]) {
                atomicAdd(j < d ? &sums[label[r] * d + j] : &counts[label[r]], sum);
                sum = 0;
            }
        }
    }
}
""",
)
_ROWS, _THREADS = 32, 256


def assign(
    block: tuple[Any, ...], kept: Any, centers: Array, geometry: Any, units: Any, path: Any
) -> tuple[tuple[Array, Array], tuple[Array, None]]:
    """The block's sums and counts, and its labels (m,) int64; see the formula."""
    x, w, _ = block
    xp, x, (k, d), dtype = get_xp(x), geometry.local(x), centers.shape, centers.dtype
    n, scores, doubt = len(x), geometry.scores(x, centers), geometry.doubt(x, centers)
    labels, sums, counts = xp.empty(n, dtype="int64"), xp.zeros((k, d)), xp.zeros(k)
    args = (
        *(plain(a, dtype) for a in (scores, x, centers, doubt, w)),
        plain(units.x, "float64"),
        np.float64(units.weight),
    )
    sizes = np.int64(n), np.int64(k), np.int64(d)
    ASSIGN.launch(dtype, -(-n // _ROWS), _THREADS, *args, labels, sums, counts, *sizes)
    return (sums, counts), (labels, None)
