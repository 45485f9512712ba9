"""Figures: each function takes NumPy or device arrays and returns a matplotlib ``Figure``.

A function with ``ax`` draws on the axes you give and returns their figure. Nothing here goes through pyplot, and
matplotlib's global settings are left as they are: the look below holds inside :func:`style` only. matplotlib is
imported when the first figure is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias

import numpy as np

from scratchnet.backend import to_numpy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")
Axes: TypeAlias = Any
"""``matplotlib.axes.Axes``; its type hints change from release to release."""

PALETTE = (
    "#1330ff",
    "#ffb503",
    "#b10d05",
    "#46e4aa",
    "#9214ab",
    "#d1752f",
    "#6484fb",
    "#86647d",
    "#6fa5a0",
    "#c2b1ff",
)
"""Ten colours for classes, found by a search that pushes the two most similar ones apart: at least 0.13 in OKLab, to
the usual eye and as protanopes and deuteranopes see them; none too light for white paper or too dark for black."""

INK, PAPER, FAINT, GREY = "#24292f", "#fefefe", "#d4d9df", "#858d96"  # text, its ground, grid lines, unlabelled points
WIDTH = 6.4  # inches

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "axes.titlelocation": "left",
    "axes.titlepad": 6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "svg.fonttype": "none",
    "svg.hashsalt": "scratchnet",  # the same figure gives the same bytes
}


@contextmanager
def style() -> Iterator[None]:
    """``with style():`` draws and saves figures with this module's look, and puts matplotlib's settings back."""
    import matplotlib
    from cycler import cycler

    look: Any = {**_STYLE, "axes.prop_cycle": cycler(color=PALETTE)}
    with matplotlib.rc_context(look):
        yield


def _styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            return draw(*args, **kwargs)

    return styled


def figure(n_rows: int = 1, n_columns: int = 1, *, size: tuple[float, float] = (WIDTH, 3.6), **kwargs: Any) -> Any:
    """A new figure and its (n_rows, n_columns) array of axes. ``size`` is in inches, ``kwargs`` go to ``subplots``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style():
        fig = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(fig)
        return fig, fig.subplots(n_rows, n_columns, squeeze=False, **kwargs)


def _axes(ax: Axes | None, size: tuple[float, float] = (WIDTH, 3.6)) -> tuple[Any, Axes]:
    if ax is None:
        fig, axes = figure(size=size)
        return fig, axes[0, 0]
    return ax.figure, ax


def colors(n: int) -> list[str]:
    """n class colours; beyond ten they repeat."""
    return [PALETTE[i % len(PALETTE)] for i in range(n)]


# ---------------------------------------------------------------------------------------------------------------------
# Points
# ---------------------------------------------------------------------------------------------------------------------


@_styled
def scatter(
    embedding: Any,
    labels: Any = None,
    *,
    ax: Axes | None = None,
    title: str | None = None,
    axis_labels: tuple[str, str] | None = None,
    equal: bool = True,
    names: bool = True,
) -> Figure:
    """Points in the plane, (n, 2), coloured by ``labels`` (n,).

    Labels of integers, strings or booleans are classes: each has its colour, and with ``names`` its name stands at the
    median of its points. Floats are values on a colour scale. ``equal`` gives both axes the same scale.
    """
    points = to_numpy(embedding)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"embedding has shape {points.shape}; scatter draws points in the plane, (n, 2)")
    fig, ax = _axes(ax, (5.2, 4.6))
    look = {"s": float(np.clip(6000 / max(len(points), 1), 3, 22)), "linewidths": 0, "rasterized": True}
    values = None if labels is None else to_numpy(labels)
    if values is None:
        ax.scatter(*points.T, color=PALETTE[0], **look)
    elif len(values) != len(points):
        raise ValueError(f"labels has {len(values)} entries, but embedding has {len(points)} points")
    elif values.dtype.kind == "f":
        drawn = ax.scatter(*points.T, c=values, cmap="viridis", **look)
        fig.colorbar(drawn, ax=ax, shrink=0.8)
    else:
        classes, which = np.unique(values, return_inverse=True)
        # all classes in one call, in the order of the samples: none is painted over another as a whole
        ax.scatter(*points.T, c=np.asarray(colors(len(classes)))[which], alpha=0.8, **look)
        for i, name in enumerate(classes if names else ()):
            _name(ax, np.median(points[which == i], axis=0), str(name))
    if equal:
        ax.set_aspect("equal", adjustable="datalim")
    if axis_labels is None:
        ax.set(xticks=[], yticks=[])
    else:
        ax.set(xlabel=axis_labels[0], ylabel=axis_labels[1])
        ax.locator_params(nbins=5)
    ax.set_title(title or "")
    return fig


