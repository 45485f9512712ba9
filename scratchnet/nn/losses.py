"""Losses and their gradients, in pairs. Derivations: docs/derivations.md, section 3.

Every loss is summed over the features and averaged over the batch; the 1/B enters here and nowhere else. (A mean over
the features as well would silently turn the weight 1 of a KL term beside it into the number of features.) Values are
0-d arrays: ``float(...)``, which waits for a device, is left to the caller. The two that are log-likelihoods also come
as ``*_rows`` (B,): one value per sample, as an ELBO needs them.

In all of them ``prediction`` and ``target`` have shape (B, d), and ``*_grad`` is the derivative with respect to
``prediction``: a new array, or ``out`` where that is given (B, d), which may be ``prediction`` itself. They raise
ValueError for shapes that differ and for an empty batch, TypeError for predictions that are not floating point and for
arrays of two libraries.
"""

from __future__ import annotations

import math
from math import log, pi

from scratchnet.backend import Array, Module, get_xp
from scratchnet.kernels import twin
from scratchnet.kernels.cuda import sigmoid_bce as cuda
from scratchnet.nn.activations import sigmoid, softplus
from scratchnet.nn.params import put

__all__ = [
    "bce",
    "bce_grad",
    "bce_with_logits",
    "bce_with_logits_grad",
    "bce_with_logits_rows",
    "gaussian_nll",
    "gaussian_nll_grad",
    "gaussian_nll_logvar_grad",
    "gaussian_nll_rows",
    "mse",
    "mse_grad",
]


def mse(prediction: Array, target: Array) -> Array:
    """Squared error: 1/B sum_b sum_j (p_bj - t_bj)^2.

    Examples
    --------
    >>> import numpy as np
    >>> p, t = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[1.0, 1.0], [0.0, 1.0]])
    >>> float(mse(p, t))
    13.0
    >>> mse_grad(p, t)
    array([[0., 1.],
           [3., 4.]])
    """
    _check(prediction, target)
    return ((prediction - target) ** 2).sum() / len(prediction)


def mse_grad(prediction: Array, target: Array, out: Array | None = None) -> Array:
    """(3.1)  2 (p - t) / B."""
    _check(prediction, target)
    return put(2 / len(prediction) * (prediction - target), out)


def gaussian_nll(prediction: Array, target: Array, logvar: Array | float = 0.0) -> Array:
    """-log N(t; p, s^2) = 1/B sum_b sum_j [(t_bj - p_bj)^2 / s_j^2 + v_j + log(2 pi)] / 2, in nats.

    Nothing is dropped: values are true log-likelihoods.

    Parameters
    ----------
    prediction, target : array (B, d)
    logvar : float, or array (d,)
        v = log s^2, one for all features or one each; by default the variance is 1.
    """
    return gaussian_nll_rows(prediction, target, logvar).sum() / len(prediction)


def gaussian_nll_rows(prediction: Array, target: Array, logvar: Array | float = 0.0) -> Array:
    """:func:`gaussian_nll` of each sample, (B,)."""
    _check(prediction, target)
    d = prediction.shape[1]
    total = d * logvar if isinstance(logvar, int | float) else logvar.sum()  # of the log-variances
    return (((prediction - target) ** 2 * _precision(logvar)).sum(axis=1) + total + d * log(2 * pi)) / 2


def gaussian_nll_grad(
    prediction: Array, target: Array, out: Array | None = None, *, logvar: Array | float = 0.0
) -> Array:
    """(3.2)  (p - t) / s^2 / B; ``logvar`` as in :func:`gaussian_nll`."""
    _check(prediction, target)
    return put(_precision(logvar) / len(prediction) * (prediction - target), out)


def gaussian_nll_logvar_grad(prediction: Array, target: Array, logvar: Array) -> Array:
    """(3.2)  With respect to the log-variance of each feature, (d,): 1/B sum_b [1 - (t_bj - p_bj)^2 / s_j^2] / 2."""
    _check(prediction, target)
    return (1 - ((prediction - target) ** 2).mean(axis=0) * _precision(logvar)) / 2


def _precision(logvar: Array | float) -> Array | float:
    """1 / s^2 = exp(-v)."""
    return math.exp(-logvar) if isinstance(logvar, int | float) else get_xp(logvar).exp(-logvar)


def bce(prediction: Array, target: Array) -> Array:
    """-log Bernoulli(t; p) = -1/B sum_b sum_j [t log p + (1 - t) log(1 - p)], in nats, for p and t in [0, 1].

    Where p is exactly 0 or 1 and t disagrees the loss is infinite; it is then computed at the nearest number of the
    dtype inside (0, 1). Prefer :func:`bce_with_logits`, which needs no such care.
    """
    xp = _check(prediction, target)
    p = _inside_unit_interval(prediction)
    return -(target * xp.log(p) + (1 - target) * xp.log1p(-p)).sum() / len(prediction)


def bce_grad(prediction: Array, target: Array, out: Array | None = None) -> Array:
    """(3.3)  (p - t) / (p (1 - p)) / B."""
    _check(prediction, target)
    p = _inside_unit_interval(prediction)
    return put((p - target) / (p * (1 - p)) / len(prediction), out)


def bce_with_logits(prediction: Array, target: Array) -> Array:
    """-log Bernoulli(t; sigmoid(l)) = 1/B sum_b sum_j [softplus(l) - t l], in nats, for logits l of any size.

    From -t log s(l) - (1 - t) log(1 - s(l)) with log s(l) = l - softplus(l) and log(1 - s(l)) = -softplus(l).

    Examples
    --------
    >>> import numpy as np
    >>> logits, target = np.array([[0.0, 1000.0]]), np.array([[1.0, 1.0]])
    >>> float(bce_with_logits(logits, target).round(6))
    0.693147
    >>> bce_with_logits_grad(logits, target)
    array([[-0.5,  0. ]])
    """
    return bce_with_logits_rows(prediction, target).sum() / len(prediction)


def bce_with_logits_rows(prediction: Array, target: Array) -> Array:
    """:func:`bce_with_logits` of each sample, (B,)."""
    _check(prediction, target)
    return _bce_rows(prediction, target)


@twin(cuda=cuda.rows)
def _bce_rows(logits: Array, target: Array) -> Array:
    return (softplus(logits) - target * logits).sum(axis=1)


def bce_with_logits_grad(prediction: Array, target: Array, out: Array | None = None) -> Array:
    """(3.4)  (sigmoid(l) - t) / B."""
    _check(prediction, target)
    return put(_bce_grad(prediction, target), out)


@twin(cuda=cuda.gradient)
def _bce_grad(logits: Array, target: Array) -> Array:
    return (sigmoid(logits) - target) / len(logits)


def _check(prediction: Array, target: Array) -> Module:
    """The module of both. Shapes must be equal: broadcasting would hide a mistake."""
    xp = get_xp(prediction, target)
    if prediction.ndim != 2 or prediction.shape != target.shape:
        raise ValueError(
            f"prediction and target must have the same shape (B, d), got {tuple(prediction.shape)} and "
            f"{tuple(target.shape)}"
        )
    if prediction.dtype.kind != "f":
        raise TypeError(
            f"prediction must be float32 or float64, got {prediction.dtype}; whole numbers would wrap around"
        )
    if len(prediction) == 0:
        raise ValueError("empty batch: prediction has 0 rows, and a mean over no samples is undefined")
    return xp


def _inside_unit_interval(p: Array) -> Array:
    xp = get_xp(p)
    info = xp.finfo(p.dtype)
    return xp.clip(p, float(info.tiny), 1 - float(info.epsneg))
