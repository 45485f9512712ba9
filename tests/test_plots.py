"""Figures: the right axes and artists, from NumPy and device arrays, without changes to matplotlib's state."""

from __future__ import annotations

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from scipy.cluster import hierarchy

from scratchnet import plots
from scratchnet.autoencoders import Autoencoder, latent
from scratchnet.autoencoders.history import History
from scratchnet.backend import asarray, to_numpy
from scratchnet.cluster import AgglomerativeClustering, KMeans, epsilon_graph, maximal_cliques
from scratchnet.decomposition import PCA


def drawn(figure):
    """Render the figure, because some errors and warnings occur only then."""
    figure.canvas.draw()
    return figure


# ---------------------------------------------------------------------------------------------------------------------
# Colours
# ---------------------------------------------------------------------------------------------------------------------

SEEN_BY = {  # linear RGB -> linear RGB; Machado, Oliveira and Fernandes 2009, severity 1
    "most": np.eye(3),
    "protanopes": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopes": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}


def oklab(linear):
    to_lms = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
              [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
    to_lab = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
              [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip
    return np.cbrt(np.clip(linear @ np.transpose(to_lms), 0, None)) @ np.transpose(to_lab)


def linear_palette():
    srgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in plots.PALETTE])
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("eye", SEEN_BY)
def test_ten_colours_differ_for_all_colour_vision(eye):
    lab = oklab(np.clip(linear_palette() @ np.transpose(SEEN_BY[eye]), 0, 1))
    distance = np.linalg.norm(lab[:, None] - lab, axis=2) + 9 * np.eye(10)
    assert distance.min() > 0.13  # tab10: 0.007 for protanopes


def test_all_colours_are_visible_on_white_and_black():
    lightness = oklab(linear_palette())[:, 0]
    assert lightness.min() > 0.45
    assert lightness.max() < 0.85


# ---------------------------------------------------------------------------------------------------------------------
# Points
# ---------------------------------------------------------------------------------------------------------------------


def test_scatter_draws_all_points_and_names_each_class(xp, rng):
    points, labels = rng.normal(size=(60, 2)), np.arange(60) % 3
    figure = drawn(plots.scatter(asarray(points), asarray(labels), title="three"))
    (ax,) = figure.axes
    assert sum(len(c.get_offsets()) for c in ax.collections) == 60
    assert [t.get_text() for t in ax.texts] == ["0", "1", "2"]
    np.testing.assert_allclose(ax.texts[1].xy, np.median(points[labels == 1], axis=0))
    assert ax.get_title(loc="left") == "three"


def test_scatter_takes_strings_values_or_nothing(rng):
    points = rng.normal(size=(20, 2))
    assert [t.get_text() for t in plots.scatter(points, ["a$b", "c"] * 10).axes[0].texts] == ["a$b", "c"]
    assert len(drawn(plots.scatter(points, rng.normal(size=20))).axes) == 2  # a colour bar
    assert not plots.scatter(points).axes[0].texts
    drawn(plots.scatter(points, ["a$b", "$"] * 10))  # no mathematics in class names


def test_scatter_draws_on_given_axes(rng):
    figure, axes = plots.figure(1, 2)
    assert plots.scatter(rng.normal(size=(5, 2)), ax=axes[0, 1]) is figure
    assert len(axes[0, 1].collections) == 1
    assert len(axes[0, 0].collections) == 0


def test_scatter_says_what_does_not_fit(rng):
    with pytest.raises(ValueError, match=r"embedding has shape \(5, 3\)"):
        plots.scatter(rng.normal(size=(5, 3)))
    with pytest.raises(ValueError, match="labels has 4 entries, but embedding has 5 points"):
        plots.scatter(rng.normal(size=(5, 2)), [0, 1, 2, 3])


def area(corners):
    x, y = corners.T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def test_voronoi_cells_by_hand():
    low, high = np.array([0.0, 0.0]), np.array([4.0, 2.0])
    left, right = plots.voronoi_cells(np.array([[1.0, 1.0], [2.0, 1.0]]), low, high)
    assert area(left) == pytest.approx(3.0)  # cut at x = 1.5
    assert area(right) == pytest.approx(5.0)


def test_voronoi_cells_hold_what_is_nearest(rng):
    centers = rng.uniform(size=(9, 2))
    cells = plots.voronoi_cells(centers, np.zeros(2), np.ones(2))
    assert sum(area(c) for c in cells) == pytest.approx(1.0)
    for i, corners in enumerate(cells):
        inside = corners.mean(axis=0) * 0.98 + centers[i] * 0.02
        assert ((inside - centers) ** 2).sum(axis=1).argmin() == i


def test_voronoi_of_equal_centers_and_of_one():
    for k in 2, 1:  # each has all of the box
        assert [area(c) for c in plots.voronoi_cells(np.ones((k, 2)), np.zeros(2), np.full(2, 3.0))] == [9] * k
        assert len(drawn(plots.voronoi(np.ones((k, 2)), np.zeros((3, 2)))).axes[0].patches) == 2 * k  # colour and edge
    drawn(plots.voronoi(np.ones((1, 2))))


def test_kmeans_steps_has_six_panels(xp, rng):
    X = asarray(rng.normal(size=(80, 2)))
    states = list(KMeans(3, init="random", tol=0, random_state=1).steps(X))
    assert len(states) > 6
    figure = drawn(plots.kmeans_steps(states, X))
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert [t[0] for t in titles] == list("123456")
    assert [t.split("  ")[1].split(" (")[0] for t in titles] == [
        "initialise", "assign", "move", "assign", "move", "converged"
    ]  # fmt: skip
    with pytest.raises(ValueError, match="states holds 1 states"):
        plots.kmeans_steps(states[:1], X)


def test_kmeans_steps_of_a_short_run_leaves_panels_empty():
    X = np.array([[0.0, 0.0], [0.0, 1.0], [5.0, 5.0], [5.0, 6.0]])
    states = list(KMeans(2, init=X[[0, 2]], tol=0).steps(X))
    assert len(states) < 6
    assert len(drawn(plots.kmeans_steps(states, X)).axes) == 6


def test_cliques_are_lines_and_patches(xp):
    X = asarray(np.array([[0.0, 0], [1, 0], [1, 1], [0, 1], [5, 5], [6, 5], [9, 9]]))
    graph = epsilon_graph(X, 1.5)
    (ax,) = drawn(plots.cliques(X, graph, maximal_cliques(graph), title="three")).axes
    (patch,) = ax.patches  # the square, whose corners go round
    assert area(patch.get_xy()[:-1]) == pytest.approx(1.0)
    lines, points = ax.collections
    assert len(lines.get_segments()) == 6 + 1
    assert len(points.get_offsets()) == 7


@pytest.mark.parametrize("linkage", ["single", "average", "ward"])
@pytest.mark.parametrize("n", [2, 3, 40])
def test_dendrogram_has_scipys_coordinates(rng, linkage, n):
    tree = AgglomerativeClustering(linkage=linkage).fit(rng.normal(size=(n, 3))).linkage_matrix_
    order, links = plots.dendrogram_links(tree)
    theirs = hierarchy.dendrogram(tree, no_plot=True)
    assert order.tolist() == theirs["leaves"]
    expected = np.stack([(np.array(theirs["icoord"]) - 5) / 10, theirs["dcoord"]], axis=2)
    by_height = np.argsort(expected[:, 1, 1])  # SciPy lists them depth first
    np.testing.assert_allclose(links, expected[by_height])


def test_dendrogram_by_hand(xp):
    model = AgglomerativeClustering(linkage="single").fit(np.array([[0.0], [1.0], [4.0], [6.0]]))
    order, links = plots.dendrogram_links(to_numpy(model.linkage_matrix_))
    assert order.tolist() == [0, 1, 2, 3]
    assert links[2].tolist() == [[0.5, 1], [0.5, 3], [2.5, 3], [2.5, 2]]
    figure = drawn(plots.dendrogram(model.linkage_matrix_, threshold=1.5, names=list("ab$d"), title="four"))
    (ax,) = figure.axes
    assert ax.lines[0].get_ydata() == [1.5, 1.5]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b", "$", "d"]
    drawn_colors = [matplotlib.colors.to_hex(c) for c in ax.collections[0].get_colors()]
    assert drawn_colors == [plots.PALETTE[0], plots.INK, plots.INK]


def test_dendrogram_colours_clusters_like_their_labels(rng):
    """The colours are those of a scatter plot of ``labels_``."""
    X = np.r_[rng.normal(9, 1, (20, 2)), rng.normal(0, 1, (20, 2))]
    model = AgglomerativeClustering(2).fit(X)
    at = float(model.distances_[-2:].mean())
    ax = plots.dendrogram(model.linkage_matrix_, threshold=at).axes[0]
    order, _ = plots.dendrogram_links(model.linkage_matrix_)
    found = [matplotlib.colors.to_hex(c) for c in ax.collections[0].get_colors()]
    assert found[-1] == plots.INK
    for bar, color in zip(ax.collections[0].get_segments()[:-1], found[:-1], strict=True):
        assert color == plots.PALETTE[model.labels_[order[int(bar[0, 0])]]]


def test_dendrogram_of_equal_points_and_of_one():
    drawn(plots.dendrogram(AgglomerativeClustering().fit(np.ones((4, 2))).linkage_matrix_, threshold=0.0))
    with pytest.raises(ValueError, match=r"tree has shape \(0, 4\)"):
        plots.dendrogram(AgglomerativeClustering(1).fit(np.ones((1, 2))).linkage_matrix_)


# ---------------------------------------------------------------------------------------------------------------------
# Images
# ---------------------------------------------------------------------------------------------------------------------


def test_image_grid_puts_every_image_in_its_place(xp):
    images = np.zeros((5, 6))
    images[3] = 1.0  # second row, first column of three
    figure = drawn(plots.image_grid(asarray(images), shape=(2, 3), n_columns=3))
    (picture,) = figure.axes[0].images
    canvas = np.asarray(picture.get_array())
    assert canvas.shape == (2 * 3 - 1, 3 * 4 - 1, 4)
    bright = canvas[..., :3].sum(axis=2) > 2.9
    expected = np.zeros((5, 11), bool)
    expected[3:5, 0:3] = True
    np.testing.assert_array_equal(bright, expected)
    assert canvas[2, 0, 3] == 0  # the gap is transparent
    assert canvas[4, 9, 3] == 0  # and so is the missing sixth image


def test_image_grid_shows_signs_in_colour():
    canvas = np.asarray(plots.image_grid(np.array([[-2.0, 0.0, 1.0, 2.0]])).axes[0].images[0].get_array())
    blue, white, red = canvas[0, 0], canvas[0, 1], canvas[1, 1]
    assert blue[2] > blue[0] + 0.2
    assert white[:3].min() > 0.9
    assert red[0] > red[2] + 0.2
    rounding = np.asarray(plots.image_grid(np.array([[-1e-8, 0.0, 0.5, 1.0]])).axes[0].images[0].get_array())
    assert np.ptp(rounding[..., :3], axis=2).max() == 0  # grey


def test_image_grid_labels():
    figure = drawn(plots.image_grid(np.zeros((6, 4)), n_columns=3, row_labels=["a", "b"], column_labels="xyz"))
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["x", "y", "z"]


def test_image_grid_says_what_does_not_fit():
    with pytest.raises(ValueError, match="5 features, which is not an image"):
        plots.image_grid(np.zeros((2, 5)))
    with pytest.raises(ValueError, match="give"):
        plots.image_grid(np.zeros(4))


def test_reconstructions_are_rows(xp, rng):
    x = asarray(rng.uniform(size=(4, 9)))
    figure = drawn(plots.reconstructions(x, x * 0.5, x * 0.1, labels=["in", "half", "tenth"]))
    canvas = np.asarray(figure.axes[0].images[0].get_array())
    assert canvas.shape[:2] == (3 * 4 - 1, 4 * 4 - 1)


def test_decoded_grid_puts_images_at_their_codes():
    codes = latent.manifold_grid(3)
    images = np.repeat((codes[:, 1] > 0.5) & (codes[:, 0] < 0), 4).reshape(9, 4).astype(float)  # the top left
    figure = drawn(plots.decoded_grid(images, codes))
    ax = figure.axes[0]
    canvas = np.asarray(ax.images[0].get_array())[..., 0]
    assert canvas[:2, :2].min() == 1.0
    assert canvas.sum() == 4
    assert [t.get_text() for t in ax.get_xticklabels()] == ["-2.1", "0.0", "2.1"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["2.1", "0.0", "-2.1"]  # rows grow downwards
    with pytest.raises(ValueError, match="are not a square grid"):
        plots.decoded_grid(images[:8], codes)


# ---------------------------------------------------------------------------------------------------------------------
# Curves and bars
# ---------------------------------------------------------------------------------------------------------------------


def test_curves_bars_distributions(xp, rng):
    y = asarray(np.array([1.0, 2.0, 4.0]))
    figure = drawn(plots.curves([1, 10, 100], {"a": y, "b": 2 * y}, xlabel="x (s)", ylabel="y (m)", log_x=True))
    assert [line.get_label() for line in figure.axes[0].lines] == ["a", "b"]
    np.testing.assert_allclose(figure.axes[0].lines[1].get_ydata(), [2.0, 4.0, 8.0])
    figure = drawn(plots.bars(y, xlabel="latent", ylabel="KL (nats)"))
    assert [b.get_height() for b in figure.axes[0].patches] == [1.0, 2.0, 4.0]
    assert figure.axes[0].get_ylabel() == "KL (nats)"
    figure = drawn(plots.distributions({"one": asarray(rng.normal(size=50)), "two": y}, xlabel="nats", n_bins=10))
    for patch in figure.axes[0].patches:
        values, edges = patch.get_data()[:2]
        assert (values * np.diff(edges)).sum() == pytest.approx(1.0)


def test_spectrum_shows_variances_and_their_sums(xp, rng):
    pca = PCA().fit(asarray(rng.normal(size=(50, 4)) * [4.0, 3.0, 2.0, 0.0]))
    left, right = drawn(plots.spectrum(pca)).axes
    assert len(left.lines[0].get_ydata()) == 3  # the fourth is rounding
    assert right.lines[0].get_ydata()[-1] == pytest.approx(1.0)


def test_history_gives_each_unit_its_own_axes(rng):
    model = Autoencoder(hidden=(4,), n_latent=2, epochs=3, validation_fraction=0.2, random_state=0)
    model.fit(rng.uniform(size=(40, 6)))
    (ax,) = drawn(plots.history(model.history_)).axes
    assert ax.get_ylabel() == "nats/sample"
    assert [line.get_label() for line in ax.lines] == ["loss", "validation loss"]
    assert len(drawn(plots.history(model.history_, ["loss", "seconds"])).axes) == 2
    with pytest.raises(ValueError, match="history is empty"):
        plots.history(History())


# ---------------------------------------------------------------------------------------------------------------------
# matplotlib's state
# ---------------------------------------------------------------------------------------------------------------------


def test_settings_are_put_back(rng):
    before = dict(matplotlib.rcParams)
    plots.scatter(rng.normal(size=(5, 2)))
    with pytest.raises(ValueError, match="embedding"):
        plots.scatter(rng.normal(size=5))
    assert dict(matplotlib.rcParams) == before


def test_a_users_settings_do_not_change_the_look(rng):
    points = rng.normal(size=(5, 2))
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30}):
        assert plots.scatter(points, [0, 0, 0, 1, 1]).axes[0].texts[0].get_fontsize() == 9


def test_pyplot_is_not_touched_and_matplotlib_comes_late():
    code = (
        "import sys, scratchnet, scratchnet.plots as p\n"
        "assert 'matplotlib' not in sys.modules\n"
        "p.scatter([[0.0, 1.0]])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_the_same_figure_gives_the_same_bytes(tmp_path, rng):
    points = rng.normal(size=(30, 2))
    for name in ("a.svg", "b.svg"):
        with plots.style():
            plots.scatter(points, np.arange(30) % 3).savefig(tmp_path / name, metadata={"Date": None})
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
