"""The search for the bandwidth that gives each point its perplexity."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from scratchnet.backend import Array, get_xp
from scratchnet.kernels import twin
from scratchnet.kernels.cuda import perplexity as cuda

__all__ = ["SAME", "SearchLimits", "calibrate"]

SAME = 2.0**-46  # relative squared distance up to which two points count as one: 64 times the rounding of float64


class SearchLimits(NamedTuple):
    """When the search for a bandwidth ends."""

    tolerance: float = 1e-6  # of an entropy, in nats
    largest: float = float(np.log(0.2 / SAME))  # log of beta per mean squared distance: beyond it rounding decides
    steps: int = 200  # never reached: a bisection needs 60


@twin(cuda=cuda.search)  # all steps of a row in one launch
def calibrate(d: Array, perplexity: float, others: int, dtype: Any, limits: SearchLimits) -> tuple[Array, Array, Array]:
    """(beta, log_z, entropy), each (r,), such that every row's entropy is log(perplexity).  (8.1)

    Newton's method on s = log(beta): H = log Z + beta E[d], dH/ds = -beta^2 Var[d], kept inside a bracket. H falls with
    s, so each step tightens one side. Where the nearest neighbours tie, the entropy cannot fall below the logarithm of
    their number: such rows end at the largest beta that still means something.

    Parameters
    ----------
    d : (r, n)
        Squared distances. A row that contains its own point has the smallest other distance there, and ``others`` is
        then n - 1: the entry counts as exp(0) = 1 in Z and as nothing elsewhere, so it is easily taken out again.
    dtype : dtype
        Of the exponentials; they are summed in float64.
    """
    xp, target = get_xp(d), float(np.log(perplexity))
    itself = d.shape[1] - others
    nearest = d.min(axis=1, keepdims=True)
    scale = (d.sum(axis=1, keepdims=True) - itself * nearest) / others  # the mean squared distance
    scale = xp.where(scale > 0, scale, 1.0)
    t = ((d - nearest) / scale).astype(dtype)

    found = xp.empty((3, len(d)))  # beta, log z, entropy
    rows = xp.arange(len(d))  # those still searching
    s = xp.full(len(d), 2 / 3 * float(np.log(others / perplexity)))  # as for points that fill three dimensions
    low, high = xp.full(len(d), -1e3), xp.full(len(d), 1e3)
    for _ in range(limits.steps):
        beta = xp.exp(s)
        e = xp.exp(-beta[:, None].astype(dtype) * t)
        z = e.sum(axis=1, dtype=np.float64) - itself
        mean = (e * t).sum(axis=1, dtype=np.float64) / z
        variance = (e * t * t).sum(axis=1, dtype=np.float64) / z - mean**2
        entropy = xp.log(z) + beta * mean
        found[:, rows] = xp.stack([beta, xp.log(z), entropy])
        error = entropy - target
        low, high = xp.where(error > 0, s, low), xp.where(error < 0, s, high)
        newton = error / xp.maximum(beta**2 * variance, 1e-300)
        step = s + xp.clip(newton, -3, 3)
        step = xp.where((step > low) & (step < high), step, (low + high) / 2)
        searching = (xp.abs(error) >= limits.tolerance) & ((error < 0) | (s < limits.largest))
        if not bool(searching.any()):
            break
        s = xp.minimum(step, limits.largest)
        rows, s, low, high, t = (a[searching] for a in (rows, s, low, high, t))
    beta, log_z, entropy = found
    return beta / scale[:, 0], log_z, entropy
