"""Chapter neighbour embedding, continued: SNE, symmetric SNE and t-SNE compared, the crowding problem, an outlier."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet import plots
from scratchnet.backend import asarray, to_numpy
from scratchnet.manifold import SNE, TSNE, SymmetricSNE
from scratchnet.manifold.affinities import affinities
from scratchnet.manifold.embedding import NeighbourEmbedding
from scratchnet.metrics import knn_accuracy, silhouette
from scratchnet.neighbors import nearest_neighbors
from scratchnet.tour.data import TourData
from scratchnet.tour.report import Number, Picture, Section, Table, Tell
from scratchnet.tour.tsne_reading import GENTLE, N_SMALL, embed, perplexity_of

__all__ = ["crowding", "methods", "outliers"]

N_ITER = 400


def methods(data: TourData, seed: int, tell: Tell) -> tuple[dict[str, NeighbourEmbedding], Section]:
    X = data.X[:N_SMALL]
    y = None if data.y is None else data.y[: len(X)]
    parameters: dict[str, Any] = {"perplexity": perplexity_of(len(X)), "max_iter": N_ITER, "random_state": seed}
    models: dict[str, NeighbourEmbedding] = {
        "SNE": SNE(**parameters),
        "symmetric SNE": SymmetricSNE(**parameters),
        "t-SNE": TSNE(**GENTLE, **parameters),
    }
    numbers, keys = {}, {}
    for name, model in models.items():
        tell(name)
        Y, key = model.fit(X).embedding_, name.split()[0].replace("-", "").lower()
        per_point = model.kl_divergence_ / (len(X) if name == "SNE" else 1)
        numbers[f"{key}_kl"] = Number(f"KL, {name}" + " per point" * (name == "SNE"), per_point, "nats")
        numbers[f"{key}_spread"] = Number(f"width of the embedding, {name}", float(np.ptp(to_numpy(Y), axis=0).max()))
        keys[name] = [f"{key}_kl", f"{key}_spread"]
        if y is not None:
            numbers[f"{key}_knn"] = Number(f"1-NN accuracy, {name}", knn_accuracy(Y, y))
            numbers[f"{key}_silhouette"] = Number(f"silhouette of the classes, {name}", silhouette(Y, y))
            keys[name] += [f"{key}_knn", f"{key}_silhouette"]
    tell("SNE with noise")
    noisy = SNE(jitter=0.3, **parameters).fit(X).kl_divergence_ / len(X)
    numbers["sne_noisy"] = Number("KL, SNE with noise in the first half, per point", noisy, "nats")
    lower = noisy < float(numbers["sne_kl"])
    sees = "SNE ends at {sne_kl} nats per point; with noise that fades in the first half of the descent it ends "
    sees += ("lower" if lower else "no lower") + ", at {sne_noisy}. The embedding is {sne_spread} wide with SNE, "
    sees += "{symmetric_spread} with symmetric SNE and {tsne_spread} with t-SNE."
    if y is not None:
        sees += " The nearest neighbour has the same class for a share of {sne_knn}, {symmetric_knn} and {tsne_knn} of "
        sees += "the points."
    figure = plots.embeddings({name: m.embedding_ for name, m in models.items()}, data.named(y), n_columns=3)
    section = Section(
        "methods",
        says="""<p>Three steps led to t-SNE. <b>SNE</b> (2002) compares, for each point, the distribution of its
            neighbours in the data and in the plane, with a Gaussian of variance ½ in the plane; its cost is the sum of
            the divergences of all points, and noise that is reduced step by step helps it to escape bad local minima.
            <b>Symmetric SNE</b> (2007) compares one distribution over all pairs, which has a simpler gradient.
            <b>t-SNE</b> (2008) replaces the Gaussian in the plane by Student's t with one degree of freedom.</p>
            <p class="formula"><i>q</i><sub>i|j</sub> ∝ exp(−<i>r</i>²), &nbsp; <i>q</i><sub>ij</sub> ∝
            exp(−<i>r</i>²), &nbsp; <i>q</i><sub>ij</sub> ∝ 1/(1 + <i>r</i>²), &nbsp; <i>r</i> = |<i>y</i><sub>i</sub> −
            <i>y</i><sub>j</sub>|</p>""",
        pictures=[
            Picture(
                figure,
                "Three embeddings of the same points: with SNE and with symmetric SNE one even disc in which classes "
                "touch, with t-SNE separate groups.",
            )
        ],
        numbers=numbers,
        tables=[Table(["method", "KL", "width", *(["1-NN accuracy", "silhouette"] if y is not None else [])], keys)],
        sees=sees,
        code=data.code(
            "from scratchnet import plots\nfrom scratchnet.manifold import SNE, TSNE, SymmetricSNE",
            f"X, y = X[:{N_SMALL}], y[:{N_SMALL}]",
            "tsne = TSNE(early_exaggeration=1, learning_rate=20)",
            'models = {"SNE": SNE(), "symmetric SNE": SymmetricSNE(), "t-SNE": tsne}',
            "panels = {name: model.fit_transform(X) for name, model in models.items()}",
            'plots.embeddings(panels, y, n_columns=3).savefig("methods.png")',
        ),
    )
    return models, section


def crowding(data: TourData, models: dict[str, NeighbourEmbedding]) -> Section:
    """At which distances attraction and repulsion act."""
    numbers = {}
    for name, model in models.items():
        distance, pull, push = (to_numpy(a).ravel() for a in model.pair_forces())
        order = distance.argsort()
        reach = np.searchsorted(push[order].cumsum(), 0.99 * push.sum())
        key = name.split()[0].replace("-", "").lower()
        alone = float(pull[order][reach:].sum() / pull.sum())
        numbers[key] = Number(f"attraction beyond the range of repulsion, {name}", 100 * alone, "%", ".1f")
    return Section(
        "crowding",
        says="""<p>In the plane there is less room than in many dimensions: not all points at a moderate distance
            fit. With a Gaussian in the plane, the attraction of a pair grows with its distance, while its
            repulsion vanishes beyond a few units: nothing opposes the weak attractions of the many distant pairs, and
            they crush all points into the middle. This is the crowding problem of SNE. With the heavier tail of
            Student's t, attraction decreases with distance, and repulsion has the same range as attraction.</p>
            <p class="formula">Gaussian: <i>p</i><sub>ij</sub><i>r</i> versus <i>q</i><sub>ij</sub><i>r</i>, &nbsp;
            Student: <i>p</i><sub>ij</sub><i>r</i>/(1 + <i>r</i>²) versus <i>q</i><sub>ij</sub><i>r</i>/(1 +
            <i>r</i>²)</p>""",
        pictures=[
            Picture(
                plots.crowding(models),
                "Attraction and repulsion against the distance in the plane, for SNE, symmetric SNE and t-SNE: with "
                "the first two there is attraction at distances without repulsion; with t-SNE both curves are nearly "
                "the same.",
                "All pairs of points, at the end of the descent.",
            )
        ],
        numbers=numbers,
        sees="The range of repulsion is the distance within which nearly all of it acts (all but one percent). Beyond "
        "this range acts {sne} % of all attraction with SNE, {symmetric} % with symmetric SNE, and {tsne} % with "
        "t-SNE.",
        code=data.code(
            "from scratchnet import plots\nfrom scratchnet.manifold import TSNE, SymmetricSNE",
            'models = {"symmetric SNE": SymmetricSNE(), "t-SNE": TSNE()}',
            "for model in models.values():",
            f"    model.fit(X[:{N_SMALL}])",
            'plots.crowding(models).savefig("crowding.png")',
        ),
    )


def outliers(data: TourData, seed: int, tell: Tell) -> Section:
    """The affinities of one unfamiliar sample that is moved away from all others, by two definitions."""
    X = to_numpy(data.X[:300]).astype(np.float64)
    mean = X.mean(axis=0)
    away = to_numpy(data.strange[0]) - mean
    typical = float(np.median(to_numpy(nearest_neighbors(X, 1)[1])))
    away *= typical / max(float(np.linalg.norm(away)), 1e-12)
    n, perplexity = len(X) + 1, perplexity_of(len(X))
    steps = np.array([0.5, 1.0, 2.0, 4.0, 10.0, 30.0, 100.0])
    by_pairs, by_mean = [], []
    for step in steps:
        far = np.vstack([X, mean + step * away])
        found = affinities(asarray(far), perplexity)
        everyone = slice(0, n)
        by_mean.append(n * float(found.joint(slice(n - 1, n), everyone).sum()))
        d = to_numpy(found.distances.between(found.distances.points, everyone))
        K = np.exp(-np.median(to_numpy(found.beta)) * d) * (1 - np.eye(n))  # one Gaussian for all pairs
        by_pairs.append(n * float(K[-1].sum() / K.sum()))
    report = found.report()
    Y = to_numpy(embed(asarray(far.astype(np.float32)), tell, perplexity=perplexity, random_state=seed).embedding_)
    apart = to_numpy(nearest_neighbors(Y, 1)[1])[:, 0]
    y = None if data.y is None else data.named(data.y[: len(X)])
    fig, axes = plots.figure(1, 2, size=(plots.WIDTH, 3.3))
    lines = {"one Gaussian for all pairs": by_pairs, "mean of both conditionals": by_mean}
    xlabel, ylabel = "distance from the mean (neighbours: 1)", "share of affinity (1: average)"
    plots.curves(steps, lines, xlabel=xlabel, ylabel=ylabel, ax=axes[0, 0], log_x=True)
    plots.scatter(Y[:-1], y, ax=axes[0, 1], title="t-SNE, outlier marked")
    axes[0, 1].scatter(*Y[-1], marker="X", s=110, color=plots.INK, edgecolors=plots.PAPER, zorder=4)
    return Section(
        "outliers",
        says="""<p>If one Gaussian defined the affinities of all pairs, those of a sample far from all others would be
            nearly zero, and its place in the embedding would not matter. With the mean of both conditionals it has at
            least half the affinity of an average sample, because its own conditional probabilities always sum to one.
            Here one sample from other data is moved away from the others, step by step.</p>
            <p class="formula">Σ<sub>j</sub> <i>p</i><sub>ij</sub> = Σ<sub>j</sub> (<i>p</i><sub>i|j</sub> +
            <i>p</i><sub>j|i</sub>)/2<i>n</i> ≥ 1/2<i>n</i></p>""",
        pictures=[
            Picture(
                fig,
                "Left, the share of affinity of one sample against its distance from the others: with one Gaussian for "
                "all pairs it falls to zero, with the mean of conditionals to one half. Right, the embedding with the "
                "outlier marked by a cross.",
            )
        ],
        numbers={
            "pairs": Number("share of affinity at the largest distance, one Gaussian", by_pairs[-1], "", ".2g"),
            "mean": Number("share of affinity at the largest distance, mean of conditionals", by_mean[-1]),
            "flagged": Number("samples that the report lists as outliers", len(report.outliers)),
            "alone": Number("distance to the nearest neighbour over the median, data", steps[-1], "", ".0f"),
            "kept": Number("distance to the nearest neighbour over the median, t-SNE", apart[-1] / np.median(apart)),
        },
        sees="At the largest distance, the sample has a share of {pairs} with one Gaussian for all pairs, and {mean} "
        "with the mean of conditionals. In the data it is about {alone} typical neighbour distances away from all "
        "others, in the embedding {kept}. The embedding hides how far away it is; the report of the affinities, "
        "available before any embedding, lists the outliers: {flagged} here.",
        code=data.code(
            "import numpy as np\nfrom scratchnet.manifold import affinity_report",
            "X[0] = 100 * X[0]",
            "print(affinity_report(X[:300], perplexity=20))",
        ),
    )
