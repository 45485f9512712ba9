"""Costs and gradients of the two similarities: finite differences, peers' numbers, properties, extremes."""

from __future__ import annotations

import numpy as np
import pytest

from scratchnet.backend import asarray, to_numpy
from scratchnet.manifold.objectives import FrozenObjective
from scratchnet.manifold.sne import GaussianSimilarity, StudentSimilarity, kl_divergence, kl_gradient

SIMILARITIES = [GaussianSimilarity(), StudentSimilarity(1.0), StudentSimilarity(2.0), StudentSimilarity(0.5)]


def problem(n=12, k=2, by_row=False, seed=0):
    """An embedding and affinities, as NumPy arrays."""
    rng = np.random.default_rng(seed)
    P = rng.random((n, n)) ** 3
    np.fill_diagonal(P, 0)
    P = P / P.sum(axis=1, keepdims=True) if by_row else (P + P.T) / (2 * P.sum())
    return rng.standard_normal((n, k)), P


def numeric_gradient(f, Y, eps=1e-5):
    gradient = np.empty_like(Y)
    for place in np.ndindex(Y.shape):
        step = np.zeros_like(Y)
        step[place] = eps
        gradient[place] = (f(Y + step) - f(Y - step)) / (2 * eps)
    return gradient


@pytest.mark.parametrize("by_row", [False, True], ids=["joint", "by row"])
@pytest.mark.parametrize("similarity", SIMILARITIES, ids=str)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_gradient_is_the_derivative_of_the_cost(xp, k, similarity, by_row):
    Y, P = problem(k=k, by_row=by_row)
    numeric = numeric_gradient(lambda y: float(kl_divergence(asarray(y), asarray(P), similarity, by_row)), Y)
    exact = to_numpy(kl_gradient(asarray(Y), asarray(P), similarity, by_row))
    assert np.linalg.norm(numeric - exact) < 1e-7 * np.linalg.norm(exact)


@pytest.mark.parametrize("by_row", [False, True], ids=["joint", "by row"])
@pytest.mark.parametrize("similarity", SIMILARITIES, ids=str)
def test_cost_is_its_definition(xp, similarity, by_row):
    """KL(P || Q) from weights written out, for pairs in a loop."""
    Y, P = problem(by_row=by_row)
    n = len(Y)
    W = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            s = ((Y[i] - Y[j]) ** 2).sum()
            dof = getattr(similarity, "dof", None)
            W[i, j] = 0 if i == j else np.exp(-s) if dof is None else (1 + s / dof) ** (-(dof + 1) / 2)
    Q = W / (W.sum(axis=1, keepdims=True) if by_row else W.sum())
    off = ~np.eye(n, dtype=bool)
    expected = (P[off] * np.log(P[off] / Q[off])).sum()
    assert float(kl_divergence(asarray(Y), asarray(P), similarity, by_row)) == pytest.approx(expected, rel=1e-12)


def test_papers_formulas(xp):
    """t-SNE: 4 sum_j (p - q)(y_i - y_j) / (1 + s). SNE: 2 sum_j (p_j|i - q_j|i + p_i|j - q_i|j)(y_i - y_j)."""
    Y, P = problem()
    difference = Y[:, None] - Y
    s = (difference**2).sum(axis=-1)
    W = 1 / (1 + s) - np.eye(12)
    expected = 4 * ((P - W / W.sum()) / (1 + s))[..., None] * difference
    actual = kl_gradient(asarray(Y), asarray(P), StudentSimilarity())
    np.testing.assert_allclose(to_numpy(actual), expected.sum(axis=1), atol=1e-14)

    Y, P = problem(by_row=True)
    W = np.exp(-((Y[:, None] - Y) ** 2).sum(axis=-1)) - np.eye(12)
    off = P - W / W.sum(axis=1, keepdims=True)
    expected = (2 * (off + off.T)[..., None] * (Y[:, None] - Y)).sum(axis=1)
    np.testing.assert_allclose(
        to_numpy(kl_gradient(asarray(Y), asarray(P), GaussianSimilarity(), by_row=True)), expected, atol=1e-13
    )