def _name(ax: Axes, place: np.ndarray, name: str) -> None:
    box = {"boxstyle": "round,pad=0.18", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.8}
    look = {"fontsize": 9, "fontweight": "bold", "color": INK, "parse_math": False, "bbox": box}
    ax.annotate(name, (float(place[0]), float(place[1])), ha="center", va="center", **look)


@_styled
def voronoi(
    centers: Any,
    X: Any = None,
    labels: Any = None,
    *,
    ax: Axes | None = None,
    title: str | None = None,
    box: tuple[float, float, float, float] | None = None,
) -> Figure:
    """The cell of each centre (k, 2): all places that are nearer to it than to any other; and the points X (n, 2).

    ``labels`` (n,) colours the points like the cells, else they are grey. ``box`` is (left, right, bottom, top).
    """
    fig, ax = _axes(ax, (4.6, 4.2))
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
    ax.scatter(*points.T, c=point_colors, s=7, linewidths=0, alpha=0.75, rasterized=True)
    ax.scatter(*places.T, c=palette, s=85, marker="X", edgecolors="white", linewidths=1.2, zorder=3)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[], aspect="equal")
    ax.set_title(title or "")
    return fig


@_styled
def kmeans_steps(states: Iterable[Any], X: Any) -> Figure:
    """Six panels of k-means in the plane: initialise, assign, move, assign, move, converged.

    ``states`` are those of ``KMeans(...).steps(X)``, X (n, 2); only the first run is drawn.
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


def voronoi_cells(centers: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[np.ndarray]:
    """For each centre the corners (m, 2) of its cell: the box from ``low`` to ``high``, cut at every bisector.

    A centre that equals another one has no places nearer to it alone and gets the cell of both.
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


# ---------------------------------------------------------------------------------------------------------------------
# Images
# ---------------------------------------------------------------------------------------------------------------------


