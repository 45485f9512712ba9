"""Chapter clustering: k-means panel by panel, its local minima, the digits, and the curse of dimensionality."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scratchnet import plots
from scratchnet.backend import Array, Rng, asarray, to_numpy
from scratchnet.cluster import KMeans
from scratchnet.datasets import make_blobs
from scratchnet.distances import squared_distances
from scratchnet.metrics import clustering_accuracy, normalized_mutual_info
from scratchnet.tour.clustering_graphs import cliques, linkages, neighbors, tree
from scratchnet.tour.data import TourData
from scratchnet.tour.report import Chapter, LeftOut, Number, Picture, Section, Table, Tell

__all__ = ["CHAPTER"]

PLACES = [[-7, -4], [-5, 5], [0, 0], [4, 6], [7, -4]]  # centres of the groups in the plane
K = len(PLACES)
BLOBS = f"centers = {PLACES}\nX, y = make_blobs(400, centers=centers, cluster_std=1.4, random_state=0)"
IMPORTS = "from scratchnet.cluster import KMeans\nfrom scratchnet.datasets import make_blobs"


def _run(data: TourData, seed: int, tell: Tell) -> Iterator[Section | LeftOut]:
    blobs = make_blobs(400, centers=np.array(PLACES, float), cluster_std=1.4, random_state=seed)[0]
    yield _panels(blobs, seed)
    yield _starts(blobs, seed, tell)
    tell("k-means on the raw data")
    yield _raw(data, seed)
    yield tree(PLACES, seed)
    tell("trees of all linkages")
    yield linkages(data, seed)
    yield cliques(seed)
    tell("nearest neighbours")
    yield neighbors(data)
    yield _concentration(data, seed)
    large = data.shape is not None and min(data.shape) > 2  # in smaller images a shift by two pixels changes nothing
    yield (
        _same_distance(data, seed)
        if large
        else LeftOut("same", "its pictures need images of more than two pixels a side")
    )


def _panels(X: Array, seed: int) -> Section:
    model = KMeans(K, init="random", tol=0, random_state=seed)
    states = list(model.steps(X))
    first = next(state for state in states if state.step == "assign")
    best = KMeans(K, n_init=10, random_state=seed).fit(X).inertia_
    return Section(
        "panels",
        says="""<p>Points that are close to each other belong together. k-means looks for <i>k</i> centres. From some
            initial centres it repeats two steps: assign every point to its nearest centre, then move every centre to
            the mean of its points. Neither step can increase the objective <i>J</i>, so it converges. The centres
            divide the plane into Voronoi cells: the places that are closer to one centre than to any other.</p>
            <p class="formula"><i>J</i> = Σ<sub>i</sub> |<i>x</i><sub>i</sub> − <i>μ</i><sub>c(i)</sub>|²</p>""",
        pictures=[
            Picture(
                plots.kmeans_steps(states, X),
                "Six panels of k-means on points in the plane: random initial centres, points assigned to them, "
                "centres moved, and so on until nothing changes; each panel shows the Voronoi cells of its centres.",
                "Crosses are centres; colours are clusters.",
            )
        ],
        numbers={
            "rounds": Number("rounds until nothing changes", model.n_iter_),
            "first": Number("objective J after the first assignment", first.objective, "squared length", ",.0f"),
            "last": Number("objective J at the end", model.inertia_, "squared length", ",.0f"),
        },
        sees=(
            "Centres that start close together move apart until each has its own group. "
            if model.inertia_ < 1.01 * best
            else "Centres move to the middle of their points, but not every centre finds its own group: this run ends "
            "in a local minimum that is not the global one. "
        )
        + "In {rounds} rounds J falls from {first} to {last}; in the last round no point changes its cluster.",
        code=f"from scratchnet import plots\n{IMPORTS}\n\n{BLOBS}\n"
        f'states = KMeans({K}, init="random", random_state=0).steps(X)\n'
        'plots.kmeans_steps(states, X).savefig("panels.png")',
    )


def _starts(X: Array, seed: int, tell: Tell) -> Section:
    n_starts, curves, found = 40, {}, {}
    for init in ("random", "k-means++"):
        tell(f"{n_starts} runs, {init}")
        runs: dict[int, list[float]] = {}
        model = KMeans(K, init=init, n_init=n_starts, tol=0, random_state=seed)
        for state in model.steps(X):
            if state.step != "start":
                runs.setdefault(state.run, []).append(state.objective)
        found[init] = np.array([objectives[-1] for objectives in runs.values()])
        if init == "random":
            curves = runs
    best = min(objectives.min() for objectives in found.values())
    share = {init: 100 * float((objectives <= 1.01 * best).mean()) for init, objectives in found.items()}
    fig, axes = plots.figure(1, 2, size=(plots.WIDTH, 3.0))
    with plots.style():
        for objectives in curves.values():
            end_is_best = objectives[-1] <= 1.01 * best
            axes[0, 0].plot(objectives, color=plots.PALETTE[0 if end_is_best else 2], linewidth=0.8, alpha=0.7)
        axes[0, 0].set(xlabel="step (assign or move)", ylabel="objective J", title="random starts")
        axes[0, 0].set_ylim(0.9 * best, 6 * best)
        for init, color in zip(found, plots.PALETTE, strict=False):
            axes[0, 1].plot(np.arange(1, n_starts + 1), np.sort(found[init]), ".", color=color, label=init)
        axes[0, 1].set(xlabel="run, best first", ylabel="final J", title="where the runs end")
        axes[0, 1].legend(title="start")
    return Section(
        "starts",
        says="""<p><i>J</i> has many local minima, and k-means converges to one near its start. So it is run several
            times, and the run with the smallest <i>J</i> is kept. k-means++ chooses better initial centres: each one
            is drawn from the points, with a probability that grows with the distance to the centres so far.</p>""",
        pictures=[
            Picture(
                fig,
                "Left: the objective over the steps of many runs from random starts, blue where the run reaches the "
                "best value, red where it gets stuck at a higher one. Right: the final objectives of all runs, sorted, "
                "for random and for k-means++ starts.",
                "Left: runs that end within one percent of the best J are blue, the others red.",
            )
        ],
        numbers={
            "starts": Number("runs of each kind", n_starts),
            "best": Number("smallest J", best, "squared length", ",.0f"),
            "worst": Number("largest final J, random starts", found["random"].max(), "squared length", ",.0f"),
            "random": Number("runs within 1% of the best, random starts", share["random"], "%", ".0f"),
            "plusplus": Number("runs within 1% of the best, k-means++", share["k-means++"], "%", ".0f"),
        },
        sees="The same algorithm on the same points ends at values of J between {best} and {worst}. Of {starts} runs "
        "from random starts, {random}% come within one percent of the best; of {starts} k-means++ runs, {plusplus}%.",
        code=f"{IMPORTS}\n\n{BLOBS}\nfor seed in range(10):\n"
        f'    print(KMeans({K}, init="random", random_state=seed).fit(X).inertia_)\n'
        f"best = KMeans({K}, n_init=10, random_state=0).fit(X)",
    )


def _raw(data: TourData, seed: int) -> Section:
    k = data.n_classes
    model = KMeans(k, n_init=3, random_state=seed).fit(data.X)
    labels = to_numpy(model.labels_)
    numbers = {
        "k": Number("clusters", k),
        "rounds": Number("rounds of the best of three runs", model.n_iter_),
        "inertia": Number("objective J per sample", model.inertia_ / len(labels), "squared length", ".3f"),
    }
    names = None
    sees = "The {k} centres are means of many samples, so they look like blurred prototypes."
    if data.y is not None:
        counts = np.zeros((k, data.n_classes), dtype=int)
        np.add.at(counts, (labels, data.y), 1)
        main = counts.argmax(axis=1)
        names = [data.class_names[c] for c in main]
        numbers |= {
            "nmi": Number("NMI with the classes", float(normalized_mutual_info(data.y, labels))),
            "accuracy": Number("accuracy, one class per cluster", float(clustering_accuracy(data.y, labels))),
            "purity": Number(
                "purity: samples that belong to the main class of their cluster",
                100 * float(counts.max(axis=1).sum() / len(labels)), "%", ".1f",
            ),
            "kinds": Number("classes that are the main class of some cluster", len(set(main.tolist())), f"of {k}"),
        }  # fmt: skip
        sees += (
            " Without any labels, k-means reaches an accuracy of {accuracy} and an NMI of {nmi}: much better than "
            "chance, but far from perfect."
            if 0.2 < float(numbers["accuracy"]) < 0.9
            else " Compared with the true classes, the clusters have an accuracy of {accuracy} and an NMI of {nmi}."
        )
        if len(set(main.tolist())) < k:
            sees += " Only {kinds} classes are the main class of a cluster: some share one, others are split."
    pictures = []
    if data.shape:
        sizes = np.bincount(labels, minlength=k)
        order = np.argsort(main if data.y is not None else -sizes, kind="stable")
        shown = order[:20]
        pictures = [
            Picture(
                plots.image_grid(
                    model.cluster_centers_[asarray(shown)], shape=data.shape, n_columns=min(10, len(shown)),
                    column_labels=None if names is None or k > 10 else [names[c] for c in shown],
                ),
                f"The {len(shown)} cluster centres as images: blurred means of many {data.name}.",
                "" if names is None or k > 10 else "Above each centre: the most frequent class in its cluster.",
            )
        ]  # fmt: skip
    return Section(
        "raw",
        says=f"""<p>The same algorithm on samples of {data.n_features} raw numbers each. The classes are used only
            afterwards, to measure how well the clusters match them: by normalised mutual information (NMI: 0 for no
            relation, 1 for the same partition) and by accuracy with the best matching of clusters to classes.</p>""",
        pictures=pictures,
        numbers=numbers,
        sees=sees,
        code=data.code(
            "from scratchnet.cluster import KMeans\nfrom scratchnet.metrics import normalized_mutual_info",
            f"model = KMeans({k}, n_init=3, random_state=0).fit(X)",
            "print(normalized_mutual_info(y, model.labels_))",
        ),
    )


def _pairwise(X: Array) -> np.ndarray:
    """The distances of all pairs of rows."""
    d = to_numpy(squared_distances(X, X))
    return np.sqrt(d[np.triu_indices(len(d), 1)])


def _concentration(data: TourData, seed: int) -> Section:
    host, n = Rng(seed).host, 400
    dimensions, own = [2, 10, 100, 784], _pairwise(data.X[:n])
    groups = {f"{d} dimensions": _pairwise(host.random((n, d))) for d in dimensions}
    groups[data.name] = own
    groups = {name: d / d.mean() for name, d in groups.items()}
    numbers = {
        f"d{d}": Number(f"spread of distances, {d} dimensions", float(groups[f"{d} dimensions"].std()))
        for d in dimensions
    }
    numbers["own"] = Number(f"spread of distances, {data.name}", float(groups[data.name].std()))
    numbers |= {
        f"edge{d}": Number(f"edge of a cube with 1% of the volume, {d} dimensions", 0.01 ** (1 / d)) for d in dimensions
    }
    contrast = {d: float(groups[f"{d} dimensions"].max() / groups[f"{d} dimensions"].min()) for d in (2, 784)}
    numbers |= {
        f"contrast{d}": Number(f"largest over smallest distance, {d} dimensions", c, "", ",.1f")
        for d, c in contrast.items()
    }
    numbers["contrast_own"] = Number(
        f"largest over smallest distance, {data.name}", float(own.max() / max(own.min(), 1e-12)), "", ",.1f"
    )
    return Section(
        "concentration",
        says="""<p>In many dimensions, points are sparse and all distances are nearly the same. With independent
            coordinates the squared distance is a sum of <i>d</i> terms: its mean grows like <i>d</i>, its standard
            deviation only like √<i>d</i>, so the spread relative to the mean vanishes. Being “near” then
            means little. And a sub-cube with one percent of a cube's volume spans nearly its whole edge:
            0.01<sup>1/<i>d</i></sup>.</p>
            <p class="formula">sd(|<i>x</i> − <i>y</i>|) / mean(|<i>x</i> − <i>y</i>|) &nbsp;∝&nbsp; 1 /
            √<i>d</i></p>""",
        pictures=[
            Picture(
                plots.distributions(groups, xlabel="distance of a pair / mean distance", n_bins=80),
                "Histograms of the distances between random points in a cube, divided by their mean: broad in two "
                f"dimensions, narrower and narrower in more; the {data.name} lie in between.",
            )
        ],
        numbers=numbers,
        tables=[
            Table(
                ["points", "spread (sd / mean)"],
                {**{f"uniform in {d} dimensions": [f"d{d}"] for d in dimensions}, data.name: ["own"]},
            ),
            Table(
                ["cube", "edge for 1% of the volume"],
                {f"{d} dimensions": [f"edge{d}"] for d in dimensions},
            ),
            Table(
                ["points", "largest / smallest distance"],
                {f"uniform in {d} dimensions": [f"contrast{d}"] for d in contrast} | {data.name: ["contrast_own"]},
            ),
        ],
        facts={"few": dimensions[0], "many": dimensions[-1]},
        sees="For uniform points, the spread of distances falls from {d2} of their mean in {few} dimensions to {d784} "
        "in {many}, and a neighbourhood with one percent of the volume spans {edge784} of the edge instead of {edge2}. "
        + (
            f"The {data.name} have {{own}}: their numbers are not independent, which all methods of this tour use."
            if float(numbers["own"]) > 1.5 * float(numbers["d784"])
            else f"The {data.name} have {{own}}."
        ),
        code="import numpy as np\nfrom scratchnet.distances import squared_distances\n\n"
        "X = np.random.default_rng(0).random((400, 784))\n"
        "d = np.sqrt(squared_distances(X, X)[np.triu_indices(400, 1)])\nprint(d.std() / d.mean())",
    )


def _same_distance(data: TourData, seed: int) -> Section:
    """One image and three others at the same distance from it: dimmed, noisy, shifted."""
    assert data.shape is not None
    images = to_numpy(data.X_test).reshape(-1, *data.shape)
    x = images[int(np.argmax(images.reshape(len(images), -1).std(axis=1) > 0))].astype(np.float64)
    shifted = np.roll(x, 2, axis=1)
    distance = float(np.linalg.norm(shifted - x))
    if distance < np.linalg.norm(x):
        name, paler = "dimmed", x * (1 - distance / np.linalg.norm(x))
    else:  # even the black image is too close
        name, paler = "faded", x + distance / np.linalg.norm(1 - 2 * x) * (1 - 2 * x)
    noise = np.abs(Rng(seed).host.standard_normal(x.shape))
    inward = np.where(x > 0.5, -1.0, 1.0)  # towards the middle of [0, 1], to stay inside
    scale = distance / np.linalg.norm(noise)
    for _ in range(50):  # clip to the room there is, then rescale to the distance
        step = np.clip(noise * scale, 0, np.maximum(x, 1 - x))
        scale *= distance / np.linalg.norm(step)
    noisy = x + inward * step
    others = {"shifted": shifted, name: paler, "noisy": noisy}
    gaps = {name: float(np.linalg.norm(other - x)) for name, other in others.items()}
    numbers = {name: Number(f"distance of the {name} image", gap, "grey levels", ".2f") for name, gap in gaps.items()}
    typical = float(_pairwise(data.X[:400]).mean())
    numbers["typical"] = Number(f"mean distance of two {data.name}", typical, "grey levels", ".2f")
    return Section(
        "same",
        says="""<p>The Euclidean distance adds up differences pixel by pixel. It cannot see that a shifted stroke
            is the same stroke.</p>
            <p class="formula">|<i>x</i> − <i>y</i>| = √Σ<sub>j</sub> (<i>x</i><sub>j</sub> −
            <i>y</i><sub>j</sub>)<sup>2</sup></p>""",
        pictures=[
            Picture(
                plots.image_grid(
                    np.stack([x, *others.values()]), column_labels=["original", *others], n_columns=4, cell=1.4
                ),
                f"Four images: an original, the same shifted by two pixels, {name}, and covered with noise. The last "
                "three have the same distance from the first.",
            )
        ],
        numbers=numbers,
        sees="The three images on the right look very different, but each is at distance {shifted} from the original. "
        f"Two random {data.name} are {{typical}} apart on average, so a small shift changes the distance "
        + ("about as much as replacing the image." if distance > 0.8 * typical else "by a good part of that."),
        code="import numpy as np\nfrom scratchnet.datasets import load_mnist\n\n"
        'x = load_mnist("test")[0][0].reshape(28, 28)\nprint(np.linalg.norm(np.roll(x, 2, axis=1) - x))'
        if data.shape == (28, 28)
        else "import numpy as np\n\nprint(np.linalg.norm(np.roll(image, 2, axis=1) - image))",
    )


CHAPTER = Chapter(
    name="clustering",
    title="Clustering",
    lectures="lectures 1 and 2",
    lead="Grouping by similarity, without labels that say what the groups are.",
    sections={
        "panels": "k-means, panel by panel",
        "starts": "Local minima",
        "raw": "k-means on raw data",
        "tree": "A tree instead of centres",
        "linkages": "What does near mean?",
        "cliques": "Cliques of a graph",
        "neighbours": "Classification by neighbours",
        "concentration": "The curse of dimensionality",
        "same": "Same distance, different images",
    },
    headline=["panels.rounds", "raw.nmi", "raw.accuracy", "concentration.d784"],
    run=_run,
)
