"""Rows: data cut into blocks, each with what belongs to it, wherever the blocks live.

Everything in this package is a sum over row blocks: a Lloyd step, a covariance, an affinity row, a t-SNE gradient, the
gradient of a minibatch. An algorithm is written as steps, pure functions at the top level of a module:

    part, kept = step(block, kept, *shared)

``block`` is the step's share of the data, ``shared`` what all blocks need in this round (centres, an embedding,
weights). ``part`` is returned and added to the others in block order. ``kept`` stays with its block: labels, bounds,
a tile of P. It is a *cache*: a step must accept ``None`` in its place at any time, compute it again, and return the
same part. So a lost worker costs time, and changes no result.

:class:`Rows` has the three verbs. Where blocks live is the business of its subclasses: :class:`ThreadRows` here,
worker processes in :mod:`scratchnet.testing`. All of them give the same bits, because the blocks are cut by size,
never by the number of workers, and because parts are added in block order.

While blocks run on threads the linear algebra library is held at one thread each: two layers of threads that compete
for the same cores are many times slower than either alone.
"""

from __future__ import annotations

import math
import operator
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import cache
from typing import Any, TypeAlias, TypeVar

import numpy as np

from scratchnet.backend import Array, Module, get_xp

__all__ = [
    "Home",
    "Rows",
    "Step",
    "ThreadRows",
    "blas_on_one_thread",
    "joined",
    "live_on",
    "n_threads",
    "rows_from",
    "rows_of",
    "rows_per_block",
    "scratch",
    "workspace",
]

T = TypeVar("T")

Step: TypeAlias = Callable[..., tuple[Any, Any]]
"""``part, kept = step(block, kept, *shared)``: pure, at the top level of a module, so that it can be pickled."""

_ROWS_ON_HOST = 1024  # a block of 784 float32 columns and its distances to a hundred centres stay in the cache
_ROWS_ON_DEVICE = 1 << 16  # a GPU needs large products


class Rows(ABC):
    """Blocks of data, each with what belongs to it; see the module's first lines for what a step is.

    Parameters
    ----------
    blocks : sequence
        The first argument of a step, once per block: an array, or a tuple of arrays and plain values.
    xp : module
        The module of the blocks' arrays.
    """

    def __init__(self, blocks: Sequence[Any], xp: Module = np) -> None:
        self.blocks, self.xp = list(blocks), xp

    @abstractmethod
    def _run(self, step: Step, shared: tuple[Any, ...], take: Callable[[Any], None]) -> None:
        """Run the step on every block and hand each part to ``take``, in block order, one at a time."""

    def map(self, step: Step, *shared: Any) -> list[Any]:
        """The part of every block, in block order."""
        parts: list[Any] = []
        self._run(step, shared, parts.append)
        return parts

    def each(self, take: Callable[[Any], None], step: Step, *shared: Any) -> None:
        """``take(part)`` for every block, in block order: parts that are too large to be held together."""
        self._run(step, shared, take)

    def sum(self, step: Step, *shared: Any) -> Any:
        """The sum of the parts, added in block order; 0 without blocks.

        A part is a number, an array, or a tuple of these, which is summed entry by entry. Each is added as soon as all
        before it are, so that only a few are held at a time.
        """
        total: Any = None
        plus = operator.add  # the first part may still be a block's own: do not write into it

        def add(part: Any) -> None:
            nonlocal total, plus
            if total is None:
                total = part
                return
            if isinstance(part, tuple):
                total = tuple(plus(t, p) for t, p in zip(total, part, strict=True))
            else:
                total = plus(total, part)
            plus = operator.iadd

        self._run(step, shared, add)
        return 0 if total is None else total

    def collect(self, step: Step, *shared: Any) -> Any:
        """The parts, arrays with one entry per row, joined in block order; of tuples of arrays each entry."""
        parts = self.map(step, *shared)
        if not parts:
            raise ValueError("there are no rows to collect from")
        return joined(parts, self.xp)

    def __len__(self) -> int:
        """The number of blocks."""
        return len(self.blocks)


def joined(parts: Sequence[Any], xp: Module) -> Any:
    """Arrays with one entry per row, one after the other; of tuples of arrays each entry."""
    if isinstance(parts[0], tuple):
        return tuple(xp.concatenate(part) for part in zip(*parts, strict=True))
    return xp.concatenate(parts)


Home: TypeAlias = Callable[[Sequence[Any], Module], Rows]
"""Makes the :class:`Rows` of a list of blocks whose arrays are of a module."""


def rows_from(blocks: Sequence[Any], xp: Module = np) -> Rows:
    """These blocks as :class:`Rows`: on threads, or inside ``with live_on(home):`` wherever that says."""
    return (_home.get() or ThreadRows)(blocks, xp)


def rows_of(*arrays: Array, size: int | None = None) -> Rows:
    """The rows of ``arrays`` cut into blocks; the last one may be shorter.

    Parameters
    ----------
    *arrays : (n, ...)
        Cut along their first axis, all at the same rows. A block is a tuple with a view of each, or the view itself
        where there is one array.
    size : int, optional
        Rows per block, by default :func:`rows_per_block`.

    Examples
    --------
    >>> def total(block, kept):
    ...     return block.sum(), None
    >>> rows_of(np.arange(6.0), size=4).map(total)
    [np.float64(6.0), np.float64(9.0)]
    """
    xp, n = get_xp(*arrays), len(arrays[0])
    if any(len(a) != n for a in arrays):
        raise ValueError(f"arrays must have the same number of rows, got {[len(a) for a in arrays]}")
    size = size if size is not None else rows_per_block(arrays[0])
    cut = [tuple(a[i : i + size] for a in arrays) for i in range(0, n, size)]
    return rows_from(cut if len(arrays) > 1 else [block for (block,) in cut], xp)


