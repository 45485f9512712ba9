"""The assignment step of k-means behind a matrix product: nearest centre, and the sums that the next centres come from.

The formula is ``assign_and_add`` of :mod:`scratchnet.cluster.lloyd`. The scores |c|^2 - 2 x c' stay a matrix product:
no kernel of a page is as fast as cuBLAS. What follows it, the smallest of each row, a one-hot matrix, a second product
of the size of the first, and the counts, is one launch here that reads scores and points once each.

Points are added to their clusters with atomic additions in float64, in an order that may change from run to run, and
with it the last bits of a sum.
"""

from __future__ import annotations

import numpy as np

from scratchnet.backend import Array, get_xp
from scratchnet.kernels.cuda import CudaKernel, plain

ASSIGN = CudaKernel(
    "kmeans_assign",
    r"""
#define ROWS 32   // of a block
#define WARPS 8

// Block b has rows 32 b .. 32 b + 31 of scores (n, k) and x (n, d).
extern "C" __global__ void kmeans_assign(const REAL* scores, const REAL* x, const REAL* weight, long long* labels,
                                         double* sums, double* counts, long long n, long long k, long long d) {
    __shared__ long long label[ROWS];
    __shared__ int order[ROWS];
    const long long first = (long long)blockIdx.x * ROWS;
    const int rows = n - first < ROWS ? (int)(n - first) : ROWS;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;

    // One warp a row: the lanes go through its scores side by side, then hand each other the best they have seen. Of
    // equals the first centre wins, as in argmin.
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
    // so their sum is made in a register, and one atomic addition a cluster and block is left. Feature d is the weight.
    for (long long j = threadIdx.x; j <= d; j += blockDim.x) {
        double sum = 0;
        for (int q = 0; q < rows; ++q) {
            const int r = order[q];
            const double w = weight[first + r];
            sum += j < d ? w * x[(first + r) * d + j] : w;
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


def assign_and_add(scores: Array, x: Array, weight: Array, sums: Array, counts: Array) -> Array:
    """The labels (n,) int64; ``sums`` (k, d) and ``counts`` (k,) are added to, in float64."""
    (n, k), d, dtype = scores.shape, x.shape[1], scores.dtype
    labels = get_xp(scores).empty(n, dtype="int64")
    args = plain(scores, dtype), plain(x, dtype), plain(weight, dtype), labels, sums, counts
    ASSIGN.launch(dtype, -(-n // _ROWS), _THREADS, *args, np.int64(n), np.int64(k), np.int64(d))
    return labels
