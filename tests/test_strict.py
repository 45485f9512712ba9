"""The strict double must refuse what CuPy refuses: a guard that lets everything through guards nothing."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchnet.backend import BackendError, resolve_backend, to_numpy
from scratchnet.testing import HostSyncError, StrictArray, count_host_syncs, no_host_sync, strict

A = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda a: np.asarray(a),
        lambda a: np.exp(a),
        lambda a: a + A,
        lambda a: A + a,
        lambda a: np.float64(2) + A * a,
        lambda a: a + [1, 2, 3],
        lambda a: strict.exp([1.0]),
        lambda a: strict.add(a, A),
        lambda a: strict.matmul(a, A.T),
        lambda a: a[[0, 1]],
        lambda a: a[np.array([0, 1])],
        lambda a: a.__setitem__(0, A[0]),
        lambda a: strict.sum(a, where=True),
        lambda a: a.max(initial=0),
        lambda a: strict.exp(a, where=a > 0),
        lambda a: strict.take(a, a.argmax(axis=0), mode="clip"),
        lambda a: strict.sort(a, stable=True),
        lambda a: strict.var(a, correction=1),
        lambda a: StrictArray(),
    ],
)
def test_mixing_and_implicit_conversion_are_refused(attempt):
    with pytest.raises(TypeError):
        attempt(strict.asarray(A))


@pytest.mark.parametrize("name", ["errstate", "block", "permutation", "nonsense"])
def test_names_that_cupy_lacks_are_refused(name):
    with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
        getattr(strict, name)


def test_array_attributes_that_cupy_lacks_are_refused():
    with pytest.raises(AttributeError, match="newbyteorder"):
        strict.zeros(3).newbyteorder()
    with pytest.raises(AttributeError):
        strict.zeros(3).colour = "red"


def test_matmul_out_must_be_exact_and_contiguous():
    a = strict.asarray(A)
    for out in (strict.zeros((2, 2), dtype="float32"), strict.zeros((2, 2), order="F")):
        with pytest.raises(ValueError, match="C-contiguous"):
            strict.matmul(a, a.T, out=out)
    out = strict.zeros((2, 2))
    assert strict.matmul(a, a.T, out=out) is out
    np.testing.assert_array_equal(out.get(), A @ A.T)


def test_random_draws_into_out_need_their_size():
    generator, out = strict.random.default_rng(0), strict.zeros((2, 3))
    with pytest.raises(TypeError, match="draws one number"):
        generator.standard_normal(out=out)
    assert generator.standard_normal(size=(2, 3), out=out) is out
    assert len(set(out.get().ravel())) == 6


def test_assignment_to_repeated_places_is_refused():
    a = strict.zeros(3)
    with pytest.raises(ValueError, match="undefined in CuPy"):
        a[strict.asarray([1, 1])] = 2.0


@pytest.mark.parametrize(
    "wait",
    [
        float,
        int,
        bool,
        lambda a: a.item(),
        lambda a: a.get(),
        lambda a: a.tolist(),
        to_numpy,
        lambda a: a.reshape(1)[a.reshape(1) > 0],
        lambda a: strict.nonzero(a.reshape(1)),
        lambda a: strict.where(a.reshape(1)),
        lambda a: [1, 2, 3][a.astype("int64")],
        lambda a: strict.bincount(a.astype("int64").reshape(1)),
        lambda a: strict.argpartition(a.reshape(1), 0),
        lambda a: bool(strict.allclose(a, a)),
        lambda a: bool(strict.array_equal(a, a)),
    ],
)
def test_host_syncs_are_counted_and_forbidden(wait):
    a = strict.asarray(1.0)
    with count_host_syncs() as seen:
        wait(a)
    assert len(seen) == 1
    with no_host_sync(), pytest.raises(HostSyncError):
        wait(a)


def test_device_work_is_no_sync():
    a = strict.asarray(A)
    with no_host_sync():
        b = strict.exp(a).sum(axis=0) / len(a)
        b[1] = a[0, 1]
        a *= 2
        strict.where(a > 1, a, 0)
        repr(a.shape)


def test_results_are_arrays_never_numpy_scalars():
    a = strict.asarray(A)
    for value in (
        a.sum(),
        a[0, 0],
        a.argmax(),
        strict.max(a),
        strict.linalg.norm(a),
        a[0] @ a[0],
        strict.allclose(a, a),
    ):
        assert isinstance(value, StrictArray)
        assert value.ndim == 0


def test_views_share_memory():
    a = strict.zeros(6)
    a[2:4].reshape(2, 1)[...] = 7
    a[5][...] = 1
    np.testing.assert_array_equal(a.get(), [0, 0, 7, 7, 0, 1])


def test_what_comes_from_the_host_is_a_copy():
    host = A.copy()
    for a in (strict.asarray(host), strict.array(host, copy=False), strict.ascontiguousarray(host)):
        a[0] = 9
        np.testing.assert_array_equal(host, A)
    a = strict.zeros(3)
    assert strict.asarray(a)._a is a._a  # from the device it is not


def test_results_lie_in_memory_as_cupys_do():
    a = strict.asarray(A)
    for b in (
        a.T + 1,
        2 * a.T,
        -a.T,
        a.T > 1,
        strict.exp(a.T),
        strict.where(a.T > 1, a.T, a.T),
        strict.clip(a.T, 0, 1),
    ):
        assert b.flags.c_contiguous
        assert not b.flags.f_contiguous
    assert a.T.flags.f_contiguous  # a view is as it was
    assert strict.linalg.eigh(a.T @ a)[1].flags.f_contiguous
    assert strict.linalg.qr(a.T)[0].flags.f_contiguous
    assert not hasattr(a.flags, "writeable")


def test_numbers_too_small_for_kernels_are_zero():
    """-ftz=true, with which CuPy compiles all kernels."""
    tiny = np.float32([1e-38, -1e-40, 2e-38, 0, np.nan])
    np.testing.assert_array_equal(strict.asarray(tiny).get(), np.float32([0, 0, 2e-38, 0, np.nan]))
    np.testing.assert_array_equal(
        strict.asarray(tiny.astype("f8")).astype("float32").get()[:3], np.float32([0, 0, 2e-38])
    )
    assert float(strict.exp(strict.asarray(np.float32(-90)))) == 0 < float(strict.exp(strict.asarray(-90.0)))
    np.testing.assert_array_equal(strict.asarray([1e-40, 1e-300]).get(), [1e-40, 1e-300])  # float64 is as it is


def test_arithmetic_is_numpys():
    a = strict.asarray(A)
    np.testing.assert_array_equal((2 - a / 3 + a**2 - (a > 1) * a // 2).get(), 2 - A / 3 + A**2 - (A > 1) * A // 2)
    np.testing.assert_array_equal((-abs(~(a > 1) - a)).get(), -abs(~(A > 1) - A))
    values, vectors = strict.linalg.eigh(a.T @ a)
    np.testing.assert_array_equal(values.get(), np.linalg.eigh(A.T @ A)[0])
    assert isinstance(vectors, StrictArray)
    np.testing.assert_array_equal(strict.concatenate([a, a]).get(), np.concatenate([A, A]))


def test_copies_and_pickles():
    a = strict.asarray(A)
    for b in (copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
        b += 1
        np.testing.assert_array_equal(a.get(), A)
        np.testing.assert_array_equal(b.get(), A + 1)


@pytest.mark.parametrize("backends", ["numpy,nonsense", "cupy"])
def test_the_suite_refuses_backends_that_cannot_work(backends, tmp_path):
    """SCRATCHNET_TEST_BACKENDS=numpy,cupy without a GPU must not end green: nobody would have tested what was asked."""
    try:
        resolve_backend(backends.rpartition(",")[2])
    except (BackendError, ValueError) as error:
        reason = str(error)[:40]
    else:
        pytest.skip("there is a GPU here")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__],
        env={**os.environ, "SCRATCHNET_TEST_BACKENDS": backends},
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"SCRATCHNET_TEST_BACKENDS asks for {backends.rpartition(',')[2]!r}: {reason}" in run.stderr
