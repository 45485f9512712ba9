"""Row blocks: apply a function to blocks of rows, or add up what it returns, on all cores.

Most of what this package computes is a sum over rows. Rows are cut into blocks of a fixed size, whatever the number of
threads, and results are put together in block order: the same bits for one thread or eight. While blocks run on
threads, the linear algebra library underneath is held at one thread for each, because two layers of threads that
compete for the same cores are many times slower than either alone.

A function here takes the blocks of the arrays it is given, and returns what it found. It may write into those blocks:
they are views.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import numpy as np

from scratchnet.backend import Array, get_xp
from scratchnet.rows import _InOrder, _thread, blas_on_one_thread, n_threads

T = TypeVar("T")

_ROWS_ON_HOST = 1024  # a block of 784 float32 columns and its distances to a hundred centres stay in the cache
_ROWS_ON_DEVICE = 1 << 16  # a GPU wants large products


def map(function: Callable[..., Any], *arrays: Array, size: int | None = None) -> list[Any]:
    """``[function(*block) for each block of rows]``, the blocks computed on all cores.

    Parameters
    ----------
    function : callable
        Takes one block of each array. Runs on several threads at once.
    *arrays : (n, ...)
        Cut along their first axis, all at the same rows.
    size : int, optional
        Rows of a block; :func:`rows_per_block` by default. The last block may be shorter.

    Examples
    --------
    >>> map(lambda x: x.sum(), np.arange(6.0), size=4)
    [np.float64(6.0), np.float64(9.0)]
    """
    results: list[Any] = []
    _run(function, arrays, size, results.append)
    return results


def sum(function: Callable[..., Any], *arrays: Array, size: int | None = None) -> Any:
    """The sum of ``function(*block)`` over all blocks, added in block order; 0 if there are no rows.

    A block's result is added as soon as all blocks before it are: no more than a few are kept at a time. It may be a
    number, an array, or a tuple of them, which is summed entry by entry.
    """
    total: Any = None
    plus = operator.add  # the first result is not ours to write into, sums are

    def add(result: Any) -> None:
        nonlocal total, plus
        if total is None:
            total = result
            return
        if isinstance(result, tuple):
            total = tuple(plus(t, r) for t, r in zip(total, result, strict=True))
        else:
            total = plus(total, result)
        plus = operator.iadd

    _run(function, arrays, size, add)
    return 0 if total is None else total


def rows_per_block(array: Array, width: int = 1) -> int:
    """The size of a block of ``array`` where ``width`` numbers a row are computed: bounded in rows and in memory."""
    rows, entries = (_ROWS_ON_HOST, 1 << 22) if get_xp(array) is np else (_ROWS_ON_DEVICE, 1 << 27)
    return max(1, min(rows, entries // width))


class Scratch(Generic[T]):
    """What ``make()`` returns, kept for the next block that borrows it: one for each thread at work.

    To have the system hand out new pages of memory takes longer than most arithmetic on them.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make, self._free = make, list[T]()

    @contextmanager
    def borrow(self) -> Iterator[T]:
        """Nobody else has it until the block ends. What is in it is anything."""
        try:
            item = self._free.pop()
        except IndexError:
            item = self._make()
        yield item
        self._free.append(item)


def _run(
    function: Callable[..., Any], arrays: tuple[Array, ...], size: int | None, take: Callable[[Any], None]
) -> None:
    """Compute every block, and hand the results to ``take`` one at a time, in block order."""
    xp, n = get_xp(*arrays), len(arrays[0])
    for a in arrays[1:]:
        if len(a) != n:
            raise ValueError(f"arrays must have the same number of rows, got {[len(b) for b in arrays]}")
    size = size if size is not None else rows_per_block(arrays[0])
    count = -(-n // size)

    def block(i: int) -> Any:
        return function(*(a[i * size : (i + 1) * size] for a in arrays))

    nested = getattr(_thread, "in_block", False)  # blocks within a block stay in its thread
    if xp is not np or nested:  # a device orders its own work
        for i in range(count):
            take(block(i))
        return
    with blas_on_one_thread():
        _InOrder(block, count, take, []).run(min(n_threads(), count))
