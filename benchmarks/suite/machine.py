"""The environment of a run, and the measured peak performance of this machine."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

import scratchnet as sn
from scratchnet.backend import backend_module
from scratchnet.rows import n_threads

PACKAGES = ("scratchnet", "numpy", "cupy-cuda12x", "cupy-cuda13x", "scipy", "scikit-learn", "openTSNE", "torch")


def describe() -> dict[str, Any]:
    """Versions, processor, threads and date, stored with every result."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "backend": sn.current_backend(),
        "device": _device(),
        "threads": n_threads(),
        "blas": _blas(),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _device() -> str:
    if sn.current_backend() == "cupy":
        runtime = backend_module().cuda.runtime
        versions = f"CUDA {runtime.runtimeGetVersion()} under a driver for {runtime.driverGetVersion()}"
        return f"{runtime.getDeviceProperties(0)['name'].decode()}, driver {_driver()}, {versions}"
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return f"{names[0].partition(':')[2].strip() if names else platform.processor()}, {os.cpu_count()} cores"


def _driver() -> str:
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "of unknown version"


def _blas() -> str:
    """The BLAS libraries that are loaded (SciPy brings its own), and the number of threads each may use."""
    found = {f"{b['internal_api']} on {b['num_threads']}" for b in threadpool_info() if b["user_api"] == "blas"}
    return " and ".join(sorted(found)) or "unknown BLAS"


def _version(name: str) -> str | None:
    if name == "scratchnet":
        return sn.__version__
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def peaks(dtype: str) -> dict[str, float]:
    """The measured peaks: a matrix product [flop/s], and a copy too large for any cache [bytes/s, read and written]."""
    xp = backend_module()
    n = 2048 if sn.current_backend() == "numpy" else 8192
    a = xp.ones((n, n), dtype=dtype)
    c = xp.empty_like(a)
    product = _best(lambda: xp.matmul(a, a, out=c))
    source = xp.ones(1 << 26, dtype=dtype)
    target = xp.empty_like(source)
    copy = _best(lambda: xp.copyto(target, source))
    return {"flops": 2 * n**3 / product, "bytes": 2 * source.nbytes / copy}


def limit(work: dict[str, Any]) -> tuple[float, str]:
    """The seconds that ``work`` takes at this machine's peaks, and whether arithmetic or memory is the limit."""
    peak = peaks(work["dtype"])
    bounds = {"arithmetic": work["flops"] / peak["flops"], "memory": work["bytes"] / peak["bytes"]}
    bound = max(bounds, key=lambda name: bounds[name])
    return bounds[bound], bound


def _best(run: Any, rounds: int = 5) -> float:
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        if sn.current_backend() == "cupy":
            backend_module().cuda.get_current_stream().synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])
