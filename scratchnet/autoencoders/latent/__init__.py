"""What to do with codes: walk between them, do arithmetic, model their density, find outliers.

All functions work on codes as arrays (n, n_latent), such as a model's ``transform`` gives (posterior means, for a VAE);
``model.inverse_transform`` turns results into data. Codes are arrays, so that their arithmetic needs no function: what
a has and c has not, added to b, is ``z_b + (z_a - z_c)``; :func:`attribute_vector` takes the difference of many.
"""

from scratchnet.autoencoders.latent.densities import GaussianDensity, GaussianMixture
from scratchnet.autoencoders.latent.outliers import outlier_scores
from scratchnet.autoencoders.latent.walks import (
    attribute_vector,
    interpolate,
    likely_but_grey,
    manifold_grid,
    traverse,
)

__all__ = [
    "GaussianDensity",
    "GaussianMixture",
    "attribute_vector",
    "interpolate",
    "likely_but_grey",
    "manifold_grid",
    "outlier_scores",
    "traverse",
]
