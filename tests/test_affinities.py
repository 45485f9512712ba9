"""Affinities: the perplexity search against stored numbers and its definition, distances, degenerate data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits

from scratchnet.backend import asarray, to_numpy
from scratchnet.manifold import affinities as module
from scratchnet.manifold import affinity_report
from scratchnet.manifold.affinities import Affinities, affinities, affinities_to

DIGITS = load_digits().data
PEER = json.loads((Path(__file__).parent / "references" / "sne.json").read_text())


def find(X, perplexity, metric="euclidean") -> Affinities:
    return affinities(asarray(X), perplexity, metric)


def whole(n):
    return slice(0, n), slice(0, n)


# -- perplexity -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [200, 500])
def test_reference_numbers(xp, dtype, n):
    """The peer's search stops at an entropy error of 1e-5 and computes in float32."""
    found, peer = find(DIGITS[:n].astype(dtype), 30.0), PEER[f"digits[:{n}]"]
    assert float(found.beta[0]) == pytest.approx(peer["first_beta"], rel=1e-5)
    assert float(found.beta.sum()) == pytest.approx(peer["sum_of_beta"], rel=1e-6)
    assert float(found.joint(*whole(n)).max()) == pytest.approx(peer["largest_p"], rel=1e-5)


@pytest.mark.parametrize("perplexity", [1.0, 1.5, 5.0, 30.0, 150.0, 198.5, 199.0])
def test_entropy_is_log_perplexity(xp, perplexity):
    found = find(DIGITS[:200], perplexity)
    P = to_numpy(found.conditional(*whole(200)))
    entropy = -(P * np.log(np.where(P > 0, P, 1))).sum(axis=1)
    np.testing.assert_allclose(entropy, np.log(perplexity), atol=1e-5)
    np.testing.assert_allclose(to_numpy(found.entropy), entropy, atol=1e-9)
    np.testing.assert_allclose(P.sum(axis=1), 1)
    assert (P.diagonal() == 0).all()


def test_definition(xp):
    """p_j|i by its formula from beta, p_ij = (p_j|i + p_i|j) / 2n."""
    X, n = DIGITS[:60], 60
    found = find(X, 10.0)
    K = np.exp(-to_numpy(found.beta)[:, None] * cdist(X, X, "sqeuclidean"))
    np.fill_diagonal(K, 0)
    K /= K.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(to_numpy(found.conditional(*whole(n))), K, atol=1e-12)
    P = to_numpy(found.joint(*whole(n)))
    np.testing.assert_allclose(P, (K + K.T) / (2 * n), atol=1e-14)
    assert P.sum() == pytest.approx(1)
    np.testing.assert_array_equal(P, P.T)
    np.testing.assert_allclose(to_numpy(found.joint(slice(7, 20), slice(15, 40))), P[7:20, 15:40], atol=1e-14)


def test_metrics_agree_where_they_mean_the_same(xp):
    X = DIGITS[:40]
    by_matrix = find(cdist(X, X), 5.0, "precomputed").joint(*whole(40))
    np.testing.assert_allclose(to_numpy(by_matrix), to_numpy(find(X, 5.0).joint(*whole(40))), atol=1e-10)


def test_scale_and_place_do_not_matter(xp):
    P = to_numpy(find(DIGITS[:50], 10.0).joint(*whole(50)))
    np.testing.assert_allclose(to_numpy(find(DIGITS[:50] * 1e-8 + 5e-8, 10.0).joint(*whole(50))), P, atol=1e-9)
    np.testing.assert_allclose(to_numpy(find(DIGITS[:50] * 1e8, 10.0).joint(*whole(50))), P, atol=1e-9)


def test_new_points(xp):
    """A new point's row has the perplexity too; one that equals an old point counts it as a neighbour."""
    P = to_numpy(affinities_to(find(DIGITS[:100], 20.0), asarray(DIGITS[90:120]), 20.0))
    entropy = -(P * np.log(np.where(P > 0, P, 1))).sum(axis=1)
    np.testing.assert_allclose(entropy, np.log(20.0), atol=1e-5)
    assert (P.argmax(axis=1)[:10] == np.arange(90, 100)).all()


def test_block_size_does_not_matter(monkeypatch):
    X = DIGITS[:100]
    beta = find(X, 12.0).beta
    monkeypatch.setattr(module, "_BLOCK", 13)
    np.testing.assert_allclose(find(X, 12.0).beta, beta, rtol=1e-12)


