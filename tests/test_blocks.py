"""Row blocks: order, the same bits for any number of threads, errors, BLAS held at one thread."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import scratchnet as sn
from scratchnet import blocks
from scratchnet.backend import asarray, to_numpy


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


@pytest.fixture(params=["1", "2", "8"])
def threads(request, monkeypatch):
    monkeypatch.setenv("SCRATCHNET_THREADS", request.param)
    return int(request.param)


def test_map_in_order_however_long_blocks_take(threads):
    def last(x):
        time.sleep(0.002 * (x[0] % 3))
        return int(x[-1])

    assert blocks.map(last, np.arange(20), size=3) == [2, 5, 8, 11, 14, 17, 19]


def test_map_cuts_all_arrays_at_the_same_rows(xp):
    X, y = asarray(np.arange(10.0).reshape(5, 2)), asarray(np.arange(5.0))
    found = blocks.map(lambda x, y: x[:, 1] - 2 * y, X, y, size=2)
    assert [len(f) for f in found] == [2, 2, 1]
    assert all(to_numpy(f).tolist() == [1] * len(f) for f in found)


def test_sum_of_numbers_arrays_and_tuples(xp, threads):
    X = asarray(np.arange(12.0).reshape(6, 2))
    assert float(blocks.sum(lambda x: x.sum(), X, size=4)) == 66
    total, rows = blocks.sum(lambda x: (x.sum(axis=0), len(x)), X, size=4)
    assert to_numpy(total).tolist() == [30, 36]
    assert rows == 6


def test_sum_leaves_the_first_result_alone():
    kept = []

    def block(x):
        kept.append(x.sum(axis=0))
        return kept[-1]

    blocks.sum(block, np.ones((4, 2)), size=2)
    assert all((k == 2).all() for k in kept)


def test_no_rows():
    assert blocks.map(len, np.empty((0, 2))) == []
    assert blocks.sum(len, np.empty((0, 2))) == 0


def test_same_bits_for_any_number_of_threads(monkeypatch):
    X, totals = np.random.default_rng(0).standard_normal((20_000, 30)).astype("float32"), set()
    for n in "1", "2", "8":
        monkeypatch.setenv("SCRATCHNET_THREADS", n)
        for _ in range(3):
            totals.add(blocks.sum(lambda x: x.T @ x, X, size=128).tobytes())
    assert len(totals) == 1


def test_really_runs_on_that_many_threads(threads):
    together = threading.Barrier(threads)
    blocks.map(lambda x: together.wait(timeout=10), np.arange(threads), size=1)
    assert not together.broken


def test_blocks_may_be_written_to(threads):
    X = np.ones((1000, 3))
    blocks.map(lambda x: x.__imul__(2), X, size=7)
    assert (X == 2).all()


def test_the_first_error_stops_all_and_is_raised(threads):
    started = []

    def block(x):
        started.append(int(x[0]))
        if x[0] == 3:
            raise ZeroDivisionError("block 3")
        time.sleep(0.001)

    with pytest.raises(ZeroDivisionError, match="block 3"):
        blocks.map(block, np.arange(1000), size=1)
    count = len(started)
    assert count < 100
    time.sleep(0.01)
    assert len(started) == count


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(threads):
    blocks.map(len, np.arange(16), size=1)
    child = multiprocessing.get_context("fork").Process(
        target=blocks.map, args=(len, np.arange(16)), kwargs={"size": 1}
    )
    child.start()
    child.join(timeout=30)
    assert child.exitcode == 0


def test_blas_is_held_at_one_thread_and_released(threads):
    before = blas_threads()
    assert before
    seen = blocks.map(lambda x: blas_threads(), np.arange(4), size=1)
    assert all(set(s) == {1} for s in seen)
    assert blas_threads() == before
    with pytest.raises(ZeroDivisionError):
        blocks.map(lambda x: 1 / 0, np.arange(4), size=1)
    assert blas_threads() == before


def test_blocks_within_blocks_stay_in_their_thread(threads):
    def outer(x):
        me = threading.get_ident()
        inner = blocks.map(lambda y: threading.get_ident(), x, size=1)
        return set(inner) == {me}

    assert blocks.map(outer, np.arange(64), size=16) == [True] * 4


def test_threads_have_the_callers_context(threads):
    with sn.using("strict"), np.errstate(divide="raise"):
        assert blocks.map(lambda x: sn.current_backend(), np.arange(8), size=1) == ["strict"] * 8
        with pytest.raises(FloatingPointError):
            blocks.map(lambda x: 1 / x, np.arange(8.0), size=1)


def test_two_callers_at_once_restore_blas():
    before = blas_threads()
    callers = [
        threading.Thread(target=blocks.map, args=(lambda x: time.sleep(0.001 * x[0]), np.arange(9))) for _ in "ab"
    ]
    for c in callers:
        c.start()
    for c in callers:
        c.join()
    assert blas_threads() == before


def test_errors_name_what_is_wrong(monkeypatch):
    with pytest.raises(ValueError, match=r"same number of rows, got \[3, 4\]"):
        blocks.map(print, np.ones(3), np.ones(4))
    with pytest.raises(TypeError, match="mixed array libraries"), sn.using("strict"):
        blocks.map(print, np.ones(3), asarray(np.ones(3)))
    for value in "0", "two", "-1":
        monkeypatch.setenv("SCRATCHNET_THREADS", value)
        with pytest.raises(ValueError, match=f"SCRATCHNET_THREADS='{value}' must be a positive integer"):
            blocks.map(print, np.ones(3))


def test_block_size_is_bounded_in_rows_and_memory(xp):
    X = asarray(np.ones((2, 2)))
    assert blocks.rows_per_block(X) >= blocks.rows_per_block(X, 10_000) > blocks.rows_per_block(X, 1 << 20) >= 1
    assert blocks.rows_per_block(X, 1 << 40) == 1
