"""Gradients of a 784-400-20 VAE by PyTorch's autograd, stored for tests/test_against_torch.py.

    python tests/references/make_torch_vae.py          (needs torch; written with torch 2.13.0, CPU)

Weights, images and noise come from ``problem``, whose generator (RandomState) is frozen for good, so that only results
are stored: the losses, and of every parameter's gradient its norm and 200 entries, in float32 and float64.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

OUT = Path(__file__).with_name("torch_vae.npz")
SHAPES = {
    "encoder.0.W": (784, 400),
    "encoder.0.b": (400,),
    "encoder.2.W": (400, 40),
    "encoder.2.b": (40,),
    "decoder.0.W": (20, 400),
    "decoder.0.b": (400,),
    "decoder.2.W": (400, 784),
    "decoder.2.b": (784,),
}


def problem() -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """(weights, x (16, 784) in [0, 1], eps (16, 20), the flat places that are stored)."""
    rng = np.random.RandomState(7)
    weights = {name: rng.standard_normal(shape) / np.sqrt(shape[0]) for name, shape in SHAPES.items()}
    x, eps = rng.uniform(size=(16, 784)) ** 4, rng.standard_normal((16, 20))
    places = {
        name: np.sort(rng.choice(np.prod(shape), min(200, np.prod(shape)), False)) for name, shape in SHAPES.items()
    }
    return weights, x, eps, places


def main() -> None:
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, linear, relu

    weights, images, noise, places = problem()
    out: dict[str, np.ndarray] = {"torch": np.array(torch.__version__)}
    for dtype in ("float32", "float64"):
        w = {k: torch.tensor(v, dtype=getattr(torch, dtype), requires_grad=True) for k, v in weights.items()}
        x, eps = (torch.tensor(a, dtype=getattr(torch, dtype)) for a in (images, noise))
        hidden = relu(linear(x, w["encoder.0.W"].T, w["encoder.0.b"]))
        mu, logvar = linear(hidden, w["encoder.2.W"].T, w["encoder.2.b"]).chunk(2, dim=1)
        z = mu + torch.exp(logvar / 2) * eps
        logits = linear(relu(linear(z, w["decoder.0.W"].T, w["decoder.0.b"])), w["decoder.2.W"].T, w["decoder.2.b"])
        reconstruction = binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        loss = (reconstruction + kl) / len(x)
        loss.backward()
        out[f"{dtype}.loss"] = loss.detach().numpy()
        for name, tensor in w.items():
            gradient = tensor.grad.numpy()
            out[f"{dtype}.{name}.norm"] = np.linalg.norm(gradient.astype("float64"))
            out[f"{dtype}.{name}.entries"] = gradient.reshape(-1)[places[name]]
    np.savez_compressed(OUT, **out)
    print(f"wrote {OUT.name}: loss {out['float64.loss']:.12g}")


if __name__ == "__main__":
    main()