def test_where_rows_live_does_not_matter(monkeypatch, run_everywhere):
    bits = set()
    monkeypatch.setattr(module, "_BLOCK", 30)

    def run():
        found = find(DIGITS[:100].astype("float32"), 12.0)
        bits.add(found.beta.tobytes() + found.log_z.tobytes() + found.entropy.tobytes())

    run_everywhere(run)
    assert len(bits) == 1


@pytest.mark.parametrize("perplexity", [0.5, 4.001, 30.0])
def test_perplexity_is_checked(xp, perplexity):
    with pytest.raises(ValueError, match=r"must be between 1 and n_samples - 1 = 4"):
        find(np.eye(5), perplexity)


# -- degenerate data --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("perplexity", [1.0, 5.0, 9.0])
@pytest.mark.parametrize("X", [np.full((10, 3), 7.0), np.eye(10)], ids=["constant", "simplex"])
def test_all_distances_equal(xp, dtype, X, perplexity):
    """No bandwidth can prefer one of n equal neighbours: P is uniform, whatever the perplexity."""
    P = to_numpy(find(X.astype(dtype), perplexity).joint(*whole(10)))
    np.testing.assert_allclose(P, (1 - np.eye(10)) / 90, rtol=1e-2 if dtype == "float64" else 0.05)


def test_duplicates(xp):
    """Eight copies each: below perplexity 7 a point's neighbours are its copies alone, above it others join."""
    X = np.repeat(np.random.default_rng(0).standard_normal((5, 3)), 8, axis=0)
    same = np.kron(np.eye(5), np.ones((8, 8))) - np.eye(40)
    found = find(X, 3.0)
    np.testing.assert_allclose(to_numpy(found.conditional(*whole(40))), same / 7, atol=1e-12)
    np.testing.assert_allclose(to_numpy(found.entropy), np.log(7))
    wider = find(X, 20.0)
    np.testing.assert_allclose(to_numpy(wider.entropy), np.log(20.0), atol=1e-5)
    assert (to_numpy(wider.conditional(*whole(40))) > 0).sum() > 40 * 7


@pytest.mark.parametrize("perplexity", [2.0, 5.0, 100.0])
def test_outlier(xp, dtype, perplexity):
    """One point a million deviations away: the others keep their perplexity, and it keeps a pull."""
    X = np.r_[np.random.default_rng(0).standard_normal((100, 5)), [[1e6] * 5]].astype(dtype)
    found = find(X, perplexity)
    np.testing.assert_allclose(to_numpy(found.entropy), np.log(perplexity), atol=1e-5)
    P = to_numpy(found.joint(*whole(101)))
    assert np.isfinite(P).all()
    assert P[-1].sum() > 0.999 / (2 * 101)  # p_ij is at least p_j|i / 2n: why t-SNE symmetrises by the mean


def test_report(xp):
    X = np.random.default_rng(0).standard_normal((40, 3))
    X[7] = 100
    X[20:30] = X[20]
    report = find(X, 5.0).report()
    assert list(report.outliers) == [7]
    assert list(report.duplicates) == list(range(20, 30)) == list(report.not_reached)
    assert report.entropy_error == pytest.approx(np.log(9 / 5))
    assert str(report).startswith("40 points, perplexity 5, beta ")
    assert "not reached: 10 points (20, 21, 22, 23, 24, ...)" in str(report)
    plain = find(DIGITS[:50], 5.0).report()
    assert len(plain.outliers) == len(plain.duplicates) == len(plain.not_reached) == 0
    assert "\n" not in str(plain)
    assert len(find(np.ones((5, 2)), 2.0).report().outliers) == 0


def test_report_alone(xp):
    """It needs no embedding, and checks what it is given."""
    X = np.r_[DIGITS[:50], DIGITS[:2], np.full((1, 64), 1e3)]
    report = affinity_report(asarray(X), perplexity=10)
    assert list(report.duplicates) == [0, 1, 50, 51]
    assert list(report.outliers) == [52]
    assert report.entropy_error < 1e-5
    assert "duplicates: 4 points (0, 1, 50, 51)" in str(report)
    D = cdist(X, X)
    assert str(affinity_report(D, 10, "precomputed")) == str(report)
    assert affinity_report(X.tolist(), 10, "cosine").beta != report.beta
    for arguments, message in (
        ({"perplexity": 53}, "n_samples - 1 = 52"),
        ({"metric": "hamming"}, "metric='hamming'"),
        ({"X": X[:1]}, "n_samples=1"),
    ):
        with pytest.raises(ValueError, match=message):
            affinity_report(**{"X": X, **arguments})


def test_two_points(xp):
    np.testing.assert_allclose(to_numpy(find(np.array([[0.0], [3.0]]), 1.0).joint(*whole(2))), [[0, 0.5], [0.5, 0]])
