"""Fixtures shared by the suite: the backends, the dtypes, the seed."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.backend import BackendError, backend_module, resolve_backend
from scratchnet.rows import live_on
from scratchnet.testing import (  # (which makes the strict double known as a backend)
    ForgetfulRows,
    kernels_on_cpu,
    worker_processes,
)

sys.path.append(str(Path(__file__).parents[1]))  # worker processes import what test modules define, by name

BACKENDS = os.environ.get("SCRATCHNET_TEST_BACKENDS", "numpy,strict").split(",")
"""numpy, strict, cupy, or kernels: the strict double with the CUDA kernels compiled for the CPU."""


def pytest_configure():
    """A backend that was asked for and cannot work is an error: a green run would claim what nobody has tested."""
    for name in BACKENDS:
        try:
            resolve_backend("strict" if name == "kernels" else name)
        except (BackendError, ValueError) as error:
            raise pytest.UsageError(f"SCRATCHNET_TEST_BACKENDS asks for {name!r}: {error}") from None


@pytest.fixture(params=BACKENDS)
def xp(request):
    """The array module under test; inside the test it is the current backend."""
    with ExitStack() as stack:
        if request.param == "kernels":
            stack.enter_context(kernels_on_cpu())
        stack.enter_context(sn.using("strict" if request.param == "kernels" else request.param))
        yield backend_module()


ORDERS = ["ascending", "descending"]  # in which threads of an emulated kernel run
ON_GPU = ["cupy"] if "cupy" in BACKENDS else []


@contextmanager
def emulated(order):
    if shutil.which("g++") is None:
        pytest.skip("g++ was not found: kernels cannot be compiled for the CPU")
    with kernels_on_cpu(descending=order == "descending"), sn.using("strict"):
        yield


@pytest.fixture(params=ORDERS)
def on_cpu(request):
    """The strict double with kernels; the current backend. Threads run in either order."""
    with emulated(request.param):
        yield backend_module()


@pytest.fixture(params=ORDERS + ON_GPU)
def device(request):
    """What kernels run on: the double, and a GPU where the suite is told to use it."""
    with sn.using("cupy") if request.param == "cupy" else emulated(request.param):
        yield backend_module()


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


def pytest_generate_tests(metafunc):
    """One seed by default; SCRATCHNET_TEST_SEEDS=0-19 or =3,5 runs every seeded test for each: all must pass."""
    if "seed" in metafunc.fixturenames:
        first, _, last = os.environ.get("SCRATCHNET_TEST_SEEDS", "0").partition("-")
        seeds = range(int(first), int(last) + 1) if last else [int(s) for s in first.split(",")]
        metafunc.parametrize("seed", seeds)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def mnist_root():
    """The folder with the full MNIST files, or a skip that says how to name it."""
    root = os.environ.get("SCRATCHNET_DATA")
    if not root:
        pytest.skip("set SCRATCHNET_DATA to the folder that holds mnist/ to run the tests on the full set")
    return root


@pytest.fixture
def run_everywhere(monkeypatch):
    """``run_everywhere(run)`` calls it wherever rows may live: on 1, 2, 8 threads, where blocks lose what they keep, on
    worker processes. The results should have the same bits."""

    def call(run):
        for threads in "1", "2", "8":
            monkeypatch.setenv("SCRATCHNET_THREADS", threads)
            run()
        with live_on(ForgetfulRows):
            run()
        with worker_processes(2) as home, live_on(home):
            run()

    return call