def rows_per_block(array: Array, width: int = 1) -> int:
    """Rows per block of ``array`` where ``width`` numbers per row are computed: bounded in rows and in memory."""
    rows, entries = (_ROWS_ON_HOST, 1 << 22) if get_xp(array) is np else (_ROWS_ON_DEVICE, 1 << 27)
    return max(1, min(rows, entries // width))


_home: ContextVar[Home | None] = ContextVar("scratchnet_rows_home", default=None)


@contextmanager
def live_on(home: Home) -> Iterator[None]:
    """``with live_on(home):`` has all rows that are made inside it live there."""
    token = _home.set(home)
    try:
        yield
    finally:
        _home.reset(token)


# ---------------------------------------------------------------------------------------------------------------------
# What a step may reuse
# ---------------------------------------------------------------------------------------------------------------------


def workspace(name: Hashable, make: Callable[[], T]) -> T:
    """An object that a step needs for itself while it runs: made once per thread, kept for the thread's next blocks.

    It is dropped with the rows that are being computed. Nothing in it may change a result.
    """
    owned: dict[Hashable, Any] | None = getattr(_thread, "owned", None)
    if owned is None:  # not inside a step on threads
        return make()
    if name not in owned:
        owned[name] = make()
    return owned[name]


def scratch(name: Hashable, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Memory for one step on the host, with undefined contents; the thread's next block reuses it.

    New pages of memory cost more than most arithmetic on them.
    """
    size, dtype = math.prod(shape), np.dtype(dtype)
    flat = workspace((name, dtype), lambda: [np.empty(size, dtype)])
    if flat[0].size < size:
        flat[0] = np.empty(size, dtype)
    return flat[0][:size].reshape(shape)


# ---------------------------------------------------------------------------------------------------------------------
# Threads
# ---------------------------------------------------------------------------------------------------------------------


class ThreadRows(Rows):
    """Rows in this process: blocks of NumPy arrays on all cores, those of a device one after the other."""

    def __init__(self, blocks: Sequence[Any], xp: Module = np) -> None:
        super().__init__(blocks, xp)
        self._kept: list[Any] = [None] * len(self.blocks)
        self._free: list[dict[Hashable, Any]] = []  # workspaces that no thread is using

    def _run(self, step: Step, shared: tuple[Any, ...], take: Callable[[Any], None]) -> None:
        def part(i: int) -> Any:
            found, self._kept[i] = step(self.blocks[i], self._kept[i], *shared)
            return found

        count = len(self.blocks)
        if self.xp is not np or getattr(_thread, "in_block", False):  # a device orders its own work
            for i in range(count):  # and rows within a step stay on its thread
                take(part(i))
            return
        with blas_on_one_thread():
            _InOrder(part, count, take, self._free).run(min(n_threads(), count))


def n_threads() -> int:
    """How many threads blocks run on: ``SCRATCHNET_THREADS``, else the cores this process may use."""
    value = os.environ.get("SCRATCHNET_THREADS")
    if not value:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"environment variable SCRATCHNET_THREADS={value!r} must be a positive integer")
    return int(value)


@cache
def _workers() -> ThreadPoolExecutor:
    """Threads that outlive a call: starting one costs as much as a small block. None starts before it is needed."""
    return ThreadPoolExecutor(max_workers=256, thread_name_prefix="scratchnet")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.cache_clear)  # a forked process has none of its parent's threads

_thread = threading.local()  # .in_block: whether this thread is computing a block; .owned: its workspaces


class _InOrder:
    """``take(part(i))`` for i = 0 .. count - 1: computed on threads, taken in order."""

    def __init__(
        self,
        part: Callable[[int], Any],
        count: int,
        take: Callable[[Any], None],
        free: list[dict[Hashable, Any]],
    ) -> None:
        self.part, self.count, self.take, self.free = part, count, take, free
        self.started = self.taken = 0
        self.early: dict[int, Any] = {}  # parts whose turn has not come
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
        with self.lock:
            owned: dict[Hashable, Any] = self.free.pop() if self.free else {}
        _thread.in_block, _thread.owned = True, owned
        try:
            while (i := self._next()) is not None:
                self._finish(i, self.part(i))
        except BaseException as error:
            with self.lock:
                self.error = self.error or error
        finally:
            _thread.in_block, _thread.owned = False, None
            with self.lock:
                self.free.append(owned)

    def _next(self) -> int | None:
        with self.lock:
            if self.error is not None or self.started == self.count:
                return None
            self.started += 1
            return self.started - 1

    def _finish(self, i: int, part: Any) -> None:
        with self.lock:
            self.early[i] = part
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
    """BLAS has one number of threads for the whole process: the first user sets it, the last one restores it."""

    lock = threading.Lock()
    users = 0
    limiter: Any = None


@contextmanager
def blas_on_one_thread() -> Iterator[None]:
    """Hold the linear algebra library at one thread. May be nested, and entered by several threads."""
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
