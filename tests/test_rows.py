"""SNE's objective by row blocks against the dense formulas; threads."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from scratchnet.backend import asarray, get_xp, to_numpy
from scratchnet.manifold import rows
from scratchnet.manifold.rows import RowObjective
from scratchnet.manifold.sne import Gaussian, Student, kl_divergence, kl_forces, kl_gradient


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(rows, "ROWS", 16)


def problem(n, k=2):
    rng = np.random.default_rng(0)
    P = rng.random((n, n)) ** 3
    np.fill_diagonal(P, 0)
    return 3 * rng.standard_normal((n, k)), P / P.sum(axis=1, keepdims=True)


def by_rows(P, kernel):
    return RowObjective(lambda rows, columns: P[rows, columns], len(P), kernel, get_xp(P))


@pytest.mark.parametrize("kernel", [Gaussian(), Student(1.0)], ids=str)
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("n", [2, 16, 17, 50])
def test_equals_the_dense_formulas(xp, small_blocks, n, k, kernel):
    Y, P = (asarray(a) for a in problem(n, k))
    objective = by_rows(P, kernel)
    assert float(objective.kl(Y)) == pytest.approx(float(kl_divergence(Y, P, kernel, by_row=True)), rel=1e-12)
    for exaggeration in (1.0, 4.0):
        expected = to_numpy(kl_gradient(Y, P, kernel, True, exaggeration))
        np.testing.assert_allclose(to_numpy(objective.gradient(Y, exaggeration)), expected, atol=1e-12)
    for a, b in zip(objective.forces(Y), kl_forces(Y, P, kernel, by_row=True), strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), atol=1e-12)


def test_a_device_is_talked_to_by_one_thread(xp, small_blocks, monkeypatch):
    """CuPy's current device and stream belong to a thread."""
    monkeypatch.setenv("SCRATCHNET_THREADS", "3")
    P, seen = asarray(problem(100)[1]), set()

    def conditional(rows, columns):
        seen.add(threading.get_ident())
        time.sleep(0.01)  # so that another thread would find work
        return P[rows, columns]

    RowObjective(conditional, 100, Gaussian(), xp)
    assert (seen == {threading.get_ident()}) == (xp is not np)


def test_threads_do_not_matter(small_blocks, monkeypatch):
    Y, P = (a.astype("float32") for a in problem(100))
    bits = set()
    for threads in "1", "2", "7":
        monkeypatch.setenv("SCRATCHNET_THREADS", threads)
        objective = by_rows(P, Gaussian())
        bits.add(objective.gradient(Y).tobytes() + objective.kl(Y).tobytes())
    assert len(bits) == 1


def test_inputs_are_not_written_to(small_blocks):
    Y, P = problem(40)
    Y.setflags(write=False)
    P.setflags(write=False)
    objective = by_rows(P, Gaussian())
    np.testing.assert_array_equal(objective.gradient(Y), objective.gradient(Y))
    np.testing.assert_array_equal(objective.forces(Y), objective.forces(Y))
    objective.kl(Y)
