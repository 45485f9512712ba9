"""A layer and a loss of your own, checked and trained.

    python examples/custom_layer.py

The layer multiplies every feature by a gain that it learns, y = x * g; the loss is the Huber loss. Both are checked
against finite differences before they are used.
"""

from __future__ import annotations

import numpy as np

from scratchnet.backend import Array, Rng, get_xp
from scratchnet.datasets import make_swiss_roll
from scratchnet.nn import Adam, Dense, Layer, Params, Sequential, Tanh, check_gradient, join


class Gain(Layer):
    """y = x * g.   x (B, n), g (n,)."""

    def __init__(self, n: int) -> None:
        self.n = n

    def declare(self, params: Params, prefix: str) -> None:
        params.declare(join(prefix, "g"), (self.n,), lambda rng, shape: np.ones(shape))

    def bind(self, params: Params, prefix: str) -> None:
        self.g, self.dg = params.views[join(prefix, "g")]

    def forward(self, x: Array) -> Array:
        self.x = x
        return x * self.g

    def backward(self, dy: Array, need_dx: bool = True) -> Array:
        self.dg[...] = (dy * self.x).sum(axis=0)
        return dy * self.g if need_dx else None


def huber(prediction: Array, target: Array) -> Array:
    """Quadratic within 1 of the target, linear beyond; sum over features, mean over the batch."""
    xp = get_xp(prediction, target)
    distance = abs(prediction - target)
    return xp.where(distance < 1, 0.5 * distance**2, distance - 0.5).sum() / len(prediction)


def huber_grad(prediction: Array, target: Array) -> Array:
    """clip(p - t, -1, 1) / B, with respect to p."""
    return get_xp(prediction).clip(prediction - target, -1, 1) / len(prediction)


def main() -> None:
    X, t = make_swiss_roll(2000, noise=0.05, random_state=0)
    X, target = (X - X.mean(axis=0)) / X.std(axis=0), (t[:, None] - t.mean()) / t.std()

    net = Sequential(Gain(3), Dense(3, 64), Tanh(), Dense(64, 64), Tanh(), Dense(64, 1))
    params = net.build(rng=Rng(0), dtype="float64")
    net.backward(huber_grad(net.forward(X[:50]), target[:50]))
    report = check_gradient(lambda: huber(net.forward(X[:50]), target[:50]), params)
    print(report)
    assert report.ok

    print("unrolling a Swiss roll: predict the position along it from the three coordinates")
    adam, rng = Adam(params, 3e-3), np.random.default_rng(0)
    for epoch in range(1, 41):
        for rows in np.array_split(rng.permutation(len(X)), 40):
            net.backward(huber_grad(net.forward(X[rows]), target[rows]), need_dx=False)
            adam.step()
        if epoch % 10 == 0:
            print(f"epoch {epoch}: loss {float(huber(net.forward(X), target)):.5f}")
    explained = 1 - np.var(target - net.forward(X)) / np.var(target)
    print(f"share of the variance explained: {explained:.4f}; learned gains {params.views['0.g'][0].round(2)}")
    assert explained > 0.98


if __name__ == "__main__":
    main()
