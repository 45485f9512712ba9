"""Synthetic data, float64. Drawn on the host, so that a seed gives the same points on every backend."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from scratchnet.backend import Array, RandomState, Rng, asarray, to_numpy
from scratchnet.validation import check_array, check_integer, check_number

__all__ = ["make_blobs", "make_ring", "make_swiss_roll"]


def make_blobs(
    n_samples: int,
    n_features: int = 2,
    centers: int | ArrayLike = 3,
    cluster_std: float | ArrayLike = 1.0,
    random_state: RandomState = None,
) -> tuple[Array, Array]:
    """Round Gaussian clusters, x = c_y + cluster_std * eps with eps ~ N(0, I), in random order.

    Cluster sizes differ by at most 1.

    Parameters
    ----------
    n_samples : int
        Number of points, at least 1.
    n_features : int
        Number of dimensions d; ignored if ``centers`` is an array.
    centers : int or array (k, d)
        The number of centres, drawn uniformly from [-10, 10]^d, or the centres themselves.
    cluster_std : float or array (k,)
        Standard deviation along each axis: one for all clusters, or one per cluster.
    random_state : int, generator or None

    Returns
    -------
    X : array (n_samples, d), float64
    y : array (n_samples,), int64
        The cluster of each point, 0..k-1.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type; the message names it.

    Examples
    --------
    >>> from scratchnet.datasets import make_blobs
    >>> X, y = make_blobs(300, centers=[[0, 0], [5, 5], [9, 0]], random_state=0)
    >>> X.shape, [int((y == k).sum()) for k in range(3)]
    ((300, 2), [100, 100, 100])
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

    Any projection onto a plane mixes neighbours on the sheet with points of the next turn.
    Source: S. Marsland, "Machine Learning: An Algorithmic Perspective", 2nd edition, chapter 6.

    Parameters
    ----------
    n_samples : int
        Number of points, at least 1.
    noise : float
        Standard deviation of the Gaussian noise along each axis, at least 0.
    random_state : int, generator or None

    Returns
    -------
    X : array (n_samples, 3), float64
    t : array (n_samples,), float64
        The position along the roll, in radians; a good colour for a plot.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> from scratchnet.datasets import make_swiss_roll
    >>> X, t = make_swiss_roll(100, random_state=0)
    >>> X.shape, np.allclose(X[:, 0] ** 2 + X[:, 2] ** 2, t**2)
    ((100, 3), True)
    """
    n, noise = check_integer(n_samples, "n_samples"), check_number(noise, "noise", minimum=0)
    host = Rng(random_state).host
    t = host.uniform(1.5 * np.pi, 4.5 * np.pi, n)
    h = host.uniform(0.0, 21.0, n)
    X = np.stack([t * np.cos(t), h, t * np.sin(t)], axis=1) + noise * host.standard_normal((n, 3))
    return asarray(X), asarray(t)


def make_ring(n_samples: int, noise: float = 0.1, random_state: RandomState = None) -> tuple[Array, Array]:
    """Gaussian noise mapped onto a ring: x = z / |z| + noise * z, z ~ N(0, I) in the plane.

    A simple map turns the normal distribution into a distribution of another shape, as a decoder has to. The radius is
    1 + noise * |z|, so it is never below 1 and has mean 1 + noise * sqrt(pi / 2).
    Source: C. Doersch, "Tutorial on Variational Autoencoders", arXiv:1606.05908, figure 2 (there noise = 1/10).

    Parameters
    ----------
    n_samples : int
        Number of points, at least 1.
    noise : float
        Width of the ring, at least 0.
    random_state : int, generator or None

    Returns
    -------
    X : array (n_samples, 2), float64
    t : array (n_samples,), float64
        The angle in radians, in (-pi, pi].

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> from scratchnet.datasets import make_ring
    >>> X, t = make_ring(100, noise=0.0, random_state=0)
    >>> X.shape, np.allclose(X, np.stack([np.cos(t), np.sin(t)], axis=1))
    ((100, 2), True)
    """
    n, noise = check_integer(n_samples, "n_samples"), check_number(noise, "noise", minimum=0)
    z = Rng(random_state).host.standard_normal((n, 2))
    X = z / np.linalg.norm(z, axis=1, keepdims=True) + noise * z
    return asarray(X), asarray(np.arctan2(z[:, 1], z[:, 0]))
