"""Rows that are images."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.backend import to_numpy
from scratchnet.plots.style import WIDTH, Axes, figure, on, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
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
    fig, ax = on(ax, (size[0], size[1] + 0.3 * bool(column_labels) + 0.3 * bool(title)))
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


@styled
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
