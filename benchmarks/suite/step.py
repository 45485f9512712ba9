"""Where the time of a training step of the VAE goes: timers around the parts of the real loop, and lower bounds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

import numpy as np

from scratchnet.autoencoders import VAE, training
from scratchnet.autoencoders.likelihoods import Bernoulli
from scratchnet.backend import Rng, asarray, to_numpy
from scratchnet.datasets import load_mnist
from scratchnet.nn import Adam, Dense, GaussianSample, ReLU

from .machine import limit
from .race import Work, wait
from .training import parameters, training_work

HIDDEN, LATENT, D = 400, 20, 784
WIDTHS = [D, HIDDEN, 2 * LATENT, LATENT, HIDDEN, D]


def run(quick: bool) -> Iterator[dict[str, Any]]:
    """One record per batch size."""
    X = asarray(to_numpy(load_mnist("train", size="small" if quick else "full")[0]))
    for batch in (128,) if quick else (128, 512):
        yield profile(X, batch, epochs=1 if quick else 5)


def profile(X: Any, batch: int, epochs: int) -> dict[str, Any]:
    """Median seconds per step over epochs, by part; where a step is cut into blocks, one after the other."""
    model = VAE((HIDDEN,), LATENT, epochs=0, batch_size=batch, random_state=0).fit(X)
    batches = training.Minibatches(model, (X,), Rng(0).noise_stream())
    clock, optimizer, epochs_seen = _Clock(), Adam(batches.params), []
    steps = -(-len(X) // batch)
    with ExitStack() as stack:
        stack.enter_context(_one_thread())
        for owner, names, part in (
            (Dense, ("forward", "backward"), "products and biases"),
            (ReLU, ("forward", "backward"), "activations"),
            (VAE, ("draw_noise",), "sampling and KL gradient"),
            (GaussianSample, ("forward", "backward"), "sampling and KL gradient"),
            (Bernoulli, ("nll_grad",), "loss gradient"),
            (Adam, ("step",), "Adam"),
            (training, ("gather",), "gathering the batch"),
        ):
            for name in names:
                stack.enter_context(clock.watching(owner, name, part))
        for epoch in range(epochs + 1):  # the first warms up
            clock.seconds.clear()
            order = asarray(np.random.default_rng(0).permutation(len(X)))
            wait()
            start = time.perf_counter()
            batches.run_epoch(epoch, order, optimizer)
            wait()
            total = time.perf_counter() - start
            epochs_seen.append({**clock.seconds, "the rest of the loop": total - sum(clock.seconds.values())})
    parts: dict[str, dict[str, Any]] = {
        part: {"seconds": median(seen[part] for seen in epochs_seen[1:]) / steps} for part in epochs_seen[0]
    }
    for part, work in least(batch).items():
        seconds, bound = limit({"flops": work.flops, "bytes": work.bytes, "dtype": work.dtype})
        parts[part] |= {"least": seconds, "bound": bound}
    total = sum(part["seconds"] for part in parts.values())
    parts = dict(sorted(parts.items(), key=lambda item: -item[1]["seconds"]))
    return {"profile": f"VAE {D}-{HIDDEN}-{LATENT}, batch {batch}", "total": total, "parts": parts}


def least(batch: int) -> dict[str, Work]:
    """The least work of each part, counted by hand: its inputs read once and its results written once."""
    hidden = 4.0 * batch * HIDDEN
    return {
        "products and biases": Work(training_work(WIDTHS, batch, batch).flops, 0),
        "activations": Work(0, 2 * (2 + 3) * hidden),  # two ReLUs: x to y; y, dy to dx
        "loss gradient": Work(0, 3 * 4.0 * batch * D),
        "sampling and KL gradient": Work(0, (1 + 4 + 6) * 4.0 * batch * LATENT),  # eps; h, eps to z; dz, eps, h to dh
        "Adam": Work(0, 7 * 4.0 * parameters(WIDTHS)),
        "gathering the batch": Work(0, 2 * 4.0 * batch * D),
    }


class _Clock:
    """Adds up the time spent in the methods that it watches."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def watching(self, owner: Any, name: str, part: str) -> Iterator[None]:
        method: Callable[..., Any] = getattr(owner, name)
        own = name in vars(owner)

        def timed(*args: Any, **kwargs: Any) -> Any:
            wait()
            start = time.perf_counter()
            result = method(*args, **kwargs)
            wait()
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start
            return result

        setattr(owner, name, timed)
        try:
            yield
        finally:
            if own:
                setattr(owner, name, method)
            else:  # inherited
                delattr(owner, name)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Blocks run on this thread alone: seconds of two at a time would not add up."""
    before = os.environ.get("SCRATCHNET_THREADS")
    os.environ["SCRATCHNET_THREADS"] = "1"
    try:
        yield
    finally:
        del os.environ["SCRATCHNET_THREADS"]
        if before is not None:
            os.environ["SCRATCHNET_THREADS"] = before
