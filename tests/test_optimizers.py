"""Optimizers: two steps by hand, invariances, convergence where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from scratchnet.backend import asarray, to_numpy
from scratchnet.nn import OPTIMIZERS, SGD, Adam, Momentum, Params
from scratchnet.testing import no_host_sync


def parameters(values, dtype="float64") -> Params:
    return Params.of(w=asarray(np.asarray(values), dtype))


def run(optimizer, params, gradients) -> np.ndarray:
    for g in gradients:
        params.grad[...] = asarray(np.asarray(g), str(params.grad.dtype))
        optimizer.step()
    return to_numpy(params.theta)


def test_sgd_by_hand(xp, dtype):
    params = parameters([1, 2], dtype)
    np.testing.assert_allclose(run(SGD(params, 0.1), params, [[1, -1], [2, 0]]), [0.7, 2.1], rtol=1e-6)


def test_momentum_by_hand(xp, dtype):
    """v: -0.1, then 0.9 (-0.1) - 0.2 = -0.29."""
    params = parameters([1], dtype)
    np.testing.assert_allclose(run(Momentum(params, 0.1, 0.9), params, [[1], [2]]), [1 - 0.1 - 0.29], rtol=1e-6)


def test_adam_equals_its_definition(xp, dtype):
    """The five lines of Kingma and Ba's algorithm 1, over 50 steps, on a vector of several cache blocks."""
    rng = np.random.default_rng(0)
    start, gradients = rng.standard_normal(150_001), rng.standard_normal((50, 150_001)) * 10.0 ** rng.integers(-6, 3)
    theta, m, v = start.copy(), 0, 0
    for t, g in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        theta -= 1e-2 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    params = parameters(start, dtype)
    tolerance = {"float32": 2e-5, "float64": 1e-11}[dtype]
    np.testing.assert_allclose(run(Adam(params, 1e-2), params, gradients), theta, rtol=tolerance, atol=tolerance)


def test_adam_takes_steps_of_the_learning_rate_whatever_the_gradients_size(xp):
    for scale in (1e-3, 1.0, 1e6):
        params = parameters([0.0, 0.0])
        np.testing.assert_allclose(run(Adam(params, 0.1), params, [[scale, -scale]]), [-0.1, 0.1], rtol=1e-4)


@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.05), lambda p: Momentum(p, 0.01), lambda p: Adam(p, 0.05)])
def test_a_quadratic_is_minimised(xp, make):
    target, curvature = asarray([1.0, -2.0, 3.0]), asarray([1.0, 4.0, 0.5])
    params = parameters([0.0, 0.0, 0.0])
    optimizer = make(params)
    with no_host_sync():
        for _ in range(1500):
            params.grad[...] = curvature * (params.theta - target)
            optimizer.step()
    np.testing.assert_allclose(to_numpy(params.theta), to_numpy(target), atol=1e-6)


def test_learning_rate_may_change_between_steps(xp):
    params = parameters([0.0])
    optimizer = SGD(params, 1.0)
    params.grad[...] = 1
    optimizer.step()
    optimizer.learning_rate = 0.5
    optimizer.step()
    assert float(params.theta[0]) == -1.5


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_layers_keep_their_views(xp, kind):
    params = parameters([1.0, 2.0])
    theta, (w, _) = params.theta, params.views["w"]
    params.grad[...] = 3
    OPTIMIZERS[kind](params, 0.1).step()
    assert params.theta is theta
    np.testing.assert_array_equal(to_numpy(w), to_numpy(theta))
    assert float(w[0]) < 1


def test_the_gradient_is_left_alone(xp):
    params = parameters([1.0, 2.0])
    for optimizer in (SGD(params), Momentum(params), Adam(params)):
        params.grad[...] = 3
        optimizer.step()
        np.testing.assert_array_equal(to_numpy(params.grad), 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD(p, 0.0), "learning_rate=0.0 must be above 0"),
        (lambda p: Adam(p, float("nan")), "learning_rate=nan must be above 0"),
        (lambda p: Momentum(p, 0.1, 1.0), "momentum=1.0 must be"),
        (lambda p: Adam(p, beta2=1.0), "beta1=0.9 and beta2=1.0 must be"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(parameters([1.0]))
