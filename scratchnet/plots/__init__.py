"""Figures: each function takes NumPy or device arrays and returns a matplotlib ``Figure``.

A function with ``ax`` draws on the axes you give and returns their figure. Nothing here goes through pyplot, and
matplotlib's global settings are left as they are: the look holds inside :func:`style` only. matplotlib is imported
when the first figure is drawn.
"""

from scratchnet.plots.charts import bars, curves, distributions, history, spectrum
from scratchnet.plots.clusters import cliques, dendrogram, dendrogram_links, kmeans_steps, voronoi, voronoi_cells
from scratchnet.plots.images import as_images, image_grid, manifold_grid, reconstructions
from scratchnet.plots.neighbours import animation, crowding, embeddings, forces
from scratchnet.plots.points import scatter
from scratchnet.plots.style import FAINT, GREY, INK, PALETTE, PAPER, WIDTH, colors, figure, style

__all__ = [
    "FAINT",
    "GREY",
    "INK",
    "PALETTE",
    "PAPER",
    "WIDTH",
    "animation",
    "as_images",
    "bars",
    "cliques",
    "colors",
    "crowding",
    "curves",
    "dendrogram",
    "dendrogram_links",
    "distributions",
    "embeddings",
    "figure",
    "forces",
    "history",
    "image_grid",
    "kmeans_steps",
    "manifold_grid",
    "reconstructions",
    "scatter",
    "spectrum",
    "style",
    "voronoi",
    "voronoi_cells",
]
