"""Where the time of a training step of the VAE goes: timers around the parts of the real loop, and lower bounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import numpy as np

from scratchnet.autoencoders import VAE, training
from scratchnet.backend import asarray, to_numpy
from scratchnet.datasets import load_mnist
from scratchnet.nn import Adam, Dense

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
    """Seconds per step of each part, medians over epochs."""
    model = VAE((HIDDEN,), LATENT, epochs=0, batch_size=batch, random_state=0).fit(X)
    clock, optimizer = _Clock(), Adam(model.params_)
    for layer in (*model.encoder_.layers, *model.decoder_.layers):
        part = "products and biases" if isinstance(layer, Dense) else "activations"
        clock.watch(layer, "forward", part)
        clock.watch(layer, "backward", part)
    clock.watch(model, "_train_noise", "sampling and KL gradient")
    clock.watch(model.sample_, "forward", "sampling and KL gradient")
    clock.watch(model.sample_, "backward", "sampling and KL gradient")
    clock.watch(model._likelihood, "nll_grad", "loss gradient")
    clock.watch(optimizer, "step", "Adam")
    gather = training._gather
    clock.watch(training, "_gather", "gathering the batch")
    steps = -(-len(X) // batch)
    trace, epochs_seen = asarray(np.zeros(steps, dtype="float32")), []
    try:
        for _ in range(epochs + 1):  # the first warms up
            clock.seconds.clear()
            order = asarray(np.random.default_rng(0).permutation(len(X)))
            wait()
            start = time.perf_counter()
            training.run_epoch(model, (X,), order, optimizer, trace)
            wait()
            total = time.perf_counter() - start
            epochs_seen.append({**clock.seconds, "the rest of the loop": total - sum(clock.seconds.values())})
    finally:
        training._gather = gather
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

    def watch(self, owner: Any, name: str, part: str) -> None:
        method: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            wait()
            start = time.perf_counter()
            result = method(*args, **kwargs)
            wait()
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start
            return result

        setattr(owner, name, timed)
