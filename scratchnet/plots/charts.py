"""Curves, bars and histograms, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.backend import to_numpy
from scratchnet.plots.style import PALETTE, WIDTH, Axes, colors, figure, on, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
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
    fig, ax = on(ax)
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


@styled
def bars(
    values: Any, *, xlabel: str, ylabel: str, names: Sequence[str] | None = None, ax: Axes | None = None
) -> Figure:
    """One bar a value (n,), numbered from 1 or with ``names``."""
    fig, ax = on(ax, (WIDTH, 2.8))
    heights = to_numpy(values)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.bar(np.arange(1, len(heights) + 1), heights, color=PALETTE[0], width=0.7)
    if names is not None:
        ax.set_xticks(np.arange(1, len(heights) + 1), names)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(visible=True, axis="y")
    return fig


@styled
def distributions(
    groups: Mapping[str, Any], *, xlabel: str, ax: Axes | None = None, title: str | None = None, n_bins: int = 50
) -> Figure:
    """Histograms of several groups of values on the same bins, each of area 1."""
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


@styled
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
