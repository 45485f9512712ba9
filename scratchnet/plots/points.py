"""Points of the plane, by their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.backend import to_numpy
from scratchnet.plots.style import INK, PALETTE, PAPER, Axes, colors, on, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
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
    fig, ax = on(ax, (5.2, 4.6))
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


def name_classes(ax: Axes, embedding: Any, labels: Any) -> None:
    """Each class's name at the median of its points; nothing where ``labels`` are None or floats."""
    if labels is None or to_numpy(labels).dtype.kind == "f":
        return
    points, values = to_numpy(embedding), to_numpy(labels)
    box = {"boxstyle": "round,pad=0.18", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.8}
    look = {"fontsize": 9, "fontweight": "bold", "color": INK, "parse_math": False, "bbox": box}
    for name in np.unique(values):
        x, y = np.median(points[values == name], axis=0)
        ax.annotate(str(name), (float(x), float(y)), ha="center", va="center", **look)
