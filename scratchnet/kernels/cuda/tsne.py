"""The gradient of t-SNE over all pairs in one pass over P, and the cost in another. No n x n distances are stored.

The formulas are those of :mod:`scratchnet.manifold.sne`, (8.2) and (8.5): with t_ij = 1 / (1 + |y_i - y_j|^2 / dof) and
w_ij = t_ij^((dof + 1)/2), attraction sums p_ij t_ij (y_i - y_j), repulsion w_ij t_ij (y_i - y_j), and Z sums w_ij.

P is symmetric: only tiles on and above the diagonal are kept, TILE x TILE, and each pair of points serves both. A tile
is stored in the order in which it is read (:func:`pack`), so that every reading of 32 threads is one stretch of memory.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from scratchnet.backend import Array, get_xp
from scratchnet.kernels.cuda import REDUCE, CudaKernel

__all__ = ["COST", "DIMENSIONS", "POINTS", "TILE", "TILES", "VARIANTS", "cost", "forces", "pack"]

TILE, _COLUMNS = 128, 4  # rows and columns of a tile; columns of a lane
VARIANTS = tuple({"K": k, "CAUCHY": cauchy} for k in (1, 2, 3) for cauchy in (0, 1))
DIMENSIONS = frozenset(v["K"] for v in VARIANTS)  # of embeddings that the kernels know: more would not fit in registers

_SOURCE = (
    REDUCE
    + r"""
#define TILE 128
#define WARPS 4    // of a block; each has 32 rows of the tile
#define COLUMNS 4  // of a lane: lane l has the columns l, l + 32, l + 64, l + 96

// A lane's four numbers of P, read at once: 16 bytes in float32, the most that a thread can ask for.
struct alignas(COLUMNS * sizeof(REAL)) Four {
    REAL of[COLUMNS];
};

// Coordinate k of point i, per sqrt(dof): then 1 + |difference|^2 is all of 1/t. What is there only to fill the last
// tile stands so far from everything, and from each other, that its t is 0.
__device__ REAL place(const REAL* Y, int i, int k, int n, REAL scale) {
    const REAL far = sizeof(REAL) == 4 ? 1e19 : 1e154;
    return i < n ? scale * Y[i * K + k] : far * (1 + i - n);
}

// Where a lane stands: the rows of its warp go to shared memory, where the warp reads only what its own lanes have
// written, and its four columns to registers. Returns the warp's numbers of P.
__device__ const Four* stand(const REAL* P, const REAL* Y, int I, int J, int n, REAL scale, REAL (*y_row)[TILE],
                             REAL (*y)[K]) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (int k = 0; k < K; ++k) y_row[k][threadIdx.x] = place(Y, I * TILE + threadIdx.x, k, n, scale);
    for (int c = 0; c < COLUMNS; ++c)
        for (int k = 0; k < K; ++k) y[c][k] = place(Y, J * TILE + 32 * c + lane, k, n, scale);
    __syncwarp();
    return (const Four*)P + ((long long)blockIdx.x * WARPS + warp) * 32 * 32;
}

// t for a squared distance, w for a t. CAUCHY: one degree of freedom, w = t, as in t-SNE. K: dimensions of Y.
__device__ float similarity(float square) {
    float t = 1 + square;
#ifdef __CUDA_ARCH__
    asm("rcp.approx.ftz.f32 %0, %0;" : "+f"(t));  // one instruction, wrong by one unit at most
    return t;
#else
    return 1 / t;
#endif
}
__device__ double similarity(double square) { return 1 / (1 + square); }
__device__ REAL weight(REAL t, REAL power) {
#if CAUCHY
    return t;
#else
    return pow(t, power);
#endif
}

