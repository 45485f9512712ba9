"""The training loop: epochs of minibatches, a state after each, finite or stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchnet.autoencoders.history import EpochState
from scratchnet.autoencoders.parts import OPTIMIZERS
from scratchnet.backend import Array, Rng, get_xp

_MONITOR = 2000  # training rows on which an epoch's numbers are computed


class DivergedError(FloatingPointError):
    """Training met a NaN or an infinity; the model holds the last good weights."""


def train(model: Any, data: tuple[Array, ...], held_out: tuple[Array, ...] | None, rng: Rng) -> Iterator[EpochState]:
    """Train a built model on ``data`` (arrays of equal length that minibatches are cut from).

    Yields a state after every epoch. With ``model.patience`` the loop ends when the validation loss has not fallen for
    so many epochs, and the best weights come back.
    """
    xp, params, n = get_xp(data[0]), model.params_, len(data[0])
    optimizer = OPTIMIZERS[model.optimizer](params, model.learning_rate)
    some = xp.asarray(np.random.default_rng(0).permutation(n)[:_MONITOR])  # data are often sorted
    monitor = tuple(a[some] for a in data) if n > _MONITOR else data
    trace = xp.zeros(-(-n // model.batch_size), dtype=model.dtype)
    last_good, best, best_loss, best_epoch = params.theta.copy(), params.theta.copy(), np.inf, 0
    for epoch in range(1, model.epochs + 1):
        last_good[...] = params.theta
        start = time.perf_counter()
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the trace tells instead, with the step
            with model._during_epoch(epoch):
                run_epoch(model, data, xp.asarray(rng.host.permutation(n)), optimizer, trace)
            row = {"epoch": epoch, **model._mean_over_chunks(monitor)}
            if held_out is not None:
                row["validation_loss"] = model._mean_over_chunks(held_out)["loss"]
        row["seconds"] = time.perf_counter() - start
        _check_finite(model, trace, row, last_good)
        model.history_.rows.append(row)
        model.best_epoch_ = epoch
        yield EpochState(epoch, model.epochs, row, model)
        if model.patience is None or epoch < model._settled_from:
            continue
        if row["validation_loss"] < best_loss:
            best_loss, best_epoch = row["validation_loss"], epoch
            best[...] = params.theta
        elif epoch - best_epoch >= model.patience:
            break
    if best_epoch:
        params.theta[...] = best
        model.best_epoch_ = best_epoch


def run_epoch(model: Any, data: tuple[Array, ...], order: Array, optimizer: Any, trace: Array) -> None:
    """One pass over the data in the given order. Nothing here waits for a device."""
    size, n = model.batch_size, len(order)
    first_db = model.params_.views["encoder.0.b"][1]  # everything a backward pass computes ends here: one NaN spoils it
    batches = [get_xp(a).empty((min(size, n), *a.shape[1:]), dtype=a.dtype) for a in data]
    for i in range(len(trace)):
        rows = order[i * size : (i + 1) * size]
        model._batch_gradient(*(_gather(a, rows, batch[: len(rows)]) for a, batch in zip(data, batches, strict=True)))
        trace[i] = first_db.sum()
        optimizer.step()


def _gather(a: Array, rows: Array, out: Array) -> Array:
    """a[rows], without new memory."""
    if get_xp(a) is np:
        return a.take(rows, axis=0, out=out, mode="clip")  # "raise" would take a copy first
    return a.take(rows, axis=0, out=out)


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
