"""A race: the same computation by scratchnet and by its peers, first compared, then timed in turns."""

from __future__ import annotations

import gc
import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from types import ModuleType
from typing import Any, TypeAlias

import scratchnet as sn

Prepare: TypeAlias = Callable[[], Callable[[], Any]]
"""Called untimed before every round; the function it returns is timed, and returns the result."""

missing: set[str] = set()  # peers that are not installed


class NotTheSame(AssertionError):
    """Two contenders computed different results: their times cannot be compared."""


@dataclass(frozen=True)
class Work:
    """The least that a computation needs, counted by hand: floating-point operations, and bytes to and from memory."""

    flops: float
    bytes: float
    dtype: str = "float32"


@dataclass(frozen=True)
class Race:
    case: str
    size: str
    ours: Prepare
    peers: Mapping[str, Prepare] = field(default_factory=dict)
    check: Callable[[Any, Any], str] | None = None  # (ours, theirs) -> how well they agree, or raises NotTheSame
    work: Callable[[Any], Work] | None = None  # from our result
    note: Callable[[Any], str] | None = None  # a remark about our result
    parts: bool = False  # the "peers" are parts of our own time


def peer(name: str) -> ModuleType | None:
    """The module ``name``, or None if it is not installed, which is added to ``missing``."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing.add(name.partition(".")[0])
        return None


def close(what: str, ours: float, theirs: float, rtol: float, *, one_sided: bool = False) -> str:
    """A line with both values; raises NotTheSame beyond ``rtol``, with ``one_sided`` only if ours is the larger."""
    difference = (ours - theirs) / abs(theirs)
    if difference > rtol or (difference < -rtol and not one_sided) or difference != difference:
        raise NotTheSame(f"{what}: {ours:.8g} here, {theirs:.8g} there")
    return f"{what} {ours:.6g} / {theirs:.6g}"


def hold(race: Race, rounds: int) -> dict[str, Any]:
    """Check, then time: every round runs all contenders one after the other. Without rounds the check is timed.

    Returns the race's record.
    """
    contenders: dict[str, Prepare] = {"scratchnet": race.ours, **race.peers}
    first = {name: _timed(prepare) for name, prepare in contenders.items()}  # also warms up
    results = {name: result for name, (_, result) in first.items()}
    agreement = {n: race.check(results["scratchnet"], results[n]) for n in race.peers} if race.check else {}
    seconds = {name: [] if rounds else [time] for name, (time, _) in first.items()}
    for _ in range(rounds):
        for name, prepare in contenders.items():
            seconds[name].append(_timed(prepare)[0])
    ours = results["scratchnet"]
    record: dict[str, Any] = {"case": race.case, "size": race.size, "seconds": seconds, "agreement": agreement}
    if race.work is not None:
        work = race.work(ours)
        record["work"] = {"flops": work.flops, "bytes": work.bytes, "dtype": work.dtype}
    if race.note is not None:
        record["note"] = race.note(ours)
    if race.parts:
        record["parts_of_ours"] = True
    return record


def ratios(record: dict[str, Any]) -> dict[str, float]:
    """The time of each peer over ours, from medians over the rounds."""
    seconds = {name: median(values) for name, values in record["seconds"].items()}
    ours = seconds.pop("scratchnet")
    return {name: value / ours for name, value in seconds.items()}


def _timed(prepare: Prepare) -> tuple[float, Any]:
    run = prepare()
    gc.collect()
    wait()
    start = time.perf_counter()
    result = run()
    wait()
    return time.perf_counter() - start, result


def wait() -> None:
    """Wait until the device has finished its queued work."""
    if sn.current_backend() == "cupy":
        from scratchnet.backend import backend_module

        backend_module().cuda.get_current_stream().synchronize()
