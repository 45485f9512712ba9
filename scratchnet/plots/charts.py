"""Line charts, bar charts and histograms, and the charts of a PCA and of a training history built on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scratchnet.backend import to_numpy
from scratchnet.plots.style import PALETTE, WIDTH, colors, figure, on, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from scratchnet.autoencoders.history import History
    from scratchnet.decomposition import PCA

__all__ = ["bars", "curves", "distributions", "history", "spectrum"]


@styled
def curves(
    x: ArrayLike,
    lines: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
    title: str | None = None,
    log_x: bool = False,
) -> Figure:
    """One line per name over the same x, with markers where there are at most 20 points.

    Parameters
    ----------
    x : (n,)
    lines : {name: (n,)}
        Two or more lines get a legend with their names.
    xlabel, ylabel : str
        With units, such as "KL (nats)".
    ax, title
        Axes to draw on, and a title for them.
    log_x : bool
        A logarithmic x axis; up to 12 values of x are its ticks.

    Examples
    --------
    >>> from scratchnet import plots
    >>> figure = plots.curves([1, 10, 100], {"a": [3, 2, 1]}, xlabel="epoch", ylabel="loss (nats)", log_x=True)
    >>> len(figure.axes[0].lines)
    1
    """
    fig, ax = on(ax)
    places = to_numpy(x)
    for (name, y), color in zip(lines.items(), colors(len(lines)), strict=True):
        ax.plot(places, to_numpy(y), label=name, color=color, marker="o" if len(places) <= 20 else None)
    if log_x:
        ax.set_xscale("log")
        if len(places) <= 12:
            ax.set_xticks(places, [f"{v:g}" for v in places])
            ax.minorticks_off()
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(visible=True, axis="y")
    if len(lines) > 1:
        ax.legend()
    ax.set_title(title or "")
    return fig


@styled
def bars(
    values: ArrayLike, *, xlabel: str, ylabel: str, names: Sequence[str] | None = None, ax: Axes | None = None
) -> Figure:
    """One bar per value (n,), numbered from 1, or labelled with ``names`` (n,)."""
    fig, ax = on(ax, (WIDTH, 2.8))
    heights = to_numpy(values)
    ax.locator_params(axis="x", integer=True)
    ax.bar(np.arange(1, len(heights) + 1), heights, color=PALETTE[0], width=0.7)
    if names is not None:
        ax.set_xticks(np.arange(1, len(heights) + 1), names)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(visible=True, axis="y")
    return fig


@styled
def distributions(
    groups: Mapping[str, ArrayLike], *, xlabel: str, ax: Axes | None = None, title: str | None = None, n_bins: int = 50
) -> Figure:
    """Histograms of several groups of values in the same bins, each scaled to area 1.

    Parameters
    ----------
    groups : {name: array of any shape}
    xlabel : str
        What the values are, with their unit.
    ax, title
        Axes to draw on, and a title for them.
    n_bins : int
        Bins of equal width between the smallest and the largest value of all groups.
    """
    fig, ax = on(ax, (WIDTH, 2.9))
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


@styled
def spectrum(pca: PCA) -> Figure:
    """Two panels of a fitted PCA: the variance along each component, and the share explained by the first k.

    Variances are on a logarithmic axis; those below 1e-7 of the largest are rounding error and are not drawn.
    """
    variance, share = (to_numpy(a) for a in (pca.explained_variance_, pca.explained_variance_ratio_))
    fig, axes = figure(1, 2, size=(WIDTH, 2.9))
    k = np.arange(1, len(variance) + 1)
    there = variance > 1e-7 * variance[0]
    axes[0, 0].plot(k[there], variance[there], color=PALETTE[0])
    axes[0, 0].set(xlabel="component k", ylabel="variance λₖ", yscale="log")
    axes[0, 1].plot(k, np.cumsum(share), color=PALETTE[0])
    axes[0, 1].set(xlabel="components kept", ylabel="share of the variance", ylim=(0, 1.02))
    for ax in axes[0]:
        ax.grid(visible=True)
    return fig


@styled
def history(rows: History, columns: Sequence[str] | None = None) -> Figure:
    """Columns of a model's ``history_`` over the epochs; columns with the same unit share their axes.

    Parameters
    ----------
    rows : History
        ``model.history_``.
    columns : sequence of str, optional
        By default the loss and its parts: those of loss, validation_loss, reconstruction and kl that the model has.

    Raises
    ------
    ValueError
        If the model was trained for no epoch.
    KeyError
        If the history has no such column.
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
