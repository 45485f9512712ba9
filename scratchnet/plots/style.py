"""The look of every figure: palette, sizes, and the matplotlib settings used while a figure is drawn or saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["FAINT", "GREY", "INK", "PALETTE", "PAPER", "WIDTH", "colors", "figure", "on", "style", "styled"]

P = ParamSpec("P")

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
"""Ten colours for classes. Any two differ by at least 0.13 in OKLab, in normal colour vision and as simulated for
protanopia and deuteranopia; none is too light for white paper or too dark for black."""

INK, PAPER, FAINT, GREY = "#24292f", "#fefefe", "#d4d9df", "#858d96"  # text, background, grid lines, unlabelled points
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
    """``with style():`` draws and saves figures with this module's look, then restores matplotlib's settings."""
    import matplotlib
    from cycler import cycler

    look: Any = {**_STYLE, "axes.prop_cycle": cycler(color=PALETTE)}
    with matplotlib.rc_context(look):
        yield


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorator: call ``draw`` inside :func:`style`."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            return draw(*args, **kwargs)

    return drawn


def figure(
    n_rows: int = 1, n_columns: int = 1, *, size: tuple[float, float] = (WIDTH, 3.6), **kwargs: Any
) -> tuple[Figure, NDArray[Any]]:
    """A new figure and its array of axes, always (n_rows, n_columns); ``kwargs`` go to ``Figure.subplots``.

    ``size`` is (width, height) in inches. pyplot does not know the figure, so it need not be closed.

    Examples
    --------
    >>> from scratchnet import plots
    >>> figure, axes = plots.figure(1, 2)
    >>> axes.shape
    (1, 2)
    >>> plots.scatter([[0, 0], [1, 1]], ax=axes[0, 1]) is figure
    True
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style():
        fig = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(fig)
        return fig, fig.subplots(n_rows, n_columns, squeeze=False, **kwargs)


def on(ax: Axes | None, size: tuple[float, float] = (WIDTH, 3.6)) -> tuple[Figure, Axes]:
    """The figure of ``ax`` and ``ax`` itself; without ``ax``, a new figure of ``size`` inches and its axes."""
    if ax is None:
        fig, axes = figure(size=size)
        return fig, axes[0, 0]
    return cast("Figure", ax.figure), ax


def colors(n: int) -> list[str]:
    """The colours of n classes, as hexadecimal strings; beyond ten they repeat."""
    return [PALETTE[i % len(PALETTE)] for i in range(n)]
