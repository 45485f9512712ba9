"""Reference numbers of the autoencoder family that take too long for a test: measured and expected values.

    SCRATCHNET_DATA=... python benchmarks/references.py                       # all cases, three seeds: half an hour
    SCRATCHNET_DATA=... python benchmarks/references.py --case vae --seeds 0  # one of them

The data are the test files of MNIST and Fashion-MNIST, pixels / 255: the first 9,000 images train, the other 1,000 are
held out. Prints a Markdown table line by line as values are found; several seeds give mean ± standard deviation.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any, NamedTuple

import numpy as np

import scratchnet as sn
from scratchnet.autoencoders import VAE, Autoencoder, ConditionalVAE, DenoisingAutoencoder, latent
from scratchnet.backend import Array, to_numpy
from scratchnet.cluster import KMeans
from scratchnet.datasets import load_fashion_mnist, load_mnist
from scratchnet.decomposition import PCA
from scratchnet.metrics import auroc, clustering_accuracy, normalized_mutual_info
from scratchnet.neighbors import KNeighborsClassifier

Load = Callable[..., tuple[Array, Array]]


class Line(NamedTuple):
    """One line of the table: what it is, one value per seed, the expected value, and the number format."""

    what: str
    values: Sequence[float]
    expected: str
    format: str = ".4f"

    def __str__(self) -> str:
        mean, spread = np.mean(self.values), np.std(self.values)
        shown = f"{mean:{self.format}}" + (f" ± {spread:{self.format}}" if len(self.values) > 1 else "")
        return f"| {self.what} | {shown} | {self.expected} |"


def split(load: Load = load_mnist) -> tuple[Array, Array]:
    X, _ = load("test", size="full")
    return X[:9000], X[9000:]


def mse(A: Array, B: Array) -> float:
    return float(((A - B) ** 2).mean())


def linear(seeds: list[int]) -> Iterator[Line]:
    """The optimum of a linear autoencoder is PCA."""
    X, X_test = split()
    for k, ours, pca in ((2, ".058209", ".058210"), (10, ".035297", ".035298")):
        exact = PCA(k).fit(X)
        yield Line(
            f"PCA, {k} components, held-out MSE",
            [mse(exact.inverse_transform(exact.transform(X_test)), X_test)],
            pca,
            ".6f",
        )
        errors = []
        for seed in seeds:
            model = Autoencoder((), k, likelihood="gaussian", epochs=200, learning_rate=5e-4, random_state=seed).fit(X)
            errors.append(mse(model.reconstruct(X_test), X_test))
        yield Line(f"linear autoencoder, code of {k}, held-out MSE", errors, ours, ".6f")


def sizes(seeds: list[int]) -> Iterator[Line]:
    """784-400-L-400-784, ReLU, cross-entropy, 60 epochs."""
    X, X_test = split()
    for k, expected in ((2, ".0459"), (10, ".0181"), (32, ".0075")):
        models = [Autoencoder((400,), k, epochs=60, random_state=seed).fit(X) for seed in seeds]
        yield Line(f"code of {k}, held-out MSE", [mse(m.reconstruct(X_test), X_test) for m in models], expected)


def denoising(seeds: list[int]) -> Iterator[Line]:
    """Gaussian noise, clipped; the baseline is the projection onto the best number of principal components."""
    X, X_test = split()
    pca = PCA().fit(X)
    for sd, noisy, projected, denoised in ((0.3, ".0465", ".0168", ".0103"), (0.5, ".1152", ".0310", ".0158")):
        settings: dict[str, Any] = {"hidden": (400,), "n_latent": 64, "epochs": 40, "noise_level": sd}
        models = [DenoisingAutoencoder(random_state=seed, **settings).fit(X) for seed in seeds]
        seen, mean = models[0].corrupt(X_test, random_state=0), models[0].corrupt(X, random_state=1).mean(axis=0)
        yield Line(f"noise of sd {sd}: MSE of the noisy images", [mse(seen, X_test)], noisy)
        error, k = best_projection(pca, seen, X_test)
        yield Line(f"noise of sd {sd}: best PCA projection ({k} components)", [error], projected)
        error, k = best_projection(pca, seen - mean + pca.mean_, X_test)
        yield Line(f"the same after the noise's mean is taken off ({k} components)", [error], "-")
        errors = [mse(model.reconstruct(seen), X_test) for model in models]
        yield Line(f"noise of sd {sd}: denoising autoencoder", errors, denoised)


def best_projection(pca: PCA, seen: Array, clean: Array) -> tuple[float, int]:
    """The least squared error to ``clean`` of projections of ``seen``, and their number of components."""
    scores = pca.transform(seen)
    errors = {k: mse(scores[:, :k] @ pca.components_[:k] + pca.mean_, clean) for k in range(5, 201, 5)}
    k = min(errors, key=lambda k: errors[k])
    return errors[k], k


def vae(seeds: list[int]) -> Iterator[Line]:
    """784-400-20, 20 epochs; then the importance-weighted bound on 200 images."""
    X, X_test = split()
    models = [VAE(random_state=seed).fit(X, validation=X_test) for seed in seeds]
    rows = [model.evaluate(X_test) for model in models]
    yield Line("held-out loss, nats", [row["loss"] for row in rows], "115.4", ".2f")
    yield Line("its cross-entropy", [row["reconstruction"] for row in rows], "90.5", ".2f")
    yield Line("its KL", [row["kl"] for row in rows], "24.9", ".2f")
    for k, expected in ((1, "-119.5"), (10, "-115.5"), (100, "-114.2")):
        bounds = [float(model.log_likelihood(X_test[:200], k).mean()) for model in models]
        yield Line(f"importance bound, k = {k}, 200 images, nats", bounds, expected, ".2f")


def units(seeds: list[int]) -> Iterator[Line]:
    """How means instead of sums change the weight of the KL term, on Fashion-MNIST: active latents out of 20."""
    X, _ = split(load_fashion_mnist)
    for what, beta, expected in (
        ("sums (beta 1)", 1.0, "15"),
        ("means over pixels and over latents (beta 39.2)", 784 / 20, "2"),
        ("mean over pixels, summed KL (beta 784)", 784.0, "0"),
    ):
        active = [VAE(beta=beta, random_state=seed).fit(X).active_units_ for seed in seeds]
        yield Line(f"active units: {what}", active, expected, ".1f")
    X, _ = load_fashion_mnist("train", size="full")
    active = [row["active_units"] for row in VAE(epochs=15, random_state=seeds[0]).fit(X).history_]
    for epoch in (5, 10, 15):
        yield Line(f"active units: sums, all 60,000 images, {epoch} epochs, one seed", [active[epoch - 1]], "15", ".0f")


def out_of_distribution(seeds: list[int]) -> Iterator[Line]:
    """Out-of-distribution detection, in both directions."""
    sets = {"MNIST": split(), "Fashion-MNIST": split(load_fashion_mnist)}
    for (own, other), expected in {
        ("MNIST", "Fashion-MNIST"): {"elbo": ".999", "error": "-"},
        ("Fashion-MNIST", "MNIST"): {"elbo": "about .31", "error": ".98"},
    }.items():
        found: dict[str, list[float]] = {kind: [] for kind in expected}
        for seed in seeds:
            model = VAE(random_state=seed).fit(sets[own][0])
            for kind in expected:
                scores = [to_numpy(latent.outlier_scores(model, sets[name][1], kind)) for name in (own, other)]
                found[kind].append(auroc(np.repeat([0, 1], [len(s) for s in scores]), np.concatenate(scores)))
        for kind, name in (("elbo", "-ELBO"), ("error", "squared error")):
            yield Line(f"trained on {own}, outliers from {other}: AUROC of {name}", found[kind], expected[kind], ".3f")


def conditional(seeds: list[int]) -> Iterator[Line]:
    """Digits generated by class, judged by a 3-NN classifier trained on the 9,000 embedded digits; 200 per class."""
    (X, y), (X_test, y_test) = load_mnist("train"), load_mnist("test")
    judge = KNeighborsClassifier(3).fit(X, y)
    yield Line("real held-out digits recognised, %", [100 * judge.score(X_test, y_test)], "-", ".1f")
    asked = np.repeat(np.arange(10), 200)
    for n_latent, beta in ((2, 1.0), (3, 2.0)):
        shares, worst = [], []
        for seed in seeds:
            model = ConditionalVAE((256, 256), n_latent, beta=beta, learning_rate=2e-3, random_state=seed).fit(X, y)
            images = model.sample(len(asked), asked, random_state=seed)
            right = to_numpy(judge.predict(images)).reshape(10, -1) == np.arange(10)[:, None]
            shares.append(100 * right.mean())
            worst.append(100 * right.mean(axis=1).min())
        yield Line(f"samples recognised, {n_latent} latents, beta {beta:g}, %", shares, "at least 95", ".1f")
        yield Line("in the class recognised least, %", worst, "-", ".1f")


def clusters(seeds: list[int]) -> Iterator[Line]:
    """k-means on raw pixels and on an autoencoder's code, all 10,000 images."""
    X, y = load_mnist("test", size="full")
    labels = to_numpy(KMeans(10, n_init=10, random_state=0).fit(X).labels_)
    yield Line("k-means on pixels: NMI", [normalized_mutual_info(y, labels)], ".4997")
    yield Line("k-means on pixels: accuracy", [clustering_accuracy(y, labels)], ".5423")
    found = []
    for seed in seeds:
        code = Autoencoder((400,), 10, epochs=30, random_state=seed).fit_transform(X)
        found.append(to_numpy(KMeans(10, n_init=10, random_state=seed).fit(code).labels_))
    yield Line("k-means on codes of 10: NMI", [normalized_mutual_info(y, f) for f in found], ".43 to .57", ".3f")
    yield Line("k-means on codes of 10: accuracy", [clustering_accuracy(y, f) for f in found], ".40 to .57", ".3f")


CASES = {f.__name__: f for f in (linear, sizes, denoising, vae, units, out_of_distribution, clusters, conditional)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, nargs="+", default=list(CASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    print(
        f"scratchnet {sn.__version__}, NumPy {np.__version__}, Python {platform.python_version()}, backend "
        f"{sn.current_backend()}, seeds {args.seeds}, {date.today()}"
    )
    for name in args.case:
        start = time.perf_counter()
        print(f"\n### {name}\n{CASES[name].__doc__}\n\n| | measured | expected |\n|---|---|---|")
        for line in CASES[name](args.seeds):
            print(line, flush=True)
        print(f"\n({time.perf_counter() - start:.0f} s)")


if __name__ == "__main__":
    main()
