"""Burda's comparison: a VAE against importance-weighted training, 784-200-200-50, MNIST binarised dynamically.

    SCRATCHNET_DATA=path python benchmarks/iwae.py [--epochs 4] [--k 1 50] [--seconds 240 --keep folder]

Two tanh layers of 200 units to 50 latents, Adam, a fresh Bernoulli draw for every pixel and epoch. k = 1 is trained on
the ELBO with its KL in closed form (the VAE), k > 1 on the importance-weighted bound. Both get the same images in the
same order, the same draws and the same number of updates. They are evaluated in the same way, on held-out test images,
binarised once: importance bounds -log 1/K sum w with K = --draws, nats per image, lower is better.

Burda, Grosse and Salakhutdinov 2016 (table 1, one stochastic layer, K = 5000, 3280 epochs with a falling rate): VAE
86.76, IWAE-5 85.54, IWAE-50 84.78. With --keep a run that was stopped (--seconds) resumes where it stopped.
"""

from __future__ import annotations

import argparse
import time
from functools import lru_cache
from pathlib import Path

import numpy as np

import scratchnet as sn
from scratchnet.autoencoders import IWAE, VAE
from scratchnet.backend import asarray
from scratchnet.datasets import load_mnist
from scratchnet.nn import Adam

PUBLISHED = {1: 86.76, 5: 85.54, 50: 84.78}
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--images", type=int, default=60000, help="number of training images, from the first")
    parser.add_argument("--batch", type=int, default=20, help="batch size; the default is Burda's")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--k", type=int, nargs="+", default=[1, 50])
    parser.add_argument("--test", type=int, default=1000, help="number of test images")
    parser.add_argument("--draws", type=int, default=1000, help="K of the importance bound")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop training after that many seconds")
    parser.add_argument("--keep", type=Path, help="folder for the state of the runs")
    args = parser.parse_args()
    X = load_mnist("train", size="full")[0][: args.images]
    X_test = load_mnist("test", size="full")[0][: args.test]
    print(f"scratchnet {sn.__version__}, numpy {np.__version__}, backend {sn.current_backend()}")
    print(f"{len(X)} training images, batch {args.batch}, Adam {args.rate:g}", flush=True)
    end = time.monotonic() + args.seconds
    runs = [Run(k, X, args) for k in args.k]
    done = [run.train(end) for run in runs]
    if not all(done):
        print("training is not finished; run it again")
        return
    print(f"\n{len(X_test)} test images after {args.epochs} epochs, nats per image")
    print(f"   k    -ELBO  -bound, K={args.draws:<5}  active  published    gap  seconds")
    bounds = {}
    for run in runs:
        bound = bounds[run.k] = -run.model.log_likelihood(X_test, args.draws)
        elbo, active = run.model.elbo(X_test, n_samples=50), run.model.transform(X_test).var(axis=0) > 0.01
        published = PUBLISHED.get(run.k, float("nan"))
        print(
            f"{run.k:>4}  {-float(elbo.mean()):>7.2f}  {mean_and_error(bound):>15}  {int(active.sum()):>6}  "
            f"{published:>9.2f}  {float(bound.mean()) - published:>5.2f}  {run.seconds:.0f}",
            flush=True,
        )
    if {1, 50} <= bounds.keys():
        print(f"k = 50 minus k = 1, image by image: {mean_and_error(bounds[50] - bounds[1])} (published: -1.98)")


class Run:
    """One model, trained update by update, with its state in a file."""

    def __init__(self, k: int, X: np.ndarray, args: argparse.Namespace) -> None:
        settings = {"hidden": (200, 200), "n_latent": 50, "activation": "tanh", "binarisation": "dynamic"}
        settings |= {"epochs": 0, "random_state": SEED}
        self.k, self.X, self.batch = k, X, args.batch
        self.model = (VAE(**settings) if k == 1 else IWAE(n_importance=k, **settings)).fit(X)
        self.adam, self.seconds = Adam(self.model.params_, args.rate), 0.0
        self.per_epoch = len(X) // args.batch
        self.total = args.epochs * self.per_epoch
        self.path = args.keep and args.keep / f"k{k}-{len(X)}-{args.batch}-{args.rate:g}.npz"
        if self.path and self.path.exists():
            kept = np.load(self.path)
            for name, array in self.state().items():
                array[...] = asarray(kept[name])
            self.adam.t, self.seconds = int(kept["t"]), float(kept["seconds"])

    def state(self) -> dict[str, np.ndarray]:
        m, v = self.adam.moments
        return {"theta": self.model.params_.theta, "m": m, "v": v}

    def train(self, end: float) -> bool:
        """Train until all epochs are done or the time is up; return whether they are done."""
        start = time.monotonic()
        while self.adam.t < self.total and time.monotonic() < end:
            epoch, i = divmod(self.adam.t, self.per_epoch)
            rows = _order(epoch, len(self.X))[i * self.batch : (i + 1) * self.batch]
            coins = np.random.default_rng((SEED, epoch, i)).random(size=(self.batch, self.X.shape[1]), dtype="float32")
            self.model.gradient(asarray((self.X[rows] > coins).astype("float32")))
            self.adam.step()
        self.seconds += time.monotonic() - start
        print(f"k {self.k}: {self.adam.t} of {self.total} updates, {self.seconds:.0f} s", flush=True)
        if self.path:
            self.path.parent.mkdir(exist_ok=True)
            np.savez(self.path, **self.state(), t=self.adam.t, seconds=self.seconds)
        return self.adam.t == self.total


@lru_cache(maxsize=1)
def _order(epoch: int, n: int) -> np.ndarray:
    return np.random.default_rng((SEED, epoch)).permutation(n)


def mean_and_error(values: np.ndarray) -> str:
    """The mean over test images and its standard error."""
    return f"{float(values.mean()):.2f} +- {float(values.std()) / len(values) ** 0.5:.2f}"


if __name__ == "__main__":
    main()