// What the pairs of a tile do. A warp has 32 rows and all 128 columns of its tile. In step s, lane l treats row
// (l + s) % 32 with its four columns: at any time the 32 lanes are at 32 different rows. Sums by column stay with the
// lane. Sums by row travel: after every step each lane takes over the sums of the next row from its neighbour, and
// after 32 steps lane l holds all of row l. So nobody adds to what another one adds to, in an order that could change.
// DIAGONAL: the tile's rows are its columns, and i = j does not count.
template <bool DIAGONAL>
__device__ REAL pairs(const Four* p, const REAL (*y_row)[TILE], const REAL (*y)[K], REAL* row_sum,
                      REAL (*column_sum)[2 * K], REAL power) {
    const int lane = threadIdx.x % 32, first = threadIdx.x - lane;
    REAL total = 0;
#pragma unroll 4
    for (int s = 0; s < 32; ++s) {
        const int row = first + (lane + s) % 32;  // 32 lanes, 32 rows: 32 banks of shared memory
        const Four here = p[s * 32 + lane];       // coalesced: P lies in this order
#pragma unroll
        for (int c = 0; c < COLUMNS; ++c) {
            REAL difference[K], square = 0;
            for (int k = 0; k < K; ++k) {
                difference[k] = y_row[k][row] - y[c][k];
                square = fma(difference[k], difference[k], square);
            }
            const REAL t = similarity(square);
            REAL w = weight(t, power);
            if (DIAGONAL && row == 32 * c + lane) w = 0;  // (p is 0 there)
            total += w;
            const REAL pull = here.of[c] * t, push = w * t;
            for (int k = 0; k < K; ++k) {
                row_sum[k] = fma(pull, difference[k], row_sum[k]);
                row_sum[K + k] = fma(push, difference[k], row_sum[K + k]);
                column_sum[c][k] = fma(-pull, difference[k], column_sum[c][k]);
                column_sum[c][K + k] = fma(-push, difference[k], column_sum[c][K + k]);
            }
        }
        for (int k = 0; k < 2 * K; ++k) row_sum[k] = __shfl_sync(0xffffffffu, row_sum[k], (lane + 1) % 32);
    }
    return total;
}

// One block of 128 threads a tile: points tile_row * 128 .. and tile_column * 128 .. .
//
// parts (side, 2 K, side * 128): what the points of tile block b do to point i, attraction and repulsion.
extern "C" __global__ void tsne_tiles(const REAL* P, const REAL* Y, const int* tile_row, const int* tile_column,
                                      REAL* parts, double* z, REAL scale, REAL power, int n, int side) {
    __shared__ REAL y_row[K][TILE];
    __shared__ REAL by_column[WARPS][2 * K][TILE];
    const int I = tile_row[blockIdx.x], J = tile_column[blockIdx.x];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const long long N = (long long)side * TILE;
    REAL y[COLUMNS][K], column_sum[COLUMNS][2 * K], row_sum[2 * K];
    for (int k = 0; k < 2 * K; ++k) row_sum[k] = 0;
    for (int c = 0; c < COLUMNS; ++c)
        for (int k = 0; k < 2 * K; ++k) column_sum[c][k] = 0;
    const Four* p = stand(P, Y, I, J, n, scale, y_row, y);
    const REAL total = I == J ? pairs<true>(p, y_row, y, row_sum, column_sum, power)
                              : pairs<false>(p, y_row, y, row_sum, column_sum, power);

    // Rows: lane l has row l of its warp. A tile on the diagonal holds every pair twice; its columns say it all.
    if (I != J)
        for (int k = 0; k < 2 * K; ++k) parts[((long long)J * 2 * K + k) * N + I * TILE + threadIdx.x] = row_sum[k];
    // Columns: the four warps' sums are put together in shared memory, in the order of the warps.
    for (int c = 0; c < COLUMNS; ++c)
        for (int k = 0; k < 2 * K; ++k) by_column[warp][k][32 * c + lane] = column_sum[c][k];
    __syncthreads();
    for (int k = 0; k < 2 * K; ++k) {
        REAL sum = 0;
        for (int w = 0; w < WARPS; ++w) sum += by_column[w][k][threadIdx.x];
        parts[((long long)I * 2 * K + k) * N + J * TILE + threadIdx.x] = sum;
    }
    const double tile_total = block_sum((double)total);
    if (threadIdx.x == 0) z[blockIdx.x] = I == J ? tile_total : 2 * tile_total;
}

// A block has one of the 2 K sums of 128 points: thread i adds up what all tile blocks do to its point, in their order;
// neighbouring threads have neighbouring points. forces (2, n, K): attraction and repulsion.
extern "C" __global__ void tsne_points(const REAL* parts, const double* z, REAL* forces, double constant, int n,
                                       int side) {
    const int k = blockIdx.x / side;
    const int i = blockIdx.x % side * TILE + threadIdx.x;
    const long long N = (long long)side * TILE;
    if (i >= n) return;
    double sum = 0;
#pragma unroll 8
    for (int b = 0; b < side; ++b) sum += parts[((long long)b * 2 * K + k) * N + i];
    forces[((long long)(k / K) * n + i) * K + k % K] = constant * (k < K ? sum : -sum / *z);
}

