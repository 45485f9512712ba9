"""The training loop makes no new arrays: in a steady step, in the last short batch, in the next epoch."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from scratchnet.autoencoders import VAE, Autoencoder
from scratchnet.autoencoders.parts import ACTIVATIONS, OPTIMIZERS
from scratchnet.autoencoders.training import run_epoch
from scratchnet.datasets import load_mnist
from scratchnet.nn import Dense

BATCH, SHORT, LIMIT = 128, 37, 20_000  # the smallest array of a batch here has 128 x 50 x 4 = 25,600 bytes
X = load_mnist()[0][: 3 * BATCH + SHORT]


class Watched:
    """An optimizer that notes after each step by how many bytes memory had grown at most since the last one."""

    def __init__(self, optimizer):
        self.optimizer, self.grown = optimizer, []

    def step(self):
        self.optimizer.step()
        now, peak = tracemalloc.get_traced_memory()
        self.grown.append(peak - self.before if self.grown else 0)  # the first starts with the epoch's own arrays
        tracemalloc.reset_peak()
        self.before = now


@contextmanager
def small_casting_buffers() -> Iterator[None]:
    """NumPy casts and strides through buffers of 8192 entries, whatever the array's size: here through 256."""
    with np.errstate():
        np.setbufsize(256)
        yield


def growth(model) -> list[int]:
    """Bytes by which memory grows in each step of a second epoch but its first."""
    model.fit(X)
    optimizer = OPTIMIZERS[model.optimizer](model.params_, model.learning_rate)
    trace, order = np.zeros(4, dtype=model.dtype), np.random.default_rng(0).permutation(len(X))
    with small_casting_buffers():
        run_epoch(model, (X,), order, optimizer, trace)
        watched = Watched(optimizer)
        tracemalloc.start()
        try:
            run_epoch(model, (X,), order, watched, trace)
            run_epoch(model, (X,), order, watched, trace)
        finally:
            tracemalloc.stop()
    del watched.grown[4]  # the next epoch's own arrays
    return watched.grown[1:]


def steady(kind, **options):
    return kind((100,), 50, epochs=0, batch_size=BATCH, random_state=0, **options)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_a_step_makes_no_new_array(kind, activation):
    assert max(growth(steady(kind, activation=activation))) < LIMIT


@pytest.mark.parametrize(
    "options", [{"optimizer": "sgd"}, {"optimizer": "momentum"}, {"likelihood": "gaussian"}], ids=str
)
def test_nor_with_another_optimizer_or_likelihood(options):
    assert max(growth(steady(VAE, **options))) < LIMIT


def test_nor_with_tied_weights():
    assert max(growth(steady(Autoencoder, tied=True))) < LIMIT


@pytest.mark.parametrize("method", ["forward", "backward"])
def test_one_array_of_a_layer_would_be_seen(method, monkeypatch):
    """x = x + b in place of x += b, in one layer: this is what the others would catch."""
    original = getattr(Dense, method)
    monkeypatch.setattr(Dense, method, lambda self, *args, **kwargs: copied(original(self, *args, **kwargs)))
    assert min(growth(steady(Autoencoder))) > LIMIT // 2
    assert max(growth(steady(Autoencoder))) > LIMIT


def copied(y):
    return None if y is None else y + 0


def test_the_short_batch_leaves_every_buffer_as_it_is():
    model = steady(VAE).fit(X)
    model._batch_gradient(X[:BATCH])
    layers = [*model.encoder_.layers, *model.decoder_.layers, model.sample_]
    before = [dict(layer._buffers) for layer in layers]
    model._batch_gradient(X[:BATCH])
    model._batch_gradient(X[:SHORT])
    model._batch_gradient(X[:BATCH])
    for layer, buffers in zip(layers, before, strict=True):
        assert buffers.keys() == layer._buffers.keys()
        assert all(layer._buffers[name] is buffers[name] for name in buffers)
