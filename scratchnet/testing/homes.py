"""Other homes for :class:`~scratchnet.rows.Rows`, to prove that nothing depends on where blocks live.

    with worker_processes(2) as home, live_on(home):
        KMeans(8, random_state=0).fit(X)  # the bits of the threads

:class:`ForgetfulRows` loses what blocks keep, as a lost worker would.
"""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from scratchnet.backend import Module
from scratchnet.rows import Home, Rows, Step, ThreadRows, blas_on_one_thread

__all__ = ["ForgetfulRows", "ProcessRows", "worker_processes"]


class ForgetfulRows(ThreadRows):
    """Threads that lose what every second block keeps, a different half after every call."""

    calls = 0

    def _run(self, step: Step, shared: tuple[Any, ...], take: Callable[[Any], None]) -> None:
        super()._run(step, shared, take)
        self.calls += 1
        for i in range(self.calls % 2, len(self.blocks), 2):
            self._kept[i] = None


class ProcessRows(Rows):
    """Blocks live in worker processes: block i in worker i modulo their number, sent there once, with what it keeps.

    Steps and what they share are pickled and travel with every call; only parts come back.
    """

    _names = itertools.count()

    def __init__(self, workers: Sequence[Connection], blocks: Sequence[Any], xp: Module = np) -> None:
        super().__init__(blocks, xp)
        self._workers, self._name = workers, next(self._names)
        for w, worker in enumerate(workers):
            worker.send(("have", self._name, self.blocks[w :: len(workers)]))

    def _run(self, step: Step, shared: tuple[Any, ...], take: Callable[[Any], None]) -> None:
        for worker in self._workers:
            worker.send(("run", self._name, step, shared, np.geterr()))
        try:
            answers = [self._workers[i % len(self._workers)].recv() for i in range(len(self.blocks))]
        except EOFError:
            raise RuntimeError(f"a worker process ended; can it import {step.__module__}.{step.__name__}?") from None
        for part, error in answers:
            if error is not None:
                raise error
            take(part)

    def __del__(self) -> None:
        for worker in self._workers:
            if not worker.closed:
                with suppress(OSError):  # of a worker that has ended
                    worker.send(("drop", self._name))


@contextmanager
def worker_processes(count: int) -> Iterator[Home]:
    """``count`` processes as a home for rows; for tests, not for speed."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(count)]
    processes = [context.Process(target=_serve, args=(there,), daemon=True) for _, there in pipes]
    for process, (_, there) in zip(processes, pipes, strict=True):
        process.start()
        there.close()  # the worker has its own: if it dies, reading from it ends
    try:
        yield lambda blocks, xp: ProcessRows([here for here, _ in pipes], blocks, xp)
    finally:
        for here, _ in pipes:
            with suppress(OSError):  # of a worker that has ended
                here.send(("end",))
            here.close()
        for process in processes:
            process.join(timeout=30)


def _serve(home: Connection) -> None:
    """A worker: keeps blocks and what belongs to them, runs steps on them."""
    rows: dict[int, tuple[list[Any], list[Any]]] = {}
    with blas_on_one_thread():
        while (message := home.recv())[0] != "end":
            if message[0] == "have":
                rows[message[1]] = message[2], [None] * len(message[2])
            elif message[0] == "drop":
                rows.pop(message[1], None)
            else:
                _, name, step, shared, errors = message
                blocks, kept = rows[name]
                for i, block in enumerate(blocks):
                    try:
                        with np.errstate(**errors):
                            part, kept[i] = step(block, kept[i], *shared)
                        home.send((part, None))
                    except Exception as error:  # returned to the caller, whatever it is
                        home.send((None, error))
