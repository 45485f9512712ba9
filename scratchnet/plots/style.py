"""The look of every figure: palette, sizes, and matplotlib's settings, which hold while one is drawn or saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias

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


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """``draw``, with :func:`style` around it."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            return draw(*args, **kwargs)

    return drawn


def figure(n_rows: int = 1, n_columns: int = 1, *, size: tuple[float, float] = (WIDTH, 3.6), **kwargs: Any) -> Any:
    """A new figure and its (n_rows, n_columns) array of axes. ``size`` is in inches, ``kwargs`` go to ``subplots``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style():
        fig = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(fig)
        return fig, fig.subplots(n_rows, n_columns, squeeze=False, **kwargs)


def on(ax: Axes | None, size: tuple[float, float] = (WIDTH, 3.6)) -> tuple[Any, Axes]:
    """The figure of ``ax``, and ``ax``; or those of a new figure, of ``size`` inches."""
    if ax is None:
        fig, axes = figure(size=size)
        return fig, axes[0, 0]
    return ax.figure, ax


def colors(n: int) -> list[str]:
    """n class colours; beyond ten they repeat."""
    return [PALETTE[i % len(PALETTE)] for i in range(n)]
