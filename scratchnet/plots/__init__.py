"""Figures: each function takes NumPy or device arrays and returns a matplotlib ``Figure``.

A function with ``ax`` draws on the axes you pass and returns their figure; without it, it makes a new figure.
matplotlib's global settings stay unchanged, because the look applies inside :func:`style` only, and pyplot is never
used. matplotlib is imported when the first figure is drawn.

Save a figure with ``figure.savefig("name.png")``; a notebook shows it as the last expression of a cell.
"""

from scratchnet.plots.charts import bars, curves, distributions, history, spectrum
from scratchnet.plots.clusters import cliques, dendrogram, dendrogram_links, kmeans_steps, voronoi, voronoi_cells
from scratchnet.plots.images import as_images, decoded_grid, image_grid, reconstructions
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
    "decoded_grid",
    "dendrogram",
    "dendrogram_links",
    "distributions",
    "embeddings",
    "figure",
    "forces",
    "history",
    "image_grid",
    "kmeans_steps",
    "reconstructions",
    "scatter",
    "spectrum",
    "style",
    "voronoi",
    "voronoi_cells",
]
