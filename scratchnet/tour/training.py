"""Train several models at the same time, one per core.

Two models in parallel, each with one BLAS thread, take no longer than one after the other with two BLAS threads; and
when other programs compete for the cores they are many times faster, because no thread waits in a busy loop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Self

from scratchnet.backend import backend_module
from scratchnet.rows import n_threads
from scratchnet.tour.report import Tell

__all__ = ["Trainings"]


class Trainings:
    """Inside ``with Trainings(tell) as train:``, ``train(model, X)`` returns immediately, with a future of the model.

    Models are trained in the order of the calls, as many at a time as there are cores; on a GPU one at a time. Leaving
    the block, also by an error or Ctrl-C, stops models that are still training after their current epoch.
    """

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.stop = threading.Event()
        on_host = backend_module().__name__ != "cupy"
        self.pool = ThreadPoolExecutor(n_threads() if on_host else 1)

    def __call__(self, model: Any, *data: Any, each: Callable[[Any], None] | None = None, **kwargs: Any) -> Future[Any]:
        """Submit ``model.fit(*data, **kwargs)``; ``each`` is called on another thread with the state of every epoch."""
        name = type(model).__name__

        def fit() -> Any:
            for state in model.steps(*data, **kwargs):
                if self.stop.is_set():
                    break
                if each is not None:
                    each(state)
                self.tell(f"{name}, epoch {state.epoch} of {state.epochs}")
            return model

        return self.pool.submit(copy_context().run, fit)  # in the caller's context, which holds its backend

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        self.pool.shutdown(wait=True, cancel_futures=True)
