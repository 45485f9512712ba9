"""A network built and trained by hand: every step of the backward pass is a line you can read.

    python examples/network_by_hand.py

The same network twice: with the formulas written out in NumPy, and with scratchnet's layers, whose backward passes are
those formulas. Both must give the same gradient, and the trained network must classify digits.
"""

from __future__ import annotations

import numpy as np

from scratchnet.backend import Rng
from scratchnet.datasets import load_mnist
from scratchnet.nn import Adam, Dense, Sequential, Tanh, bce_with_logits, bce_with_logits_grad, check_gradient


def formulas(W1, b1, W2, b2, x, t):
    """dW1, db1, dW2, db2 of Dense, Tanh, Dense under the cross-entropy from logits."""
    h = np.tanh(x @ W1 + b1)
    logits = h @ W2 + b2
    dlogits = (1 / (1 + np.exp(-logits)) - t) / len(x)  # the loss: sigmoid(l) - t, mean over the batch
    dW2, db2, dh = h.T @ dlogits, dlogits.sum(axis=0), dlogits @ W2.T  # Dense
    da = dh * (1 - h**2)  # Tanh
    return x.T @ da, da.sum(axis=0), dW2, db2  # Dense; dx is not needed


def main() -> None:
    (X, y), (X_test, y_test) = load_mnist("train"), load_mnist("test")
    T, T_test = (np.eye(10, dtype="float32")[labels] for labels in (y, y_test))

    net = Sequential(Dense(784, 128), Tanh(), Dense(128, 10))
    params = net.build(rng=Rng(0))

    def loss(x, t):
        return bce_with_logits(net.forward(x), t)

    def gradient(x, t):
        net.backward(bce_with_logits_grad(net.forward(x), t), need_dx=False)

    # the layers' gradient is the one written out above
    gradient(X[:64], T[:64])
    weights = [params.views[name][0] for name in ("0.W", "0.b", "2.W", "2.b")]
    for name, by_hand in zip(params.names(), formulas(*weights, X[:64], T[:64]), strict=True):
        difference = abs(params.views[name][1] - by_hand).max()
        print(f"{name}: largest difference between the layer's gradient and the formula {difference:.1e}")
        assert difference < 1e-6

    # ... and that of the loss itself, in float64
    small = Sequential(Dense(784, 128), Tanh(), Dense(128, 10))
    small_params = small.build(rng=Rng(0), dtype="float64")
    x, t = X[:8].astype("float64"), T[:8].astype("float64")
    small.backward(bce_with_logits_grad(small.forward(x), t), need_dx=False)
    print(check_gradient(lambda: bce_with_logits(small.forward(x), t), small_params))

    adam, order = Adam(params, 3e-3), np.random.default_rng(0)
    for epoch in range(1, 9):
        for rows in np.array_split(order.permutation(len(X)), len(X) // 100):
            gradient(X[rows], T[rows])
            adam.step()
        accuracy = (net.forward(X_test).argmax(axis=1) == y_test).mean()
        print(f"epoch {epoch}: test loss {float(loss(X_test, T_test)):.3f} nats, test accuracy {accuracy:.3f}")
    assert accuracy > 0.92


if __name__ == "__main__":
    main()
