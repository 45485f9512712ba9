"""Chapter neighbour embedding, continued: how to read an embedding: perplexity, sizes and distances of groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet import plots
from scratchnet.backend import Array, asarray, to_numpy
from scratchnet.manifold import TSNE
from scratchnet.metrics import knn_accuracy
from scratchnet.neighbors import nearest_neighbors
from scratchnet.tour.data import TourData
from scratchnet.tour.report import Number, Picture, Section, Table, Tell

__all__ = ["GENTLE", "IMPORT", "N_SMALL", "embed", "perplexities", "perplexity_of", "sizes"]

N_SMALL, N_ITER_SMALL = 400, 500
# with few points and a high perplexity, exaggerated attraction would pull all points together
GENTLE: dict[str, Any] = {"early_exaggeration": 1.0, "learning_rate": 20.0}
IMPORT = "from scratchnet.manifold import TSNE"


def perplexity_of(n: int) -> float:
    """The perplexity for n points: n / 15, at most 30."""
    return min(30.0, n // 15)


def embed(X: Array, tell: Tell, **parameters: Any) -> TSNE:
    model = TSNE(**GENTLE, max_iter=N_ITER_SMALL, **parameters)
    for state in model.steps(X):
        if state.iteration % 50 == 0:
            tell(f"TSNE, iteration {state.iteration} of {model.max_iter}")
    return model


def perplexities(data: TourData, seed: int, tell: Tell) -> Section:
    X = data.X[:N_SMALL]
    y = None if data.y is None else data.y[: len(X)]
    values = [p for p in (2, 10, 30, 100) if 3 * p < len(X)] or [2]
    numbers, keys, panels = {"n": Number("points", len(X))}, {}, {}
    for p in values:
        model = embed(X, tell, perplexity=p, random_state=seed)
        panels[f"perplexity {p}"] = model.embedding_
        numbers[f"kl{p}"] = Number(f"KL, perplexity {p}", model.kl_divergence_, "nats")
        numbers[f"gap{p}"] = Number(f"neighbour gap, perplexity {p}", _neighbour_gap(model.embedding_))
        keys[str(p)] = [f"kl{p}", f"gap{p}"]
        if y is not None:
            numbers[f"knn{p}"] = Number(f"1-NN accuracy, perplexity {p}", knn_accuracy(model.embedding_, y))
            keys[str(p)].append(f"knn{p}")
    low, high = values[0], values[-1]
    return Section(
        "perplexity",
        says="""<p>The perplexity <i>k</i> sets the effective number of neighbours of a point, and so the size of the
            structures that are visible. It determines the entropy of each point's Gaussian; <i>σ</i><sub>i</sub> is
            found by a search.</p>
            <p class="formula">−Σ<sub>j</sub> <i>p</i><sub>j|i</sub> log <i>p</i><sub>j|i</sub> = log <i>k</i></p>""",
        pictures=[
            Picture(
                plots.embeddings(panels, data.named(y)),
                "The same points embedded with four perplexities: many small clumps with the smallest, large "
                "connected islands with the largest.",
            )
        ],
        numbers=numbers,
        tables=[Table(["perplexity", "KL", "neighbour gap", *(["1-NN accuracy"] if y is not None else [])], keys)],
        facts={"low": low, "high": high},
        sees=(
            f"The neighbour gap, the median distance to the nearest neighbour over the spread of the embedding, is "
            f"{{gap{low}}} with perplexity {{low}} and {{gap{high}}} with {{high}}"
            + (
                ": a small perplexity splits the data into small dense clumps, a large one spreads them evenly. "
                if float(numbers[f"gap{low}"]) < float(numbers[f"gap{high}"])
                else ". "
            )
            + f"The KL values, {{kl{low}}} and {{kl{high}}} nats, are not comparable: each perplexity has its own P."
        ),
        code=data.code(
            "from scratchnet import plots\n" + IMPORT,
            "panels = {}",
            f"for perplexity in {tuple(values)}:",
            "    tsne = TSNE(perplexity=perplexity, early_exaggeration=1, learning_rate=20)",
            f'    panels[f"perplexity {{perplexity}}"] = tsne.fit_transform(X[:{N_SMALL}])',
            f'plots.embeddings(panels, y[:{N_SMALL}]).savefig("perplexities.png")',
        ),
    )


def _neighbour_gap(Y: Array) -> float:
    """The median distance to the nearest neighbour, over the standard deviation of the embedding."""
    points = to_numpy(Y)
    return float(np.median(to_numpy(nearest_neighbors(points, 1)[1])) / points.std(axis=0).max())


def sizes(seed: int, tell: Tell) -> Section:
    """Three groups: one is ten times as wide as another, and one pair is three times as far apart as another."""
    host = np.random.default_rng(seed)
    centers, spread = np.array([[0.0, 0.0], [20.0, 0.0], [80.0, 0.0]]), np.array([0.5, 5.0, 2.0])
    y = np.repeat(np.arange(3), 100)
    X = centers[y] + spread[y, None] * host.standard_normal((300, 2))
    Y = to_numpy(embed(asarray(X.astype(np.float32)), tell, random_state=seed).embedding_)
    names = np.array(["A", "B", "C"])[y]
    fig, axes = plots.figure(1, 2, size=(plots.WIDTH, 3.2))
    plots.scatter(X, names, ax=axes[0, 0], title="the data")
    plots.scatter(Y, names, ax=axes[0, 1], title="t-SNE")

    def shape(points: np.ndarray) -> tuple[float, float]:
        """How many times as wide B is as A, and how many times as far B-C is as A-B."""
        means = np.stack([points[y == k].mean(axis=0) for k in range(3)])
        widths = [float(np.sqrt(points[y == k].var(axis=0).sum())) for k in range(3)]
        return widths[1] / widths[0], float(
            np.linalg.norm(means[2] - means[1]) / np.linalg.norm(means[1] - means[0])
        )  # fmt: skip

    (wide_before, far_before), (wide_after, far_after) = shape(X), shape(Y)
    return Section(
        "sizes",
        says="""<p>How to read such an embedding: groups in the embedding are mostly groups in the data. Their sizes and
            the distances between them mean little, because every point has its own <i>σ</i>. Here, three groups in
            the plane (one wide and one narrow, two close together and one far away) are embedded in the plane
            again.</p>""",
        pictures=[
            Picture(
                fig,
                "Left, three groups of points: A narrow, B wide and near A, C far away. Right, their t-SNE embedding, "
                "in which the three have similar sizes.",
            )
        ],
        numbers={
            "wide_before": Number("width of B over width of A, data", wide_before, "", ".1f"),
            "wide_after": Number("width of B over width of A, t-SNE", wide_after, "", ".1f"),
            "far_before": Number("distance B–C over distance A–B, data", far_before, "", ".1f"),
            "far_after": Number("distance B–C over distance A–B, t-SNE", far_after, "", ".1f"),
        },
        tables=[
            Table(
                ["", "data", "t-SNE"],
                {
                    "width of B / width of A": ["wide_before", "wide_after"],
                    "distance B–C / distance A–B": ["far_before", "far_after"],
                },
            )
        ],
        sees="In the data, B is {wide_before} times as wide as A, in the embedding {wide_after} times. C is "
        "{far_before} times as far from B as A is; in the embedding {far_after} times.",
        code=f"import numpy as np\nfrom scratchnet import plots\n{IMPORT}\n\n"
        "spread, place = np.repeat([[0.5, 5, 2], [0, 20, 80]], 100, axis=1)\n"
        "X = spread[:, None] * np.random.default_rng(0).normal(size=(300, 2))\n"
        "X[:, 0] += place\n"
        'plots.scatter(TSNE().fit_transform(X), place.astype(int)).savefig("sizes.png")',
    )
