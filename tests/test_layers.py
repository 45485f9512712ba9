"""Layers: values by hand, properties, extremes, inputs that stay as they are."""

from __future__ import annotations

import numpy as np
import pytest

from scratchnet.backend import Rng, asarray, to_numpy
from scratchnet.nn import (
    Activation,
    Dense,
    Layer,
    LeakyReLU,
    Params,
    ReLU,
    Sequential,
    Sigmoid,
    Softplus,
    Tanh,
    TopK,
    check_gradient,
    glorot_uniform,
    he_normal,
    small_normal,
)
from scratchnet.testing import no_host_sync, strict

ACTIVATIONS = [ReLU(), LeakyReLU(0.1), Sigmoid(), Tanh(), Softplus()]


# -- values -----------------------------------------------------------------------------------------------------------


def test_dense_by_hand(xp, dtype):
    dense = Dense(2, 3)
    params = dense.build(Rng(0), dtype)
    assert params.names() == ["W", "b"]
    params.views["W"][0][...] = asarray([[1, 2, 3], [4, 5, 6]], dtype)
    params.views["b"][0][...] = asarray([10, 20, 30], dtype)
    y = dense.forward(asarray([[1, 0], [1, 2]], dtype))
    np.testing.assert_array_equal(to_numpy(y), [[11, 22, 33], [19, 32, 45]])
    dx = dense.backward(asarray([[1, 0, 0], [0, 1, 1]], dtype))
    np.testing.assert_array_equal(to_numpy(dx), [[1, 4], [5, 11]])
    np.testing.assert_array_equal(to_numpy(params.views["W"][1]), [[1, 1, 1], [0, 2, 2]])
    np.testing.assert_array_equal(to_numpy(params.grad), [1, 1, 1, 0, 2, 2, 1, 1, 1])
    assert y.dtype == dx.dtype == params.grad.dtype == dtype


@pytest.mark.parametrize(
    ("layer", "y", "dx"),
    [
        (ReLU(), [0, 0, 3], [0, 0, 1]),
        (LeakyReLU(0.1), [-0.2, 0, 3], [0.1, 0.1, 1]),
        (Sigmoid(), [0.11920292202211755, 0.5, 0.9525741268224334], [0.10499358540350652, 0.25, 0.045176659730912]),
        (Tanh(), [-0.9640275800758169, 0, 0.9950547536867305], [0.07065082485316443, 1, 0.00986603716544008]),
        (
            Softplus(),
            [0.12692801104297263, 0.6931471805599453, 3.048587351573742],
            [0.11920292202211755, 0.5, 0.9525741268224334],
        ),
    ],
    ids=repr,
)
def test_activations_by_hand(xp, dtype, layer, y, dx):
    """Values from the definitions with 20 digits; the derivative of ReLU at 0 is 0 by convention."""
    tolerance = {"float32": 3e-7, "float64": 4e-15}[dtype]
    np.testing.assert_allclose(to_numpy(layer.forward(asarray([[-2, 0, 3]], dtype)))[0], y, rtol=tolerance)
    np.testing.assert_allclose(
        to_numpy(layer.backward(asarray([[1, 1, 1]], dtype)))[0], dx, rtol=10 * tolerance, atol=tolerance
    )


