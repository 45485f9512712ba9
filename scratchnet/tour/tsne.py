"""Chapter t-SNE: the descent, against PCA, perplexity, the heavy tail, and what the picture does not say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchnet import plots
from scratchnet.backend import Array, asarray, to_numpy
from scratchnet.decomposition import PCA
from scratchnet.manifold import TSNE
from scratchnet.metrics import knn_accuracy, silhouette, trustworthiness
from scratchnet.neighbors import nearest_neighbors
from scratchnet.tour.data import TourData
from scratchnet.tour.report import Chapter, LeftOut, Number, Picture, Section, Table, Tell

N, N_ITER = 1000, 600  # exact t-SNE costs n² an iteration
N_SMALL, N_ITER_SMALL = 400, 500
# with few points at a high perplexity, exaggerated attraction would pull everything into one place
GENTLE: dict[str, Any] = {"early_exaggeration": 1.0, "learning_rate": 20.0}
NEIGHBORS = 12  # for trustworthiness
EXAGGERATION = 4.0  # of the paper; 12, the default, is made for more points
IMPORT = "from scratchnet.manifold import TSNE"


def _run(data: TourData, seed: int, tell: Tell) -> Iterator[Section | LeftOut]:
    Y, section = _descent(data, seed, tell)
    yield section
    yield _against_pca(data, Y)
    yield _perplexity(data, seed, tell)
    yield _tail(data, seed, tell)
    yield _sizes(seed, tell)


def _embed(X: Array, tell: Tell, **parameters: Any) -> TSNE:
    model = TSNE(**GENTLE, max_iter=N_ITER_SMALL, **parameters)
    for state in model.steps(X):
        if state.iteration % 50 == 0:
            tell(f"TSNE, iteration {state.iteration} of {model.max_iter}")
    return model


def _descent(data: TourData, seed: int, tell: Tell) -> tuple[Array, Section]:
    X = data.X[:N]
    y = None if data.y is None else data.y[: len(X)]
    model = TSNE(perplexity=min(30.0, len(X) / 15), early_exaggeration=EXAGGERATION, max_iter=N_ITER, random_state=seed)
    snapshots, iterations, kl, shown = {}, [], [], (0, 15, 25, 150, 175, N_ITER)
    for state in model.steps(X):
        if state.iteration % 25 == 0:
            iterations.append(state.iteration)
            kl.append(state.kl)
            tell(f"TSNE, iteration {state.iteration} of {N_ITER}")
        if state.iteration in shown:
            snapshots[state.iteration] = state.embedding
    fig, axes = plots.figure(2, 3, size=(plots.WIDTH, 4.5))
    for ax, (iteration, Y) in zip(axes.flat, snapshots.items(), strict=False):
        names = data.named(y) if iteration == max(snapshots) else None if y is None else y
        plots.scatter(Y, names, ax=ax, title=f"iteration {iteration}", names=iteration == max(snapshots))
    sigma, unit = to_numpy((2 * model.beta_) ** -0.5), "grey levels" if data.shape else ""
    section = Section(
        "descent",
        says="""<p>t-SNE wants neighbours to stay neighbours. Each point gets a Gaussian whose width
            <i>σ</i><sub>i</sub> is chosen so that it has a given effective number of neighbours, the perplexity;
            that makes the affinities <i>p</i>. In the plane a heavy-tailed Student distribution makes the
            similarities <i>q</i>. Gradient descent moves the points until <i>q</i> is like <i>p</i>; in its first
            quarter attraction is exaggerated, so that groups find together.</p>
            <p class="formula"><i>p</i><sub>ij</sub> = (<i>p</i><sub>i|j</sub> + <i>p</i><sub>j|i</sub>)/2<i>n</i>,
            &nbsp; <i>q</i><sub>ij</sub> ∝ 1/(1 + |<i>y</i><sub>i</sub> − <i>y</i><sub>j</sub>|²), &nbsp; cost =
            KL(<i>P</i>‖<i>Q</i>)</p>""",
        pictures=[
            Picture(
                fig,
                f"Six scatter plots of the embedding during the descent: {data.name} start in one small cloud and part "
                "into "
                "groups.",
                f"Each panel has its own scale. Attraction is exaggerated up to iteration {N_ITER // 4}.",
            ),
            Picture(
                plots.curves(
                    iterations, {"KL": kl}, xlabel="iteration", ylabel="KL(P‖Q) (nats), not exaggerated"
                ),
                "The Kullback–Leibler divergence over the iterations: it falls, most steeply when the exaggeration "
                "ends.",
            ),
        ],
        numbers={
            "n": Number("points", len(X)),
            "iterations": Number("iterations", model.n_iter_),
            "kl_start": Number("KL at the start", kl[0], "nats"),
            "kl": Number("KL at the end", model.kl_divergence_, "nats"),
            "rate": Number("learning rate (auto)", model.learning_rate_, "", ".1f"),
            "sigma_min": Number("smallest σ of a point", float(sigma.min()), unit, ".2f"),
            "sigma_max": Number("largest σ of a point", float(sigma.max()), unit, ".2f"),
        },
        sees="The cost falls from {kl_start} to {kl} nats in {iterations} iterations. Points in dense regions get a "
        "narrow Gaussian, σ = {sigma_min}, lonely ones a wide one, up to {sigma_max}: that is how sparse and dense "
        "parts of the data come to look alike.",
        code=data.code(
            "from scratchnet import plots\n" + IMPORT,
            f"model = TSNE(early_exaggeration={EXAGGERATION:g}, max_iter={N_ITER}).fit(X[:{N}])",
            f'plots.scatter(model.embedding_, y[:{N}]).savefig("tsne.png")',
        ),
    )  # fmt: skip
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
        "Neighbours in the t-SNE picture are "
        + ("more" if better else "less")
        + " often true neighbours than in PCA's plane: trustworthiness {tsne_trust} against {pca_trust}."
    )
    if y is not None:
        numbers["raw_knn"] = Number("1-NN accuracy, all numbers", knn_accuracy(X, y))
        columns.append("1-NN accuracy")
        rows = {name: [f"{key}_trust", f"{key}_knn"] for name, key in {"PCA": "pca", "t-SNE": "tsne"}.items()}
        sees += (
            " The nearest neighbour in the plane has the same class for a share of {tsne_knn} of the samples with "
            "t-SNE and {pca_knn} with PCA; with all numbers it is {raw_knn}."
        )
    return Section(
        "pca",
        says="""<p>PCA keeps large distances and lets classes fall on one another; t-SNE keeps small ones. Whether
            neighbours in the plane are neighbours in the data is measured by trustworthiness (one if all are),
            whether they are of one class by leave-one-out nearest-neighbour accuracy.</p>""",
        pictures=[
            Picture(
                fig,
                f"Two scatter plots of the same {data.name}, coloured by class: on two principal components the "
                "classes "
                "overlap, under t-SNE they form separate islands.",
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


def _perplexity(data: TourData, seed: int, tell: Tell) -> Section:
    X = data.X[:N_SMALL]
    y = None if data.y is None else data.y[: len(X)]
    values = [p for p in (2, 10, 30, 100) if 3 * p < len(X)] or [2]
    fig, axes = plots.figure(2, 2, size=(plots.WIDTH, 5.6))
    numbers, keys = {"n": Number("points", len(X))}, {}
    for ax in axes.flat[len(values) :]:
        ax.set_axis_off()
    for ax, p in zip(axes.flat, values, strict=False):
        model = _embed(X, tell, perplexity=p, random_state=seed)
        plots.scatter(model.embedding_, data.named(y), ax=ax, title=f"perplexity {p}")
        numbers[f"kl{p}"] = Number(f"KL, perplexity {p}", model.kl_divergence_, "nats")
        numbers[f"gap{p}"] = Number(f"neighbour gap, perplexity {p}", _neighbour_gap(model.embedding_))
        keys[str(p)] = [f"kl{p}", f"gap{p}"]
        if y is not None:
            numbers[f"knn{p}"] = Number(f"1-NN accuracy, perplexity {p}", knn_accuracy(model.embedding_, y))
            keys[str(p)].append(f"knn{p}")
    low, high = values[0], values[-1]
    return Section(
        "perplexity",
        says="""<p>The perplexity <i>k</i> says how many neighbours a point has, so how large the structures are
            that are looked at. It enters through the entropy of each point's Gaussian, and <i>σ</i><sub>i</sub> is
            found by a search.</p>
            <p class="formula">−Σ<sub>j</sub> <i>p</i><sub>j|i</sub> log <i>p</i><sub>j|i</sub> = log <i>k</i></p>""",
        pictures=[
            Picture(
                fig,
                "The same points embedded with four perplexities: many small clumps with the smallest, large "
                "connected islands with the largest.",
            )
        ],
        numbers=numbers,
        tables=[Table(["perplexity", "KL", "neighbour gap", *(["1-NN accuracy"] if y is not None else [])], keys)],
        facts={"low": low, "high": high},
        sees=(
            f"The neighbour gap, the median distance to the nearest neighbour over the picture's spread, is "
            f"{{gap{low}}} with perplexity {{low}} and {{gap{high}}} with {{high}}"
            + (
                ": a small perplexity tears the data into tight little clumps, a large one lays them out evenly. "
                if float(numbers[f"gap{low}"]) < float(numbers[f"gap{high}"])
                else ". "
            )
            + f"The KL values, {{kl{low}}} and {{kl{high}}} nats, cannot be compared: each perplexity has its own P."
        ),
        code=data.code(
            "from scratchnet import plots\n" + IMPORT,
            f"for perplexity in {tuple(values)}:",
            "    tsne = TSNE(perplexity=perplexity, early_exaggeration=1, learning_rate=20)",
            f"    Y = tsne.fit_transform(X[:{N_SMALL}])",
            f'    plots.scatter(Y, y[:{N_SMALL}]).savefig(f"perplexity-{{perplexity}}.png")',
        ),
    )


def _neighbour_gap(Y: Array) -> float:
    """The median distance to the nearest neighbour, over the standard deviation of the picture."""
    points = to_numpy(Y)
    return float(np.median(to_numpy(nearest_neighbors(points, 1)[1])) / points.std(axis=0).max())


def _tail(data: TourData, seed: int, tell: Tell) -> Section:
    X = data.X[:N_SMALL]
    y = None if data.y is None else data.y[: len(X)]
    perplexity = min(30.0, len(X) / 15)
    fig, axes = plots.figure(1, 2, size=(plots.WIDTH, 3.4))
    numbers, keys = {}, {}
    kinds = {"gauss": ("nearly Gaussian tail (dof 100)", 100.0), "student": ("Student's t (dof 1)", 1.0)}
    for ax, (key, (title, dof)) in zip(axes[0], kinds.items(), strict=True):
        model = _embed(X, tell, perplexity=perplexity, dof=dof, random_state=seed)
        plots.scatter(model.embedding_, data.named(y), ax=ax, title=title)
        Y = to_numpy(model.embedding_)
        numbers[f"{key}_kl"] = Number(f"KL, {title}", model.kl_divergence_, "nats")
        numbers[f"{key}_spread"] = Number(f"standard deviation of the picture, {title}", Y.std(axis=0).max(), "", ".1f")
        keys[title] = [f"{key}_kl", f"{key}_spread"]
        if y is not None:
            numbers[f"{key}_knn"] = Number(f"1-NN accuracy, {title}", knn_accuracy(Y, y))
            numbers[f"{key}_silhouette"] = Number(f"silhouette of the classes, {title}", silhouette(Y, y))
            keys[title] += [f"{key}_knn", f"{key}_silhouette"]
    value = {key: float(number) for key, number in numbers.items()}
    sees = "The same affinities are met with a divergence of {student_kl} nats by the heavy tail and {gauss_kl} by the "
    sees += "nearly Gaussian one, whose picture is {gauss_spread} wide instead of {student_spread}"
    sees += ": crowded. " if value["gauss_spread"] < value["student_spread"] else ". "
    if y is not None:
        sees += "The nearest neighbour is of the same class for a share of {student_knn} of the points with the heavy "
        sees += "tail, and {gauss_knn} without it."
    return Section(
        "tail",
        says="""<p>In the plane there is less room than in many dimensions: points at a middle distance have to be
            pushed far out, and if similarity falls like a Gaussian, their small but many pulls crush everything
            into the middle. This is the crowding problem of SNE. With Student's heavier tail a point may be far
            away at little cost, and outliers still feel a pull. Degrees of freedom blend one into the other.</p>
            <p class="formula"><i>q</i><sub>ij</sub> ∝ (1 + |<i>y</i><sub>i</sub> −
            <i>y</i><sub>j</sub>|²/<i>ν</i>)<sup>−(<i>ν</i> + 1)/2</sup></p>""",
        pictures=[
            Picture(
                fig,
                "Two embeddings of the same points: with a nearly Gaussian tail one even disc in which classes touch, "
                "with Student's t separate tight groups.",
            )
        ],
        numbers=numbers,
        tables=[
            Table(["tail", "KL", "spread", *(["1-NN accuracy", "silhouette"] if y is not None else [])], keys)
        ],
        sees=sees,
        code=data.code(
            "from scratchnet import plots\n" + IMPORT,
            "for dof in (100.0, 1.0):",
            "    tsne = TSNE(dof=dof, early_exaggeration=1, learning_rate=20)",
            f"    Y = tsne.fit_transform(X[:{N_SMALL}])",
            f'    plots.scatter(Y, y[:{N_SMALL}]).savefig(f"dof-{{dof}}.png")',
        ),
    )  # fmt: skip


def _sizes(seed: int, tell: Tell) -> Section:
    """Three groups, one ten times as wide as another, one pair three times as far apart."""
    host = np.random.default_rng(seed)
    centers, spread = np.array([[0.0, 0.0], [20.0, 0.0], [80.0, 0.0]]), np.array([0.5, 5.0, 2.0])
    y = np.repeat(np.arange(3), 100)
    X = centers[y] + spread[y, None] * host.standard_normal((300, 2))
    Y = to_numpy(_embed(asarray(X.astype(np.float32)), tell, random_state=seed).embedding_)
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
        says="""<p>How to read such a picture: groups that are there in the picture are mostly there in the data.
            Their sizes and the distances between them mean little, because every point chooses its own <i>σ</i>.
            Here are three groups in the plane, one wide and one narrow, two near and one far, embedded in the plane
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
        sees="In the data B is {wide_before} times as wide as A, in the picture {wide_after} times. C is {far_before} "
        "times as far from B as A is; in the picture it is {far_after} times.",
        code=f"import numpy as np\nfrom scratchnet import plots\n{IMPORT}\n\n"
        "spread, place = np.repeat([[0.5, 5, 2], [0, 20, 80]], 100, axis=1)\n"
        "X = spread[:, None] * np.random.default_rng(0).normal(size=(300, 2))\n"
        "X[:, 0] += place\n"
        'plots.scatter(TSNE().fit_transform(X), place.astype(int)).savefig("sizes.png")',
    )


CHAPTER = Chapter(
    name="tsne",
    title="t-SNE",
    lectures="lecture 2",
    lead="A map that keeps neighbours together and gives up everything else.",
    sections={
        "descent": "From a dot to islands",
        "pca": "Against the best flat map",
        "perplexity": "How many neighbours?",
        "tail": "Why a heavy tail",
        "sizes": "What the picture does not say",
    },
    headline=["descent.kl", "pca.tsne_knn", "pca.pca_knn", "pca.tsne_trust"],
    run=_run,
)
