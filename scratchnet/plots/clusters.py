"""Clusters: Voronoi cells in the plane, k-means step by step, cliques of a graph, dendrograms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scratchnet.backend import to_numpy
from scratchnet.cluster.linkage import cut
from scratchnet.plots.style import GREY, INK, PALETTE, WIDTH, colors, figure, on, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from scratchnet.cluster.kmeans import LloydState

__all__ = ["cliques", "dendrogram", "dendrogram_links", "kmeans_steps", "voronoi", "voronoi_cells"]


@styled
def voronoi(
    centers: ArrayLike,
    X: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    *,
    ax: Axes | None = None,
    title: str | None = None,
    box: tuple[float, float, float, float] | None = None,
) -> Figure:
    """The Voronoi cell of each centre in the plane (all places nearer to it than to any other centre), and points.

    Parameters
    ----------
    centers : (k, 2)
    X : (n, 2), optional
        Points to draw.
    labels : (n,) of int, optional
        Colours the points like the cells 0..k-1; without labels they are grey.
    ax, title
        Axes to draw on, and a title for them.
    box : (left, right, bottom, top), optional
        The part of the plane that is shown; by default everything, with a margin.
    """
    fig, ax = on(ax, (4.6, 4.2))
    ax.spines[:].set_visible(False)
    places, points = to_numpy(centers), np.empty((0, 2)) if X is None else to_numpy(X)
    shown = np.concatenate([places, points])
    margin = 0.06 * max(float(np.ptp(shown, axis=0).max()), 1e-12)
    low, high = shown.min(axis=0) - margin, shown.max(axis=0) + margin
    if box is not None:
        low, high = np.array([box[0], box[2]]), np.array([box[1], box[3]])
    palette = colors(len(places))
    for color, cell in zip(palette, voronoi_cells(places, low, high), strict=True):
        ax.fill(*cell.T, facecolor=color, alpha=0.13, edgecolor="none")
        ax.fill(*cell.T, facecolor="none", edgecolor=INK, linewidth=0.6)
    point_colors = GREY if labels is None else np.asarray(palette)[to_numpy(labels)]
    ax.scatter(points[:, 0], points[:, 1], c=point_colors, s=7, linewidths=0, alpha=0.75, rasterized=True)
    ax.scatter(places[:, 0], places[:, 1], c=palette, s=85, marker="X", edgecolors="white", linewidths=1.2, zorder=3)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[], aspect="equal")
    ax.set_title(title or "")
    return fig


@styled
def kmeans_steps(states: Iterable[LloydState], X: ArrayLike) -> Figure:
    """Six panels of k-means in the plane: initialise, assign, move, assign, move, converged.

    Parameters
    ----------
    states : iterable of LloydState
        ``KMeans(...).steps(X)``. Only the first run (of ``n_init``) is drawn; a short run leaves panels empty.
    X : (n, 2)

    Raises
    ------
    ValueError
        If ``states`` holds fewer than two states of the first run.
    """
    run = [state for state in states if state.run == 0]
    if len(run) < 2:
        raise ValueError(f"states holds {len(run)} states of the first run; pass all of KMeans(...).steps(X)")
    points = to_numpy(X)
    margin = 0.06 * max(float(np.ptp(points, axis=0).max()), 1e-12)
    (left, bottom), (right, top) = points.min(axis=0) - margin, points.max(axis=0) + margin
    height = WIDTH * 2 / 3 * (top - bottom) / (right - left)
    fig, axes = figure(2, 3, size=(WIDTH, float(np.clip(height, 2.4, 7)) + 0.5))
    chosen = [*run[:5], run[-1]] if len(run) > 5 else run
    for ax in axes.flat[len(chosen) :]:
        ax.set_axis_off()
    for i, (ax, state) in enumerate(zip(axes.flat, chosen, strict=False)):
        title = {"start": "initialise", "assign": "assign", "move": "move", "end": "converged"}[state.step]
        if state.step != "start":
            title += f" (round {state.n_iter})"
        box = float(left), float(right), float(bottom), float(top)
        voronoi(state.centers, points, state.labels, ax=ax, title=f"{i + 1}  {title}", box=box)
    return fig


@styled
def cliques(
    X: ArrayLike,
    graph: ArrayLike,
    cliques: Iterable[Sequence[int]],
    *,
    ax: Axes | None = None,
    title: str | None = None,
) -> Figure:
    """A graph of points in the plane: a line per edge, and a coloured patch per clique of three or more nodes.

    Parameters
    ----------
    X : (n, 2)
    graph : (n, n) of bool
        Symmetric: which pairs are neighbours, as ``epsilon_graph`` and ``k_neighbor_graph`` return it.
    cliques : iterable of sequences of int
        ``maximal_cliques(graph)``.
    ax, title
        Axes to draw on, and a title for them.
    """
    from matplotlib.collections import LineCollection

    fig, ax = on(ax, (5.2, 4.0))
    points, adjacent = to_numpy(X), to_numpy(graph)
    for i, clique in enumerate(c for c in cliques if len(c) > 2):
        corners = points[list(clique)]
        middle = corners.mean(axis=0)
        around = np.argsort(np.arctan2(*(corners - middle).T))  # a patch that does not cross itself
        ax.fill(*corners[around].T, facecolor=PALETTE[i % len(PALETTE)], alpha=0.25, edgecolor="none")
    ends = np.argwhere(np.triu(adjacent, 1))
    ax.add_collection(LineCollection(list(points[ends]), colors=GREY, linewidths=0.8, zorder=1))
    ax.scatter(points[:, 0], points[:, 1], color=INK, s=22, linewidths=0, zorder=2)
    ax.set(xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(False)
    ax.set_title(title or "")
    return fig


def voronoi_cells(centers: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[np.ndarray]:
    """The corners (m, 2) of each centre's cell: the box from ``low`` (2,) to ``high`` (2,), cut at every bisector.

    Two equal centres share one cell, and both get it.
    """
    cells = []
    for i, center in enumerate(centers):
        corners = np.array([low, [high[0], low[1]], high, [low[0], high[1]]], dtype=float)
        for other in np.delete(centers, i, axis=0):
            side = (corners - (center + other) / 2) @ (other - center)  # below 0: nearer to this centre
            kept = []
            for j, (a, b) in enumerate(zip(side, np.roll(side, -1), strict=True)):
                if a <= 0:
                    kept.append(corners[j])
                if a * b < 0:
                    kept.append(corners[j] + a / (a - b) * (corners[(j + 1) % len(corners)] - corners[j]))
            corners = np.array(kept).reshape(-1, 2)
        cells.append(corners)
    return cells


@styled
def dendrogram(
    tree: ArrayLike,
    *,
    threshold: float | None = None,
    names: ArrayLike | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Figure:
    """The tree of agglomerative clustering: points at the bottom, each merge a bar between two clusters at its height.

    Parameters
    ----------
    tree : (n - 1, 4)
        ``linkage_matrix_``, in SciPy's format.
    threshold : float, optional
        Draws a line at this height and colours the clusters below it, in the order of ``labels_`` (by first point).
    names : (n,), optional
        Names of the points, written below them.
    ax, title
        Axes to draw on, and a title for them.

    Raises
    ------
    ValueError
        If ``tree`` is not a linkage matrix of at least two points.
    """
    Z = to_numpy(tree)
    if Z.ndim != 2 or Z.shape[1] != 4 or len(Z) == 0:
        raise ValueError(f"tree has shape {Z.shape}; pass a linkage matrix (n - 1, 4) of two points or more")
    from matplotlib.collections import LineCollection

    fig, ax = on(ax, (WIDTH, 3.4))
    order, links = dendrogram_links(Z)
    below = np.zeros(len(Z), dtype=bool) if threshold is None else Z[:, 2] < threshold
    labels = cut(Z, int(below.sum()))
    palette = colors(int(labels.max()) + 1)
    at_leaf = np.empty(2 * len(Z) + 1, dtype=int)  # one point of each cluster, no matter which
    at_leaf[: len(Z) + 1] = np.arange(len(Z) + 1)
    for k, left in enumerate(Z[:, 0].astype(int)):
        at_leaf[len(Z) + 1 + k] = at_leaf[left]
    look = [palette[labels[at_leaf[len(Z) + 1 + k]]] if below[k] else INK for k in range(len(Z))]
    ax.add_collection(LineCollection(list(links), colors=look, linewidths=0.9 if len(Z) > 60 else 1.3))
    if threshold is not None:
        ax.axhline(threshold, color=GREY, linewidth=1, linestyle="--")
    ax.set(
        xlim=(-0.5, len(Z) + 0.5), ylim=(0, 1.05 * (float(Z[-1, 2]) or 1.0)), xticks=[], ylabel="height of the merge"
    )
    if names is not None:
        ax.set_xticks(np.arange(len(Z) + 1), [str(to_numpy(names)[i]) for i in order], parse_math=False)
        ax.tick_params(axis="x", length=0, labelsize=9 if len(Z) < 40 else 6)
    ax.spines["bottom"].set_visible(False)
    ax.set_title(title or "")
    return fig


def dendrogram_links(tree: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The layout of a dendrogram: the points from left to right (n,), and the corners of the bars (n - 1, 4, 2).

    The i-th point from the left is drawn at x = i. Bar k has four corners (x, height): from the top of one cluster up
    to the height of merge k, across, and down to the top of the other cluster. Bars do not cross, because the points of
    a cluster are drawn side by side, with the cluster in the first column of ``tree`` on the left.
    """
    n = len(tree) + 1
    pairs, heights = tree[:, :2].astype(int), tree[:, 2]
    size = np.r_[np.ones(n, dtype=int), tree[:, 3].astype(int)]
    start = np.zeros(2 * n - 1, dtype=int)  # position of the first point of each cluster
    for k in range(n - 2, -1, -1):
        left, right = pairs[k]
        start[left] = start[n + k]
        start[right] = start[n + k] + size[left]
    x, top = np.r_[start[:n].astype(float), np.empty(n - 1)], np.r_[np.zeros(n), heights]
    links = np.empty((n - 1, 4, 2))
    for k, (left, right) in enumerate(pairs):
        x[n + k] = (x[left] + x[right]) / 2
        links[k, :, 0] = x[left], x[left], x[right], x[right]
        links[k, :, 1] = top[left], heights[k], heights[k], top[right]
    return np.argsort(start[:n]), links