def test_gaussian_has_variance_one_half():
    """The lecture's convention for q: a Gaussian with sigma^2 = 1/2, so its log density falls by s."""
    s = np.array([0.0, 0.5, 4.0])
    np.testing.assert_allclose(GaussianSimilarity().log_weight(s.copy()), -s / (2 * 0.5))


def test_many_degrees_of_freedom_are_a_gaussian():
    """Student's t tends to exp(-s / 2), the Gaussian of variance 1: the embedding is larger by sqrt(2)."""
    Y, P = problem()
    t = kl_divergence(Y * 2**0.5, P, StudentSimilarity(1e7))
    assert float(t) == pytest.approx(float(kl_divergence(Y, P, GaussianSimilarity())), rel=1e-5)


@pytest.mark.parametrize("by_row", [False, True], ids=["joint", "by row"])
@pytest.mark.parametrize("similarity", SIMILARITIES, ids=str)
def test_properties(xp, similarity, by_row):
    """Moving or mirroring the embedding changes nothing; forces cancel; Q = P is a minimum of 0."""
    Y, P = problem(by_row=by_row)
    y, p = asarray(Y), asarray(P)
    cost, gradient = kl_divergence(y, p, similarity, by_row), to_numpy(kl_gradient(y, p, similarity, by_row))
    assert float(kl_divergence(asarray(5 - Y), p, similarity, by_row)) == pytest.approx(float(cost))
    np.testing.assert_allclose(to_numpy(kl_gradient(asarray(5 - Y), p, similarity, by_row)), -gradient, atol=1e-12)
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-12)
    uniform = (1 - np.eye(12)) / (11 if by_row else 132)
    nowhere = asarray(np.zeros((12, 2)))
    assert float(kl_divergence(nowhere, asarray(uniform), similarity, by_row)) == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(to_numpy(kl_gradient(nowhere, asarray(uniform), similarity, by_row)), 0, atol=1e-15)


def test_exaggeration_multiplies_the_attraction_only(xp):
    Y, P = (asarray(a) for a in problem())
    before = to_numpy(P).copy()
    g1, g3, g5 = (to_numpy(kl_gradient(Y, P, StudentSimilarity(), exaggeration=e)) for e in (1.0, 3.0, 5.0))
    np.testing.assert_allclose(g5 - g3, g3 - g1, atol=1e-14)
    np.testing.assert_array_equal(to_numpy(P), before)


@pytest.mark.parametrize("by_row", [False, True], ids=["joint", "by row"])
@pytest.mark.parametrize("similarity", SIMILARITIES, ids=str)
@pytest.mark.parametrize("size", [0.0, 1e-20, 1e4, 1e6])
def test_extremes(xp, dtype, similarity, by_row, size):
    Y, P = problem(by_row=by_row)
    y, p = asarray((Y * size).astype(dtype)), asarray(P.astype(dtype))
    cost, gradient = kl_divergence(y, p, similarity, by_row), kl_gradient(y, p, similarity, by_row)
    assert cost.dtype == gradient.dtype == dtype
    assert np.isfinite(float(cost))
    assert np.isfinite(to_numpy(gradient)).all()


@pytest.mark.parametrize("similarity", SIMILARITIES, ids=str)
def test_frozen_gradient_is_the_derivative_of_each_row(xp, similarity):
    rng = np.random.default_rng(0)
    old, Y, P = rng.standard_normal((9, 2)), rng.standard_normal((4, 2)), rng.random((4, 9))
    P /= P.sum(axis=1, keepdims=True)

    def cost(y):
        log_w = similarity.log_weight(((y[:, None] - old) ** 2).sum(axis=-1))
        return (P * (np.log(P) - log_w + np.log(np.exp(log_w).sum(axis=1, keepdims=True)))).sum()

    exact = to_numpy(FrozenObjective(asarray(P), similarity, asarray(old)).gradient(asarray(Y)))
    np.testing.assert_allclose(exact, numeric_gradient(cost, Y), atol=1e-8)
