"""The GPU's benchmarks, as far as they go without one: on the double, with kernels on the CPU."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import pytest

import scratchnet as sn
from scratchnet.testing import kernels_on_cpu

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("case", ["tsne", "bandwidth", "kmeans", "pca"])
def test_quick_races_run_and_agree(monkeypatch, case):
    if not (ROOT / "benchmarks").exists():
        pytest.skip("the benchmarks are not beside the tests")
    if shutil.which("g++") is None:
        pytest.skip("g++ was not found: kernels cannot be compiled for the CPU")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    gpu, race = (importlib.import_module(f"suite.{name}") for name in ("gpu", "race"))
    monkeypatch.setattr(gpu, "peer", lambda name: None)
    with kernels_on_cpu(), sn.using("strict"):
        for contest in getattr(gpu, case)(quick=True):
            record = race.hold(contest, 0)
            assert record["seconds"]["scratchnet"][0] > 0
            assert len(record["agreement"]) == (case in ("kmeans", "pca"))
