"""CUDA twins of formulas: one module per kernel, its source with a comment or two per line on what each thread does.

A kernel computes in one pass over memory what NumPy or CuPy would need several for. Docs: docs/gpu.md.

How to read a kernel: its body is what *one* thread does; ``blockIdx.x`` says which block of threads it belongs to,
``threadIdx.x`` which thread of the block it is. 32 neighbouring threads, a warp, run in step. When they touch 32
neighbouring numbers, memory delivers these in one go: the access is *coalesced*. ``__shared__`` arrays belong to a
block, are as fast as a cache, and are safe to read after ``__syncthreads()``, where the threads of a block wait for
each other. ``__shfl_xor_sync`` and its kin hand a number from one thread of a warp to another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchnet.backend import Array, get_xp, raw_kernel

__all__ = ["NULL", "REDUCE", "CudaKernel", "plain"]

_REAL = {"float32": "float", "float64": "double"}

REDUCE = r"""
// The sum of x over the threads of a block, the same in each of them. The block must be a multiple of 32 threads.
template <class T> __device__ T block_sum(T x) {
    __shared__ T of_warp[32];
    // Butterfly: after the exchange with the thread 16 lanes away each holds the sum of two, then of 4, 8, 16, 32.
    for (int away = 16; away > 0; away /= 2) x += __shfl_xor_sync(0xffffffffu, x, away);
    __syncthreads();  // nobody may still be reading what the call before has left in of_warp
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = x;
    __syncthreads();
    x = 0;
    for (int warp = 0; warp < (int)blockDim.x / 32; ++warp) x += of_warp[warp];
    return x;
}
"""


@dataclass(frozen=True)
class CudaKernel:
    """The function ``name`` of a CUDA ``source`` in which REAL stands for float or double."""

    name: str
    source: str

    def launch(self, dtype: Any, blocks: int, threads: int, *args: Any, **macros: int) -> None:
        """Run ``blocks`` blocks of ``threads`` threads. ``args`` are arrays, C-contiguous, and NumPy scalars of the
        exact types of the CUDA function's parameters; the first is an array. ``macros`` are #defined in the source."""
        options = (f"-DREAL={_REAL[str(dtype)]}", *(f"-D{name}={value}" for name, value in macros.items()))
        if blocks > 0:
            raw_kernel(get_xp(args[0]), self.source, self.name, options)((blocks,), (threads,), args)


NULL = np.uint64(0)
"""A pointer to nothing: an array that a kernel may do without."""


def plain(a: Array, dtype: Any) -> Array:
    """``a`` as a kernel wants it: C-contiguous and of that dtype; copied only where it is not."""
    return get_xp(a).ascontiguousarray(a, dtype=dtype)
