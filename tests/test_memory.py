"""The memory forecast."""

from __future__ import annotations

import numpy as np
import pytest

from scratchnet import memory
from scratchnet.backend import backend_module
from scratchnet.manifold import TSNE


def test_too_much_names_the_largest_that_fits(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda xp: 4 * 2**30)
    memory.check_memory(4 * 2**30, 1000, np, "this")
    with pytest.raises(
        MemoryError, match=r"this needs 16.0 GiB for n_samples=1000, but 4.0 GiB are free; .* about 500$"
    ):
        memory.check_memory(16 * 2**30, 1000, np, "this")


def test_unknown_is_no_obstacle(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda xp: None)
    memory.check_memory(2**80, 1000, np, "this")


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


def test_asked_before_anything_is_computed(monkeypatch, xp):
    monkeypatch.setattr(memory, "available_memory", lambda xp: 1000)
    with pytest.raises(MemoryError, match="exact TSNE needs"):
        TSNE(perplexity=5).fit(np.random.default_rng(0).standard_normal((50, 3)))
    assert backend_module() is xp
