"""SNE's objective by row blocks against the dense formulas; threads, processes, lost caches."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from scratchnet.backend import asarray, to_numpy
from scratchnet.manifold import objectives
from scratchnet.manifold.affinities import affinities
from scratchnet.manifold.objectives import RowObjective
from scratchnet.manifold.sne import GaussianSimilarity, StudentSimilarity, kl_divergence, kl_forces, kl_gradient

X = np.random.default_rng(0).standard_normal((50, 7))


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(objectives, "ROWS", 16)


def whole(found):
    everyone = slice(0, len(found))
    return found.conditional(everyone, everyone)


@pytest.mark.parametrize("similarity", [GaussianSimilarity(), StudentSimilarity(1.0)], ids=str)
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("n", [2, 16, 17, 50])
def test_equals_the_dense_formulas(xp, small_blocks, n, k, similarity):
    found = affinities(asarray(X[:n]), min(5.0, n - 1))
    Y, P = asarray(3 * X[:n, :k]), whole(found)
    objective = RowObjective(found, similarity)
    assert float(objective.kl(Y)) == pytest.approx(float(kl_divergence(Y, P, similarity, by_row=True)), rel=1e-12)
    for exaggeration in (1.0, 4.0):
        expected = to_numpy(kl_gradient(Y, P, similarity, True, exaggeration))
        np.testing.assert_allclose(to_numpy(objective.gradient(Y, exaggeration)), expected, atol=1e-12)
    for a, b in zip(objective.forces(Y), kl_forces(Y, P, similarity, by_row=True), strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), atol=1e-12)


def test_a_device_is_talked_to_by_one_thread(xp, small_blocks, monkeypatch):
    """CuPy's current device and stream belong to a thread."""
    monkeypatch.setenv("SCRATCHNET_THREADS", "3")
    seen = set()

    class Watched(GaussianSimilarity):
        def log_weight(self, s):
            seen.add(threading.get_ident())
            time.sleep(0.01)  # so that another thread would find work
            return -s

    RowObjective(affinities(asarray(X), 5.0), Watched()).kl(asarray(X[:, :2]))
    assert (seen == {threading.get_ident()}) == (xp is not np)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "precomputed"])
def test_where_rows_live_does_not_matter(small_blocks, run_everywhere, metric):
    """Any number of threads, worker processes, and rows of P that get lost: the same bits."""
    data = np.sqrt(((X[:, None] - X) ** 2).sum(axis=-1)) if metric == "precomputed" else X
    data, Y, bits = data.astype("float32"), X[:, :2].astype("float32"), set()

    def run():
        objective = RowObjective(affinities(data, 9.0, metric), GaussianSimilarity())
        results = objective.gradient(Y), *objective.forces(Y), objective.kl(Y), objective.gradient(Y)
        bits.add(b"".join(a.tobytes() for a in results))

    run_everywhere(run)
    assert len(bits) == 1


def test_inputs_are_not_written_to(small_blocks):
    Y = X[:, :2].copy()
    Y.setflags(write=False)
    objective = RowObjective(affinities(X, 5.0), GaussianSimilarity())
    np.testing.assert_array_equal(objective.gradient(Y), objective.gradient(Y))
    np.testing.assert_array_equal(objective.forces(Y), objective.forces(Y))
    objective.kl(Y)
