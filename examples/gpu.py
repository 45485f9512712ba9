"""One script, CPU or GPU.

    python examples/gpu.py              # "auto": CuPy if there is a GPU that works, else NumPy
    SCRATCHNET_BACKEND=cupy python examples/gpu.py

The switch decides where new arrays are created; after that functions follow their arrays. Results are on the device of
the model, and to_numpy copies them to the host.
"""

from __future__ import annotations

import os

import scratchnet as sn
from scratchnet.autoencoders import VAE
from scratchnet.backend import get_xp, to_numpy
from scratchnet.datasets import load_mnist


def main() -> None:
    if not os.environ.get("SCRATCHNET_BACKEND"):
        sn.use("auto")
    X, _ = load_mnist("train")
    print(f"backend {sn.current_backend()}; the digits are a {get_xp(X).__name__} array")

    vae = VAE(n_latent=8, epochs=2, random_state=0)
    for state in vae.steps(X):
        print(f"epoch {state.epoch}: {state} in {state.metrics['seconds']:.2f} s")
    images = vae.sample(4, random_state=0)
    print(f"samples are {get_xp(images).__name__} arrays; to_numpy gives {type(to_numpy(images)).__name__}")


if __name__ == "__main__":
    main()