@_styled
def image_grid(
    images: Any,
    *,
    shape: tuple[int, int] | None = None,
    n_columns: int | None = None,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    gap: int = 1,
    ax: Axes | None = None,
    title: str | None = None,
    cell: float = 0.6,
) -> Figure:
    """Images (n, n_features) or (n, height, width), row by row in one picture.

    Values in [0, 1] are grey levels, black to white. Images with negative entries are shown in colour, each with its
    own scale: blue below 0, white at 0, red above. ``gap`` is in pixels, ``cell`` the largest size of an image in
    inches; labels stand at the rows and columns.
    """
    stack = as_images(images, shape)
    n, height, width = stack.shape
    k = n_columns or ceil(sqrt(n))
    rows = ceil(n / k)
    canvas = np.zeros((rows * (height + gap) - gap, k * (width + gap) - gap, 4), np.float32)  # transparent
    for i, picture in enumerate(_to_rgba(stack)):
        top, left = (i // k) * (height + gap), (i % k) * (width + gap)
        canvas[top : top + height, left : left + width] = picture

    inches = min(cell, (WIDTH - (1.3 if row_labels else 0.1)) / k)
    size = (k * inches + (1.3 if row_labels else 0.1), rows * inches * height / width + 0.1)
    fig, ax = _axes(ax, (size[0], size[1] + 0.3 * bool(column_labels) + 0.3 * bool(title)))
    ax.imshow(canvas, interpolation="none", aspect="equal")
    ax.set_xticks([j * (width + gap) + (width - 1) / 2 for j in range(k)] if column_labels else [], column_labels or [])
    ax.set_yticks([i * (height + gap) + (height - 1) / 2 for i in range(rows)] if row_labels else [], row_labels or [])
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.spines[:].set_visible(False)
    ax.set_title(title or "")
    return fig


def as_images(images: Any, shape: tuple[int, int] | None = None) -> np.ndarray:
    """(n, height, width) on the host, from that or from rows; without ``shape`` the images are taken to be square."""
    stack = to_numpy(images)
    if stack.ndim == 3:
        return stack
    if stack.ndim != 2:
        raise ValueError(f"images has shape {stack.shape}; give (n, n_features) or (n, height, width)")
    if shape is None:
        side = round(sqrt(stack.shape[1]))
        shape = (side, side)
    if shape[0] * shape[1] != stack.shape[1]:
        raise ValueError(f"images has {stack.shape[1]} features, which are no image of shape {shape}; pass shape=")
    return stack.reshape(-1, *shape)


def _to_rgba(stack: np.ndarray) -> np.ndarray:
    from matplotlib import colormaps

    if not len(stack) or stack.min() >= -0.01 * np.abs(stack).max():  # rounding may leave something below 0
        return colormaps["gray"](np.clip(stack, 0, 1))
    scale = np.abs(stack).max(axis=(1, 2), keepdims=True)
    return colormaps["RdBu_r"](0.5 + 0.5 * stack / np.where(scale > 0, scale, 1))


def reconstructions(
    x: Any, *x_hats: Any, labels: Sequence[str] = ("input", "reconstruction"), shape: tuple[int, int] | None = None
) -> Figure:
    """Images (n, n_features) in the first row, and what became of them in the rows below, one row a ``x_hat``."""
    rows = [as_images(row, shape) for row in (x, *x_hats)]
    return image_grid(np.concatenate(rows), n_columns=len(rows[0]), row_labels=labels)


@_styled
def manifold_grid(
    images: Any, codes: Any, *, shape: tuple[int, int] | None = None, axis_labels: tuple[str, str] = ("z₁", "z₂")
) -> Figure:
    """Decoded images (m * m, n_features) at the places of their codes (m * m, 2), which are a square grid of the plane.

    Row by row from the top left, as ``latent.manifold_grid`` makes codes: the first latent grows to the right, the
    second one upwards. The axes show the codes' values, which need not be evenly spaced.
    """
    stack, places = as_images(images, shape), to_numpy(codes)
    m = round(sqrt(len(places)))
    if places.shape != (m * m, 2) or len(stack) != m * m:
        raise ValueError(f"codes of shape {places.shape} and {len(stack)} images are no square grid of the plane")
    fig, axes = figure(size=(5.6, 5.5))
    ax = axes[0, 0]
    image_grid(stack, n_columns=m, gap=0, ax=ax)
    height, width = stack.shape[1:]
    marks = np.unique(np.linspace(0, m - 1, min(m, 5)).round().astype(int))
    ax.set_xticks(marks * width + (width - 1) / 2, [f"{v:.1f}" for v in places[marks, 0]])
    ax.set_yticks(marks * height + (height - 1) / 2, [f"{v:.1f}" for v in places[marks * m, 1]])
    ax.tick_params(length=3, top=False, labeltop=False, bottom=True, labelbottom=True)
    ax.set(xlabel=axis_labels[0], ylabel=axis_labels[1])
    return fig


# ---------------------------------------------------------------------------------------------------------------------
# Curves and bars
# ---------------------------------------------------------------------------------------------------------------------


@_styled
def curves(
    x: Any,
    lines: Mapping[str, Any],
    *,
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
    title: str | None = None,
    log_x: bool = False,
) -> Figure:
    """One line a name over the same x, with markers where there are few points. ``log_x`` spaces x logarithmically."""
    fig, ax = _axes(ax)
    for (name, y), color in zip(lines.items(), colors(len(lines)), strict=True):
        ax.plot(to_numpy(x), to_numpy(y), label=name, color=color, marker="o" if len(x) <= 20 else None)
    if log_x:
        ax.set_xscale("log")
        if len(x) <= 12:
            ax.set_xticks(x, [f"{v:g}" for v in x])
            ax.minorticks_off()
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(visible=True, axis="y")
    if len(lines) > 1:
        ax.legend()
    ax.set_title(title or "")
    return fig


@_styled
def bars(
    values: Any, *, xlabel: str, ylabel: str, names: Sequence[str] | None = None, ax: Axes | None = None
) -> Figure:
    """One bar a value (n,), numbered from 1 or with ``names``."""
    fig, ax = _axes(ax, (WIDTH, 2.8))
    heights = to_numpy(values)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.bar(np.arange(1, len(heights) + 1), heights, color=PALETTE[0], width=0.7)
    if names is not None:
        ax.set_xticks(np.arange(1, len(heights) + 1), names)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(visible=True, axis="y")
    return fig


@_styled
def distributions(
    groups: Mapping[str, Any], *, xlabel: str, ax: Axes | None = None, title: str | None = None, n_bins: int = 50
) -> Figure:
    """Histograms of several groups of values on the same bins, each of area 1."""
    fig, ax = _axes(ax, (WIDTH, 2.9))
    arrays = {name: to_numpy(values).astype(np.float64).reshape(-1) for name, values in groups.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(arrays.values())), bins=n_bins)
    for (name, values), color in zip(arrays.items(), colors(len(arrays)), strict=True):
        density, _ = np.histogram(values, bins=edges, density=True)
        ax.stairs(density, edges, fill=True, color=color, alpha=0.35)
        ax.stairs(density, edges, color=color, linewidth=1.4, label=name)
    ax.set(xlabel=xlabel, ylabel="density")
    ax.set_yticks([])
    ax.legend()
    ax.set_title(title or "")
    return fig


