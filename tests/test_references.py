"""What docs/references.md says, small enough for every run: the embedded digits, few epochs, one seed."""

from __future__ import annotations

import numpy as np
import pytest

from scratchnet.autoencoders import Autoencoder, ConditionalVAE, DenoisingAutoencoder
from scratchnet.datasets import load_mnist
from scratchnet.decomposition import PCA
from scratchnet.neighbors import KNeighborsClassifier


@pytest.fixture(scope="module")
def digits():
    return *load_mnist("train"), *load_mnist("test")


def test_digits_drawn_by_request_are_recognised(digits):
    """A classifier of real digits takes at least 95 % of the samples for what was asked; 97.4 % after 20 epochs."""
    X, y, _, _ = digits
    model = ConditionalVAE((256, 256), 2, epochs=10, learning_rate=2e-3, random_state=0).fit(X, y)
    asked = np.repeat(np.arange(10), 50)
    assert KNeighborsClassifier(3).fit(X, y).score(model.sample(500, asked, random_state=0), asked) >= 0.95


def test_denoising_is_better_than_any_projection(digits):
    """sd 0.5, clipped. The projection may choose its number of components on the very images it is judged on, and knows
    by how much clipping lifts the mean."""
    X, _, X_test, _ = digits
    model = DenoisingAutoencoder((), 256, noise_level=0.5, epochs=5, learning_rate=3e-3, random_state=0).fit(X)
    noisy, pca = model.corrupt(X_test, random_state=0), PCA(150).fit(X)
    scores = pca.transform(noisy - model.corrupt(X, random_state=1).mean(axis=0) + pca.mean_)
    flat = [((scores[:, :k] @ pca.components_[:k] + pca.mean_ - X_test) ** 2).mean() for k in range(10, 151, 10)]
    ours = ((model.reconstruct(noisy) - X_test) ** 2).mean()
    assert ours < 0.9 * min(flat) < 0.9 * 0.031
    assert ((noisy - X_test) ** 2).mean() == pytest.approx(0.1152, abs=0.001)


@pytest.mark.parametrize("tied", [False, True])
def test_a_linear_autoencoder_ends_at_pca(digits, tied):
    """Held-out error within 1 % of PCA's, and never below what PCA leaves on the training data."""
    X, _, X_test, _ = digits
    model = Autoencoder((), 5, likelihood="gaussian", tied=tied, epochs=25, learning_rate=2e-3, random_state=0).fit(X)
    pca = PCA(5).fit(X)
    error, floor = (
        ((a - b) ** 2).mean()
        for a, b in ((model.reconstruct(X_test), X_test), (pca.inverse_transform(pca.transform(X_test)), X_test))
    )
    assert error == pytest.approx(floor, rel=0.01)
    trained = ((model.reconstruct(X) - X) ** 2).mean()
    assert trained >= ((pca.inverse_transform(pca.transform(X)) - X) ** 2).mean() * (1 - 1e-4)
