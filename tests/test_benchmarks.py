"""The tables of the benchmarks: what stands in the files is what the records say, and how records become rows."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from scratchnet.autoencoders import training

ROOT = Path(__file__).parents[1]
ABOUT = {
    "date": "2026-01-02", "backend": "numpy", "device": "A chip, 2 cores", "threads": 2, "blas": "openblas on 2",
    "python": "3.13.1", "versions": {"scratchnet": "0.1.0", "numpy": "2.4.0"}, "rounds": 3,
}  # fmt: skip
WORK = {
    "work": {"flops": 2e9, "bytes": 4e9, "dtype": "float32"},
    "limit": [0.4, "memory"],
    "peaks": {"flops": 1e11, "bytes": 1e10},
}


@pytest.fixture
def suite(monkeypatch):
    """``suite("table")``: a module of benchmarks/suite."""
    if not (ROOT / "benchmarks").exists():
        pytest.skip("the benchmarks are not beside the tests")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return lambda name: importlib.import_module(f"suite.{name}")


def race(case="k-means", size="9 x 2", ours=(0.8, 1.0, 2.0), **peers):
    return {**ABOUT, "case": case, "size": size, "seconds": {"scratchnet": list(ours)} | peers, "agreement": {}}


def rows(text):
    return [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("name", ["README.md", "docs/benchmarks.md"])
def test_the_tables_are_what_the_records_say(suite, name):
    """A number changed by hand fails, as do new records without ``benchmarks/run.py --table``."""
    table = suite("table")
    text = (ROOT / name).read_text()
    assert table.filled(text, table.SECTIONS[name], table.read(ROOT / "benchmarks" / "results")) == text


def test_a_change_by_hand_would_be_seen(suite):
    table = suite("table")
    text = "<!-- benchmarks:start -->\n<!-- benchmarks:end -->"
    filled = table.filled(text, {"benchmarks": table.short}, [race(SciPy=[2.5, 2.5, 2.5])])
    forged = filled.replace("SciPy 2.50", "SciPy 9.50")
    assert forged != filled
    assert table.filled(forged, {"benchmarks": table.short}, [race(SciPy=[2.5, 2.5, 2.5])]) == filled


def test_short_rows_have_medians_and_ratios_slower_ones_too(suite):
    record = race(SciPy=[2.4, 2.5, 9.9], torch=[0.5, 0.5, 0.6])
    text = suite("table").short([record])
    assert rows(text)[2:] == [["k-means", "9 x 2", "1.00 s", "SciPy 2.50, **torch 0.50**"]]
    assert "A chip, 2 cores, 2 threads, openblas on 2, backend numpy, 2026-01-02, 3 rounds." in text
    assert "Python 3.13.1, scratchnet 0.1.0, numpy 2.4.0." in text
    assert "python benchmarks/run.py" in text


def test_parts_of_ours_are_no_rivals(suite):
    (row,) = rows(suite("table").short([race("start", python=[0.1]) | {"parts_of_ours": True}]))[2:]
    assert row[-1] == "python 0.10"


def test_a_narrow_defeat_is_not_rounded_away(suite):
    (row,) = rows(suite("table").short([race(SciPy=[0.9996] * 3)]))[2:]
    assert row[-1] == "**SciPy 0.99**"


def test_full_rows_have_the_spread_and_what_the_results_agree_in(suite):
    record = race(SciPy=[2.4, 2.5, 9.9]) | {"agreement": {"SciPy": "inertia 3 / 3"}, "note": "KL 1.5"}
    assert rows(suite("table").full([record]))[2:] == [
        ["k-means", "9 x 2", "scratchnet", "1.00 s", "800 ms to 2.00 s", "1", "KL 1.5"],
        ["", "", "SciPy", "2.50 s", "2.40 s to 9.90 s", "2.50", "inertia 3 / 3"],
    ]


def test_the_limit_is_a_share_of_our_median(suite):
    text = suite("table").limits([race() | WORK, race("start")])  # a case without a limit has no row
    assert rows(text)[2:] == [["k-means", "9 x 2", "2.00 G", "4.00 G", "memory", "400 ms", "1.00 s", "40%"]]
    assert "float32 product 100 Gflop/s, copy 10 GB/s" in text


def test_the_newest_record_of_a_race_counts(suite):
    old, new = race(SciPy=[5.0]), race(SciPy=[4.0]) | {"date": "2026-01-09"}
    other_size, other_peers = race(size="99 x 2"), race(torch=[3.0])
    text = suite("table").short([old, other_size, other_peers, new])
    assert [row[-1] for row in rows(text)[2:]] == ["SciPy 4.00", "no peer installed", "torch 3.00"]
    assert "2026-01-02 to 2026-01-09" in text


def test_machines_and_backends_stay_apart(suite):
    gpu = race(torch=[2.0]) | {"device": "A GPU", "backend": "cupy"}
    text = suite("table").short([race(torch=[3.0]), gpu, race("PCA", torch=[4.0])])
    first, second = text.split("A GPU, 2 threads, openblas on 2, backend cupy")
    assert [row[-1] for row in rows(first)[2:]] == ["torch 3.00", "torch 4.00"]
    assert [row[-1] for row in rows(second)[2:]] == ["torch 2.00"]


def test_versions_that_differ_are_all_named(suite):
    newer = race("PCA") | {"versions": {"numpy": "2.5.0", "torch": "2.13"}}
    assert "numpy 2.4.0 and 2.5.0, torch 2.13." in suite("table").short([race(), newer])


def test_without_results_it_says_how_to_make_them(suite):
    table = suite("table")
    made = [make([]) for sections in table.SECTIONS.values() for make in sections.values()]
    assert len(made) == 5
    assert all(text.startswith("No results are recorded yet: `python benchmarks/run.py") for text in made)


def test_a_missing_marker_is_an_error_not_a_table_less(suite):
    table = suite("table")
    with pytest.raises(ValueError, match="expected one pair of markers <!-- benchmarks:start -->"):
        table.filled("# Title\n", {"benchmarks": table.short}, [])


def test_growth_and_profile_rows(suite):
    table = suite("table")
    growth = ABOUT | {
        "growth": "t-SNE", "against": "n", "per": "iteration", "fixed": "d = 784", "sizes": [1000, 2000],
        "seconds": [1e-3, 4e-3], "bytes": [1e6, 4e6], "time": [2.0, 0.01], "memory": [2.0, 0.0], "counted": "all of it",
    }  # fmt: skip
    assert rows(table.growth_table([growth]))[2:] == [
        ["t-SNE, iteration", "n: 1,000 to 2,000", "d = 784", "1.00 ms to 4.00 ms", "2.00 +- 0.01",
         "1.00 M to 4.00 M", "2.00 +- 0.00"]
    ]  # fmt: skip
    parts = {"Adam": {"seconds": 3e-3, "least": 1e-3, "bound": "memory"}, "the rest": {"seconds": 1e-3}}
    text = table.profile_table([ABOUT | {"profile": "VAE", "total": 4e-3, "parts": parts}])
    assert rows(text)[2:] == [
        ["Adam", "3.00 ms", "75%", "memory", "1.00 ms"],
        ["the rest", "1.00 ms", "25%", "", ""],
        ["a step", "4.00 ms", "100%", "", "1.00 ms"],
    ]


@pytest.mark.parametrize(("value", "text"), [
    (123.4, "123 s"), (12.34, "12.3 s"), (1.0, "1.00 s"), (0.99951, "1.00 s"), (0.9994, "999 ms"), (0.0123, "12.3 ms"),
    (999.6e-6, "1.00 ms"), (1.5e-6, "1.50 us"), (0.0, "0.00 us"),
])  # fmt: skip
def test_seconds(suite, value, text):
    assert suite("table").seconds(value) == text


def test_the_exponent_and_its_standard_error(suite):
    """By hand: y = 3 x^2 exactly; and the slope's error of three points, one of them off by a factor e."""
    slope, sizes = suite("growth").slope, np.array([1.0, 10.0, 100.0])
    assert slope(sizes, 3 * sizes**2) == pytest.approx((2, 0), abs=1e-12)
    a, error = slope(np.exp([0.0, 1.0, 2.0]), np.exp([0.0, 1.0, 3.0]))
    assert a == pytest.approx(1.5)
    assert error == pytest.approx(np.sqrt((1 / 36 + 4 / 36 + 1 / 36) / 1 / 2))


def test_the_peak_sees_arrays_that_are_gone_again(suite):
    peak = suite("growth").peak(lambda: [np.zeros(10**6).sum() for _ in range(3)])
    assert 8e6 <= peak < 9e6


def test_the_profile_adds_up_and_leaves_the_loop_as_it_was(suite, monkeypatch):
    gather = training.gather
    monkeypatch.setattr(suite("machine"), "peaks", lambda dtype: WORK["peaks"])
    record = suite("step").profile(np.random.default_rng(0).random((300, 784), dtype="float32"), 128, epochs=1)
    assert training.gather is gather
    assert sum(part["seconds"] for part in record["parts"].values()) == pytest.approx(record["total"])
    assert all(part["seconds"] > 0 for part in record["parts"].values())
    assert set(suite("step").least(128)) == set(record["parts"]) - {"the rest of the loop"}
