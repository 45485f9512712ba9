"""The gradient of a 784-400-20 VAE equals PyTorch's autograd on the same weights, images and noise."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from scratchnet.autoencoders import VAE
from scratchnet.backend import asarray, to_numpy

REFERENCES = Path(__file__).parent / "references"


def reference_problem():
    spec = importlib.util.spec_from_file_location("make_torch_vae", REFERENCES / "make_torch_vae.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.problem()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)])
def test_vae_gradient_equals_autograd(xp, dtype, tolerance):
    stored = np.load(REFERENCES / "torch_vae.npz")
    weights, x, eps, places = reference_problem()
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
