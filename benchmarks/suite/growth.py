"""Time and memory against size: how the algorithms grow, with a fitted exponent."""

from __future__ import annotations

import resource
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import scratchnet as sn
from scratchnet.autoencoders import VAE
from scratchnet.backend import asarray, backend_module, to_numpy
from scratchnet.cluster import AgglomerativeClustering, KMeans
from scratchnet.datasets import load_mnist
from scratchnet.decomposition import PCA
from scratchnet.manifold import TSNE
from scratchnet.nn import Adam

from .race import wait

ROUNDS = 3


def run(quick: bool) -> Iterator[dict[str, Any]]:
    """One record per algorithm and per quantity that grows."""
    X = to_numpy(load_mnist("train", size="small" if quick else "full")[0])
    pixels = np.random.default_rng(0).permutation(X.shape[1])
    columns = [98, 196, 392, 784]

    def narrow(n: int, d: int) -> np.ndarray:
        return np.ascontiguousarray(X[:n, pixels[:d]])

    rows = [500, 1000, 2000] if quick else [7500, 15_000, 30_000, 60_000]
    n = rows[-1]
    kmeans = KMeans(10, init="random", tol=0, max_iter=20, random_state=0)  # 20 rounds, converged or not
    yield _grow("k-means", "n", "20 rounds", "d = 784, k = 10", rows, lambda n: _fit(kmeans, X[:n]))
    yield _grow("k-means", "d", "20 rounds", f"n = {n:,}, k = 10", columns, lambda d: _fit(kmeans, narrow(n, d)))
    yield _grow("PCA(50)", "n", "fit", "d = 784", rows, lambda n: _fit(PCA(50), X[:n]))
    yield _grow("PCA(50)", "d", "fit", f"n = {n:,}", columns, lambda d: _fit(PCA(50), narrow(n, d)))

    rows, ward = [250, 500, 1000] if quick else [1000, 2000, 4000, 8000], AgglomerativeClustering(10)
    yield _grow("Ward", "n", "tree", "d = 784", rows, lambda n: _fit(ward, X[:n]))
    yield _grow("Ward", "d", "tree", f"n = {rows[-2]:,}", columns, lambda d: _fit(ward, narrow(rows[-2], d)))

    rows, iterations = ([250, 500, 1000], 2) if quick else ([4000, 6000, 9000, 13_500, 20_000], 30)
    record = _grow("t-SNE", "n", "iteration", "d = 784, perplexity 30", rows, lambda n: _tsne(X[:n], iterations))
    held = f"{_resident() / 1e9:.1f} GB"
    yield record | {
        "note": f"t-SNE: {rows[-1]:,} digits exactly, and the process never held more than {held} of memory"
    }

    batches = [32, 64, 128] if quick else [64, 128, 256, 512, 1024]
    beside = {"note": "VAE: the bytes are those of a step's arrays, beside parameters and moments"}
    yield _grow("VAE 784-400-20", "batch", "step", "", batches, lambda batch: _vae(X[:batch], 400)) | beside
    widths = [50, 100, 200] if quick else [100, 200, 400, 800, 1600]
    yield _grow("VAE 784-width-20", "width", "step", "batch 128", widths, lambda width: _vae(X[:128], width)) | beside


def _grow(
    name: str, against: str, per: str, fixed: str, sizes: Sequence[int], measure: Callable[[int], tuple[float, int]]
) -> dict[str, Any]:
    points = [measure(size) for size in sizes]
    times, memory = [p[0] for p in points], [p[1] for p in points]
    return {
        "growth": name, "against": against, "per": per, "fixed": fixed, "sizes": list(sizes), "seconds": times,
        "bytes": memory, "time": slope(sizes, times), "memory": slope(sizes, memory), "counted": counted(),
    }  # fmt: skip


