"""A race: one piece of work, done by scratchnet and by its peers, checked to be the same, then timed in turns."""

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
"""Called before every round, untimed; what it returns is timed, and returns the result."""

missing: set[str] = set()  # peers that were asked for and are not installed


class NotTheSame(AssertionError):
    """Two contenders computed different things: their times cannot be compared."""


@dataclass(frozen=True)
class Work:
    """What the computation needs at least, counted by hand: floating-point operations, and bytes to and from memory."""

    flops: float
    bytes: float
    dtype: str = "float32"


@dataclass(frozen=True)
class Race:
    case: str
    size: str
    ours: Prepare
    peers: Mapping[str, Prepare] = field(default_factory=dict)
    check: Callable[[Any, Any], str] | None = None  # (ours, theirs) -> in what they agree, or NotTheSame
    work: Callable[[Any], Work] | None = None  # of our result
    note: Callable[[Any], str] | None = None  # what else our result says
    parts: bool = False  # the peers are no rivals but parts of ours


def peer(name: str) -> ModuleType | None:
    """The module ``name``, or None and a note that it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing.add(name.partition(".")[0])
        return None


def close(what: str, ours: float, theirs: float, rtol: float, *, one_sided: bool = False) -> str:
    """``what`` of both within ``rtol``, or NotTheSame; ``one_sided``: ours may be as much smaller as it likes."""
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
    """How many times as long each peer takes: medians over the rounds."""
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
    """Until the device has done what it was told."""
    if sn.current_backend() == "cupy":
        from scratchnet.backend import backend_module

        backend_module().cuda.get_current_stream().synchronize()
