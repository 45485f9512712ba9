"""A model of your own: the Wasserstein autoencoder of Tolstikhin et al. 2018, checked, trained, saved, sampled.

    python examples/own_model.py

A model is its networks, here those of Autoencoder, with noise, terms, gradient and weights. Beside the reconstruction
stands the squared distance (MMD) of a batch's codes z to draws e from N(0, I). It depends on pairs of samples, so a
batch is not cut into blocks.
"""

import tempfile

import numpy as np

from scratchnet.autoencoders import Autoencoder
from scratchnet.datasets import load_mnist
from scratchnet.nn import check_gradient


def kernel(a, b, c):  # inverse multiquadratic, (B, B)
    return c / (c + (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T)


def kernel_grad(a, b, c):  # of its row sums with respect to a, (B, d)
    w = -2 / c * kernel(a, b, c) ** 2
    return w.sum(axis=1)[:, None] * a - w @ b


class WassersteinAutoencoder(Autoencoder):
    def noise(self, n, rng):
        return rng.standard_normal((n, self.n_latent), dtype=self.dtype)

    def weights(self, epoch):
        return {"reconstruction": 1.0, "mmd": 100.0}

    def terms(self, x, e):
        (z, output), B, c = self.forward(x), len(x), 2.0 * self.n_latent
        pairs = [(kernel(a, a, c).sum() - B) / (B * (B - 1)) for a in (z, e)]  # without those of a point with itself
        return {"reconstruction": self.likelihood_.nll(output, x), "mmd": sum(pairs) - 2 * kernel(z, e, c).mean()}

    def gradient(self, x, e=None, weights=None):
        e, weights = self.given(len(x), e, weights)
        (z, output), B, c = self.forward(x), len(x), 2.0 * self.n_latent
        dz = self.decoder_.backward(self.likelihood_.nll_grad(output, x, weights["reconstruction"]))
        dmmd = 2 * kernel_grad(z, z, c) / (B * (B - 1)) - 2 * kernel_grad(z, e, c) / B**2
        self.encoder_.backward(dz + weights["mmd"] * dmmd, need_dx=False)
        return self.params_.grad


X, _ = load_mnist()
small = WassersteinAutoencoder((7,), 3, "tanh", epochs=0, dtype="float64", random_state=0).fit(X[:6, 300:320])
(x,), e = small.check_batch(X[:6, 300:320]), small.noise(6, np.random.default_rng(0))
small.gradient(x, e)
print(report := check_gradient(lambda: small.loss(x, e), small.params_))
model = WassersteinAutoencoder((200,), 8, epochs=5, learning_rate=2e-3, random_state=0).fit(X[:4000])
print(model.history_)
loaded = WassersteinAutoencoder.load(model.save(tempfile.mkdtemp() + "/wasserstein.safetensors"))
images = loaded.inverse_transform(np.random.default_rng(1).standard_normal((5, 8)))
print("5 samples, mean pixel", images.mean(axis=1).round(2), "beside", X.mean().round(2), "in the data")
assert report.ok, report
