"""Clusters and a compressed code of your own table.

    python examples/own_data.py [table.csv]

Without an argument a small table is written first. Any .npy, .npz or .csv file with one row per sample works; a column
called label, target or y holds the labels.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from scratchnet.autoencoders import Autoencoder
from scratchnet.cluster import KMeans
from scratchnet.datasets import load_table
from scratchnet.metrics import normalized_mutual_info


def write_a_table(path: Path) -> Path:
    """Three kinds of plants, five measurements each."""
    rng = np.random.default_rng(0)
    kinds = rng.choice(["oak", "elm", "ash"], 300)
    centre = {"oak": [9, 4, 30, 2, 1], "elm": [7, 6, 22, 3, 1], "ash": [12, 3, 35, 2, 4]}
    rows = [rng.normal(centre[kind], [0.5, 0.4, 2, 0.3, 0.3]) for kind in kinds]
    lines = ["length,width,height,depth,age,label"]
    lines += [",".join(f"{value:.3f}" for value in row) + f",{kind}" for row, kind in zip(rows, kinds, strict=True)]
    path.write_text("\n".join(lines))
    return path


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else write_a_table(Path(folder) / "plants.csv")
        X, y = load_table(path)
        print(f"{path.name}: {X.shape[0]} rows, {X.shape[1]} columns, labels {'yes' if y is not None else 'no'}")

        X = (X - X.mean(axis=0)) / X.std(axis=0)  # the measurements have different units: rescale them
        kmeans = KMeans(3, n_init=10, random_state=0).fit(X)
        print(f"k-means: inertia {kmeans.inertia_:.1f}, cluster sizes {np.bincount(kmeans.labels_).tolist()}")
        if y is not None:
            print(f"agreement with the labels: NMI {normalized_mutual_info(y, kmeans.labels_):.3f}")

        model = Autoencoder(
            hidden=(32,), n_latent=2, likelihood="gaussian", epochs=60, validation_fraction=0.2, patience=10,
            random_state=0,
        )  # fmt: skip
        model.fit(X)
        explained = 1 - np.square(model.reconstruct(X) - X).mean() / X.var()
        print(f"two numbers per row keep {explained:.0%} of the variance (best epoch {model.best_epoch_})")
        copy = Autoencoder.load(model.save(Path(folder) / "model.safetensors"))
        assert (copy.transform(X) == model.transform(X)).all()
        print("saved and loaded: the codes have the same bits")


if __name__ == "__main__":
    main()
