"""Synthetic data. Drawn on the host, so a seed gives the same points on every backend; float64, like the draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet.backend import Array, RandomState, Rng, asarray, to_numpy
from scratchnet.validation import check_array, check_integer, check_number


def make_blobs(
    n_samples: int,
    n_features: int = 2,
    centers: Any = 3,
    cluster_std: Any = 1.0,
    random_state: RandomState = None,
) -> tuple[Array, Array]:
    """Round clusters of (nearly) equal size: x = c_y + cluster_std * eps, eps ~ N(0, I), in random order.

    Parameters
    ----------
    n_samples : int
        Points in total, at least 1.
    n_features : int
        Dimensions; given ``centers`` set it, and this is ignored.
    centers : int or array (k, d)
        How many centres to draw, uniformly in [-10, 10]^n_features, or the centres themselves.
    cluster_std : float or array (k,)
        The standard deviation along each axis, one for all clusters or one each.
    random_state : int, generator or None

    Returns
    -------
    X : array (n_samples, d), float64
    y : array (n_samples,), int64
        The cluster of each point.
    """
    n = check_integer(n_samples, "n_samples")
    host = Rng(random_state).host
    if isinstance(centers, int | float | np.number):
        k, d = check_integer(centers, "centers"), check_integer(n_features, "n_features")
        places = host.uniform(-10.0, 10.0, (k, d))
    else:
        places = check_array(centers, name="centers", xp=np, dtype=np.float64)
    spread = np.asarray(to_numpy(cluster_std), dtype=np.float64)
    if spread.shape not in ((), (len(places),)) or not np.all(np.isfinite(spread) & (spread >= 0)):
        raise ValueError(
            f"cluster_std={cluster_std!r} must be a number of at least 0, or one for each of the {len(places)} centers"
        )
    y = host.permutation(np.arange(n) % len(places))
    eps = host.standard_normal((n, places.shape[1]))
    X = places[y] + np.broadcast_to(spread, len(places))[y, None] * eps
    return asarray(X), asarray(y.astype(np.int64))


def make_swiss_roll(n_samples: int, noise: float = 0.0, random_state: RandomState = None) -> tuple[Array, Array]:
    """A rolled-up sheet in space: x = (t cos t, h, t sin t) + noise * eps, t ~ U(1.5 pi, 4.5 pi), h ~ U(0, 21).

    No projection onto a plane keeps neighbours on the sheet apart from those on the next turn.
    Source: S. Marsland, "Machine Learning: An Algorithmic Perspective", 2nd edition, chapter 6.

    Returns
    -------
    X : array (n_samples, 3), float64
    t : array (n_samples,), float64
        The position along the roll, in radians; a good colour for a plot.
    """
    n, noise = check_integer(n_samples, "n_samples"), check_number(noise, "noise", minimum=0)
    host = Rng(random_state).host
    t = host.uniform(1.5 * np.pi, 4.5 * np.pi, n)
    h = host.uniform(0.0, 21.0, n)
    X = np.stack([t * np.cos(t), h, t * np.sin(t)], axis=1) + noise * host.standard_normal((n, 3))
    return asarray(X), asarray(t)


def make_ring(n_samples: int, noise: float = 0.1, random_state: RandomState = None) -> tuple[Array, Array]:
    """Gaussian noise mapped onto a ring: x = z / |z| + noise * z, z ~ N(0, I) in the plane.

    A simple map turns the normal distribution into one of another shape, which is all that a decoder has to do. The
    radius is 1 + noise * |z|, so never below 1, with mean 1 + noise * sqrt(pi / 2).
    Source: C. Doersch, "Tutorial on Variational Autoencoders", arXiv:1606.05908, figure 2 (there noise = 1/10).

    Returns
    -------
    X : array (n_samples, 2), float64
    t : array (n_samples,), float64
        The angle in radians, in (-pi, pi].
    """
    n, noise = check_integer(n_samples, "n_samples"), check_number(noise, "noise", minimum=0)
    z = Rng(random_state).host.standard_normal((n, 2))
    X = z / np.linalg.norm(z, axis=1, keepdims=True) + noise * z
    return asarray(X), asarray(np.arctan2(z[:, 1], z[:, 0]))
