"""Chapter PCA: variance and its directions, the plane, eigen-images, reconstruction, denoising, limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchnet import plots
from scratchnet.backend import Array, Rng, asarray, get_xp, to_numpy
from scratchnet.datasets import make_swiss_roll
from scratchnet.decomposition import PCA
from scratchnet.distances import squared_distances
from scratchnet.metrics import knn_accuracy
from scratchnet.tour.data import TourData, first_of_each, mse
from scratchnet.tour.pca_uses import lagrange, regularising
from scratchnet.tour.report import Chapter, LeftOut, Number, Picture, Section, Table, Tell

__all__ = ["CHAPTER"]

NOISE = 0.5  # standard deviation, on pixels in [0, 1]


def _run(data: TourData, seed: int, tell: Tell) -> Iterator[Section | LeftOut]:
    tell("eigenvectors of the covariance")
    pca = PCA().fit(data.X)
    yield lagrange(data, pca, seed)
    yield _spectrum(data, pca)
    yield _plane(data, pca) if data.n_features > 1 else LeftOut("plane", "it needs two columns")
    yield _directions(data, pca) if data.shape else LeftOut("directions", "its pictures need images")
    yield _reconstruction(data, pca)
    yield _denoising(data, pca, seed)
    yield regularising(data)
    yield _swiss_roll(seed)


def _spectrum(data: TourData, pca: PCA) -> Section:
    share = np.cumsum(to_numpy(pca.explained_variance_ratio_))
    needed = {p: int((share < p / 100).sum()) + 1 for p in (50, 90, 95)}
    return Section(
        "spectrum",
        says="""<p>The eigenvalues of the covariance, in descending order, are the variances along the components: their
            sum is the total variance of all columns.</p>
            <p class="formula"><i>S</i> = Σ<sub>i</sub> (<i>x</i><sub>i</sub> − <i>x̄</i>)(<i>x</i><sub>i</sub> −
            <i>x̄</i>)ᵀ / (<i>n</i> − 1), &nbsp; <i>S a</i><sub>k</sub> = <i>λ</i><sub>k</sub>
            <i>a</i><sub>k</sub></p>""",
        pictures=[
            Picture(
                plots.spectrum(pca),
                "Two curves: the variance along each principal component on a logarithmic scale, falling; and the "
                "share of the total variance explained by the first components, rising towards one.",
            )
        ],
        numbers={
            "features": Number("numbers per sample", data.n_features),
            "first": Number("variance in the first component", 100 * share[0], "%", ".1f"),
            "two": Number("variance in the first two", 100 * share[min(1, len(share) - 1)], "%", ".1f"),
            **{f"k{p}": Number(f"components that explain {p}% of the variance", k) for p, k in needed.items()},
        },
        sees=(
            "The variance is concentrated: of {features} directions, {k50} explain half of it and {k90} nine tenths. "
            "But two are far too few for a faithful picture: they explain {two}%."
            if share[min(1, len(share) - 1)] < 0.75
            else "The variance is concentrated: of {features} directions, {k50} explain half of it and {k90} nine "
            "tenths. Two are enough for a good picture: they explain {two}%."
        ),
        code=data.code(
            "from scratchnet.decomposition import PCA",
            "pca = PCA().fit(X)",
            "print(pca.explained_variance_ratio_[:2].sum())",
        ),
    )


def _plane(data: TourData, pca: PCA) -> Section:
    Z = pca.transform(data.X)[:, :2]
    numbers = {"two": Number("variance in the plane", 100 * float(pca.explained_variance_ratio_[:2].sum()), "%", ".1f")}
    sees = "The plane contains {two}% of the variance."
    if data.y is not None:
        means = np.stack([to_numpy(Z)[data.y == k].mean(axis=0) for k in range(data.n_classes)])
        apart = ((means[:, None] - means) ** 2).sum(axis=2) ** 0.5 + 1e9 * np.eye(len(means))
        a, b = np.unravel_index(apart.argmin(), apart.shape)
        subset = get_xp(Z).arange(min(2000, len(Z)))
        numbers |= {
            "plane": Number("10-NN accuracy in the plane", knn_accuracy(Z[subset], data.y[: len(subset)], 10)),
            "all": Number("10-NN accuracy with all numbers", knn_accuracy(data.X[subset], data.y[: len(subset)], 10)),
            "a": Number("the two classes whose means are nearest in the plane: one", data.class_names[a], "class"),
            "b": Number(
                "the two classes whose means are nearest in the plane: the other", data.class_names[b], "class"
            ),
        }
        worse = float(numbers["plane"]) < float(numbers["all"]) - 0.02
        sees += (
            " Classes overlap: ten neighbours in the plane predict the right class for a share of {plane} of the "
            "samples, ten neighbours in the full space for {all}. The means of {a} and {b} are closest."
            if worse
            else " That is enough to separate the classes: ten neighbours in the plane predict the right class for a "
            "share of {plane} of the samples, ten neighbours in the full space for {all}."
        )
    return Section(
        "plane",
        says="""<p>The first two scores are coordinates in the plane that keeps most of the variance of the data: the
            best flat map in the sense of squared error. The scores are uncorrelated.</p>
            <p class="formula"><i>z</i> = (<i>x</i> − <i>x̄</i>) [<i>a</i><sub>1</sub> <i>a</i><sub>2</sub>]</p>""",
        pictures=[
            Picture(
                plots.scatter(Z, data.named(data.y), axis_labels=("component 1", "component 2")),
                f"Scatter plot of the {data.name} on the first two principal components, one colour per class, "
                "with the class names at the medians of their points.",
            )
        ],
        numbers=numbers,
        sees=sees,
        code=data.code(
            "from scratchnet import plots\nfrom scratchnet.decomposition import PCA",
            "Z = PCA(2).fit_transform(X)",
            'plots.scatter(Z, y).savefig("plane.png")',
        ),
    )


def _directions(data: TourData, pca: PCA) -> Section:
    shown = min(20, len(pca.components_))
    scores = to_numpy(pca.transform(data.X))[:, :shown].astype(np.float64)
    correlation = np.corrcoef(scores, rowvar=False) - np.eye(shown)
    gram = to_numpy(pca.components_ @ pca.components_.T) - np.eye(len(pca.components_))
    return Section(
        "directions",
        says="""<p>Each direction has as many entries as an image has pixels, so it can be shown as an image: adding it
            makes the red pixels brighter and the blue ones darker.</p>
            <p class="formula"><i>a</i><sub>j</sub>ᵀ<i>a</i><sub>k</sub> = 0 &nbsp;and&nbsp;
            cov(<i>z</i><sub>j</sub>, <i>z</i><sub>k</sub>) = 0 &nbsp;for <i>j</i> ≠ <i>k</i></p>""",
        pictures=[
            Picture(
                plots.image_grid(pca.components_[:shown], shape=data.shape, n_columns=10, gap=2),
                f"The first {shown} principal components as images, red for positive and blue for negative entries: "
                "smooth large shapes first, finer strokes later.",
                "From the top left, in order of decreasing variance.",
            )
        ],
        numbers={
            "shown": Number("components shown", shown),
            "share": Number(
                "variance they explain together", 100 * float(pca.explained_variance_ratio_[:shown].sum()), "%", ".1f"
            ),
            "gram": Number("largest entry of |A Aᵀ − I|", float(np.abs(gram).max()), "", ".1e"),
            "correlation": Number("largest correlation of two scores", float(np.abs(correlation).max()), "", ".1e"),
        },
        sees="The first directions are broad contrasts between whole regions, later ones look like strokes; the "
        "{shown} shown explain {share}% of the variance. As the theory predicts, they are orthogonal to within {gram}, "
        "and the scores along them are uncorrelated to within {correlation}.",
        code=data.code(
            "from scratchnet import plots\nfrom scratchnet.decomposition import PCA",
            "pca = PCA(20).fit(X)",
            'plots.image_grid(pca.components_).savefig("directions.png")',
        ),
    )


def _project(pca: PCA, X: Array, k: int) -> Array:
    """X projected onto the first k components and mapped back."""
    A = pca.components_[:k]
    return (X - pca.mean_) @ A.T @ A + pca.mean_


def _reconstruction(data: TourData, pca: PCA) -> Section:
    widths = [k for k in (2, 10, 32, 100) if k <= len(pca.components_)] or [1]
    share = np.cumsum(to_numpy(pca.explained_variance_ratio_))
    variance = float(((data.X_test - pca.mean_) ** 2).mean())
    numbers: dict[str, Number] = {"mean": Number("held-out error of the mean alone", variance, "MSE", ".4f")}
    for k in widths:
        numbers[f"mse{k}"] = Number(f"held-out error, {k} components", mse(_project(pca, data.X_test, k), data.X_test),
                                    "MSE", ".4f")  # fmt: skip
        numbers[f"share{k}"] = Number(f"variance in {k} components", 100 * share[k - 1], "%", ".1f")
    first, last = widths[0], widths[-1]
    shown = asarray(first_of_each(data.y_test, data.n_classes))
    pictures = []
    if data.shape:
        rows = [data.X_test[shown], *(_project(pca, data.X_test[shown], k) for k in widths)]
        labels = ["input", *(f"{k} components" for k in widths)]
        clipped = [get_xp(row).clip(row, 0, 1) for row in rows]
        pictures = [
            Picture(
                plots.reconstructions(*clipped, labels=labels, shape=data.shape),
                f"Held-out {data.name} in the first row, and below them their reconstructions from the first "
                f"{', '.join(map(str, widths))} principal components, from blurred to nearly identical.",
            )
        ]
    return Section(
        "reconstruction",
        says="""<p>Mapping <i>k</i> scores back gives the projection onto the plane of the first <i>k</i> components. No
            other <i>k</i> directions give a smaller squared error; what is lost is the variance along the other
            components.</p>
            <p class="formula"><i>x̂</i> = <i>x̄</i> + Σ<sub>j ≤ k</sub> <i>z</i><sub>j</sub>
            <i>a</i><sub>j</sub>ᵀ</p>""",
        pictures=pictures,
        numbers=numbers,
        tables=[
            Table(
                ["components", "variance explained (training)", "held-out error (MSE)"],
                {f"{k}": [f"share{k}", f"mse{k}"] for k in widths},
            )
        ],
        facts={"first": first, "last": last},
        sees=f"The error on held-out {data.name} falls from {{mse{first}}} with {{first}} components to {{mse{last}}} "
        "with {last}; the mean alone has {mean}.",
        code=data.code(
            "from scratchnet.decomposition import PCA",
            "pca = PCA(32).fit(X)",
            "X_hat = pca.inverse_transform(pca.transform(X_test))",
            "print(((X_hat - X_test) ** 2).mean())",
            test=True,
        ),
    )


def _denoising(data: TourData, pca: PCA, seed: int) -> Section:
    noise = Rng(seed).host.standard_normal(data.X_test.shape).astype(np.float32)
    noisy = get_xp(data.X_test).clip(data.X_test + NOISE * asarray(noise), 0, 1)
    widths = [k for k in (1, 2, 5, 10, 20, 30, 50, 100, 200, 400, 784) if k <= len(pca.components_)]
    errors = [mse(_project(pca, noisy, k), data.X_test) for k in widths]
    best = widths[int(np.argmin(errors))]
    before = mse(noisy, data.X_test)
    shown = asarray(first_of_each(data.y_test, data.n_classes))
    pictures = [
        Picture(
            plots.curves(
                widths,
                {"projected": errors, "noisy input": [before] * len(widths)},
                xlabel="components kept",
                ylabel="error against the clean data (MSE)",
                log_x=True,
            ),
            "Error of noisy data projected onto the first components, against their number: a curve with a minimum, "
            "and the error of the noisy data themselves as a horizontal line.",
        )
    ]
    if data.shape:
        xp = get_xp(noisy)
        rows = [data.X_test[shown], noisy[shown], xp.clip(_project(pca, noisy[shown], best), 0, 1)]
        pictures.insert(
            0,
            Picture(
                plots.reconstructions(*rows, labels=["clean", "noisy", "projected"], shape=data.shape),
                f"Clean {data.name}, the same with noise, and the noisy ones projected onto {best} components.",
            ),
        )
    return Section(
        "denoising",
        says=f"""<p>Noise has the same variance in all directions, the data do not. Projecting onto the first
            components keeps most of the data and removes most of the noise. Here Gaussian noise of standard deviation
            {NOISE} was added to held-out {data.name} and the result clipped to [0, 1].</p>""",
        pictures=pictures,
        numbers={
            "before": Number("error of the noisy data", before, "MSE", ".4f"),
            "after": Number("smallest error after projection", min(errors), "MSE", ".4f"),
            "best": Number("components with the smallest error", best),
            "ratio": Number("noisy error over projected error", before / max(min(errors), 1e-12), "", ".1f"),
        },
        sees="Too few components lose details of the data, too many keep the noise. With {best} components the error "
        "falls from {before} to {after}, by a factor of {ratio}."
        if best not in (widths[0], widths[-1])
        else "The best number of components tried is {best}: the error goes from {before} to {after}.",
        code=data.code(
            "import numpy as np\nfrom scratchnet.decomposition import PCA",
            f"noise = {NOISE} * np.random.default_rng(0).standard_normal(X_test.shape)",
            f"pca = PCA({best}).fit(X)",
            "denoised = pca.inverse_transform(pca.transform(np.clip(X_test + noise, 0, 1)))",
            test=True,
        ),
    )


def _swiss_roll(seed: int) -> Section:
    X, t = make_swiss_roll(1500, noise=0.1, random_state=seed)
    pca = PCA(2).fit(X)
    Z, along = to_numpy(pca.transform(X)), to_numpy(t)
    explained = _explained_by_line(Z, along)
    length = (along * np.sqrt(1 + along**2) + np.arcsinh(along)) / 2  # arc length of the spiral from its centre
    sheet = np.stack([length, to_numpy(X)[:, 1]], axis=1)
    pairs = np.triu_indices(len(Z), 1)
    flat, rolled = (squared_distances(A, A)[pairs] ** 0.5 for A in (Z, sheet))
    correlation = np.corrcoef(flat, rolled)[0, 1]
    fig, axes = plots.figure(1, 2, size=(plots.WIDTH, 3.3))
    host = to_numpy(X)
    plots.scatter(host[:, [0, 2]], along, ax=axes[0, 0], title="the roll, seen along its axis")
    plots.scatter(Z, along, ax=axes[0, 1], title="its first two components")
    numbers: dict[str, Any] = {
        "held": Number("variance in two of three components", 100 * float(pca.explained_variance_ratio_.sum()), "%",
                       ".1f"),
        "line": Number("share of the position along the roll that the two scores predict linearly", explained),
        "correlation": Number("correlation of distances in the plane with distances on the sheet", correlation),
    }  # fmt: skip
    return Section(
        "limit",
        says="""<p>PCA is linear: it can rotate and project, but not unroll. A rolled-up sheet is a plane for anyone who
            walks on it, but no projection shows it as one.</p>
            <p class="formula"><i>x</i> = (<i>t</i> cos <i>t</i>, <i>h</i>, <i>t</i> sin <i>t</i>)</p>""",
        pictures=[
            Picture(
                fig,
                "Two scatter plots of a swiss roll coloured by the position along it: seen along its axis it is a "
                "spiral; its projection onto two principal components is not an unrolled sheet either.",
                "Colour: the position t along the roll, in radians.",
            )
        ],
        numbers=numbers,
        sees="Two components contain {held}% of the variance, and yet the sheet is not unrolled: a linear function of "
        "the two scores explains only a share of {line} of the variance of the position along the roll. Distances in "
        "the plane and distances on the sheet have a correlation of {correlation}; after unrolling it would be one.",
        code="from scratchnet import plots\nfrom scratchnet.datasets import make_swiss_roll\n"
        "from scratchnet.decomposition import PCA\n\nX, t = make_swiss_roll(1500, noise=0.1, random_state=0)\n"
        'plots.scatter(PCA(2).fit_transform(X), t).savefig("roll.png")',
    )


def _explained_by_line(Z: np.ndarray, t: np.ndarray) -> float:
    """R² of the least-squares fit of t to Z and a constant."""
    A = np.column_stack([Z, np.ones(len(Z))])
    residual = t - A @ np.linalg.lstsq(A, t, rcond=None)[0]
    return float(1 - residual.var() / t.var())


CHAPTER = Chapter(
    name="pca",
    title="Principal component analysis",
    lectures="lectures 2, 4 and 5",
    lead="Which few directions describe the data best? The eigenvectors of the covariance with the largest "
    "eigenvalues.",
    sections={
        "lagrange": "The direction of largest variance",
        "spectrum": "How many directions matter",
        "plane": "The best flat map",
        "directions": "What the directions look like",
        "reconstruction": "Reconstruction from a few numbers",
        "denoising": "Removing noise by projection",
        "regularising": "PCA as preprocessing",
        "limit": "What a linear map cannot do",
    },
    headline=["spectrum.two", "spectrum.k90", "reconstruction.mse32", "denoising.ratio"],
    run=_run,
)
