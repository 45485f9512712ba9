"""Cases for a GPU only: ``benchmarks/run.py --backend cupy``. The sizes need a card with 40 to 80 GB."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import scratchnet as sn
from scratchnet.backend import asarray, backend_module, to_numpy
from scratchnet.cluster import KMeans
from scratchnet.datasets import load_mnist
from scratchnet.decomposition import PCA
from scratchnet.manifold import TSNE
from scratchnet.manifold.tsne_on_gpu import PackedObjective

from .embedding import iteration_work
from .race import NotTheSame, Prepare, Race, Work, close, peer
from .training import ADAM, _Vae, training_work

OPENTSNE = Path(__file__).parents[1] / "results" / "opentsne-kl.jsonl"


def tsne(quick: bool) -> Iterator[Race]:
    """Exact t-SNE of all digits, affinities included. openTSNE takes many minutes for 70,000: --rounds 1; where it is
    not installed, its KL divergence is the one that benchmarks/opentsne_kl.py recorded on a CPU."""
    (X, _), iterations = digits(quick), 10 if quick else 1000
    for n in (200,) if quick else (10_000, 70_000):
        x, first = X[:n], start(X[:n])

        def ours(x: np.ndarray = x, first: np.ndarray = first) -> Callable[[], TSNE]:
            there, model = asarray(x), TSNE(init=first, max_iter=iterations)
            return lambda: model.fit(there)

        def theirs(x: np.ndarray = x, first: np.ndarray = first) -> Callable[[], np.ndarray]:
            return lambda: open_tsne(x, first, iterations)

        yield Race(
            "t-SNE, affinities included", f"{n:,} x 784, {iterations} iterations", ours,
            {"openTSNE (CPU)": theirs} if peer("openTSNE") else {}, _no_higher,
            lambda _, n=n: iteration_work(n, iterations),
            lambda model, n=n: f"KL {model.kl_divergence_:.4f}{_found_before(n)}",
        )  # fmt: skip


def open_tsne(X: np.ndarray, first: np.ndarray, iterations: int) -> np.ndarray:
    """openTSNE's embedding from the start ``first``; perplexity 30 and everything else are its defaults."""
    early = min(250, iterations // 4)
    schedule = {"early_exaggeration_iter": early, "n_iter": iterations - early, "n_jobs": -1}
    model = importlib.import_module("openTSNE").TSNE(initialization=first.astype(np.float64), **schedule)
    return np.asarray(model.fit(X), dtype=X.dtype)


def _found_before(n: int) -> str:
    records = [json.loads(line) for line in OPENTSNE.read_text().splitlines()] if OPENTSNE.exists() else []
    return "".join(f"; openTSNE on a CPU {r['kl']:.4f}" for r in records if r["n"] == n)


def _no_higher(ours: TSNE, theirs: np.ndarray) -> str:
    """Compare the KL divergences of both by the same P, over all pairs, on the device."""
    found = ours.affinities_
    objective = PackedObjective(found.joint, len(found), ours.dof, found.dtype, backend_module())
    mine, other = (float(objective.kl(asarray(Y, found.dtype))) for Y in (ours.embedding_, theirs))
    if mine > 1.02 * other:
        raise NotTheSame(f"KL {mine:.4f} here, {other:.4f} there")
    return f"KL {mine:.4f} / {other:.4f}"


def bandwidth(quick: bool) -> Iterator[Race]:
    """The gradient of t-SNE beside a copy on the device that moves as many bytes as P has: the ratio is the share of
    the bandwidth that is reached."""
    xp, n, times = backend_module(), 300 if quick else 40_000, 1 if quick else 20
    objective = PackedObjective(
        lambda rows, columns: xp.full((rows.stop - rows.start, columns.stop - columns.start), 1 / n**2, "float32"),
        n, 1.0, "float32", xp,
    )  # fmt: skip
    Y = asarray(np.random.default_rng(0).standard_normal((n, 2)), "float32")
    half = xp.empty(objective._P.size // 2, dtype="float32")
    source = xp.zeros_like(half)

    def repeat(f: Callable[[], Any]) -> Prepare:
        return lambda: lambda: [f() for _ in range(times)] and None

    yield Race(
        "t-SNE gradient", f"{n:,} points, {times} times", repeat(lambda: objective.gradient(Y)),
        {"device copy": repeat(lambda: xp.copyto(half, source))},
        work=lambda _: Work(0, float(objective._P.nbytes) * times),
    )  # fmt: skip


def first_call(quick: bool) -> Iterator[Race]:
    """A new process that trains a VAE for an epoch and embeds 500 digits, with kernels compiled or loaded from disk."""
    code = (
        "import scratchnet as sn; from scratchnet.datasets import load_mnist; from scratchnet.autoencoders import VAE\n"
        "from scratchnet.manifold import TSNE; from scratchnet.cluster import KMeans\n"
        f"sn.use({sn.current_backend()!r}); X, _ = load_mnist()\n"
        "VAE(epochs=1).fit(X[:1000]); TSNE(max_iter=10).fit(X[:500]); KMeans(10).fit(X[:1000])"
    )

    def process(folder: Callable[[], str]) -> Prepare:
        def prepare() -> Callable[[], None]:
            environment = {**os.environ, "CUPY_CACHE_DIR": folder()}
            return lambda: subprocess.run([sys.executable, "-c", code], check=True, env=environment) and None

        return prepare

    with tempfile.TemporaryDirectory() as kept, tempfile.TemporaryDirectory() as fresh:
        again = {"with kernels on disk": process(lambda: kept)}
        first = process(lambda: tempfile.mkdtemp(dir=fresh))
        yield Race("first call", "new process, kernels to compile", first, again)


def kmeans(quick: bool) -> Iterator[Race]:
    """Twenty rounds from the same start, on the GPU and on the CPU."""
    X = digits(quick)[0][:60_000]
    for k in (10,) if quick else (10, 1000):
        start = X[np.random.default_rng(0).choice(len(X), k, replace=False)]

        def model(start: np.ndarray = start, k: int = k) -> KMeans:
            return KMeans(k, init=start, tol=0, max_iter=20)

        def compare(ours: KMeans, theirs: KMeans) -> str:
            return close("inertia", ours.inertia_, theirs.inertia_, 1e-4)

        yield Race("k-means, 20 rounds", f"{len(X):,} x 784, k={k}", *_both(model, X), compare)


def pca(quick: bool) -> Iterator[Race]:
    """Fifty components, on the GPU and on the CPU."""
    X = digits(quick)[0][:60_000]

    def compare(ours: PCA, theirs: PCA) -> str:
        mine, other = (float(m.explained_variance_.sum()) for m in (ours, theirs))
        return close("variance", mine, other, 1e-4)

    yield Race("PCA(50)", f"{len(X):,} x 784", *_both(lambda: PCA(50), X), compare)


def vae(quick: bool) -> Iterator[Race]:
    """784-400-20, small and large batches, beside PyTorch on the same GPU."""
    X = digits(quick)[0][:60_000]
    for batch in (128,) if quick else (128, 4096):
        race = _Vae(X, batch)
        torch = peer("torch")
        yield Race(
            "VAE 784-400-20 on a GPU", f"{len(X):,} x 784, batch {batch}, 1 epoch", race.ours,
            {f"PyTorch, {name}": race.torch(torch, options) for name, options in ADAM.items()} if torch else {},
            race.compare, lambda _, batch=batch: training_work([784, 400, 40, 20, 400, 784], len(X), batch),
        )  # fmt: skip


def _both(make: Callable[[], Any], X: np.ndarray) -> tuple[Prepare, dict[str, Prepare]]:
    """Contenders that fit on the current backend and on the CPU."""

    def ours() -> Callable[[], Any]:
        there, model = asarray(X), make()
        return lambda: model.fit(there)

    def on_cpu() -> Callable[[], Any]:
        model = make()

        def fit() -> Any:
            with sn.using("numpy"):
                return model.fit(X)

        return fit

    return ours, {"scratchnet on the CPU": on_cpu}


def digits(quick: bool) -> tuple[np.ndarray, np.ndarray]:
    """All 70,000 digits and their labels, the training set first."""
    parts = [load_mnist(split, size="small" if quick else "full") for split in ("train", "test")]
    X, y = (np.concatenate([to_numpy(a) for a in arrays]) for arrays in zip(*parts, strict=True))
    return (X[:500], y[:500]) if quick else (X, y)


def start(X: np.ndarray) -> np.ndarray:
    """Two principal components, the first with standard deviation 1e-4."""
    with sn.using("numpy"):
        scores = PCA(2).fit_transform(X)
    return scores * (1e-4 / scores[:, 0].std())
