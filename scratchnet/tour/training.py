"""Several models trained at the same time, one a core.

Two models side by side, each with BLAS at one thread, take no longer than one after the other with BLAS at two; and
where other work competes for the cores they are many times faster, because no thread spins for another.
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


class Trainings:
    """``with Trainings(tell) as train:`` lets ``train(model, X)`` return at once with a future fitted model.

    They are trained in the order they were asked for, as many at a time as there are cores; on a GPU one at a time.
    Leaving the block, by an error or by Ctrl-C too, stops what still trains at its next epoch.
    """

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.stop = threading.Event()
        on_host = backend_module().__name__ != "cupy"
        self.pool = ThreadPoolExecutor(n_threads() if on_host else 1)

    def __call__(self, model: Any, *data: Any, each: Callable[[Any], None] | None = None, **kwargs: Any) -> Future[Any]:
        """``model.fit(*data, **kwargs)``, later; ``each`` is called with every epoch's state, on another thread."""
        name = type(model).__name__

        def fit() -> Any:
            for state in model.steps(*data, **kwargs):
                if self.stop.is_set():
                    break
                if each is not None:
                    each(state)
                self.tell(f"{name}, epoch {state.epoch} of {state.epochs}")
            return model

        return self.pool.submit(copy_context().run, fit)  # in the caller's context: its backend

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        self.pool.shutdown(wait=True, cancel_futures=True)
