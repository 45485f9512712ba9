"""Ways through a latent space: lines, arcs, grids, features to add, and steps up the decoder's gradient."""

from __future__ import annotations

from collections.abc import Sequence
from math import acos, sin
from statistics import NormalDist
from typing import Any

import numpy as np

from scratchnet.backend import Array, asarray, get_xp, to_numpy
from scratchnet.validation import check_integer, check_number

__all__ = [
    "attribute_vector",
    "greyness",
    "greyness_grad",
    "interpolate",
    "likely_but_grey",
    "manifold_grid",
    "traverse",
]


def interpolate(z_a: Array, z_b: Array, n_steps: int = 10, *, spherical: bool = False) -> Array:
    """Codes on the way from z_a to z_b, both included: (n_steps, n_latent).

    Straight: (1 - t) z_a + t z_b. Spherical: along the great arc, [sin((1 - t) w) z_a + sin(t w) z_b] / sin w with w
    the angle between them (Shoemake 1985); it keeps the length that draws from N(0, I) have in many dimensions, which
    the middle of a straight line does not.

    Raises
    ------
    ValueError
        If the two are not codes of one width, or a code at the origin has no direction.

    Examples
    --------
    >>> interpolate(np.array([0.0, 2.0]), np.array([1.0, 0.0]), 3)
    array([[0. , 2. ],
           [0.5, 1. ],
           [1. , 0. ]])
    """
    xp = get_xp(z_a, z_b)
    if z_a.shape != z_b.shape or z_a.ndim != 1:
        raise ValueError(f"z_a and z_b must be two codes (n_latent,), got {tuple(z_a.shape)} and {tuple(z_b.shape)}")
    t = np.linspace(0, 1, check_integer(n_steps, "n_steps", minimum=2))
    weights = np.stack([1 - t, t], axis=1)
    if spherical:
        lengths = float(xp.linalg.norm(z_a)), float(xp.linalg.norm(z_b))
        if min(lengths) == 0:
            raise ValueError("a code at the origin has no direction; use spherical=False")
        angle = acos(min(1.0, max(-1.0, float(z_a @ z_b) / (lengths[0] * lengths[1]))))
        if sin(angle) > 1e-6:  # (nearly) parallel codes: the arc is the line
            weights = np.sin(weights * angle) / sin(angle)
    return asarray(weights, dtype=z_a.dtype, xp=xp) @ xp.stack([z_a, z_b])


def traverse(z: Array, latent: int, values: Sequence[float]) -> Array:
    """The code z (n_latent,) with one of its latents at each of ``values``: (len(values), n_latent)."""
    if z.ndim != 1:
        raise ValueError(f"z must be one code (n_latent,), got shape {tuple(z.shape)}")
    check_integer(latent, "latent", minimum=0, maximum=len(z) - 1)
    codes = get_xp(z).repeat(z[None, :], len(values), axis=0)
    codes[:, latent] = asarray(np.asarray(values), dtype=z.dtype, xp=get_xp(z))
    return codes


def manifold_grid(n: int = 20, *, tail: float = 0.02) -> Array:
    """Codes (n * n, 2) that lie evenly in probability under N(0, I): row by row, from the top left.

    Coordinates are the normal quantiles of n evenly spaced probabilities between ``tail`` and 1 - ``tail``, so that
    equal areas of the picture stand for equal shares of the prior (Kingma and Welling 2014, appendix A).
    """
    check_number(tail, "tail", minimum=0, open_minimum=True, maximum=0.5)
    steps = [NormalDist().inv_cdf(p) for p in np.linspace(tail, 1 - tail, check_integer(n, "n", minimum=2))]
    x, y = np.meshgrid(steps, steps[::-1])
    return asarray(np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32))


def attribute_vector(Z: Array, has: Any) -> Array:
    """The mean code of those that have a property minus that of the others: (n_latent,).

    Add it to a code to give it the property: z_b + (z_a - z_c) with means for z_a and z_c. ``has`` is boolean, (n,).
    """
    has = to_numpy(has).astype(bool)
    if has.shape != (len(Z),):
        raise ValueError(f"has must hold a boolean for each of {len(Z)} codes, got shape {has.shape}")
    if has.all() or not has.any():
        raise ValueError("has is the same for all codes; an attribute needs some that have it and some that do not")
    xp = get_xp(Z)
    rows = [xp.asarray(np.flatnonzero(choice)) for choice in (has, ~has)]
    return Z[rows[0]].mean(axis=0) - Z[rows[1]].mean(axis=0)


def likely_but_grey(model: Any, Z: Any, *, n_steps: int = 60, step: float = 0.1) -> Array:
    """Codes as likely under N(0, I) as Z, whose decoded probabilities are closest to 1/2: (n, n_latent).

    Found as adversarial examples are: by gradient ascent on G = sum_j 4 p_j (1 - p_j), p the decoded probabilities,
    through the decoder's own backward pass (:func:`greyness_grad`). After each step a code is brought back to
    its length, and so to its density under the prior.

    Parameters
    ----------
    model : an unconditional autoencoder with the Bernoulli likelihood
    Z : array_like (n, n_latent)
    n_steps : int
    step : float
        Length of a step, as a share of the typical length of one coordinate of the code.
    """
    if model.likelihood != "bernoulli":
        raise ValueError(f"greyness is that of probabilities, but the model has likelihood={model.likelihood!r}")
    if getattr(model, "n_condition_", 0):
        raise TypeError(f"likely_but_grey needs an unconditional model, got {type(model).__name__}")
    z = model.check_codes(Z).copy()
    xp = get_xp(z)
    length = xp.linalg.norm(z, axis=1, keepdims=True)
    for _ in range(check_integer(n_steps, "n_steps")):
        dz = greyness_grad(model, z)
        z += step * length / z.shape[1] ** 0.5 * dz / xp.maximum(xp.linalg.norm(dz, axis=1, keepdims=True), 1e-12)
        z *= length / xp.maximum(xp.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    return z


def greyness(model: Any, z: Array) -> Array:
    """G = sum over codes and features of 4 p (1 - p), p = E[x|z]: per feature 1 at p = 1/2 and 0 at p = 0 and p = 1."""
    p = model.decode(z)
    return (4 * p * (1 - p)).sum()


def greyness_grad(model: Any, z: Array) -> Array:
    """(6.9)  dG/dz: dG/dlogit = 4 p (1 - p) (1 - 2p), then the decoder's backward pass down to its input."""
    p = model.decode(z)
    return model.decoder_.backward(4 * p * (1 - p) * (1 - 2 * p))
