"""The gradient check: wrong gradients are found and named, kinks are recognised, not tolerated."""

from __future__ import annotations

import numpy as np
import pytest

from scratchnet.backend import Rng, asarray, to_numpy
from scratchnet.gradient_cases import cases
from scratchnet.nn import Dense, GaussianSample, Params, ReLU, Sequential, Sigmoid, Tanh, check_gradient, mse, mse_grad


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.name)
def test_every_gradient_in_scratchnet(xp, case):
    report = case.check()
    assert report.kinks == []
    assert report.ok, f"\n{report}"


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.name)
def test_every_entry_of_every_gradient(case):
    report = case.check(per_entry=True)
    assert report.ok, f"\n{report}"
    assert report.kinks == []


def network(dtype="float64"):
    net = Sequential(Dense(4, 5), Tanh(), Dense(5, 3))
    params = net.build(Rng(0), dtype)
    rng = np.random.default_rng(0)
    x, t = asarray(rng.standard_normal((6, 4)), dtype), asarray(rng.standard_normal((6, 3)), dtype)
    net.backward(mse_grad(net.forward(x), t))
    return params, lambda: mse(net.forward(x), t)


def test_report(xp):
    params, loss = network()
    theta, grad = to_numpy(params.theta).copy(), to_numpy(params.grad).copy()
    report = check_gradient(loss, params)
    assert [name for name, _, _, _ in report.rows] == ["0.W", "0.b", "2.W", "2.b"]
    _, numeric, analytic, _ = report.rows[0]
    assert numeric == pytest.approx(analytic, rel=1e-8)
    assert report.max_error == max(row.error for row in report.rows) < 1e-8
    assert report.ok
    assert "0.W" in str(report)
    assert "WRONG" not in str(report)
    np.testing.assert_array_equal(to_numpy(params.theta), theta, err_msg="theta comes back bit by bit")
    np.testing.assert_array_equal(to_numpy(params.grad), grad)


@pytest.mark.parametrize("scale", [-1.0, 0.0, 1 + 1e-5, np.nan])
def test_a_wrong_gradient_is_found_and_named(xp, scale):
    params, loss = network()
    params.views["2.W"][1][...] *= scale
    report = check_gradient(loss, params)
    assert not report.ok
    assert [row.name for row in report.rows if not row.error < 1e-7] == ["2.W"]
    assert report.max_error > 1e-7
    assert str(report).count("WRONG") == 1


def test_one_wrong_entry_is_found_per_entry():
    params, loss = network()
    params.views["0.W"][1][2, 3] += 1e-4
    report = check_gradient(loss, params, per_entry=True)
    assert [row.name for row in report.rows if row.error > 1e-7] == ["0.W[2, 3]"]
    assert len(report.rows) == params.theta.size
    assert not check_gradient(loss, params).ok, "a direction sees it too"


def test_a_constant_too_much_in_every_entry_is_found():
    """Along +-1s with as many of each it would cancel to nothing: of two entries, every other time."""
    w = Params.of(w=np.array([1.0, -2.0]))
    w.grad[...] = 2 * w.theta + 0.01
    assert not any(check_gradient(lambda: (w.theta**2).sum(), w, seed=seed).ok for seed in range(30))


@pytest.mark.parametrize(
    ("layer", "culprit"),
    [
        (Tanh, "Tanh()"),
        (ReLU, "ReLU()"),
        (Sigmoid, "Sigmoid()"),
        (GaussianSample, "GaussianSample"),
        (Dense, "Dense(5, 4)"),
    ],
)
def test_a_flipped_sign_in_a_backward_pass_is_named(monkeypatch, layer, culprit):
    backward = layer.backward
    monkeypatch.setattr(
        layer, "backward", lambda self, dy, *args, **kwargs: _negative(backward(self, dy, *args, **kwargs))
    )
    assert culprit in [case.name for case in cases() if not case.check().ok]


def _negative(dx):
    return None if dx is None else -dx


def test_a_kink_on_the_way_is_stepped_around(xp, seed):
    """|w| at 1e-4: the long steps cross the kink, shorter ones do not."""
    params = Params.of(w=asarray([1e-4, -3e-3, 2.0]))
    w, dw = params.views["w"]
    dw[...] = xp.sign(w)
    report = check_gradient(lambda: abs(w).sum(), params, seed=seed)
    assert report.ok
    assert report.kinks == []


def test_a_kink_at_the_very_point_is_named_and_hides_nothing(xp):
    params = Params.of(a=asarray([0.0, 1.0]), b=asarray([1.0, 2.0]))
    (a, da), (b, db) = params.views["a"], params.views["b"]
    da[...], db[...] = 1.0, -2 * b  # b's gradient has the wrong sign
    report = check_gradient(lambda: abs(a).sum() + (b * b).sum(), params)
    assert report.kinks == ["a"]
    assert [row.name for row in report.rows] == ["b"]
    assert not report.ok
    assert "a          not differentiable at this point" in str(report)


def test_a_wrong_gradient_cannot_pass_for_a_kink():
    """A network of ReLUs in general position: no kinks reported, the wrong sign found."""
    net = Sequential(Dense(10, 200), ReLU(), Dense(200, 200), ReLU(), Dense(200, 1))
    params = net.build(Rng(0, np), "float64")
    x = np.random.default_rng(0).standard_normal((20, 10))
    net.backward(mse_grad(net.forward(x), np.zeros((20, 1))))
    params.views["2.W"][1][...] *= -1
    report = check_gradient(lambda: mse(net.forward(x), np.zeros((20, 1))), params)
    assert [row.name for row in report.rows if not row.error < 1e-7] == ["2.W"]
    assert report.kinks == []


def test_a_parameter_that_could_not_be_checked_is_not_ok():
    """The bias of a ReLU at exactly 0 has a flipped gradient: all else is right, and the verdict is still no."""
    net = Sequential(Dense(2, 3), ReLU())
    params = net.build(Rng(0, np), "float64")
    x = np.array([[0.0, 0.0], [1.0, 2.0]])
    net.backward(np.ones_like(net.forward(x)))
    params.views["0.b"][1][...] *= -1
    report = check_gradient(lambda: net.forward(x).sum(), params)
    assert report.kinks == ["0.b"]
    assert not report.ok


def test_theta_comes_back_when_the_loss_raises():
    params, loss = network()
    before, calls = params.theta.copy(), iter(range(100))

    def fails():
        if next(calls) == 5:
            raise KeyboardInterrupt
        return loss()

    with pytest.raises(KeyboardInterrupt):
        check_gradient(fails, params)
    np.testing.assert_array_equal(params.theta, before)


def test_only_kinks_is_not_ok():
    params = Params.of(w=np.zeros(3))
    assert not check_gradient(lambda: abs(params.views["w"][0]).sum(), params).ok


def test_a_gradient_of_exactly_zero_is_right_for_a_constant():
    params = Params.of(w=np.ones(3))
    assert check_gradient(lambda: np.float64(500.0) + 0 * params.theta.sum(), params).ok


def test_float32_is_refused_with_the_reason():
    params, loss = network("float32")
    with pytest.raises(ValueError, match=r"needs float64 .* got float32: build the model with dtype='float64'"):
        check_gradient(loss, params)


def test_a_loss_that_draws_noise_inside_is_refused():
    params, loss = network()
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="two different values at the same point"):
        check_gradient(lambda: loss() + rng.standard_normal(), params)
