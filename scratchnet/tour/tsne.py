"""Chapter neighbour embedding: the width of each Gaussian, the descent, a comparison with PCA, the three methods."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scratchnet import plots
from scratchnet.backend import Array, to_numpy
from scratchnet.decomposition import PCA
from scratchnet.manifold import TSNE
from scratchnet.manifold.affinities import affinities
from scratchnet.manifold.descent import EmbeddingState
from scratchnet.metrics import knn_accuracy, trustworthiness
from scratchnet.tour.data import TourData
from scratchnet.tour.report import Chapter, LeftOut, Number, Picture, Section, Table, Tell
from scratchnet.tour.tsne_methods import crowding, methods, outliers
from scratchnet.tour.tsne_reading import IMPORT, perplexities, perplexity_of, sizes

__all__ = ["CHAPTER"]

N, N_ITER = 1000, 600  # exact t-SNE takes n² operations per iteration
NEIGHBORS = 12  # for trustworthiness
EXAGGERATION = 4.0  # as in the paper; with the default 12, 1000 points end at a slightly higher KL


def _run(data: TourData, seed: int, tell: Tell) -> Iterator[Section | LeftOut]:
    yield _widths(data)
    Y, section = _descent(data, seed, tell)
    yield section
    yield _against_pca(data, Y)
    models, section = methods(data, seed, tell)
    yield section
    yield crowding(data, models)
    yield outliers(data, seed, tell)
    yield perplexities(data, seed, tell)
    yield sizes(seed, tell)


def _widths(data: TourData) -> Section:
    """The perplexity search: the narrowest, the median and the widest Gaussian."""
    X = data.X[:N]
    n, perplexity = len(X), perplexity_of(len(X))
    found = affinities(X, perplexity)
    sigma, report = to_numpy((2 * found.beta) ** -0.5), found.report()
    order = sigma.argsort()
    k, points, everyone = int(perplexity), found.distances.points, slice(0, n)
    d = np.sort(to_numpy(found.distances.between(points, everyone)), axis=1)[:, 1:]  # to each point's neighbours
    apart, spread = np.sqrt(d[:, 0]), np.sqrt(d[:, k] - d[:, 0])
    fig, axes = plots.figure(1, 2, size=(plots.WIDTH, 3.1))
    for i, name, color in zip(order[[0, n // 2, -1]], ("narrowest", "median", "widest"), plots.PALETTE, strict=False):
        p = np.sort(to_numpy(found.conditional(slice(int(i), int(i) + 1), everyone))[0])[::-1]
        label = f"{name}, σ = {sigma[i]:.2f}"
        axes[0, 0].plot(np.sqrt(d[i, : 6 * k]), p[: 6 * k], color=color, marker=".", linewidth=0.8, label=label)
    axes[0, 0].set(xlabel="distance to another point", ylabel="p(j | i)", ylim=(0, 1.6 * axes[0, 0].get_ylim()[1]))
    axes[0, 0].legend(loc="upper right")
    axis_labels = "spread of neighbours' distances", "σ"
    plots.scatter(np.column_stack([spread, sigma]), ax=axes[0, 1], equal=False, axis_labels=axis_labels)
    by_distance, by_spread = (float(np.corrcoef(a, sigma)[0, 1]) if np.ptp(a) else np.nan for a in (apart, spread))
    unit = "grey levels" if data.shape else ""
    return Section(
        "widths",
        says="""<p>Stochastic neighbour embedding defines the probability that point <i>j</i> picks <i>i</i> as its
            neighbour, with a Gaussian around <i>j</i>. The width <i>σ</i><sub>j</sub> of the Gaussian is searched such
            that the entropy of this distribution is the logarithm of the perplexity <i>k</i>, as if <i>j</i> had
            <i>k</i> equally probable neighbours. A squared distance that all neighbours have in common cancels. The
            spread is the root of the difference between the squared distances of the <i>k</i>-th and the nearest
            neighbour.</p>
            <p class="formula"><i>p</i><sub>i|j</sub> ∝ exp(−|<i>x</i><sub>i</sub> − <i>x</i><sub>j</sub>|² /
            2<i>σ</i><sub>j</sub>²), &nbsp; −Σ<sub>i</sub> <i>p</i><sub>i|j</sub> log <i>p</i><sub>i|j</sub> = log
            <i>k</i></p>""",
        pictures=[
            Picture(
                fig,
                "Left, the probability of being picked against the distance, for the points with the narrowest, the "
                "median and the widest Gaussian. Right, the width of every point's Gaussian against the spread of "
                "the distances to its neighbours.",
            )
        ],
        numbers={
            "n": Number("points", n),
            "perplexity": Number("perplexity", perplexity, "", "g"),
            "entropy_error": Number("largest error of a point's entropy", report.entropy_error, "nats", ".1e"),
            "sigma_min": Number("smallest σ of a point", float(sigma.min()), unit, ".2f"),
            "sigma_max": Number("largest σ of a point", float(sigma.max()), unit, ".2f"),
            "by_distance": Number("correlation of σ and the distance to the nearest neighbour", by_distance, "", ".2f"),
            "by_spread": Number("correlation of σ and the spread of the distances", by_spread, "", ".2f"),
            "duplicates": Number("points with a duplicate", len(report.duplicates)),
        },
        sees="The narrowest Gaussian has σ = {sigma_min}, the widest {sigma_max}. The correlation of σ with the "
        "distance to the nearest neighbour is {by_distance}, with the spread of the distances {by_spread}"
        + (": what matters is how different the neighbours' distances are. " if by_spread > abs(by_distance) else ". ")
        + "The error of the search is at most {entropy_error} nats of entropy.",
        code=data.code(
            "from scratchnet.manifold import affinity_report", f"print(affinity_report(X[:{N}], perplexity=30))"
        ),
    )


def _descent(data: TourData, seed: int, tell: Tell) -> tuple[Array, Section]:
    X = data.X[:N]
    y = None if data.y is None else data.y[: len(X)]
    model = TSNE(
        perplexity=perplexity_of(len(X)),
        early_exaggeration=EXAGGERATION,
        max_iter=N_ITER,
        kl_every=25,
        random_state=seed,
    )
    shown: dict[int, Array] = {}

    def states() -> Iterator[EmbeddingState]:
        for state in model.steps(X):
            if state.iteration % 25 == 0:
                tell(f"TSNE, iteration {state.iteration} of {N_ITER}")
            if state.iteration in (0, 15, 25, 150, 175, N_ITER):
                shown[state.iteration] = state.embedding
            yield state

    with tempfile.TemporaryDirectory() as folder:
        gif = plots.animation(states(), Path(folder) / "tsne.gif", data.named(y), every=20).read_bytes()
    fig, axes = plots.figure(2, 3, size=(plots.WIDTH, 4.5))
    for ax, (iteration, Y) in zip(axes.flat, shown.items(), strict=False):
        names = data.named(y) if iteration == max(shown) else y
        plots.scatter(Y, names, ax=ax, title=f"iteration {iteration}", names=iteration == max(shown))
    history = model.kl_history_
    section = Section(
        "descent",
        says="""<p>t-SNE tries to keep neighbours together. The joint affinity <i>p</i> of a pair is the mean of its two
            conditional probabilities. In the plane, the similarities <i>q</i> come from a heavy-tailed Student
            distribution. Gradient descent moves the points until <i>q</i> is similar to <i>p</i>; in its first quarter
            attraction is exaggerated, so that groups form.</p>
            <p class="formula"><i>p</i><sub>ij</sub> = (<i>p</i><sub>i|j</sub> + <i>p</i><sub>j|i</sub>)/2<i>n</i>,
            &nbsp; <i>q</i><sub>ij</sub> ∝ 1/(1 + |<i>y</i><sub>i</sub> − <i>y</i><sub>j</sub>|²), &nbsp; cost =
            KL(<i>P</i>‖<i>Q</i>)</p>""",
        pictures=[
            Picture(
                gif,
                f"An animation of the descent: {data.name} start in one small cloud, which splits into groups and "
                "grows.",
                "The descent as an animation; each frame has its own scale.",
            ),
            Picture(
                fig,
                f"Six scatter plots of the embedding during the descent: {data.name} start in one small cloud and "
                "split into groups.",
                f"Each panel has its own scale. Attraction is exaggerated up to iteration {N_ITER // 4}.",
            ),
            Picture(
                plots.curves(
                    list(history),
                    {"KL": list(history.values())},
                    xlabel="iteration",
                    ylabel="KL(P‖Q) (nats), not exaggerated",
                ),
                "The Kullback–Leibler divergence over the iterations: it falls, most steeply when the exaggeration "
                "ends.",
            ),
        ],
        numbers={
            "n": Number("points", len(X)),
            "iterations": Number("iterations", model.n_iter_),
            "kl_start": Number("KL at the start", history[0], "nats"),
            "kl": Number("KL at the end", model.kl_divergence_, "nats"),
            "rate": Number("learning rate (auto)", model.learning_rate_, "", ".1f"),
        },
        sees="The cost falls from {kl_start} to {kl} nats in {iterations} iterations.",
        code=data.code(
            "from scratchnet import plots\n" + IMPORT,
            f"model = TSNE(early_exaggeration={EXAGGERATION:g}, max_iter={N_ITER})",
            f'plots.animation(model.steps(X[:{N}]), "tsne.gif", y[:{N}])',
            f'plots.scatter(model.embedding_, y[:{N}]).savefig("tsne.png")',
        ),
    )
    return model.embedding_, section


def _against_pca(data: TourData, Y: Array) -> Section:
    X = data.X[: len(Y)]
    Z = PCA(2).fit_transform(X)
    y = None if data.y is None else data.y[: len(Y)]
    fig, axes = plots.figure(1, 2, size=(plots.WIDTH, 3.4))
    flat = {"PCA": Z, "t-SNE": Y}
    numbers: dict[str, Number] = {}
    k = min(NEIGHBORS, (len(X) - 1) // 3)
    for ax, (name, points), key in zip(axes[0], flat.items(), ("pca", "tsne"), strict=True):
        plots.scatter(points, data.named(y), ax=ax, title=name)
        numbers[f"{key}_trust"] = Number(f"trustworthiness of {k} neighbours, {name}", trustworthiness(X, points, k))
        if y is not None:
            numbers[f"{key}_knn"] = Number(f"1-NN accuracy, {name}", knn_accuracy(points, y))
    columns, rows = ["plane", "trustworthiness"], {"PCA": ["pca_trust"], "t-SNE": ["tsne_trust"]}
    better = float(numbers["tsne_trust"]) > float(numbers["pca_trust"])
    sees = (
        "Neighbours in the t-SNE embedding are "
        + ("more" if better else "less")
        + " often neighbours in the data than those in PCA's plane: the trustworthiness is {tsne_trust}, compared with "
        "{pca_trust}."
    )
    if y is not None:
        numbers["raw_knn"] = Number("1-NN accuracy, original space", knn_accuracy(X, y))
        columns.append("1-NN accuracy")
        rows = {name: [f"{key}_trust", f"{key}_knn"] for name, key in {"PCA": "pca", "t-SNE": "tsne"}.items()}
        sees += (
            " The nearest neighbour in the plane has the same class for a share of {tsne_knn} of the samples with "
            "t-SNE and {pca_knn} with PCA; in the original space the share is {raw_knn}."
        )
    return Section(
        "pca",
        says="""<p>PCA preserves large distances, so classes overlap in the plane; t-SNE preserves small ones. Whether
            neighbours in the plane are neighbours in the data is measured by trustworthiness (one if all are), whether
            they have the same class by leave-one-out nearest-neighbour accuracy.</p>""",
        pictures=[
            Picture(
                fig,
                f"Two scatter plots of the same {data.name}, coloured by class: with two principal components the "
                "classes overlap, with t-SNE they form separate islands.",
            )
        ],
        numbers=numbers,
        tables=[Table(columns, rows)],
        sees=sees,
        code=data.code(
            f"from scratchnet.decomposition import PCA\n{IMPORT}\nfrom scratchnet.metrics import knn_accuracy",
            f"X, y = X[:{N}], y[:{N}]",
            f"for method in (PCA(2), TSNE(early_exaggeration={EXAGGERATION:g})):",
            "    print(method, knn_accuracy(method.fit_transform(X), y))",
        ),
    )


CHAPTER = Chapter(
    name="tsne",
    title="Neighbour embedding: SNE and t-SNE",
    lectures="lecture 2",
    lead="A map that keeps neighbours together and ignores everything else.",
    sections={
        "widths": "A Gaussian for every point",
        "descent": "From a dot to islands",
        "pca": "Compared with PCA",
        "methods": "From SNE to t-SNE",
        "crowding": "Why a heavy tail",
        "outliers": "A point far from all others",
        "perplexity": "How many neighbours?",
        "sizes": "What the picture does not show",
    },
    headline=["descent.kl", "pca.tsne_knn", "pca.pca_knn", "pca.tsne_trust"],
    run=_run,
)
