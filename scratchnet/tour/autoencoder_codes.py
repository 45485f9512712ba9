"""Chapter autoencoder, continued: what codes are good for: walks, generation, strange input, clustering."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet import plots
from scratchnet.autoencoders import Autoencoder, latent
from scratchnet.backend import Array, Rng, asarray, to_numpy
from scratchnet.cluster import KMeans
from scratchnet.metrics import auroc, clustering_accuracy, normalized_mutual_info
from scratchnet.tour.data import TourData, nearest
from scratchnet.tour.report import LeftOut, Number, Picture, Section, Table, Tell

IMPORT = "from scratchnet.autoencoders import Autoencoder, latent"
FIT = "model = Autoencoder(hidden=(128,), n_latent=32, verbose=1).fit(X)"


def _pairs(data: TourData, n: int, seed: int) -> tuple[Array, Array]:
    """n random pairs of held-out samples, of different classes where there are labels."""
    host = Rng(seed).host
    a, b = (host.integers(len(data.X_test), size=6 * n) for _ in range(2))
    differ = a != b if data.y_test is None else data.y_test[a] != data.y_test[b]
    return data.X_test[asarray(a[differ][:n])], data.X_test[asarray(b[differ][:n])]


def walk(data: TourData, model: Autoencoder, seed: int) -> Section:
    A, B = _pairs(data, 200, seed)
    za, zb = model.transform(A), model.transform(B)
    blended, decoded = (A + B) / 2, model.inverse_transform((za + zb) / 2)
    ends = np.concatenate([nearest(model.reconstruct(E), data.X)[1] for E in (A, B)]).mean()
    blend_gap, code_gap = nearest(blended, data.X)[1].mean(), nearest(decoded, data.X)[1].mean()
    pictures = []
    if data.shape:
        rows = []
        for i in range(2):
            rows.append(latent.interpolate(A[i], B[i]))
            rows.append(model.inverse_transform(latent.interpolate(za[i], zb[i])))
        pictures = [
            Picture(
                plots.reconstructions(*rows, labels=["pixels", "code"] * 2, shape=data.shape),
                "Two pairs of images, each joined by ten steps in two ways: blending the pixels, which shows both "
                "images over one another, and interpolating the codes, where one form turns into the other.",
            )
        ]
    return Section(
        "walk",
        says="""<p>The straight line between two images leads through double exposures. The straight line between
            their codes, decoded, leads through other images.</p>
            <p class="formula"><i>g</i>((1 − <i>a</i>) <i>f</i>(<i>x</i>) + <i>a</i> <i>f</i>(<i>x</i>′))
            &nbsp;against&nbsp; (1 − <i>a</i>) <i>x</i> + <i>a x</i>′</p>""",
        pictures=pictures,
        numbers={
            "pairs": Number("pairs of held-out samples", len(A)),
            "blend": Number(
                "half-way by pixels: squared distance to the nearest training sample", blend_gap, "MSE", ".4f"
            ),
            "code": Number("half-way by code: squared distance to the nearest training sample", code_gap, "MSE", ".4f"),
            "ends": Number("the same for reconstructions of the ends", float(ends), "MSE", ".4f"),
        },
        sees=(
            "Half-way points by code are nearer to real data than half-way points by pixels: over {pairs} pairs, the "
            "nearest training sample is {code} away instead of {blend}. "
            if code_gap < blend_gap
            else "Over {pairs} pairs, half-way points by code are no nearer to real data than those by pixels: {code} "
            "against {blend} to the nearest training sample. "
        )
        + (
            "They are still farther off than the reconstructed ends, {ends}: nothing has asked this latent space to be "
            "filled without gaps."
            if code_gap > 1.05 * ends
            else "That is as near as the reconstructed ends are, {ends}."
        ),
        code=data.code(
            IMPORT,
            FIT,
            "Z = model.transform(X[:2])",
            "images = model.inverse_transform(latent.interpolate(Z[0], Z[1]))",
        ),
    )


def generation(data: TourData, model: Autoencoder, seed: int) -> Section:
    Z = model.transform(data.X)
    codes: dict[str, Array] = {}
    for kind in ("diagonal", "full"):
        codes[kind] = latent.GaussianDensity(kind).fit(Z).sample(500, random_state=seed)
    codes["far"] = Z.mean(axis=0) + 4 * (codes["diagonal"] - Z.mean(axis=0))
    images = {kind: model.inverse_transform(z) for kind, z in codes.items()}
    real_gap = nearest(model.reconstruct(data.X_test[:500]), data.X)[1].mean()
    gaps = {kind: nearest(x, data.X)[1].mean() for kind, x in images.items()}
    correlation = np.abs(np.atleast_2d(np.corrcoef(to_numpy(Z).astype(np.float64), rowvar=False)))
    np.fill_diagonal(correlation, 0)
    pictures = []
    if data.shape:
        rows = [model.reconstruct(data.X_test[:10]), *(x[:10] for x in images.values())]
        pictures = [
            Picture(
                plots.reconstructions(*rows, labels=["real codes", "diagonal", "full", "far out"], shape=data.shape),
                "Four rows of images: decoded from the codes of real images; from codes drawn from a Gaussian with "
                "independent latents; from a Gaussian with correlated ones; and from codes four times as far out.",
            )
        ]
    return Section(
        "generation",
        says="""<p>Any point of the latent space can be decoded. To draw new samples one needs to know where the
            codes are. The simplest guess is a Gaussian fitted to each latent by itself; the next one a Gaussian
            with all correlations.</p>""",
        pictures=pictures,
        numbers={
            "real": Number("reconstructions: squared distance to the nearest training sample", real_gap, "MSE", ".4f"),
            "diagonal": Number("decoded draws, independent latents: the same", gaps["diagonal"], "MSE", ".4f"),
            "full": Number("decoded draws, correlated latents: the same", gaps["full"], "MSE", ".4f"),
            "far": Number("decoded from four times as far out: the same", gaps["far"], "MSE", ".4f"),
            "correlation": Number("largest correlation of two latents", float(correlation.max())),
        },
        sees="Draws with independent latents decode to images that lie {diagonal} from the nearest training sample, "
        "with correlations {full}; reconstructions of real data lie {real}, and far out, in regions the network has "
        "never seen, it is {far}. "
        + (
            "A Gaussian is too simple for these codes: latents are correlated, up to {correlation}, and even with all "
            "correlations its draws fall short. A variational autoencoder makes the codes Gaussian instead."
            if gaps["full"] > 1.1 * real_gap
            else "Here a Gaussian does well enough."
        ),
        code=data.code(
            IMPORT,
            FIT,
            'density = latent.GaussianDensity("diagonal").fit(model.transform(X))',
            "images = model.inverse_transform(density.sample(10))",
        ),
    )


def strange_input(data: TourData, model: Autoencoder) -> Section:
    own, strange = (to_numpy(latent.outlier_scores(model, X)) / data.n_features for X in (data.X_test, data.strange))
    scores = np.concatenate([own, strange])
    is_strange = np.repeat([0, 1], [len(own), len(strange)])
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
            f"Ten {data.strange_name} and what the network makes of them.",
        )
        pictures.insert(0, picture)
    return Section(
        "strange",
        says=f"""<p>A network that was trained on {data.name} has no reason to reconstruct anything else. The error
            of the reconstruction therefore tells whether an input is of the known kind; AUROC is the share of pairs
            of one strange and one known input in which the strange one has the larger error.</p>""",
        pictures=pictures,
        numbers={
            "own": Number(f"error, held-out {data.name}", float(own.mean()), "MSE", ".4f"),
            "strange": Number(f"error, {data.strange_name}", float(strange.mean()), "MSE", ".4f"),
            "ratio": Number("how many times as large", float(strange.mean() / own.mean()), "", ".1f"),
            "auroc": Number("AUROC of the error", float(auroc(is_strange, scores))),
        },
        sees=f"The network reconstructs {data.strange_name} {{ratio}} times as badly as {data.name}: {{strange}} "
        "against "
        "{own}. The error alone tells the two apart with an AUROC of {auroc}.",
        code=data.code(
            IMPORT,
            FIT,
            "scores = latent.outlier_scores(model, X_test)  # squared error; higher is stranger",
            test=True,
        ),
    )


def clusters(data: TourData, models: dict[int, Autoencoder], seed: int, tell: Tell) -> Section | LeftOut:
    if data.y is None:
        return LeftOut("clusters", "clusters are scored against classes, and there are no labels")
    tell("k-means on pixels and codes")
    found: dict[str, dict[str, list[float]]] = {}
    names = {"raw": "all numbers", **{f"code{k}": f"codes of {k}" for k in sorted(models, reverse=True)}}
    for space in names:
        X = data.X if space == "raw" else models[int(space[4:])].transform(data.X)
        runs = [KMeans(data.n_classes, random_state=seed + i).fit(X) for i in range(5)]
        found[space] = {
            "nmi": [float(normalized_mutual_info(data.y, to_numpy(run.labels_))) for run in runs],
            "accuracy": [float(clustering_accuracy(data.y, to_numpy(run.labels_))) for run in runs],
        }
    numbers: dict[str, Any] = {}
    for space, name in names.items():
        for measure, label in {"nmi": "NMI", "accuracy": "accuracy"}.items():
            values = found[space][measure]
            numbers[f"{space}_{measure}"] = Number(
                f"{label}, k-means on {name}, mean of 5 starts", float(np.mean(values))
            )
            numbers[f"{space}_{measure}_sd"] = Number(
                f"{label}, k-means on {name}, standard deviation", float(np.std(values))
            )
    best = max((s for s in names if s != "raw"), key=lambda s: np.mean(found[s]["nmi"]))
    gain = np.mean(found[best]["nmi"]) - np.mean(found["raw"]["nmi"])
    noise = np.hypot(np.std(found[best]["nmi"]), np.std(found["raw"]["nmi"]))
    return Section(
        "clusters",
        says="""<p>Distances between raw samples of many dimensions say little, so k-means on them finds poor
            groups. A code has fewer dimensions and less noise. How well groups fit the classes is measured by the
            normalised mutual information (NMI: 0 for none, 1 for the same partition) and by the accuracy when every
            group is given the class that suits it best.</p>""",
        numbers=numbers,
        tables=[
            Table(
                ["k-means on", "NMI", "± sd", "accuracy", "± sd"],
                {name: [f"{s}_nmi", f"{s}_nmi_sd", f"{s}_accuracy", f"{s}_accuracy_sd"] for s, name in names.items()},
            )
        ],
        facts={"best": names[best]},
        sees=f"On the raw data k-means reaches an NMI of {{raw_nmi}} ± {{raw_nmi_sd}} over five starts. The best are "
        f"{{best}} with {{{best}_nmi}} ± {{{best}_nmi_sd}}. "
        + (
            "The gain is larger than the spread between starts."
            if gain > noise
            else "The difference is within the spread between starts: no gain to speak of."
            if abs(gain) <= noise
            else "Here codes do not help: they were trained to reconstruct, not to separate."
        ),
        code=data.code(
            IMPORT + "\nfrom scratchnet.cluster import KMeans\nfrom scratchnet.metrics import normalized_mutual_info",
            "model = Autoencoder(hidden=(128,), n_latent=8).fit(X)",
            f"labels = KMeans({data.n_classes}, random_state=0).fit_predict(model.transform(X))",
            "print(normalized_mutual_info(y, labels))",
        ),
    )
