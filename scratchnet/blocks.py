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
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from typing import Any, Generic, TypeVar

import numpy as np

from scratchnet.backend import Array, get_xp

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


def n_threads() -> int:
    """How many threads blocks run on: ``SCRATCHNET_THREADS``, else the cores this process may use."""
    value = os.environ.get("SCRATCHNET_THREADS")
    if not value:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"environment variable SCRATCHNET_THREADS={value!r} must be a positive integer")
    return int(value)


# ---------------------------------------------------------------------------------------------------------------------
# Threads
# ---------------------------------------------------------------------------------------------------------------------


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
    with _one_blas_thread():
        _InOrder(block, count, take).run(min(n_threads(), count))


@cache
def _workers() -> ThreadPoolExecutor:
    """Threads that outlive a call: to start one costs as much as a small block. None starts before it is needed."""
    return ThreadPoolExecutor(max_workers=256, thread_name_prefix="scratchnet")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.cache_clear)  # a forked process has none of its parent's threads

_thread = threading.local()  # .in_block: whether this thread is computing a block


class _InOrder:
    """``take(block(i))`` for i = 0 .. count - 1: computed on threads, taken in order."""

    def __init__(self, block: Callable[[int], Any], count: int, take: Callable[[Any], None]) -> None:
        self.block, self.count, self.take = block, count, take
        self.started = self.taken = 0
        self.early: dict[int, Any] = {}  # results whose turn has not come
        self.error: BaseException | None = None
        self.lock = threading.Lock()

    def run(self, threads: int) -> None:
        """The caller's thread works too. The first error stops all threads and is raised here."""
        # each thread gets the caller's context: its backend, and what NumPy does about overflow
        others = [_workers().submit(copy_context().run, self._work) for _ in range(threads - 1)]
        self._work()
        for other in others:
            if not other.cancel():  # one that has not begun has nothing left to do
                other.result()
        if self.error is not None:
            raise self.error

    def _work(self) -> None:
        _thread.in_block = True
        try:
            while (i := self._next()) is not None:
                self._finish(i, self.block(i))
        except BaseException as error:
            with self.lock:
                self.error = self.error or error
        finally:
            _thread.in_block = False

    def _next(self) -> int | None:
        with self.lock:
            if self.error is not None or self.started == self.count:
                return None
            self.started += 1
            return self.started - 1

    def _finish(self, i: int, result: Any) -> None:
        with self.lock:
            self.early[i] = result
            while self.taken in self.early:
                self.take(self.early.pop(self.taken))
                self.taken += 1


# ---------------------------------------------------------------------------------------------------------------------
# BLAS at one thread
# ---------------------------------------------------------------------------------------------------------------------


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController  # looks through all loaded libraries: once, and when first needed

    return ThreadpoolController()


class _Limit:
    """BLAS has one number of threads for the whole process: the first to come sets it, the last to go restores it."""

    lock = threading.Lock()
    users = 0
    limiter: Any = None


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    with _Limit.lock:
        if _Limit.users == 0:
            _Limit.limiter = _blas().limit(limits=1, user_api="blas")
        _Limit.users += 1
    try:
        yield
    finally:
        with _Limit.lock:
            _Limit.users -= 1
            if _Limit.users == 0:
                _Limit.limiter.restore_original_limits()
