"""Losses and divergences: values by hand, value and gradient at one scale, extremes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scratchnet.backend import asarray, to_numpy
from scratchnet.nn import (
    bce,
    bce_grad,
    bce_with_logits,
    bce_with_logits_grad,
    bce_with_logits_rows,
    gaussian_nll,
    gaussian_nll_grad,
    gaussian_nll_rows,
    kl_bernoulli,
    kl_discrete,
    kl_normal,
    kl_normal_entries,
    kl_normal_grad,
    mse,
    mse_grad,
)

LOSSES = [(mse, mse_grad), (bce, bce_grad), (bce_with_logits, bce_with_logits_grad), (gaussian_nll, gaussian_nll_grad)]
NAMES = [loss.__name__ for loss, _ in LOSSES]


def exact(dtype: str) -> float:
    return {"float32": 2e-6, "float64": 1e-14}[dtype]


# -- values by hand ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "grad", "prediction", "value", "gradient"),
    [
        (mse, mse_grad, [[1, 2], [3, 5]], (0 + 1 + 9 + 16) / 2, [[0, 1], [3, 4]]),
        (gaussian_nll, gaussian_nll_grad, [[1, 2], [3, 5]], 26 / 4 + math.log(2 * math.pi), [[0, 0.5], [1.5, 2]]),
        (bce, bce_grad, [[0.5, 0.25], [0.5, 0.5]], (3 * math.log(2) + math.log(4)) / 2, [[-1, -2], [1, -1]]),
        (bce_with_logits, bce_with_logits_grad, [[0, 0], [0, 0]], 2 * math.log(2), [[-0.25, -0.25], [0.25, -0.25]]),
    ],
    ids=NAMES,
)
def test_values_by_hand(xp, dtype, loss, grad, prediction, value, gradient):
    """Sum over the two features, mean over the two samples."""
    prediction, target = asarray(prediction, dtype), asarray([[1, 1], [0, 1]], dtype)
    result = loss(prediction, target)
    assert result.shape == ()
    assert result.dtype == dtype
    assert float(result) == pytest.approx(value, rel=exact(dtype))
    np.testing.assert_allclose(to_numpy(grad(prediction, target)), gradient, rtol=exact(dtype))


@pytest.mark.parametrize(("loss", "grad"), LOSSES, ids=NAMES)
def test_doubling_the_batch_changes_no_value_and_halves_the_gradient(loss, grad, rng):
    """The mean over the batch, and nothing else, is inside: twice the features is twice the loss."""
    p, t = rng.uniform(0.1, 0.9, (2, 3, 4))
    assert float(loss(np.tile(p, (2, 1)), np.tile(t, (2, 1)))) == pytest.approx(float(loss(p, t)), rel=1e-12)
    np.testing.assert_allclose(grad(np.tile(p, (2, 1)), np.tile(t, (2, 1)))[:3], grad(p, t) / 2, rtol=1e-12)
    assert float(loss(np.tile(p, (1, 2)), np.tile(t, (1, 2)))) == pytest.approx(2 * float(loss(p, t)), rel=1e-12)
    np.testing.assert_allclose(grad(np.tile(p, (1, 2)), np.tile(t, (1, 2)))[:, :4], grad(p, t), rtol=1e-12)


@pytest.mark.parametrize(("loss", "grad"), LOSSES, ids=NAMES)
def test_out_is_used_and_inputs_are_left_alone(xp, loss, grad, rng):
    p, t = (asarray(a) for a in rng.uniform(0.1, 0.9, (2, 3, 4)))
    before, out = to_numpy(p).copy(), xp.empty((3, 4))
    assert grad(p, t, out=out) is out
    loss(p, t)
    np.testing.assert_array_equal(to_numpy(p), before)
    np.testing.assert_array_equal(to_numpy(grad(p, t)), to_numpy(out))
    np.testing.assert_array_equal(
        to_numpy(grad(p, t, out=p)), to_numpy(out), err_msg="out may be the prediction itself"
    )


@pytest.mark.parametrize(("loss", "rows"), [(bce_with_logits, bce_with_logits_rows), (gaussian_nll, gaussian_nll_rows)])
def test_rows_are_the_losses_of_single_samples(xp, loss, rows, rng):
    p, t = (asarray(a) for a in rng.uniform(0.1, 0.9, (2, 3, 4)))
    values = rows(p, t)
    assert values.shape == (3,)
    for i in range(3):
        assert float(values[i]) == pytest.approx(float(loss(p[i : i + 1], t[i : i + 1])), rel=1e-13)


def test_both_cross_entropies_agree(rng):
    logits, t = rng.standard_normal((6, 5)) * 4, rng.uniform(size=(6, 5))
    p = 1 / (1 + np.exp(-logits))
    assert float(bce(p, t)) == pytest.approx(float(bce_with_logits(logits, t)), rel=1e-12)
    np.testing.assert_allclose(bce_grad(p, t) * p * (1 - p), bce_with_logits_grad(logits, t), rtol=1e-9)


# -- extremes ---------------------------------------------------------------------------------------------------------


def test_logits_of_a_thousand(xp, dtype):
    logits, target = asarray([[1000, -1000, 1000, -1000]], dtype), asarray([[1, 0, 0, 1]], dtype)
    assert float(bce_with_logits(logits, target)) == 2000
    np.testing.assert_array_equal(to_numpy(bce_with_logits_grad(logits, target)), [[0, 0, 1, -1]])


def test_probabilities_of_exactly_zero_and_one(xp, dtype):
    p, t = asarray([[0, 1, 0, 1]], dtype), asarray([[0, 1, 1, 0]], dtype)
    tiny = np.finfo(dtype)
    expected = -math.log(float(tiny.tiny)) - math.log(float(tiny.epsneg))
    assert float(bce(p, t)) == pytest.approx(expected, rel=1e-6)
    gradient = to_numpy(bce_grad(p, t))[0]
    assert np.isfinite(gradient).all()
    assert gradient[2] < -1e6 < 1e6 < gradient[3]


@pytest.mark.parametrize(("loss", "grad"), LOSSES, ids=NAMES)
@pytest.mark.parametrize("function", [0, 1])
def test_an_empty_batch_has_no_mean(xp, loss, grad, function):
    with pytest.raises(ValueError, match="empty batch: prediction has 0 rows"):
        (loss, grad)[function](xp.ones((0, 3)), xp.ones((0, 3)))


@pytest.mark.parametrize("shape", [(3,), (3, 1), (4, 3), (1, 4)])
def test_shapes_that_would_broadcast_are_refused(xp, shape):
    with pytest.raises(ValueError, match=r"same shape \(B, d\), got \(3, 4\) and"):
        mse(xp.ones((3, 4)), xp.ones(shape))


def test_whole_numbers_are_refused():
    with pytest.raises(TypeError, match="prediction must be float32 or float64, got uint8"):
        mse(np.zeros((2, 2), "uint8"), np.ones((2, 2), "uint8"))


# -- divergences ------------------------------------------------------------------------------------------------------


def test_the_lectures_worked_example(xp):
    p, q = asarray([0.36, 0.48, 0.16]), asarray([1 / 3] * 3)
    assert float(kl_discrete(p, q)) == pytest.approx(0.0852996, abs=5e-8)
    assert float(kl_discrete(q, p)) == pytest.approx(0.097455, abs=5e-7)


def test_zeros_in_a_discrete_distribution(xp):
    p, q = asarray([0.5, 0.5, 0.0]), asarray([0.25, 0.25, 0.5])
    assert float(kl_discrete(p, q)) == pytest.approx(math.log(2))
    assert float(kl_discrete(q, p)) == math.inf


def test_tiny_probabilities_do_not_overflow(xp):
    """2e-38 is nearly the smallest number that a GPU's kernels know in float32."""
    p, q = asarray([0.5, 0.5], "float32"), asarray([2e-38, 1], "float32")
    assert float(kl_discrete(p, q)) == pytest.approx(0.5 * (math.log(0.5) - math.log(2e-38)) + 0.5 * math.log(0.5))
    assert float(kl_bernoulli(asarray([0.0, 1.0]), asarray([0.25, 0.25]))) == pytest.approx(
        math.log(4 / 3) + math.log(4)
    )


