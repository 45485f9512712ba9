"""Raise MemoryError before a large allocation, with the largest size that would fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scratchnet.backend import Module

__all__ = ["available_memory", "check_memory", "fits"]


def available_memory(xp: Module) -> int | None:
    """Bytes that can still be allocated where ``xp`` keeps its arrays; None if the system does not say."""
    cuda = getattr(xp, "cuda", None)
    if cuda is not None:
        return int(cuda.runtime.memGetInfo()[0]) + int(xp.get_default_memory_pool().free_bytes())
    free = []
    meminfo = _read("/proc/meminfo").partition("MemAvailable:")[2].split()
    if meminfo:
        free.append(int(meminfo[0]) * 1024)
    limit, used = (_read(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if limit.isdecimal() and used.isdecimal():  # inside a container
        free.append(max(int(limit) - int(used), 0))
    return min(free, default=None)


def fits(needed: float, xp: Module) -> bool:
    """Whether that many bytes can still be allocated, as far as the system says."""
    free = available_memory(xp)
    return free is None or needed <= free


def check_memory(needed: Callable[[int], float], n: int, xp: Module, what: str) -> None:
    """Raise MemoryError if ``needed(n)`` bytes are more than are free.

    Parameters
    ----------
    needed : callable
        Bytes for a number of samples; grows with it.
    n : int
    xp : module
        Where memory is needed.
    what : str
        The message starts with it, and names the largest n that would fit.
    """
    free = available_memory(xp)
    if free is None or needed(n) <= free:
        return
    largest, too_large = 0, n
    while too_large - largest > 1:
        middle = (largest + too_large) // 2
        largest, too_large = (middle, too_large) if needed(middle) <= free else (largest, middle)
    raise MemoryError(
        f"{what} needs {needed(n) / 2**30:.1f} GiB for n_samples={n}, but {free / 2**30:.1f} GiB are free; "
        f"the largest n_samples that would fit is {largest}"
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
