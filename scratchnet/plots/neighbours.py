"""Neighbour embeddings: several side by side, the forces on their points, and the descent as an animation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from scratchnet.backend import to_numpy
from scratchnet.plots.points import name_classes, scatter
from scratchnet.plots.style import PALETTE, WIDTH, figure, on, style, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from scratchnet.manifold.descent import EmbeddingState
    from scratchnet.manifold.embedding import NeighbourEmbedding

__all__ = ["animation", "crowding", "embeddings", "forces"]

_PULL, _PUSH = PALETTE[0], PALETTE[2]


@styled
def embeddings(panels: Mapping[str, ArrayLike], labels: ArrayLike | None = None, *, n_columns: int = 2) -> Figure:
    """Several embeddings of the same points side by side, each on its own scale: perplexities, or methods.

    Parameters
    ----------
    panels : {title: (n, 2)}
    labels : (n,), optional
        Colours, as in :func:`scatter`.
    n_columns : int
        Panels per row.

    Raises
    ------
    ValueError
        If ``panels`` is empty.
    """
    if not panels:
        raise ValueError("panels is empty; give at least one title and its embedding")
    n_rows = ceil(len(panels) / n_columns)
    fig, axes = figure(n_rows, n_columns, size=(WIDTH, n_rows * WIDTH / n_columns * 0.95))
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (title, embedding) in zip(axes.flat, panels.items(), strict=False):
        scatter(embedding, labels, ax=ax, title=title)
    return fig


@styled
def forces(
    state: EmbeddingState, labels: ArrayLike | None = None, *, ax: Axes | None = None, title: str | None = None
) -> Figure:
    """Attraction and repulsion on each point of an embedding in the plane, as two arrows on the same scale.

    A point is in equilibrium where its arrows have equal length and opposite direction.

    Parameters
    ----------
    state : EmbeddingState
        One of those that ``TSNE(...).steps(X)`` yields.
    labels : (n,), optional
        Colours, as in :func:`scatter`.
    ax, title
        Axes to draw on, and a title for them.

    Raises
    ------
    ValueError
        If the embedding is not two-dimensional.
    """
    points = to_numpy(state.embedding)
    if points.shape[1] != 2:
        raise ValueError(f"the embedding has {points.shape[1]} dimensions; forces draws in the plane")
    pull, push = (-to_numpy(part) for part in state.forces())  # descent moves points along minus the gradient
    fig, ax = on(ax, (5.2, 4.6))
    scatter(points, labels, ax=ax, title=title, names=False)
    longest = max(float(np.linalg.norm(np.concatenate([pull, push]), axis=1).max()), np.finfo(float).tiny)
    scale = longest / (0.12 * max(float(np.ptp(points, axis=0).max()), np.finfo(float).tiny))
    look: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": scale, "width": 0.003, "headwidth": 4}
    ax.quiver(*points.T, *pull.T, color=_PULL, label="attraction", **look)
    ax.quiver(*points.T, *push.T, color=_PUSH, label="repulsion", **look)
    ax.legend(loc="upper right")
    return fig


@styled
def crowding(models: Mapping[str, NeighbourEmbedding], *, n_bins: int = 40) -> Figure:
    """How attraction and repulsion depend on the distance in the plane: one panel per fitted embedding.

    The forces of all pairs, summed in bins of distance that are equally wide on the logarithmic axis, as shares of the
    total attraction. At distances with attraction and no repulsion, points are crushed together: the crowding problem.
    Memory grows as n^2.

    Parameters
    ----------
    models : {title: fitted TSNE, SymmetricSNE or SNE}
    n_bins : int

    Raises
    ------
    ValueError
        If all points of an embedding coincide.
    """
    fig, axes = figure(1, len(models), size=(WIDTH, 2.9), sharey=True)
    for ax, (title, model) in zip(axes[0], models.items(), strict=True):
        distance, pull, push = (to_numpy(a)[np.triu_indices(len(a), 1)] for a in model.pair_forces())
        apart = distance[distance > 0]
        if not len(apart):
            raise ValueError(f"all points of {title!r} are in the same place: there are no forces")
        edges = np.geomspace(float(apart.min()), float(apart.max()), n_bins + 1)
        for name, strength, color in (("attraction", pull, _PULL), ("repulsion", push, _PUSH)):
            share, _ = np.histogram(distance, edges, weights=strength / pull.sum(dtype=np.float64))
            ax.stairs(share, edges, color=color, linewidth=1.6, label=name)
        ax.set(xlabel="distance in the plane", title=title, xscale="log")
    axes[0, 0].set_ylabel("share of all attraction")
    axes[0, -1].legend(loc="upper right")
    return fig


def animation(
    states: Iterable[EmbeddingState],
    path: str | Path,
    labels: ArrayLike | None = None,
    *,
    every: int = 10,
    fps: int = 12,
    width: float = 3.2,
) -> Path:
    """Write a GIF of a descent, such as ``TSNE(...).steps(X)``, which is run to its end; return its path.

    Each frame has its own scale, written below the points, because embeddings start small and grow.

    Parameters
    ----------
    states : iterable of EmbeddingState
    path : path
        A file name that ends in .gif.
    labels : (n,), optional
        Colours, as in :func:`scatter`; classes are named in the last frame, which stays for two seconds.
    every : int
        Iterations from one frame to the next; the last state is always shown.
    fps : int
        Frames per second.
    width : float
        Width and height, in units of 80 pixels.

    Raises
    ------
    ValueError
        If ``states`` is empty.
    """
    from PIL import Image  # comes with matplotlib

    frames: list[Any] = []
    with style():
        fig, axes = figure(size=(width, width))
        ax = axes[0, 0]

        def take() -> None:
            canvas = cast("FigureCanvasAgg", fig.canvas)
            canvas.draw()
            frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).quantize(64))

        fig.set_dpi(80)
        for state in states:
            if not frames:
                scatter(state.embedding, labels, ax=ax, names=False, equal=False)
                ax.spines[:].set_visible(False)
                _show(ax, state)
                fig.canvas.draw()
                fig.set_layout_engine("none")  # keep this layout: computing it takes longer than drawing
            if state.iteration % every == 0 or not frames:
                _show(ax, state)
                take()
        if not frames:
            raise ValueError("states is empty: nothing to animate")
        _show(ax, state)
        name_classes(ax, ax.collections[0].get_offsets(), labels)
        take()
    durations = [1000 // fps] * (len(frames) - 1) + [2000]  # milliseconds
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return Path(path)


def _show(ax: Axes, state: EmbeddingState) -> None:
    """Move the points drawn in ``ax`` to their places in ``state``."""
    points = to_numpy(state.embedding)
    low, high = points.min(axis=0), points.max(axis=0)
    points = points - (low + high) / 2
    half = max(float((high - low).max()) / 2, 1e-30)
    ax.collections[0].set_offsets(points)
    ax.set(xlim=(-1.08 * half, 1.08 * half), ylim=(-1.08 * half, 1.08 * half))
    ax.set_title(f"iteration {state.iteration}, KL {state.kl:.2f}")
    ax.set_xlabel(f"{2 * half:.3g} wide")
