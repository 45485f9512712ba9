"""Gradients equal PyTorch's autograd on the same weights, data and noise: a 784-400-20 VAE, and every kind in small."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from scratchnet.autoencoders import (
    IWAE,
    VAE,
    Autoencoder,
    ConditionalVAE,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    SparseAutoencoder,
)
from scratchnet.backend import asarray, to_numpy

REFERENCES = Path(__file__).parent / "references"


def script(name):
    """The module that made the stored numbers: it knows the problem they belong to, and needs PyTorch only to run."""
    spec = importlib.util.spec_from_file_location(name, REFERENCES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)])
def test_vae_gradient_equals_autograd(xp, dtype, tolerance):
    stored = np.load(REFERENCES / "torch_vae.npz")
    weights, x, eps, places = script("make_torch_vae").problem()
    vae = VAE(hidden=(400,), n_latent=20, epochs=0, dtype=dtype, random_state=0).fit(x)
    assert vae.params_.names() == list(weights)
    for name, weight in weights.items():
        vae.params_.views[name][0][...] = asarray(weight, dtype)
    x, eps = asarray(x, dtype), asarray(eps, dtype)

    assert float(vae.loss(x, eps)) == pytest.approx(float(stored[f"{dtype}.loss"]), rel=tolerance / 10)
    vae.gradient(x, eps)
    for name, (_, gradient) in vae.params_.views.items():
        norm, entries = stored[f"{dtype}.{name}.norm"], stored[f"{dtype}.{name}.entries"]
        ours = to_numpy(gradient).astype("float64")
        assert np.linalg.norm(ours) == pytest.approx(norm, rel=tolerance), name
        difference = np.linalg.norm(ours.reshape(-1)[places[name]] - entries)
        assert difference <= tolerance * np.linalg.norm(entries), name
        largest = np.abs(entries).max()
        assert np.abs(ours.reshape(-1)[places[name]] - entries).max() <= tolerance * largest, name


SETTINGS = {"hidden": (7,), "n_latent": 4, "activation": "tanh", "epochs": 0, "dtype": "float64", "random_state": 0}
ONE_LAYER = SETTINGS | {"hidden": (), "weight": 0.5}
FAMILY = {
    "tied": (Autoencoder(tied=True, **SETTINGS), ("x",)),
    "denoising": (DenoisingAutoencoder(**SETTINGS), ("x", "seen")),
    "sparse_sigmoid": (SparseAutoencoder(rho=0.1, weight=2.0, **SETTINGS), ("x",)),
    "sparse_tanh": (SparseAutoencoder(rho=0.1, weight=2.0, code_activation="tanh", **SETTINGS), ("x",)),
    "k_sparse": (KSparseAutoencoder(k=2, **SETTINGS), ("x",)),
    "contractive_sigmoid": (ContractiveAutoencoder(**ONE_LAYER), ("x",)),
    "contractive_tanh": (ContractiveAutoencoder(code_activation="tanh", **ONE_LAYER), ("x",)),
    "contractive_relu": (ContractiveAutoencoder(code_activation="relu", **ONE_LAYER), ("x",)),
    "vae_free_bits": (VAE(beta=0.7, free_bits=0.3, **SETTINGS), ("x", "eps")),
    "vae_variance": (VAE(beta=0.7, likelihood="gaussian", variance=0.3, **SETTINGS), ("x", "eps")),
    "vae_learned": (VAE(beta=0.7, likelihood="gaussian", variance="learned", **SETTINGS), ("x", "eps")),
    "iwae_bernoulli": (IWAE(n_importance=5, **SETTINGS), ("x", "eps_k")),
    "iwae_learned": (IWAE(n_importance=5, likelihood="gaussian", variance="learned", **SETTINGS), ("x", "eps_k")),
    "conditional": (ConditionalVAE(beta=0.7, **SETTINGS), ("x", "c", "eps")),
}


@pytest.mark.parametrize("name", FAMILY)
def test_every_models_loss_and_gradient_equal_autograd(xp, name):
    reference = script("make_torch_family")
    assert tuple(FAMILY) == reference.MODELS
    stored, arrays = np.load(REFERENCES / "torch_family.npz"), reference.problem(name)
    model, inputs = FAMILY[name]
    model.fit(arrays["x"], arrays["c"])
    assert set(model.params_.names()) == {key for key in arrays if "." in key}
    for key, (weight, _) in model.params_.views.items():
        weight[...] = asarray(arrays[key])
    batch = [asarray(arrays[key]) for key in inputs]
    assert float(model.loss(*batch)) == pytest.approx(float(stored[f"{name}.loss"]), rel=1e-12)
    model.gradient(*batch)
    gradient = np.concatenate([to_numpy(model.params_.views[key][1]).ravel() for key in sorted(model.params_.names())])
    np.testing.assert_allclose(gradient, stored[f"{name}.gradient"], rtol=1e-9, atol=1e-12)
