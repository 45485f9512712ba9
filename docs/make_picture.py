"""The picture at the top of the README: six pictures as the tour draws them.

python docs/make_picture.py        (a minute or two; writes docs/tour.png)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scratchnet import plots
from scratchnet.autoencoders import VAE, Autoencoder, ConditionalVAE
from scratchnet.autoencoders.latent import manifold_grid
from scratchnet.cluster import KMeans
from scratchnet.datasets import load_mnist, make_blobs
from scratchnet.decomposition import PCA
from scratchnet.manifold import TSNE


def main() -> None:
    (X, y), (X_test, y_test) = load_mnist("train"), load_mnist("test")
    figure, axes = plots.figure(2, 3, size=(12, 8))
    first_of_each = [int(np.flatnonzero(y_test == digit)[0]) for digit in range(10)]

    blobs, _ = make_blobs(400, centers=[[-7, -4], [-5, 5], [0, 0], [4, 6], [7, -4]], cluster_std=1.4, random_state=0)
    kmeans = KMeans(5, random_state=0).fit(blobs)
    plots.voronoi(kmeans.cluster_centers_, blobs, kmeans.labels_, ax=axes[0, 0], title="k-means")

    plots.scatter(PCA(2).fit_transform(X[:2000]), y[:2000], ax=axes[0, 1], title="PCA: 784 pixels to 2 numbers")
    plots.scatter(
        TSNE(random_state=0).fit_transform(X[:2000]), y[:2000], ax=axes[0, 2], title="t-SNE of the same digits"
    )

    plain = Autoencoder(hidden=(128,), n_latent=32, random_state=0).fit(X)
    rows = np.concatenate([X_test[first_of_each], plain.reconstruct(X_test[first_of_each])])
    plots.image_grid(
        rows.reshape(2, 2, 5, 784).transpose(1, 0, 2, 3).reshape(-1, 784),
        n_columns=5,
        ax=axes[1, 0],
        title="autoencoder: input, and back from 32 numbers",
    )

    vae = VAE(hidden=(400,), n_latent=2, epochs=40, random_state=0).fit(X)
    plots.image_grid(
        vae.inverse_transform(manifold_grid(15)), n_columns=15, ax=axes[1, 1], title="VAE: its latent plane, decoded"
    )

    conditional = ConditionalVAE(hidden=(256, 256), n_latent=5, epochs=60, learning_rate=2e-3, random_state=0).fit(X, y)
    styles = np.random.default_rng(3).standard_normal((10, 5)).astype("float32")
    digits = conditional.inverse_transform(np.repeat(styles, 10, axis=0), np.tile(np.arange(10), 10))
    plots.image_grid(digits, n_columns=10, ax=axes[1, 2], title="conditional VAE: a style a row, a class a column")

    path = Path(__file__).with_name("tour.png")
    figure.savefig(path, dpi=100)
    print(f"wrote {path.name}, {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
