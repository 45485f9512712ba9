"""Scatter plots of points in the plane, coloured by their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.backend import to_numpy
from scratchnet.plots.style import INK, PALETTE, PAPER, colors, on, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

__all__ = ["name_classes", "scatter"]


@styled
def scatter(
    embedding: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    ax: Axes | None = None,
    title: str | None = None,
    axis_labels: tuple[str, str] | None = None,
    equal: bool = True,
    names: bool = True,
) -> Figure:
    """Points in the plane, coloured by their labels.

    Parameters
    ----------
    embedding : (n, 2)
    labels : (n,), optional
        Integers, strings and booleans are classes, one colour per class. Floats are values on a colour scale.
    ax, title
        Axes to draw on, and a title for them.
    axis_labels : (str, str), optional
        Names of the axes; without them the axes have no ticks either.
    equal : bool
        The same scale on both axes.
    names : bool
        Write the name of each class at the median of its points.

    Raises
    ------
    ValueError
        If the points are not in the plane, or if there are more or fewer labels than points.

    Examples
    --------
    >>> from scratchnet import plots
    >>> figure = plots.scatter([[0, 0], [1, 2], [3, 1]], ["ash", "elm", "elm"], title="trees")
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['ash', 'elm']
    """
    points = to_numpy(embedding)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"embedding has shape {points.shape}; scatter draws points in the plane, (n, 2)")
    fig, ax = on(ax, (5.2, 4.6))
    look: dict[str, Any] = {"s": float(np.clip(6000 / max(len(points), 1), 3, 22)), "linewidths": 0, "rasterized": True}
    values = None if labels is None else to_numpy(labels)
    if values is None:
        ax.scatter(points[:, 0], points[:, 1], color=PALETTE[0], **look)
    elif len(values) != len(points):
        raise ValueError(f"labels has {len(values)} entries, but embedding has {len(points)} points")
    elif values.dtype.kind == "f":
        drawn = ax.scatter(points[:, 0], points[:, 1], c=values, cmap="viridis", **look)
        fig.colorbar(drawn, ax=ax, shrink=0.8)
    else:
        classes, which = np.unique(values, return_inverse=True)
        # one call draws all classes in the order of the samples, so that no class covers another
        ax.scatter(points[:, 0], points[:, 1], c=np.asarray(colors(len(classes)))[which], alpha=0.8, **look)
        if names:
            name_classes(ax, points, values)
    if equal:
        ax.set_aspect("equal", adjustable="datalim")
    if axis_labels is None:
        ax.set(xticks=[], yticks=[])
    else:
        ax.set(xlabel=axis_labels[0], ylabel=axis_labels[1])
        ax.locator_params(nbins=5)
    ax.set_title(title or "")
    return fig


def name_classes(ax: Axes, embedding: ArrayLike, labels: ArrayLike | None) -> None:
    """Write each class's name at the median of its points; does nothing if ``labels`` are None or floats."""
    if labels is None or to_numpy(labels).dtype.kind == "f":
        return
    points, values = to_numpy(embedding), to_numpy(labels)
    box = {"boxstyle": "round,pad=0.18", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.8}
    look: dict[str, Any] = {"fontsize": 9, "fontweight": "bold", "color": INK, "parse_math": False, "bbox": box}
    for name in np.unique(values):
        x, y = np.median(points[values == name], axis=0)
        ax.annotate(str(name), (float(x), float(y)), ha="center", va="center", **look)
