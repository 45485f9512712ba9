"""The GPU's benchmarks, as far as they go without one: on the double, with kernels on the CPU."""

from __future__ import annotations

import importlib
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest

import scratchnet as sn
from scratchnet import backend
from scratchnet.testing import kernels_on_cpu

ROOT = Path(__file__).parents[1]


@pytest.fixture
def gpu(monkeypatch):
    if not (ROOT / "benchmarks").exists():
        pytest.skip("the benchmarks are not beside the tests")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("suite.gpu")


@pytest.mark.parametrize("case", ["tsne", "bandwidth", "kmeans", "pca", "vae"])
def test_quick_races_run_and_agree(monkeypatch, gpu, case):
    if shutil.which("g++") is None:
        pytest.skip("g++ was not found: kernels cannot be compiled for the CPU")
    race = importlib.import_module("suite.race")
    monkeypatch.setattr(gpu, "peer", lambda name: None)
    with nullcontext() if case == "vae" else kernels_on_cpu(), sn.using("strict"):  # 400 x 784 weights are many fibers
        for contest in getattr(gpu, case)(quick=True):
            record = race.hold(contest, 0)
            assert record["seconds"]["scratchnet"][0] > 0
            assert len(record["agreement"]) == (case in ("kmeans", "pca"))


def test_the_program_of_the_first_call_runs(monkeypatch, gpu):
    ran = []

    def run(command, check, env):
        assert check
        assert Path(env["CUPY_CACHE_DIR"]).is_dir()
        exec(command[2], {})
        ran.append(sn.current_backend())

    monkeypatch.setattr(gpu.subprocess, "run", run)
    monkeypatch.setattr(backend, "_process_wide", "numpy")  # the program changes it
    with sn.using("strict"):
        for contest in gpu.first_call(quick=True):
            contest.peers["with kernels on disk"]()()
    assert ran == ["strict"]