@pytest.mark.parametrize("layer", ACTIVATIONS, ids=repr)
def test_activations_at_the_extremes(xp, dtype, layer):
    x = asarray([[-np.inf, -1e30, -1000, 1000, 1e30, np.inf]], dtype)
    y = to_numpy(layer.forward(x)).copy()[0]
    dx = to_numpy(layer.backward(asarray(np.ones((1, 6)), dtype)))[0]
    assert not np.isnan(y).any()
    assert not np.isnan(dx).any()
    assert (np.diff(y) >= 0).all(), "all of them rise"
    low, high = {ReLU: (0, 1000), Sigmoid: (0, 1), Tanh: (-1, 1), Softplus: (0, 1000)}.get(type(layer), (-100, 1000))
    np.testing.assert_allclose(y[2:4], [low, high], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("batch", [0, 1])
def test_smallest_batches(xp, dtype, batch):
    net = Sequential(Dense(3, 4), Tanh(), Dense(4, 2))
    params = net.build(Rng(0), dtype)
    params.grad[...] = 9
    y = net.forward(xp.ones((batch, 3), dtype=dtype))
    assert y.shape == (batch, 2)
    assert net.backward(xp.ones((batch, 2), dtype=dtype)).shape == (batch, 3)
    assert bool((params.views["2.b"][1] == batch).all()), "gradients are overwritten, with 0 for no samples"


# -- what is written to ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [Dense(3, 3), *ACTIVATIONS, TopK(2)], ids=repr)
def test_inputs_are_never_written_to_and_results_are_new_arrays(layer):
    layer.build(Rng(0), "float64")
    x, dy = np.random.default_rng(0).standard_normal((2, 4, 3))
    x.flags.writeable = dy.flags.writeable = False
    first = layer.forward(x), layer.backward(dy)
    kept = [a.copy() for a in first]
    layer.forward(dy)
    layer.backward(x)
    np.testing.assert_array_equal(first, kept)
    assert not any(np.may_share_memory(a, b) for a in first for b in (x, dy))


def test_a_short_batch_gives_the_rows_of_a_long_one(xp):
    net = Sequential(Dense(3, 4), ReLU(), Dense(4, 2), Sigmoid())
    net.build(Rng(0), "float64")
    x = asarray(np.random.default_rng(0).standard_normal((5, 3)))
    np.testing.assert_allclose(to_numpy(net.forward(x[:2])), to_numpy(net.forward(x))[:2], rtol=1e-14)


def test_gradients_are_overwritten_not_added_to(xp):
    net = Sequential(Dense(3, 2))
    params = net.build(Rng(0), "float64")
    x, dy = xp.ones((4, 3)), xp.ones((4, 2))
    for _ in range(2):
        net.forward(x)
        net.backward(dy)
    np.testing.assert_array_equal(to_numpy(params.grad), 4)


def test_first_layer_skips_its_input_gradient(xp):
    net = Sequential(Dense(3, 2), Tanh())
    params = net.build(Rng(0), "float64")
    net.forward(xp.ones((4, 3)))
    assert net.backward(xp.ones((4, 2)), need_dx=False) is None
    assert float(abs(params.grad).sum()) > 0
    assert all(
        layer.backward(xp.ones((4, 2)), need_dx=False) is None
        for layer in ACTIVATIONS
        if layer.forward(xp.ones((4, 2))) is not None
    )


def test_a_forward_and_backward_pass_never_waits_for_the_device(xp):
    net = Sequential(Dense(3, 4), ReLU(), Dense(4, 4), LeakyReLU(), Dense(4, 4), Softplus(), Dense(4, 4), Sigmoid())
    net.build(Rng(0))
    x = xp.ones((2, 3), dtype="float32")
    with no_host_sync():
        net.backward(net.forward(x))


# -- networks ---------------------------------------------------------------------------------------------------------


def test_names_count_activations_too():
    params = Sequential(Dense(4, 3), Tanh(), Sequential(Dense(3, 2), Dense(2, 1))).build(Rng(0))
    assert params.names() == ["0.W", "0.b", "2.0.W", "2.0.b", "2.1.W", "2.1.b"]
    assert params.theta.size == 15 + 8 + 3
    assert "26 values" in repr(params)
    assert "0.W              4x3" in repr(params)


def test_views_and_vectors_share_memory(xp):
    params = Sequential(Dense(2, 2)).build(Rng(0))
    params.theta[...] = xp.arange(6, dtype="float32")
    np.testing.assert_array_equal(to_numpy(params.views["0.W"][0]), [[0, 1], [2, 3]])
    params.views["0.b"][1][...] = 5
    np.testing.assert_array_equal(to_numpy(params.grad), [0, 0, 0, 0, 5, 5])
    assert params.slices["0.b"] == slice(4, 6)


def test_weights_are_the_same_on_every_backend(xp, seed):
    params = Sequential(Dense(5, 4), Dense(4, 3, glorot_uniform)).build(Rng(seed))
    reference = Sequential(Dense(5, 4), Dense(4, 3, glorot_uniform)).build(Rng(seed, np))
    np.testing.assert_array_equal(to_numpy(params.theta), reference.theta)


def test_initial_variances(seed):
    rng = np.random.default_rng(seed)
    he, glorot = he_normal(rng, (300, 200)), glorot_uniform(rng, (300, 200))
    assert he.var() == pytest.approx(2 / 300, rel=0.03)
    assert glorot.var() == pytest.approx(2 / 500, rel=0.03)
    assert abs(glorot).max() <= np.sqrt(6 / 500)
    small = small_normal(rng, (300, 200))
    assert small.var() == pytest.approx(0.1 / 300, rel=0.03)
    assert np.mean(small**4) == pytest.approx(3 * small.var() ** 2, rel=0.1), "normal"


def test_he_keeps_the_scale_of_activations_through_many_relus(seed):
    net = Sequential(*[layer for _ in range(20) for layer in (Dense(300, 300), ReLU())])
    net.build(Rng(seed, np), "float64")
    x = np.random.default_rng(seed).standard_normal((50, 300))
    assert 0.2 < np.square(net.forward(x)).mean() / np.square(x).mean() < 5, "without the 2 it would be 2^-20"


class Swish(Activation):
    """A user's own layer: y = x sigmoid(x)."""

    def forward(self, x):
        self.x, self.s = x, 1 / (1 + np.exp(-x))
        return self.x * self.s

    def backward(self, dy, need_dx=True):
        return dy * (self.s + self.x * self.s * (1 - self.s))


def test_a_users_own_layer_joins_and_is_checked():
    net = Sequential(Dense(3, 4), Swish(), Dense(4, 2))
    params = net.build(Rng(0, np), "float64")
    x = np.random.default_rng(0).standard_normal((5, 3))
    net.backward(np.ones_like(net.forward(x)))
    assert check_gradient(lambda: net.forward(x).sum(), params).ok


def test_a_dense_takes_a_memory_map(tmp_path):
    dense = built(Dense(3, 2))
    x = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype="float32", shape=(4, 3))
    np.testing.assert_array_equal(dense.forward(x), dense.forward(np.asarray(x)))


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mistake", "error", "message"),
    [
        (lambda: Dense(3, 2).forward(np.ones((1, 3))), RuntimeError, r"Dense\(3, 2\) has no parameters.*build\(\)"),
        (
            lambda: built(Dense(3, 2)).forward(np.ones((1, 4), "f4")),
            ValueError,
            r"takes x of shape \(B, 3\), got \(1, 4\)",
        ),
        (lambda: built(Dense(3, 2)).forward(np.ones(3, "f4")), ValueError, r"takes x of shape \(B, 3\), got \(3,\)"),
        (
            lambda: built(Dense(3, 2)).forward(np.ones((1, 3))),
            TypeError,
            r"float32 parameters but x is float64.*astype",
        ),
        (lambda: built(Dense(3, 2)).forward([[1, 2, 3]]), TypeError, r"not a NumPy or CuPy array: builtins.list"),
        (lambda: built(Dense(3, 2)).forward(strict.ones((1, 3), "f4")), TypeError, "mixed array libraries"),
        (lambda: Dense(0, 2), ValueError, r"both widths must be at least 1"),
        (lambda: LeakyReLU(1.5), ValueError, r"slope=1.5 must be"),
        (lambda: Sequential(), ValueError, "at least one layer"),
        (lambda: Sequential(Dense(3, 2), Tanh(), Dense(3, 2)), ValueError, r"at 0 .* at 2: the widths 2 and 3 differ"),
        (lambda: Sequential(shared := Tanh(), shared), ValueError, "the same layer object stands twice"),
        (lambda: Sequential(Sequential(d := Dense(2, 2)), d), ValueError, "the same layer object stands twice"),
        (lambda: Dense(2, 2).build(Rng(0), "float16"), ValueError, r"dtype='float16' is unknown"),
        (lambda: [Dense(1, 1).declare(p := Params(), "a"), Dense(1, 1).declare(p, "a")], ValueError, "declared twice"),
    ],
)
def test_mistakes_are_named(mistake, error, message):
    with pytest.raises(error, match=message):
        mistake()


def built(layer: Layer) -> Layer:
    layer.build(Rng(0, np))
    return layer
