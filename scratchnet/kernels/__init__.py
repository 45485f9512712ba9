"""CUDA twins of the hot loops: one module a kernel, its source with a comment a line or two on what each thread does.

The formula stands in the library, in NumPy's words, once; a kernel computes the same in one pass over memory where
NumPy or CuPy would need several. ``@twin(kernel)`` above a function names its twin: on CuPy arrays the kernel runs, on
everything else the function, with the same arguments. Docs: docs/gpu.md.

How to read a kernel: its body is what *one* thread does; ``blockIdx.x`` says which block of threads it belongs to,
``threadIdx.x`` which thread of the block it is. 32 neighbouring threads, a warp, run in step. When they touch 32
neighbouring numbers, memory delivers these in one go: the access is *coalesced*. ``__shared__`` arrays belong to a
block, are as fast as a cache, and are safe to read after ``__syncthreads()``, where the threads of a block wait for
each other. ``__shfl_xor_sync`` and its kin hand a number from one thread of a warp to another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np

from scratchnet.backend import Array, get_xp, raw_kernel, runs_kernels

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
class Kernel:
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


def twin(kernel: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The decorated function states the formula; on a GPU ``kernel``, with the same arguments, takes its place.

    Both stay at hand as ``.formula`` and ``.kernel``. The first argument is an array, and decides.
    """

    def decorate(formula: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(formula)
        def either(*args: Any) -> Any:
            if type(args[0]) is not np.ndarray and runs_kernels(args[0]):  # a small network asks a million times
                return kernel(*args)
            return formula(*args)

        either.formula, either.kernel = formula, kernel  # type: ignore[attr-defined]
        return either

    return decorate
