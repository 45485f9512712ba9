"""Chapter autoencoder, continued: a code of two numbers, unfamiliar input in both directions, clustering the codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet import plots
from scratchnet.autoencoders import Autoencoder, latent
from scratchnet.backend import Array, asarray, get_xp, to_numpy
from scratchnet.cluster import AgglomerativeClustering, KMeans
from scratchnet.decomposition import PCA
from scratchnet.metrics import auroc, clustering_accuracy, knn_accuracy, normalized_mutual_info
from scratchnet.tour.data import TourData, mse
from scratchnet.tour.report import LeftOut, Number, Picture, Section, Table, Tell

__all__ = ["clusters", "plane", "plane_network", "separation", "strange_input", "strange_network"]

IMPORT = "from scratchnet.autoencoders import Autoencoder, latent"
FIT = "model = Autoencoder((128,), 32, epochs=8, learning_rate=3e-3).fit(X)"
N_WARD = 2000  # samples for Ward's clustering, which needs all their distances
STARTS = 3  # seeds of k-means on raw data


def plane_network(seed: int) -> Autoencoder:
    return Autoencoder(
        hidden=(500, 300), n_latent=2, activation="tanh", likelihood="gaussian", epochs=25, learning_rate=5e-4,
        random_state=seed,
    )  # fmt: skip


def plane(data: TourData, model: Autoencoder, rows: np.ndarray, names: str) -> Section:
    X, X_test, y, y_test = data.X[asarray(rows)], data.X_test, None, None
    if data.y is not None:
        y, held_out = data.y[rows], np.flatnonzero(np.isin(data.y_test, data.y[rows]))
        X_test, y_test = X_test[asarray(held_out)], data.y_test[held_out]
    Z = model.transform(X)
    train_error, test_error = mse(model.reconstruct(X), X), mse(model.reconstruct(X_test), X_test)
    flat = PCA(2).fit(X)
    numbers = {
        "train": Number("squared error, training data", train_error, "MSE", ".4f"),
        "test": Number("squared error, held-out data", test_error, "MSE", ".4f"),
        "pca": Number(
            "squared error, held-out data, PCA with two components",
            mse(flat.inverse_transform(flat.transform(X_test)), X_test), "MSE", ".4f",
        ),
    }  # fmt: skip
    sees = "Two numbers per sample leave an error of {train} on the training data and {test} on held-out data; two "
    sees += "principal components leave {pca}."
    if y is not None and y_test is not None:
        numbers["knn"] = Number("10-NN accuracy, held-out, in the plane", _knn(model, X, y, X_test, y_test))
        numbers["knn_pca"] = Number("10-NN accuracy, held-out, in PCA's plane", _knn(flat, X, y, X_test, y_test))
        sees += " The network was trained without classes, yet ten neighbours in its plane predict the right one for a "
        sees += "share of {knn} of the held-out samples; in PCA's plane the share is {knn_pca}."
    pictures = [
        Picture(
            plots.scatter(Z, data.named(y), axis_labels=("z₁", "z₂")),
            f"Scatter plot of the two-number codes of the classes {names}, one colour per class.",
        )
    ]
    if data.shape:
        pictures += [_seen_and_new(data, model, (X, y), (X_test, y_test)), _walk_in_plane(data, model, Z)]
    return Section(
        "plane",
        says=f"""<p>A deeper network, {data.n_features}–500–300–2–300–500–{data.n_features} with tanh and squared
            error, trained on {names}. Its code is a point in the plane, so the whole latent space is visible: each
            sample is a dot, and every other point can be decoded too.</p>""",
        pictures=pictures,
        numbers=numbers,
        sees=sees,
        code=data.code(
            "from scratchnet import plots\n" + IMPORT,
            'model = Autoencoder(hidden=(500, 300), n_latent=2, activation="tanh",',
            '                    likelihood="gaussian", epochs=25, learning_rate=5e-4).fit(X)',
            'plots.scatter(model.transform(X), y).savefig("plane.png")',
        ),
    )


def _knn(model: Any, X: Array, y: np.ndarray, X_test: Array, y_test: np.ndarray) -> float:
    return knn_accuracy(model.transform(X_test), y_test, 10, train=(model.transform(X), y))


def _seen_and_new(data: TourData, model: Autoencoder, train: tuple[Array, Any], test: tuple[Array, Any]) -> Picture:
    """Five training samples and five held-out ones, from all classes, with their reconstructions."""
    rows = []
    for X, y in (train, test):
        chosen = np.arange(5) if y is None else np.concatenate([np.flatnonzero(y == k)[:2] for k in np.unique(y)])[:5]
        rows.append(X[asarray(chosen)])
    shown = get_xp(data.X).concatenate(rows)
    images = model.reconstruct(shown)
    return Picture(
        plots.reconstructions(shown, get_xp(images).clip(images, 0, 1), shape=data.shape),
        "Ten images above their reconstructions from two numbers: five of the training data, then five held-out ones.",
        "Left half: training data; right half: held-out data.",
    )


def _walk_in_plane(data: TourData, model: Autoencoder, Z: Array) -> Picture:
    """Decoded images along a straight line through the codes, between two extreme quantiles of the first axis."""
    order = to_numpy(Z)[:, 0].argsort()
    codes = latent.interpolate(Z[int(order[len(order) // 20])], Z[int(order[-len(order) // 20])])
    images = model.inverse_transform(codes)
    return Picture(
        plots.image_grid(get_xp(images).clip(images, 0, 1), shape=data.shape, n_columns=10),
        "Ten images decoded at equal steps along a straight line through the plane of codes.",
        "Along a straight line through the plane, from one edge of the codes to the other.",
    )


def strange_network(data: TourData, seed: int) -> Autoencoder:
    """A network to train on the strange data, for the opposite direction: fewer samples, so more epochs."""
    return Autoencoder(
        hidden=(128,), n_latent=min(32, data.n_features), epochs=40, learning_rate=3e-3, random_state=seed
    )


def strange_input(data: TourData, model: Autoencoder, pca: PCA, reverse: Autoencoder) -> Section:
    """``reverse`` is a network that was trained on the first four fifths of the strange data."""
    known = data.strange[len(data.strange) * 4 // 5 :]
    A = pca.components_[: model.n_latent]

    def flat_scores(X: Array) -> Array:
        return ((X - pca.mean_ - (X - pca.mean_) @ A.T @ A) ** 2).mean(axis=1)

    own, strange = (to_numpy(latent.outlier_scores(model, X)) / data.n_features for X in (data.X_test, data.strange))
    pictures = [
        Picture(
            plots.distributions(
                {f"held-out {data.name}": own, data.strange_name: strange}, xlabel="reconstruction error (MSE)"
            ),
            f"Histograms of the reconstruction error of held-out {data.name} and of {data.strange_name}.",
        )
    ]
    if data.shape:
        picture = Picture(
            plots.reconstructions(data.strange[:10], model.reconstruct(data.strange[:10]), shape=data.shape),
            f"Ten {data.strange_name} and their reconstructions by the network.",
        )
        pictures.insert(0, picture)
    back = [to_numpy(latent.outlier_scores(reverse, X)) for X in (known, data.X_test)]
    return Section(
        "strange",
        says=f"""<p>A network that was trained on {data.name} reconstructs other inputs badly. The reconstruction error
            therefore shows whether an input is like the training data. The AUROC is the share of pairs of one
            unfamiliar and one familiar input in which the unfamiliar one has the larger error. PCA with as many
            components is the baseline. In the opposite direction, a network is trained on four fifths of the
            {data.strange_name}, and the {data.name} are unfamiliar.</p>""",
        pictures=pictures,
        numbers={
            "own": Number(f"error, held-out {data.name}", float(own.mean()), "MSE", ".4f"),
            "strange": Number(f"error, {data.strange_name}", float(strange.mean()), "MSE", ".4f"),
            "ratio": Number("ratio of the errors", float(strange.mean() / own.mean()), "", ".1f"),
            "auroc": Number("AUROC of the error", separation(own, strange)),
            "pca": Number(
                "the same with PCA of the same width",
                separation(to_numpy(flat_scores(data.X_test)), to_numpy(flat_scores(data.strange))),
            ),
            "reverse": Number(f"AUROC, trained on {data.strange_name}, {data.name} unfamiliar", separation(*back)),
        },
        sees=f"The error on {data.strange_name} is {{ratio}} times the error on {data.name}: {{strange}} against "
        f"{{own}}. "
        "The error alone separates the two with an AUROC of {auroc}; PCA's error has {pca}. In the opposite direction "
        "the AUROC is {reverse}.",
        code=data.code(
            IMPORT,
            FIT,
            "scores = latent.outlier_scores(model, X_test)  # squared error; higher: less familiar",
            test=True,
        ),
    )


def separation(known: np.ndarray, strange: np.ndarray) -> float:
    """AUROC of scores that should be higher for strange data."""
    return auroc(np.repeat([0, 1], [len(known), len(strange)]), np.concatenate([known, strange]))


def clusters(data: TourData, models: dict[int, list[Autoencoder]], seed: int, tell: Tell) -> Section | LeftOut:
    if data.y is None:
        return LeftOut("clusters", "clusters are compared with classes, and there are no labels")
    tell("k-means on pixels and codes")
    found = {"raw": [KMeans(data.n_classes, random_state=seed + i).fit_predict(data.X) for i in range(STARTS)]}
    names = {"raw": "all numbers"}
    for k, networks in sorted(models.items(), reverse=True):
        names[f"code{k}"] = f"codes of {k}"
        found[f"code{k}"] = [
            KMeans(data.n_classes, random_state=seed + i).fit_predict(network.transform(data.X))
            for i, network in enumerate(networks)
        ]
    ward = AgglomerativeClustering(data.n_classes).fit_predict(data.X[:N_WARD])
    nmi = {s: [normalized_mutual_info(data.y, to_numpy(run)) for run in runs] for s, runs in found.items()}
    accuracy = {s: [clustering_accuracy(data.y, to_numpy(run)) for run in runs] for s, runs in found.items()}
    numbers: dict[str, Any] = {}
    for space, name in names.items():
        for measure, values in {"nmi": nmi[space], "accuracy": accuracy[space]}.items():
            label = f"{'NMI' if measure == 'nmi' else measure}, k-means on {name}"
            numbers[f"{space}_{measure}"] = Number(f"{label}, mean over seeds", float(np.mean(values)))
            numbers[f"{space}_{measure}_sd"] = Number(f"{label}, sd over seeds", float(np.std(values)))
    some = data.y[: len(ward)]
    numbers["ward_nmi"] = Number(
        f"NMI, Ward on {len(ward):,} raw samples", normalized_mutual_info(some, to_numpy(ward))
    )
    numbers["ward_accuracy"] = Number(
        f"accuracy, Ward on {len(ward):,} raw samples", clustering_accuracy(some, to_numpy(ward))
    )
    best = max((s for s in names if s != "raw"), key=lambda s: np.mean(nmi[s]))
    gain = np.mean(nmi[best]) - np.mean(nmi["raw"])
    noise = np.hypot(np.std(nmi[best]), np.std(nmi["raw"]))
    return Section(
        "clusters",
        says="""<p>Distances in many dimensions are not very informative, so k-means on raw samples finds poor clusters.
            A code has fewer dimensions and less noise. How well clusters match the classes is measured by normalised
            mutual information (NMI: 0 for no relation, 1 for the same partition) and by the accuracy with the best
            matching of clusters to classes. Each seed on codes is another network; Ward's hierarchical clustering of
            raw data is the baseline without a code.</p>""",
        numbers=numbers,
        tables=[
            Table(
                ["k-means on", "NMI", "± sd", "accuracy", "± sd"],
                {name: [f"{s}_nmi", f"{s}_nmi_sd", f"{s}_accuracy", f"{s}_accuracy_sd"] for s, name in names.items()},
            )
        ],
        facts={"best": names[best]},
        sees=f"On the raw data k-means reaches an NMI of {{raw_nmi}} ± {{raw_nmi_sd}} over its starts. The best codes "
        f"are {{best}} with {{{best}_nmi}} ± {{{best}_nmi_sd}} over networks. "
        + (
            "The gain is larger than the spread. "
            if gain > noise
            else "The difference is within the spread: no clear gain. "
            if abs(gain) <= noise
            else "Here codes do not help: they are trained for reconstruction, not for separation. "
        )
        + "Ward's clustering of raw samples has {ward_nmi}"
        + (
            ": the better algorithm gains more than the code."
            if float(numbers["ward_nmi"]) > np.mean(nmi[best])
            else "."
        ),
        code=data.code(
            IMPORT + "\nfrom scratchnet.cluster import KMeans\nfrom scratchnet.metrics import normalized_mutual_info",
            "model = Autoencoder((128,), 8, epochs=8, learning_rate=3e-3).fit(X)",
            f"labels = KMeans({data.n_classes}, random_state=0).fit_predict(model.transform(X))",
            "print(normalized_mutual_info(y, labels))",
        ),
    )