// The cost of each tile: the sums of p (log p - log w) and of w. Thread by thread as in tsne_tiles; nothing travels.
extern "C" __global__ void tsne_cost(const REAL* P, const REAL* Y, const int* tile_row, const int* tile_column,
                                     double* cost, double* z, REAL scale, REAL power, int n, int side) {
    __shared__ REAL y_row[K][TILE];
    const int I = tile_row[blockIdx.x], J = tile_column[blockIdx.x];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    REAL y[COLUMNS][K];
    const Four* p = stand(P, Y, I, J, n, scale, y_row, y);
    double of_p = 0, of_w = 0;
    for (int s = 0; s < 32; ++s) {
        const int row = 32 * warp + (lane + s) % 32;
        const Four here = p[s * 32 + lane];
#pragma unroll
        for (int c = 0; c < COLUMNS; ++c) {
            REAL square = 0;
            for (int k = 0; k < K; ++k) {
                const REAL difference = y_row[k][row] - y[c][k];
                square = fma(difference, difference, square);
            }
            const REAL minus_log_w = power * log(1 + square);
            if (here.of[c] > 0) of_p += here.of[c] * (log(here.of[c]) + minus_log_w);  // 0 log 0 is 0
            if (I != J || row != 32 * c + lane) of_w += weight(similarity(square), power);
        }
    }
    of_p = block_sum(of_p);
    of_w = block_sum(of_w);
    if (threadIdx.x == 0) {
        cost[blockIdx.x] = I == J ? of_p : 2 * of_p;
        z[blockIdx.x] = I == J ? of_w : 2 * of_w;
    }
}
"""
)
TILES, POINTS, COST = (CudaKernel(name, _SOURCE) for name in ("tsne_tiles", "tsne_points", "tsne_cost"))


def pack(P: Array) -> Array:
    """Tiles (m, TILE * TILE) in the kernels' order, from m tiles side by side, (TILE, m * TILE).

    A tile is read by warp (32 rows each), then step s, then lane l, then the columns c of a lane: row (l + s) % 32 of
    the warp, column 32 c + l.
    """
    xp, lane = get_xp(P), get_xp(P).arange(32)
    P = P.reshape(TILE // 32, 32, -1, _COLUMNS, 32).transpose(2, 0, 3, 1, 4)  # tile, warp, c, row, lane
    skewed = P[..., (lane + lane[:, None]) % 32, lane]  # tile, warp, c, s, lane
    return xp.ascontiguousarray(skewed.transpose(0, 1, 3, 4, 2)).reshape(len(P), TILE * TILE)


def forces(
    tiles: Iterable[tuple[slice, Array]], Y: Array, places: tuple[Array, Array], dof: float
) -> tuple[Array, Array]:
    """The attracting and the repelling part of the gradient, each (n, k), without a synchronisation.

    Parameters
    ----------
    tiles : of (slice, (m, TILE * TILE))
        All tiles, packed, in one piece or several: which of them, and P there, 0 where padded and where i = j.
    Y : (n, k), C-contiguous and in P's dtype
    places : two of (number of tiles,) int32
        The block of rows and the block of columns of each tile.
    dof : float
    """
    xp, (n, k), dtype = get_xp(Y), Y.shape, Y.dtype
    side = -(-n // TILE)
    parts, z = xp.empty((side, 2 * k, side * TILE), dtype=dtype), xp.empty(len(places[0]), dtype="float64")
    for where, P in tiles:
        _launch(TILES, P, Y, places, where, dof, parts, z[where])
    both = xp.empty((2, n, k), dtype=dtype)
    constant = np.float64(2 * (dof + 1) / dof**0.5)  # the kernel's distances are per sqrt(dof)
    args = parts, z.sum(), both, constant, np.int32(n), np.int32(side)
    POINTS.launch(dtype, 2 * k * side, TILE, *args, K=k, CAUCHY=int(dof == 1))
    return both[0], both[1]


def cost(tiles: Iterable[tuple[slice, Array]], Y: Array, places: tuple[Array, Array], dof: float) -> Array:
    """KL(P || Q) as a 0-d array; P sums to one."""
    xp, m = get_xp(Y), len(places[0])
    of_p, z = xp.empty(m, dtype="float64"), xp.empty(m, dtype="float64")
    for where, P in tiles:
        _launch(COST, P, Y, places, where, dof, of_p[where], z[where])
    return of_p.sum() + xp.log(z.sum())


def _launch(
    kernel: CudaKernel, P: Array, Y: Array, places: tuple[Array, Array], where: slice, dof: float, *out: Array
) -> None:
    (n, k), real = Y.shape, P.dtype.type
    numbers = real(dof**-0.5), real((dof + 1) / 2), np.int32(n), np.int32(-(-n // TILE))
    args = P, Y, *(blocks[where] for blocks in places), *out, *numbers
    kernel.launch(P.dtype, len(P), TILE, *args, K=k, CAUCHY=int(dof == 1))
