"""The training loop: epochs of minibatches, a state after each, finite or stopped.

The gradient of a minibatch is a sum over its row blocks, and what is random in a block depends on (seed, epoch, step,
block) alone. So it does not matter which thread or process computes a block.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np

from scratchnet.autoencoders.history import EpochState
from scratchnet.autoencoders.model import Model
from scratchnet.backend import Array, NoiseStream, Rng, get_xp
from scratchnet.nn import OPTIMIZERS, Optimizer, Params
from scratchnet.rows import blas_on_one_thread, rows_from

__all__ = ["DivergedError", "Minibatches", "block_gradient", "gather", "n_blocks", "train"]

_MONITOR = 2000  # training rows on which an epoch's numbers are computed


class DivergedError(FloatingPointError):
    """Training met a NaN or an infinity; the model holds the last good weights."""


def train(
    model: Any, owner: Any, data: tuple[Array, ...], held_out: tuple[Array, ...] | None, rng: Rng
) -> Generator[EpochState]:
    """Train a built model on ``data``, arrays of equal length that minibatches are cut from.

    Yields a state of ``owner`` after every epoch. An epoch that is interrupted leaves the weights from before it. With
    ``model.patience`` the loop ends when the validation loss has not fallen for that many epochs, and the best weights
    come back.
    """
    xp, theta, n = get_xp(data[0]), model.params_.theta, len(data[0])
    batches = Minibatches(model, data, rng.noise_stream())
    optimizer = OPTIMIZERS[model.optimizer](batches.params, model.learning_rate)
    some = xp.asarray(np.random.default_rng(0).permutation(n)[:_MONITOR])  # data are often sorted
    monitor = tuple(a[some] for a in data) if n > _MONITOR else data
    last_good, best, best_loss, best_epoch = theta.copy(), theta.copy(), np.inf, 0
    began = time.perf_counter()
    for epoch in range(1, model.epochs + 1):
        last_good[...] = theta
        start = time.perf_counter()
        try:
            with np.errstate(
                over="ignore", invalid="ignore", divide="ignore"
            ):  # reported by _check_finite, with the step
                trace = batches.run_epoch(epoch, xp.asarray(rng.host.permutation(n)), optimizer)
                row = {"epoch": epoch, **model.evaluate_arrays(monitor, epoch)}
                if held_out is not None:
                    row["validation_loss"] = model.evaluate_arrays(held_out, epoch)["loss"]
        except BaseException:  # Ctrl-C, most likely: half an epoch is in no state and in no history
            theta[...] = last_good
            raise
        now = time.perf_counter()
        row["seconds"] = now - start
        _check_finite(model, trace, row, last_good)
        model.history_.rows.append(row)
        model.best_epoch_ = epoch
        yield EpochState(epoch, model.epochs, row, owner, now - began)
        if model.patience is None or epoch < model.first_comparable_epoch:
            continue
        if row["validation_loss"] < best_loss:
            best_loss, best_epoch = row["validation_loss"], epoch
            best[...] = theta
        elif epoch - best_epoch >= model.patience:
            break
    if best_epoch:
        theta[...] = best
        model.best_epoch_ = best_epoch


def n_blocks(batch_size: int) -> int:
    """The row blocks of a minibatch: one below 256 rows, from there on blocks of 128 to 256 rows.

    >>> [n_blocks(size) for size in (32, 255, 256, 512, 1000)]
    [1, 1, 2, 2, 4]
    """
    return 1 if batch_size < 256 else max(2, -(-batch_size // 256))


class Minibatches:
    """The minibatches of a training, and their gradients.

    Parameters
    ----------
    model : Model
        Built. Copies of it are trained, on the same ``theta``.
    data : tuple of (n, ...)
        What minibatches are cut from.
    noise : NoiseStream

    Attributes
    ----------
    params : Params
        The model's ``theta`` and the gradient that :meth:`gradient` fills: what an optimizer works on.
    """

    def __init__(self, model: Model, data: tuple[Array, ...], noise: NoiseStream) -> None:
        self.model, self.xp = model, get_xp(data[0])
        size = min(model.batch_size, len(data[0]))
        blocks = n_blocks(size) if self.xp is np and model.terms_are_means else 1
        self.blocks = [(i, -(-size // blocks), model, data, noise) for i in range(blocks)]
        self.rows = rows_from(self.blocks) if blocks > 1 else None
        self.kept = None if self.rows else (model.replica(), noise)  # of a single block
        self.params: Params = self.kept[0].params_ if self.kept else model.params_

    def run_epoch(self, epoch: int, order: Array, optimizer: Optimizer) -> Array:
        """One pass over the data in the given order. Returns a number per step that is NaN or infinite as soon as any
        gradient is; nothing here waits for a device."""
        size, weights, params = self.model.batch_size, self.model.weights(epoch), self.params
        weights = {name: float(weight) for name, weight in weights.items()}
        _, watched = params.views[next((name for name in params.names() if name.endswith(".b")), params.names()[0])]
        trace = self.xp.zeros(-(-len(order) // size), dtype=params.theta.dtype)
        with blas_on_one_thread() if self.rows else nullcontext():
            for step in range(len(trace)):
                self.gradient(order[step * size : (step + 1) * size], epoch, step, weights)
                trace[step] = watched.sum()  # where the backward pass of the encoder ends
                optimizer.step()
        return trace

    def gradient(self, rows: Array, epoch: int, step: int, weights: Mapping[str, float]) -> None:
        """Fill ``params.grad`` with the gradient of the minibatch that has the given rows of the data."""
        theta = self.params.theta
        if self.rows is None:
            block_gradient(self.blocks[0], self.kept, theta, rows, epoch, step, weights)
            return
        first, second, *more = self.rows.map(block_gradient, theta, rows, epoch, step, weights)
        grad = np.add(first, second, out=self.params.grad)
        for part in more:
            grad += part


def block_gradient(
    block: tuple[int, int, Any, tuple[Array, ...], NoiseStream],
    kept: tuple[Any, NoiseStream] | None,
    theta: Array,
    rows: Array,
    epoch: int,
    step: int,
    weights: Mapping[str, float],
) -> tuple[Array, tuple[Any, NoiseStream]]:
    """The share of one row block in the gradient of a minibatch, (n_parameters,): a step of
    :class:`~scratchnet.rows.Rows`. Blocks keep a copy of the model."""
    index, share, original, data, stream = block
    model, noise = kept or (original.replica(theta), stream.fork())
    if model.params_.theta is not theta:  # in another process
        model.params_.theta[...] = theta
    mine = rows[index * share : (index + 1) * share]
    n = len(mine)
    if n == 0:  # the last minibatch of an epoch may be short
        return get_xp(theta).zeros_like(theta), (model, noise)
    if n < len(rows):
        weights = {name: weight * (n / len(rows)) for name, weight in weights.items()}
    model.prepare_epoch(epoch)
    drawn = model.draw_noise(n, noise.at(epoch, step, index))
    return model.gradient(*gather(data, mine), drawn, weights), (model, noise)


def gather(data: tuple[Array, ...], rows: Array) -> list[Array]:
    """The given rows of each array."""
    return [a.take(rows, axis=0) for a in data]


def _check_finite(model: Any, trace: Array, row: dict[str, Any], last_good: Array) -> None:
    bad = ~get_xp(trace).isfinite(trace)
    diverged, held_out = bool(bad.any()), row.get("validation_loss", 0.0)
    if not diverged and np.isfinite(row["loss"]) and np.isfinite(held_out):
        return
    what = "loss" if diverged or np.isfinite(held_out) else "validation loss"
    step = int(bad.argmax()) + 1 if diverged else len(trace)
    model.params_.theta[...] = last_good
    raise DivergedError(
        f"the {what} became NaN or infinite at step {step} of {len(trace)} in epoch {row['epoch']} "
        f"(update {(row['epoch'] - 1) * len(trace) + step} in all). The model holds the weights from before that "
        f"epoch. Try a smaller learning_rate (it is {model.learning_rate:g}) or rescale X"
    )
