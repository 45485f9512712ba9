"""Exact t-SNE against scikit-learn (exact, Barnes-Hut) and openTSNE."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from math import log
from typing import Any

import numpy as np

from scratchnet.backend import asarray, to_numpy
from scratchnet.datasets import load_mnist
from scratchnet.manifold import TSNE
from scratchnet.metrics import knn_accuracy

from .race import NotTheSame, Prepare, Race, Work, peer

PERPLEXITY, ITERATIONS = 30, 1000


def tsne(quick: bool) -> Iterator[Race]:
    """1000 iterations, perplexity 30, from the same start: the first two principal components."""
    sizes = (500,) if quick else (2000, 5000)
    iterations = 250 if quick else ITERATIONS
    X, y = (to_numpy(a) for a in load_mnist("train", size="small" if quick else "full"))
    for n in sizes:
        problem = _Problem(X[:n], y[:n], iterations)
        yield Race(
            "t-SNE", f"{n:,} x 784, {iterations} iterations", problem.ours, problem.peers(exact=n <= 2000),
            problem.compare, lambda _, n=n: iteration_work(n, iterations), problem.note,
        )  # fmt: skip


def iteration_work(n: int, iterations: int) -> Work:
    """Per pair i < j: 1 + d^2 (8 flops), its inverse and two products (3), their sum (2), each of two matrices times
    [y, 1] from both sides (4 x 6); P read once."""
    pairs = n * (n - 1) / 2
    return Work(pairs * (8 + 3 + 2 + 24) * iterations, pairs * 4 * iterations)


class _Problem:
    def __init__(self, X: np.ndarray, y: np.ndarray, iterations: int) -> None:
        self.X, self.y, self.iterations = X, y, iterations
        centered = X - X.mean(axis=0)
        scores = centered @ np.linalg.svd(centered, full_matrices=False)[2][:2].T
        self.start = (scores / scores[:, 0].std() * 1e-4).astype(np.float32)

    def ours(self) -> Callable[[], np.ndarray]:
        x = asarray(self.X)
        model = TSNE(perplexity=PERPLEXITY, init=self.start, max_iter=self.iterations)
        return lambda: to_numpy(model.fit_transform(x))

    def peers(self, *, exact: bool) -> dict[str, Prepare]:
        found: dict[str, Prepare] = {}
        if (manifold := peer("sklearn.manifold")) is not None:
            for name, method in {"scikit-learn exact": "exact", "scikit-learn Barnes-Hut": "barnes_hut"}.items():
                if method == "barnes_hut" or exact:
                    found[name] = lambda method=method: self._sklearn(manifold, method)
        if (open_tsne := peer("openTSNE")) is not None:
            found["openTSNE"] = lambda: self._open_tsne(open_tsne)
        return found

    def _sklearn(self, manifold: Any, method: str) -> Callable[[], np.ndarray]:
        model = manifold.TSNE(
            perplexity=PERPLEXITY, init=self.start, max_iter=self.iterations, method=method, n_jobs=-1
        )
        return lambda: model.fit_transform(self.X)

    def _open_tsne(self, open_tsne: Any) -> Callable[[], np.ndarray]:
        early = min(250, self.iterations)
        model = open_tsne.TSNE(
            perplexity=PERPLEXITY, initialization=self.start.astype(np.float64), early_exaggeration_iter=early,
            n_iter=self.iterations - early, n_jobs=-1,
        )  # fmt: skip
        return lambda: np.asarray(model.fit(self.X))

    def kl(self, Y: np.ndarray) -> float:
        """KL(P || Q) with the dense P of all pairs, the same for all contenders."""
        P, W = self.P, 1 / (1 + _squared_distances(Y.astype(np.float64)))
        np.fill_diagonal(W, 0)
        there = P > 0
        return float((P[there] * np.log(P[there] / (W[there] / W.sum()))).sum())

    @cached_property
    def P(self) -> np.ndarray:
        """(p_j|i + p_i|j) / 2n by a plain bisection in float64 that none of the contenders uses."""
        D = _squared_distances(self.X.astype(np.float64))
        np.fill_diagonal(D, np.inf)
        D -= D.min(axis=1, keepdims=True)
        low, high = np.full((2, len(D), 1), [[[-40.0]], [[40.0]]])  # of log beta
        for _ in range(40):
            beta = np.exp((low + high) / 2)
            P = np.exp(-beta * D)
            z = P.sum(axis=1, keepdims=True)
            entropy = np.log(z) + beta * (P * np.where(np.isinf(D), 0, D)).sum(axis=1, keepdims=True) / z
            low, high = np.where(entropy > log(PERPLEXITY), (np.log(beta), high), (low, np.log(beta)))
        P /= z
        return (P + P.T) / (2 * len(P))

    def accuracy(self, Y: np.ndarray) -> float:
        return float(knn_accuracy(Y, self.y, n_neighbors=1))

    def compare(self, ours: np.ndarray, theirs: np.ndarray) -> str:
        mine, other = self.kl(ours), self.kl(theirs)
        if mine > 1.02 * other:
            raise NotTheSame(f"KL {mine:.4f} here, {other:.4f} there")
        return f"KL {mine:.3f} / {other:.3f}, 1-NN {self.accuracy(ours):.3f} / {self.accuracy(theirs):.3f}"

    def note(self, ours: np.ndarray) -> str:
        return f"KL {self.kl(ours):.4f}, 1-NN accuracy {self.accuracy(ours):.4f}"


def _squared_distances(X: np.ndarray) -> np.ndarray:
    size = (X**2).sum(axis=1)
    return np.maximum(size[:, None] - 2 * X @ X.T + size, 0)
