"""Rows: order, what blocks keep, the same bits on threads and processes, errors, BLAS held at one thread."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import scratchnet as sn
from scratchnet.backend import asarray, to_numpy
from scratchnet.rows import ThreadRows, live_on, rows_from, rows_of, rows_per_block, scratch, workspace
from scratchnet.testing import ForgetfulRows, worker_processes


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


@pytest.fixture(params=["1", "2", "8"])
def threads(request, monkeypatch):
    monkeypatch.setenv("SCRATCHNET_THREADS", request.param)
    return int(request.param)


@pytest.fixture(scope="module")
def processes():
    with worker_processes(2) as home:
        yield home


def column_sums(block, kept):
    return block.sum(axis=0), kept


def gram(block, kept, scale):
    return scale * block.T @ block, kept


def running_total(block, kept, add):
    """Keeps what it has added up; the part is the same without it only if ``add`` is what it was in all rounds."""
    kept = 0 if kept is None else kept
    return kept + add, kept + add


def test_parts_come_in_order_however_long_blocks_take(threads):
    def last(block, kept):
        time.sleep(0.002 * (block[0] % 3))
        return int(block[-1]), kept

    assert rows_of(np.arange(20), size=3).map(last) == [2, 5, 8, 11, 14, 17, 19]


def test_all_arrays_are_cut_at_the_same_rows(xp):
    def difference(block, kept):
        x, y = block
        return x[:, 1] - 2 * y, kept

    X, y = asarray(np.arange(10.0).reshape(5, 2)), asarray(np.arange(5.0))
    rows = rows_of(X, y, size=2)
    assert [len(x) for x, _ in rows.blocks] == [2, 2, 1]
    assert to_numpy(rows.collect(difference)).tolist() == [1] * 5


def test_sum_of_numbers_arrays_and_tuples(xp, threads):
    X = asarray(np.arange(12.0).reshape(6, 2))
    assert float(rows_of(X, size=4).sum(lambda x, kept: (x.sum(), kept))) == 66
    total, count = rows_of(X, size=4).sum(lambda x, kept: ((x.sum(axis=0), len(x)), kept))
    assert to_numpy(total).tolist() == [30, 36]
    assert count == 6


def test_collect_joins_arrays_and_tuples_of_arrays(xp):
    X = asarray(np.arange(12.0).reshape(6, 2))
    first, second = rows_of(X, size=4).collect(lambda x, kept: ((x[:, 0], x), kept))
    assert to_numpy(first).tolist() == [0, 2, 4, 6, 8, 10]
    np.testing.assert_array_equal(to_numpy(second), to_numpy(X))


def test_sum_does_not_write_into_a_part():
    """A part may be what its block keeps."""
    rows = rows_of(np.ones((6, 2)), size=2)

    def own(block, kept):
        kept = block.sum(axis=0) if kept is None else kept
        return kept, kept

    for _ in range(3):
        assert rows.sum(own).tolist() == [6, 6]


def test_no_rows():
    assert rows_of(np.empty((0, 2))).map(column_sums) == []
    assert rows_of(np.empty((0, 2))).sum(column_sums) == 0
    assert len(rows_of(np.empty((0, 2)))) == 0


def test_what_a_block_keeps_comes_back_to_it(threads):
    rows = rows_of(np.arange(5), size=2)
    assert rows.map(running_total, 1) == [1, 1, 1]
    assert rows.map(running_total, 2) == [3, 3, 3]


def test_what_is_kept_may_be_lost():
    with live_on(ForgetfulRows):
        rows = rows_of(np.arange(8), size=2)
    found = [rows.map(running_total, 1) for _ in range(3)]
    assert found == [[1, 1, 1, 1], [2, 1, 2, 1], [1, 2, 1, 2]]


def test_threads_and_processes_give_the_same_bits(processes, monkeypatch):
    X, totals = np.random.default_rng(0).standard_normal((20_000, 30)).astype("float32"), set()
    for n in "1", "2", "8":
        monkeypatch.setenv("SCRATCHNET_THREADS", n)
        for _ in range(3):
            totals.add(rows_of(X, size=128).sum(gram, 2).tobytes())
    with live_on(processes):
        rows = rows_of(X, size=128)
        for _ in range(2):
            totals.add(rows.sum(gram, 2).tobytes())
    assert len(totals) == 1


def test_processes_keep_and_raise(processes):
    with live_on(processes):
        rows, others = rows_of(np.arange(5), size=2), rows_of(np.arange(4), size=2)
    assert [rows.map(running_total, 1), others.map(running_total, 5), rows.map(running_total, 1)] == [
        [1, 1, 1],
        [5, 5],
        [2, 2, 2],
    ]
    with pytest.raises(TypeError):
        rows.map(running_total, "one")
    assert rows.map(running_total, 1) == [3, 3, 3]


def test_really_runs_on_that_many_threads(threads):
    together = threading.Barrier(threads)
    rows_of(np.arange(threads), size=1).map(lambda x, kept: (together.wait(timeout=10), kept))
    assert not together.broken


def test_the_first_error_stops_all_and_is_raised(threads):
    started = []

    def block(x, kept):
        started.append(int(x[0]))
        if x[0] == 3:
            raise ZeroDivisionError("block 3")
        time.sleep(0.001)
        return None, kept

    with pytest.raises(ZeroDivisionError, match="block 3"):
        rows_of(np.arange(1000), size=1).map(block)
    count = len(started)
    assert count < 100
    time.sleep(0.01)
    assert len(started) == count


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(threads):
    rows = rows_of(np.arange(16.0), size=1)
    rows.map(column_sums)
    child = multiprocessing.get_context("fork").Process(target=rows.map, args=(column_sums,))
    child.start()
    child.join(timeout=30)
    assert child.exitcode == 0


def test_blas_is_held_at_one_thread_and_released(threads):
    before = blas_threads()
    assert before
    rows = rows_of(np.arange(4), size=1)
    seen = rows.map(lambda x, kept: (blas_threads(), kept))
    assert all(set(s) == {1} for s in seen)
    assert blas_threads() == before
    with pytest.raises(ZeroDivisionError):
        rows.map(lambda x, kept: (1 / 0, kept))
    assert blas_threads() == before


def test_rows_within_a_step_stay_on_its_thread(threads):
    def outer(x, kept):
        inner = rows_of(x, size=1).map(lambda y, kept: (threading.get_ident(), kept))
        return set(inner) == {threading.get_ident()}, kept

    assert rows_of(np.arange(64), size=16).map(outer) == [True] * 4


def test_threads_have_the_callers_context(threads):
    with sn.using("strict"), np.errstate(divide="raise"):
        rows = rows_of(np.arange(8.0), size=1)
        assert rows.map(lambda x, kept: (sn.current_backend(), kept)) == ["strict"] * 8
        with pytest.raises(FloatingPointError):
            rows.map(lambda x, kept: (1 / x, kept))


def test_two_callers_at_once_restore_blas():
    before = blas_threads()

    def wait(x, kept):
        return time.sleep(0.001 * x[0]), kept

    callers = [threading.Thread(target=rows_of(np.arange(9), size=1).map, args=(wait,)) for _ in "ab"]
    for c in callers:
        c.start()
    for c in callers:
        c.join()
    assert blas_threads() == before


def test_a_workspace_belongs_to_one_thread_at_a_time_and_is_used_again(threads):
    made, at_work = [], set()

    def block(x, kept):
        mine = workspace("object", lambda: made.append(1) or object())
        assert id(mine) not in at_work
        at_work.add(id(mine))
        time.sleep(0.001)
        at_work.remove(id(mine))
        return None, kept

    rows = rows_of(np.arange(40), size=1)
    rows.map(block)
    rows.map(block)
    assert 1 <= len(made) <= threads
    rows_of(np.arange(1)).map(block)  # other rows have workspaces of their own
    assert len(made) > 1 or threads > 1


def test_scratch_is_memory_of_the_asked_shape_and_type():
    def block(x, kept):
        a, b = scratch("a", (len(x), 3), "float32"), scratch("b", (2,), "float64")
        a[...], b[...] = 1, 2
        return (a.shape, a.dtype, float(a.sum()), b.dtype, np.shares_memory(a, b)), kept

    found = rows_of(np.arange(5), size=2).map(block)
    assert found == [((2, 3), "float32", 6, "float64", False)] * 2 + [((1, 3), "float32", 3, "float64", False)]
    assert scratch("outside", (2, 2), "float32").shape == (2, 2)  # of any step: new memory


def test_homes_are_chosen_where_rows_are_made():
    with live_on(ForgetfulRows):
        assert isinstance(rows_of(np.arange(3)), ForgetfulRows)
    assert type(rows_of(np.arange(3))) is type(rows_from([1, 2])) is ThreadRows


def test_errors_name_what_is_wrong(monkeypatch):
    with pytest.raises(ValueError, match=r"same number of rows, got \[3, 4\]"):
        rows_of(np.ones(3), np.ones(4))
    with pytest.raises(TypeError, match="mixed array libraries"), sn.using("strict"):
        rows_of(np.ones(3), asarray(np.ones(3)))
    for value in "0", "two", "-1":
        monkeypatch.setenv("SCRATCHNET_THREADS", value)
        with pytest.raises(ValueError, match=f"SCRATCHNET_THREADS='{value}' must be a positive integer"):
            rows_of(np.ones((3, 1))).map(column_sums)


def test_block_size_is_bounded_in_rows_and_memory(xp):
    X = asarray(np.ones((2, 2)))
    assert rows_per_block(X) >= rows_per_block(X, 10_000) > rows_per_block(X, 1 << 20) >= 1
    assert rows_per_block(X, 1 << 40) == 1
