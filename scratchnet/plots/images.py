"""Grids of images: samples, reconstructions, a decoded latent plane."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import TYPE_CHECKING

import numpy as np

from scratchnet.backend import to_numpy
from scratchnet.plots.style import WIDTH, figure, on, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

__all__ = ["as_images", "decoded_grid", "image_grid", "reconstructions"]


@styled
def image_grid(
    images: ArrayLike,
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
    """Many images in one picture, row by row.

    Values in [0, 1] are grey levels, from black to white. If any value is negative, all images are drawn in colour,
    each on its own scale: blue below 0, white at 0, red above.

    Parameters
    ----------
    images : (n, n_features) or (n, height, width)
    shape : (height, width), optional
        Needed for images (n, n_features) that are not square.
    n_columns : int, optional
        By default the grid is about as wide as it is high.
    row_labels, column_labels : sequences of str, optional
        One per row, one per column.
    gap : int
        Pixels between images.
    ax, title
        Axes to draw on, and a title for them.
    cell : float
        Largest width of an image on paper, in inches.

    Raises
    ------
    ValueError
        If the rows are not images of that shape.

    Examples
    --------
    >>> from scratchnet import plots
    >>> from scratchnet.datasets import load_mnist
    >>> X, y = load_mnist("test")
    >>> figure = plots.image_grid(X[:20], n_columns=10)
    >>> figure.axes[0].images[0].get_array().shape  # 2 rows and 10 columns of 28 x 28 pixels, gaps of 1, RGBA
    (57, 289, 4)
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


def as_images(images: ArrayLike, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Images (n, n_features) or (n, height, width) as a NumPy array (n, height, width); square without ``shape``."""
    stack = to_numpy(images)
    if stack.ndim == 3:
        return stack
    if stack.ndim != 2:
        raise ValueError(f"images has shape {stack.shape}; give (n, n_features) or (n, height, width)")
    if shape is None:
        side = round(sqrt(stack.shape[1]))
        shape = (side, side)
    if shape[0] * shape[1] != stack.shape[1]:
        raise ValueError(f"images has {stack.shape[1]} features, which is not an image of shape {shape}; pass shape=")
    return stack.reshape(-1, *shape)


def _to_rgba(stack: np.ndarray) -> np.ndarray:
    from matplotlib import colormaps

    if not len(stack) or stack.min() >= -0.01 * np.abs(stack).max():  # rounding can make zeros slightly negative
        return colormaps["gray"](np.clip(stack, 0, 1))
    scale = np.abs(stack).max(axis=(1, 2), keepdims=True)
    return colormaps["RdBu_r"](0.5 + 0.5 * stack / np.where(scale > 0, scale, 1))


def reconstructions(
    x: ArrayLike,
    *x_hats: ArrayLike,
    labels: Sequence[str] = ("input", "reconstruction"),
    shape: tuple[int, int] | None = None,
) -> Figure:
    """Images x (n, n_features) in the first row, and below them one row per ``x_hat`` (n, n_features).

    ``labels`` names the rows; ``shape`` is the (height, width) of images that are not square.
    """
    rows = [as_images(row, shape) for row in (x, *x_hats)]
    return image_grid(np.concatenate(rows), n_columns=len(rows[0]), row_labels=labels)


@styled
def decoded_grid(images: ArrayLike, codes: ArrayLike, *, shape: tuple[int, int] | None = None) -> Figure:
    """Decoded images in the plane of their codes, which form a square grid; the axes show the codes' values.

    ``latent.manifold_grid(m)`` makes such codes, row by row from the top left: z₁ grows to the right, z₂ upwards. The
    values need not be evenly spaced.

    Parameters
    ----------
    images : (m * m, n_features)
        ``model.inverse_transform(codes)``.
    codes : (m * m, 2)
    shape : (height, width), optional
        Of images that are not square.

    Raises
    ------
    ValueError
        If the codes are not a square grid of the plane, or if there are more or fewer images than codes.
    """
    stack, places = as_images(images, shape), to_numpy(codes)
    m = round(sqrt(len(places)))
    if places.shape != (m * m, 2) or len(stack) != m * m:
        raise ValueError(f"codes of shape {places.shape} and {len(stack)} images are not a square grid of the plane")
    fig, axes = figure(size=(5.6, 5.5))
    ax = axes[0, 0]
    image_grid(stack, n_columns=m, gap=0, ax=ax)
    height, width = stack.shape[1:]
    marks = np.unique(np.linspace(0, m - 1, min(m, 5)).round().astype(int))
    ax.set_xticks(marks * width + (width - 1) / 2, [f"{v:.1f}" for v in places[marks, 0]])
    ax.set_yticks(marks * height + (height - 1) / 2, [f"{v:.1f}" for v in places[marks * m, 1]])
    ax.tick_params(length=3, top=False, labeltop=False, bottom=True, labelbottom=True)
    ax.set(xlabel="z₁", ylabel="z₂")
    return fig
