"""VAE 784-400-20 on the full grey MNIST: test loss per epoch, beside the published numbers of PyTorch's example.

    SCRATCHNET_DATA=path python benchmarks/vae_mnist.py [--epochs 10] [--seeds 0 1 2]

The same network, loss, optimizer and batch size as pytorch/examples' vae (784-400-20, Adam 1e-3, batch 128); the loss
is the negative ELBO with one draw of z, in nats per image, on the 10,000 test images.
"""

from __future__ import annotations

import argparse

import numpy as np

import scratchnet as sn
from scratchnet.autoencoders import VAE
from scratchnet.datasets import load_mnist

# two published logs of PyTorch's example, epochs 1 to 10
PYTORCH = (127.30, 115.79, 112.22, 109.64, 108.54, 107.70, 107.07, 106.66, 106.04, 105.56)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    (X, _), (X_test, _) = load_mnist("train", size="full"), load_mnist("test", size="full")
    print(f"scratchnet {sn.__version__}, numpy {np.__version__}, backend {sn.current_backend()}")
    print("epoch  " + "".join(f"seed {seed:<5}" for seed in args.seeds) + "PyTorch  seconds per epoch")
    runs = [VAE(epochs=args.epochs, random_state=seed).steps(X, validation=X_test) for seed in args.seeds]
    for states in zip(*runs, strict=True):
        epoch, losses = states[0].epoch, [state.metrics["validation_loss"] for state in states]
        published = f"{PYTORCH[epoch - 1]:7.2f}" if epoch <= len(PYTORCH) else "      -"
        seconds = " ".join(f"{state.metrics['seconds']:.1f}" for state in states)
        print(f"{epoch:>5}  " + "".join(f"{loss:<10.2f}" for loss in losses) + f"{published}  {seconds}", flush=True)


if __name__ == "__main__":
    main()