def test_kl_bernoulli_is_kl_discrete_of_two_outcomes(rng):
    p, q = rng.uniform(0.05, 0.95, (2, 7))
    two = sum(float(kl_discrete(np.array([a, 1 - a]), np.array([b, 1 - b]))) for a, b in zip(p, q, strict=True))
    assert float(kl_bernoulli(p, q)) == pytest.approx(two, rel=1e-12)


def test_kl_normal_by_hand(xp, dtype):
    """mu = 1, sigma = 2: (1 + 4 - log 4 - 1) / 2 = 2 - log 2; against N(3, 1): (4 + 4 - log 4 - 1) / 2."""
    mu, logvar = asarray([[1.0]], dtype), asarray([[math.log(4)]], dtype)
    assert float(kl_normal(mu, logvar)) == pytest.approx(2 - math.log(2), rel=exact(dtype))
    general = kl_normal(mu, logvar, asarray([[3.0]], dtype), asarray([[0.0]], dtype))
    assert float(general) == pytest.approx(3.5 - math.log(2), rel=exact(dtype))


def test_kl_normal_to_the_prior_is_a_case_of_the_general_one(rng):
    mu, logvar = rng.standard_normal((2, 6, 5))
    zero = np.zeros((6, 5))
    assert float(kl_normal(mu, logvar)) == pytest.approx(float(kl_normal(mu, logvar, zero, zero)), rel=1e-13)
    for a, b in zip(kl_normal_grad(mu, logvar), kl_normal_grad(mu, logvar, zero, zero)[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)
    assert kl_normal_entries(mu, logvar).sum() / 6 == pytest.approx(float(kl_normal(mu, logvar)), rel=1e-13)


def test_kl_is_zero_only_between_equals_and_the_same_in_all_coordinates(rng):
    mu, logvar, mu2, logvar2 = rng.standard_normal((4, 6, 5))
    value = float(kl_normal(mu, logvar, mu2, logvar2))
    assert value > 0
    assert float(kl_normal(mu, logvar, mu, logvar)) == 0
    moved = kl_normal(3 * mu + 7, logvar + math.log(9), 3 * mu2 + 7, logvar2 + math.log(9))
    assert float(moved) == pytest.approx(value, rel=1e-12), "a change of unit and origin changes no divergence"


def test_kl_normal_is_precise_next_to_zero(xp):
    """float32, sigma^2 = 1 + 1e-4: KL = d^2 / 4 to first order; the naive sigma^2 - logvar - 1 gives noise."""
    value = float(kl_normal(asarray([[0.0]], "float32"), asarray([[1e-4]], "float32")))
    assert value == pytest.approx(0.25e-8, rel=0.3)


@pytest.mark.parametrize("logvar", [-60.0, 60.0])
def test_logvar_of_sixty(xp, dtype, logvar):
    mu, lv = asarray([[0.0]], dtype), asarray([[logvar]], dtype)
    expected = (math.exp(logvar) - logvar - 1) / 2
    assert float(kl_normal(mu, lv)) == pytest.approx(expected, rel=1e-5)
    dmu, dlogvar = kl_normal_grad(mu, lv)
    assert float(dmu[0, 0]) == 0
    assert float(dlogvar[0, 0]) == pytest.approx((math.exp(logvar) - 1) / 2, rel=1e-5)
    assert float(kl_normal(mu, lv, mu, lv)) == 0, "two huge variances compare by their difference, not by a quotient"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kl_normal(np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1))), "both mu2 and logvar2"),
        (lambda: kl_discrete(np.ones(3) / 3, np.ones(4) / 4), r"same shape, got \(3,\) and \(4,\)"),
        (lambda: kl_normal(np.ones((0, 2)), np.ones((0, 2))), "empty batch"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
