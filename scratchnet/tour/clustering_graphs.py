"""Chapter clustering, continued: by connectivity (trees), by graphs (cliques), and nearest-neighbour votes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from scratchnet import plots
from scratchnet.backend import Array, asarray, to_numpy
from scratchnet.cluster import AgglomerativeClustering, KMeans, epsilon_graph, maximal_cliques
from scratchnet.cluster.hierarchical import LINKAGES
from scratchnet.datasets import make_blobs, make_ring
from scratchnet.metrics import adjusted_rand, clustering_accuracy, normalized_mutual_info
from scratchnet.neighbors import count_votes, nearest_neighbors
from scratchnet.tour.data import TourData, first_of_each
from scratchnet.tour.report import LeftOut, Number, Picture, Section, Table

__all__ = ["cliques", "linkages", "neighbors", "tree"]

IMPORT = "from scratchnet.cluster import AgglomerativeClustering"
N_ROWS = 2000  # samples for trees
N_CLIQUES = 24  # points of the graph


def tree(places: list[list[int]], seed: int) -> Section:
    """One tree, cut at three heights."""
    X = make_blobs(60, centers=np.array(places, float), cluster_std=1.4, random_state=seed)[0]
    model = AgglomerativeClustering(linkage="average").fit(X)
    heights = to_numpy(model.distances_)
    # thresholds in the middle of the three widest gaps between the last merge heights
    gaps = np.diff(heights[-12:])
    chosen = np.sort(np.argsort(gaps)[-3:]) + len(heights) - 12
    levels = [float((heights[i] + heights[i + 1]) / 2) for i in chosen]
    cuts = [to_numpy(model.cut(distance_threshold=level)) for level in levels]
    counts = [int(labels.max()) + 1 for labels in cuts]
    fig, axes = plots.figure(1, 3, size=(plots.WIDTH, 2.4))
    for ax, labels, count in zip(axes[0], cuts, counts, strict=True):
        plots.scatter(X, labels, ax=ax, names=False, title=f"{count} clusters")
    names = ("low", "middle", "high")
    numbers = {f"at_{name}": Number(f"{name} threshold", level, "length", ".2f")
               for name, level in zip(names, levels, strict=True)}  # fmt: skip
    numbers |= {f"n_{name}": Number(f"clusters at the {name} threshold", count)
                for name, count in zip(names, counts, strict=True)}  # fmt: skip
    return Section(
        "tree",
        says="""<p>Hierarchical clustering needs no centres. Every point starts as its own cluster; the two closest
            clusters are merged, again and again, until one is left. The dendrogram shows the merges: each bar joins two
            clusters at the height of their distance. Cutting the tree at a height gives a clustering, and different
            heights give different ones.</p>
            <p class="formula"><i>d</i>(<i>A</i>, <i>B</i>) = mean of |<i>x</i> − <i>y</i>| over
            <i>x</i> ∈ <i>A</i>, <i>y</i> ∈ <i>B</i> &nbsp; (average linkage)</p>""",
        pictures=[
            Picture(
                plots.dendrogram(model.linkage_matrix_, threshold=levels[1]),
                "Dendrogram of points in the plane: bars that join clusters at the height of their distance; a dashed "
                "line cuts it at the middle threshold, and each cluster below the line has a colour.",
                "Cut at the middle threshold; the colours are those of the middle panel below.",
            ),
            Picture(
                fig,
                "The same points three times, coloured by the clusters of a low, a middle and a high threshold: the "
                "higher the threshold, the fewer the clusters.",
            ),
        ],
        numbers=numbers,
        sees="One tree contains all these clusterings: cut at {at_low} it has {n_low} clusters, at {at_middle} "
        "{n_middle}, at {at_high} {n_high}. Another threshold needs no new computation.",
        code="from scratchnet import plots\nfrom scratchnet.datasets import make_blobs\n"
        f"{IMPORT}\n\ncenters = {places}\n"
        "X, y = make_blobs(60, centers=centers, cluster_std=1.4, random_state=0)\n"
        'model = AgglomerativeClustering(linkage="average").fit(X)\n'
        f"print(model.cut(distance_threshold={levels[1]:.2f}))\n"
        f"figure = plots.dendrogram(model.linkage_matrix_, threshold={levels[1]:.2f})\n"
        'figure.savefig("tree.png")',
    )


def linkages(data: TourData, seed: int) -> Section:
    """Two rings, one inside the other, clustered with different linkages; and the data, if there are labels."""
    inner, outer = (to_numpy(make_ring(150, 0.02, random_state=seed + i)[0]) for i in range(2))
    X, ring = asarray(np.concatenate([inner, 2.5 * outer])), np.repeat([0, 1], 150)
    fits = {name: AgglomerativeClustering(2, linkage=name).fit_predict(X) for name in ("single", "complete", "ward")}
    fits["k-means"] = KMeans(2, n_init=5, random_state=seed).fit_predict(X)
    fig, axes = plots.figure(1, 4, size=(plots.WIDTH, 1.9))
    for ax, (name, labels) in zip(axes[0], fits.items(), strict=True):
        plots.scatter(X, labels, ax=ax, names=False, title=name)
    numbers = {
        f"rings_{name.replace('-', '')}": Number(
            f"agreement with the two rings (adjusted Rand), {name}", float(adjusted_rand(ring, labels))
        )
        for name, labels in fits.items()
    }
    tables, found = [], {}
    sees = (
        "Single linkage looks only at the nearest pair of points, follows the rings and reaches an agreement of "
        "{rings_single}; Ward's clusters are round like those of k-means ({rings_ward}, {rings_kmeans})."
    )
    if data.y is not None:
        rows, y, k = data.X[:N_ROWS], data.y[:N_ROWS], data.n_classes
        methods: dict[str, Any] = {
            f"{name} linkage": AgglomerativeClustering(min(k, len(rows)), linkage=name) for name in LINKAGES
        }
        methods["k-means"] = KMeans(k, n_init=5, random_state=seed)
        for i, (name, method) in enumerate(methods.items()):
            labels = method.fit_predict(rows)
            found[name] = float(normalized_mutual_info(y, labels))
            numbers[f"nmi{i}"] = Number(f"NMI of the {data.name}, {name}", found[name])
            numbers[f"accuracy{i}"] = Number(
                f"accuracy of the {data.name}, {name}", float(clustering_accuracy(y, labels))
            )
        tables = [
            Table(
                [f"on {data.name}", "NMI", "accuracy"],
                {name: [f"nmi{i}", f"accuracy{i}"] for i, name in enumerate(methods)},
            )
        ]
        best, last = max(found, key=lambda name: found[name]), min(found, key=lambda name: found[name])
        numbers["rows"] = Number(f"{data.name} in the trees", len(rows))
        if found[best] > found[last] + 0.02:
            sees += (
                f" On {{rows}} {data.name} {best} is the best, with an NMI of "
                f"{{nmi{list(found).index(best)}}}, and {last} the worst, with {{nmi{list(found).index(last)}}}."
            )
            if last == "single linkage":
                sees += " For single linkage, a chain of samples between two groups is enough to merge them."
        else:
            sees += f" On {{rows}} {data.name} all methods match the classes about equally well: {{nmi0}}."
    return Section(
        "linkages",
        says="""<p>What is the distance between two clusters? The distance of their nearest points (single linkage), of
            their farthest points (complete), the mean over all pairs (average), or how much the merge increases the
            objective of k-means (Ward).</p>
            <p class="formula">Ward: &nbsp; <i>d</i>(<i>A</i>, <i>B</i>)<sup>2</sup> = 2 |<i>A</i>| |<i>B</i>| /
            (|<i>A</i>| + |<i>B</i>|) · |<i>μ</i><sub>A</sub> − <i>μ</i><sub>B</sub>|<sup>2</sup></p>""",
        pictures=[
            Picture(
                fig,
                "Two rings of points, one inside the other, clustered in four ways: by single linkage, complete "
                "linkage, Ward's linkage and k-means; two colours show the two clusters of each.",
            )
        ],
        numbers=numbers,
        tables=tables,
        sees=sees,
        code=data.code(
            f"{IMPORT}\nfrom scratchnet.metrics import normalized_mutual_info",
            f'labels = AgglomerativeClustering({data.n_classes}, linkage="ward").fit_predict(X[:{N_ROWS}])',
            f"print(normalized_mutual_info(y[:{N_ROWS}], labels))",
        ),
    )


def cliques(seed: int) -> Section:
    """Groups of points that are all neighbours of each other."""
    radius = 1.6
    X = make_blobs(N_CLIQUES, centers=[[0.0, 0.0], [4.0, 0.0]], cluster_std=1.2, random_state=seed)[0]
    graph = epsilon_graph(X, radius)
    found = [clique for clique in maximal_cliques(graph) if len(clique) > 1]
    sizes = Counter(len(clique) for clique in found)
    times = Counter(node for clique in found for node in clique)
    in_several = sum(count > 1 for count in times.values())
    return Section(
        "cliques",
        says="""<p>A graph has no distances, only edges between neighbours: here, between points closer than a radius. A
            clique is a group of points that are all neighbours of each other; it is maximal if no other point can be
            added.</p>""",
        pictures=[
            Picture(
                plots.cliques(X, graph, found),
                "Points in the plane, with lines between neighbours. Each maximal clique of three or more points is a "
                "translucent patch of its own colour; patches overlap where points are in several.",
                "Lines join neighbours; each patch is a maximal clique of three or more.",
            ),
            Picture(
                plots.bars(
                    [sizes[size] for size in sorted(sizes)], xlabel="points in the clique", ylabel="maximal cliques",
                    names=[str(size) for size in sorted(sizes)],
                ),
                "Bars: the number of maximal cliques of each size.",
            ),
        ],
        numbers={
            "points": Number("points", N_CLIQUES),
            "radius": Number("radius", radius, "length", ".1f"),
            "cliques": Number("maximal cliques of two or more points", len(found)),
            "largest": Number("points in the largest clique", max(sizes)),
            "several": Number("points in several cliques", in_several),
        },
        sees="Unlike the clusters of k-means, cliques overlap: of the {points} points, {several} are in more than one "
        "of the {cliques} cliques. The largest clique has {largest} points.",
        code="from scratchnet.cluster import epsilon_graph, maximal_cliques\n"
        "from scratchnet.datasets import make_blobs\n\n"
        f"X, _ = make_blobs({N_CLIQUES}, centers=[[0, 0], [4, 0]], cluster_std=1.2, random_state=0)\n"
        f"print(maximal_cliques(epsilon_graph(X, {radius})))",
    )  # fmt: skip


def neighbors(data: TourData) -> Section | LeftOut:
    """Held-out samples classified by their nearest neighbours."""
    if data.y is None:
        return LeftOut("neighbours", "neighbours vote for classes, and there are no labels")
    tried = [k for k in (1, 3, 10, 30, 100, 300) if k <= len(data.X)]
    index, _ = nearest_neighbors(data.X_test, tried[-1], data.X)
    codes = asarray(data.y)[index]
    shares = [float(np.mean(_vote(codes[:, :k], data.n_classes) == data.y_test)) for k in tried]
    best = int(np.argmax(shares))
    noise = 1 / len(data.y_test) ** 0.5  # about two standard errors of an accuracy
    most = float(np.bincount(data.y_test).max() / len(data.y_test))
    pictures = [
        Picture(
            plots.curves(tried, {"accuracy": shares}, xlabel="neighbours k", ylabel="accuracy, held out", log_x=True),
            "Accuracy on held-out samples against the number of neighbours that vote.",
        )
    ]
    if data.shape:
        shown = asarray(first_of_each(data.y_test, data.n_classes, 6))
        rows = [data.X_test[shown], *(data.X[index[shown, j]] for j in range(4))]
        names = ["sample", "1st", "2nd", "3rd", "4th"]
        pictures.insert(
            0,
            Picture(
                plots.reconstructions(*rows, labels=names, shape=data.shape),
                f"Held-out {data.name} in the first row, and below each one its four nearest neighbours among the "
                "training samples.",
            ),
        )
    return Section(
        "neighbours",
        says="""<p>The simplest use of a distance: a new sample gets the most frequent class among its <i>k</i> nearest
            neighbours. There is no training; all samples are stored.</p>""",
        pictures=pictures,
        numbers={
            **{f"k{k}": Number(f"accuracy, {k} neighbour{'s' * (k > 1)}", share)
               for k, share in zip(tried, shares, strict=True)},
            "best": Number("neighbours with the best accuracy", tried[best]),
            "chance": Number("accuracy of always predicting the most frequent class", most),
        },
        facts={"first": tried[0], "last": tried[-1]},
        sees=("With labels, distances are useful after all. " if shares[best] > most + noise else "")
        + f"By a vote of the {{best}} nearest, a share of {{k{tried[best]}}} of the held-out samples is classified "
        "correctly; always predicting the most frequent class gives {chance}. "
        + (
            f"With {{last}} neighbours it is {{k{tried[-1]}}}: many of them are too far away."
            if shares[-1] < shares[best] - noise
            else f"With {{first}} it is {{k{tried[0]}}}."
        ),
        code=data.code(
            "from scratchnet.neighbors import KNeighborsClassifier",
            f"print(KNeighborsClassifier({tried[best]}).fit(X, y).score(X_test, y_test))",
            test=True,
        ),
    )  # fmt: skip


def _vote(codes: Array, n_classes: int) -> np.ndarray:
    return to_numpy(count_votes(codes, n_classes).argmax(axis=1))
