"""The memory forecast."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import memory
from scratchnet.backend import asarray, backend_module
from scratchnet.manifold import SNE, TSNE, embedding
from scratchnet.manifold.affinities import affinities
from scratchnet.manifold.tsne_on_gpu import PackedObjective
from scratchnet.testing import kernels_on_cpu


def test_too_much_names_the_largest_that_fits(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda xp: 4 * 2**30)
    memory.check_memory(lambda n: 4 * 2**30 * (n / 1000) ** 2, 1000, np, "this")
    with pytest.raises(
        MemoryError, match=r"this needs 16.0 GiB for n_samples=1000, but 4.0 GiB are free; .* would fit is 500$"
    ):
        memory.check_memory(lambda n: 16 * 2**30 * (n / 1000) ** 2, 1000, np, "this")
    with pytest.raises(MemoryError, match=r"would fit is 0$"):
        memory.check_memory(lambda n: 2**40, 1000, np, "this")


def test_unknown_is_no_obstacle(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda xp: None)
    memory.check_memory(lambda n: 2**80, 1000, np, "this")


def test_linux_counts_the_container_too(monkeypatch):
    files = {"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:   3000 kB\nCached: 1 kB\n"}
    monkeypatch.setattr(memory, "_read", lambda path: files.get(path, ""))
    assert memory.available_memory(np) == 3000 * 1024
    files |= {"/sys/fs/cgroup/memory.max": "1000000\n", "/sys/fs/cgroup/memory.current": "400000\n"}
    assert memory.available_memory(np) == 600000
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert memory.available_memory(np) == 3000 * 1024
    files.clear()
    assert memory.available_memory(np) is None


def test_device_memory():
    class Device:
        class cuda:
            class runtime:
                memGetInfo = staticmethod(lambda: (100, 1000))

        @staticmethod
        def get_default_memory_pool():
            return type("Pool", (), {"free_bytes": lambda self: 11})()

    assert memory.available_memory(Device) == 111


@pytest.mark.parametrize("method", [TSNE, SNE])
def test_forecast_of_an_embedding(method, monkeypatch):
    """No less than what is really taken, and not much more; the n it names passes, the next one does not."""
    X = np.random.default_rng(0).standard_normal((1500, 50)).astype("float32")
    asked = []
    monkeypatch.setenv("SCRATCHNET_THREADS", "1")
    with monkeypatch.context() as patch:
        patch.setattr(embedding, "check_memory", lambda needed, n, *rest: asked.append(needed(n)))
        tracemalloc.start()
        method(max_iter=2, init="random", random_state=0).fit(X)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert 0.9 * peak < asked[0] < 2 * peak

    monkeypatch.setattr(memory, "available_memory", lambda xp: 100 * 2**20)
    big = np.lib.stride_tricks.as_strided(X, (100_000, 50), (0, 4))  # 100,000 rows that take no memory
    with pytest.raises(MemoryError, match=rf"exact {method.__name__} needs .* largest n_samples that") as caught:
        method()._check_memory(big)
    fits = int(str(caught.value).rpartition(" ")[2])
    assert 1000 < fits < 10_000
    method()._check_memory(big[:fits])
    with pytest.raises(MemoryError):
        method()._check_memory(big[: fits + 1])


def test_forecast_on_a_device():
    """Half of P, its tiles' sums, the search: what packing really takes, and what all 70,000 digits would."""
    n, X = 1500, np.random.default_rng(0).standard_normal((1500, 50)).astype("float32")
    found = affinities(X, 30.0)
    tracemalloc.start()
    objective = PackedObjective(found.joint, n, 1.0, "float32", np)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    for _ in PackedObjective(found.joint, n, 1.0, "float32", np, keep=False)._tiles():
        pass
    strip = tracemalloc.get_traced_memory()[1] - objective._P.nbytes
    tracemalloc.stop()
    assert 0.3 * PackedObjective.memory(n, 2, 4, keep=False) < strip < PackedObjective.memory(n, 2, 4, keep=False)
    assert 0.5 * PackedObjective.memory(n, 2, 4) < peak < PackedObjective.memory(n, 2, 4)
    assert objective._P.nbytes < 0.6 * 4 * n**2
    assert 9.8e9 < PackedObjective.memory(70_000, 2, 4) < 15e9  # P alone: 9.8e9 bytes


def test_too_many_points_for_a_device_are_refused_with_the_largest_number(monkeypatch):
    with kernels_on_cpu(), sn.using("strict"):
        digits = asarray(np.broadcast_to(np.zeros(784, "float32"), (70_000, 784)))
        monkeypatch.setattr(memory, "available_memory", lambda xp: 8 * 2**30)
        TSNE()._check_memory(digits)  # P would not fit, but need not stay
        monkeypatch.setattr(memory, "available_memory", lambda xp: 2 * 2**30)
        with pytest.raises(MemoryError, match=r"exact TSNE needs \d.\d GiB for n_samples=70000, but 2.0 GiB are free"):
            TSNE()._check_memory(digits)


def test_asked_before_anything_is_computed(monkeypatch, xp):
    monkeypatch.setattr(memory, "available_memory", lambda xp: 1000)
    with pytest.raises(MemoryError, match="exact TSNE needs"):
        TSNE(perplexity=5).fit(np.random.default_rng(0).standard_normal((50, 3)))
    assert backend_module() is xp