@_styled
def spectrum(pca: Any, *, n: int | None = None) -> Figure:
    """The variance along each component of a fitted PCA, and the share of all variance that the first k explain."""
    variance, share = (to_numpy(a)[:n] for a in (pca.explained_variance_, pca.explained_variance_ratio_))
    fig, axes = figure(1, 2, size=(WIDTH, 2.9))
    k = np.arange(1, len(variance) + 1)
    there = variance > 1e-7 * variance[0]  # below, a logarithmic axis would show nothing but rounding
    axes[0, 0].plot(k[there], variance[there], color=PALETTE[0])
    axes[0, 0].set(xlabel="component k", ylabel="variance λₖ", yscale="log")
    axes[0, 1].plot(k, np.cumsum(share), color=PALETTE[0])
    axes[0, 1].set(xlabel="components kept", ylabel="share of the variance", ylim=(0, 1.02))
    for ax in axes[0]:
        ax.grid(visible=True)
    return fig


@_styled
def history(rows: Any, columns: Sequence[str] | None = None) -> Figure:
    """The columns of a model's ``history_`` over the epochs; columns of one unit share their axes.

    By default the loss and what it is made of: loss, validation_loss, reconstruction, kl, as far as they are there.
    """
    if not len(rows):
        raise ValueError("history is empty: the model was trained for no epoch")
    if columns is None:
        columns = [c for c in ("loss", "validation_loss", "reconstruction", "kl") if c in rows[0]]
    units = dict.fromkeys(rows.units[c] for c in columns)
    fig, axes = figure(1, len(units), size=(WIDTH, 3.0))
    for ax, unit in zip(axes[0], units, strict=True):
        shown = [c for c in columns if rows.units[c] == unit]
        lines = {c.replace("_", " "): rows[c] for c in shown}
        curves(rows["epoch"], lines, xlabel="epoch", ylabel=unit or shown[0].replace("_", " "), ax=ax)
        ax.locator_params(axis="x", integer=True)
    return fig