def slope(sizes: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """The exponent a of value = c size^a by least squares in log-log, and its standard error."""
    x, y = np.log(sizes), np.log(values)
    x, y = x - x.mean(), y - y.mean()
    a = float(x @ y / (x @ x))
    left = y - a * x
    return a, float(np.sqrt(left @ left / max(len(x) - 2, 1) / (x @ x)))


# -- one size ---------------------------------------------------------------------------------------------------------


def _fit(model: Any, X: np.ndarray) -> tuple[float, int]:
    x = asarray(X)
    memory = peak(lambda: model.fit(x))
    return median(_timed(lambda: model.fit(x)) for _ in range(ROUNDS)), memory


def _tsne(X: np.ndarray, iterations: int) -> tuple[float, int]:
    """Time of an iteration after the first two, and memory from the affinities on."""
    states = TSNE(max_iter=iterations + 5, random_state=0).steps(asarray(X))
    memory = peak(lambda: [next(states) for _ in range(3)])
    return median(_timed(lambda: next(states)) for _ in range(iterations)), memory


def _vae(X: np.ndarray, width: int) -> tuple[float, int]:
    """A training step on a given batch. Memory: the arrays that the first step allocates and later steps reuse."""
    x = asarray(X)
    model = VAE((width,), 20, epochs=0, random_state=0).fit(x)
    adam = Adam(model.params_)

    def step() -> None:
        model.gradient(x)
        adam.step()

    memory = peak(step)
    for _ in range(3):
        step()
    return median(_timed(step) for _ in range(30)), memory


def _timed(run: Callable[[], Any]) -> float:
    wait()
    start = time.perf_counter()
    run()
    wait()
    return time.perf_counter() - start


def peak(run: Callable[[], Any]) -> int:
    """The peak, in bytes, of the memory that ``run`` allocates; see :func:`counted`."""
    if sn.current_backend() == "cupy":
        pool = backend_module().get_default_memory_pool()
        pool.free_all_blocks()
        before = pool.total_bytes()
        run()
        return pool.total_bytes() - before
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def counted() -> str:
    """How :func:`peak` counts bytes, in words for the tables."""
    if sn.current_backend() == "cupy":
        return "what CuPy's pool takes from the device beside the input"
    return "the most that arrays and objects take at a time beside the input (tracemalloc)"


def _resident() -> int:
    """The largest resident size of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# -- the picture ------------------------------------------------------------------------------------------------------


def draw(records: list[dict[str, Any]], path: Path) -> None:
    """Time and memory on logarithmic axes with the fitted lines, one panel per quantity that grows."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullLocator

    kinds = list(dict.fromkeys(r["against"] for r in records))
    figure, axes = plt.subplots(2, len(kinds), figsize=(3.6 * len(kinds), 6.4), squeeze=False, layout="constrained")
    for column, against in enumerate(kinds):
        for axis, what, fit, scale in (
            (axes[0, column], "seconds", "time", 1.0),
            (axes[1, column], "bytes", "memory", 1e-6),
        ):
            for i, r in enumerate(r for r in records if r["against"] == against):
                sizes, values = np.asarray(r["sizes"], float), np.asarray(r[what]) * scale
                line = np.exp(np.log(values).mean() + r[fit][0] * (np.log(sizes) - np.log(sizes).mean()))
                name = f"{r['growth']}, {r['per']}: {against}$^{{{r[fit][0]:.2f}}}$"
                axis.loglog(sizes, line, color=f"C{i}", linewidth=1)
                axis.loglog(sizes, values, "o", color=f"C{i}", markersize=4, label=name)
            for scale_of in (axis.xaxis, axis.yaxis):
                scale_of.set_major_locator(LogLocator(subs=(1, 2, 5)))
                scale_of.set_major_formatter(lambda value, _: f"{value:g}" if value < 1e3 else f"{value / 1e3:g}k")
                scale_of.set_minor_locator(NullLocator())
            axis.set_xlabel(against)
            axis.legend(fontsize=7, frameon=False)
            axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("seconds")
    axes[1, 0].set_ylabel("MB")
    figure.savefig(path, dpi=110)
    plt.close(figure)
