"""Losses and their gradients, in pairs. Derivations: docs/derivations.md, section 3.

Every loss is summed over the features and averaged over the batch; the 1/B enters here and nowhere else. (A mean over
the features as well would silently turn the weight 1 of a KL term beside it into the number of features.) Values come
as 0-d arrays, so that nothing waits for a device; ``float(...)`` is the caller's decision.

The two that are likelihoods also come row by row, ``*_rows`` (B,): the per-sample numbers of an ELBO.

In all of them ``prediction`` and ``target`` have shape (B, d); gradients are with respect to ``prediction`` and are
written into ``out`` where it is given. ``out`` may be ``prediction`` itself, if the layer it came from does not need it
again: a Dense does not.
"""

from __future__ import annotations

from math import exp, log, pi

from scratchnet.backend import Array, Module, get_xp
from scratchnet.kernels import twin
from scratchnet.kernels.cuda import sigmoid_bce
from scratchnet.nn.layers import sigmoid, softplus


def mse(prediction: Array, target: Array) -> Array:
    """Squared error: 1/B sum_b sum_j (p_bj - t_bj)^2."""
    difference = _pair(prediction, target).subtract(prediction, target)
    difference *= difference
    return difference.sum() / len(prediction)


def mse_grad(prediction: Array, target: Array, out: Array | None = None) -> Array:
    """(3.1)  2 (p - t) / B."""
    out = _pair(prediction, target).subtract(prediction, target, out=out)
    out *= 2 / len(prediction)
    return out


def gaussian_nll(prediction: Array, target: Array, logvar: Array | float = 0.0) -> Array:
    """-log N(t; p, s^2) = 1/B sum_b sum_j [(t_bj - p_bj)^2 / s_j^2 + v_j + log(2 pi)] / 2, in nats. Nothing is dropped.

    ``logvar`` v = log s^2 is one number, or one a feature (d,); by default the variance is 1.
    """
    return gaussian_nll_rows(prediction, target, logvar).sum() / len(prediction)


def gaussian_nll_rows(prediction: Array, target: Array, logvar: Array | float = 0.0) -> Array:
    """:func:`gaussian_nll` of each sample, (B,)."""
    difference = _pair(prediction, target).subtract(prediction, target)
    difference *= difference
    if isinstance(logvar, int | float):
        return 0.5 * exp(-logvar) * difference.sum(axis=1) + 0.5 * prediction.shape[1] * (log(2 * pi) + logvar)
    difference *= get_xp(logvar).exp(-logvar)
    return 0.5 * difference.sum(axis=1) + 0.5 * (logvar.sum() + prediction.shape[1] * log(2 * pi))


def gaussian_nll_grad(
    prediction: Array, target: Array, out: Array | None = None, *, logvar: Array | float = 0.0
) -> Array:
    """(3.2)  (p - t) / s^2 / B."""
    out = _pair(prediction, target).subtract(prediction, target, out=out)
    out *= (exp(-logvar) if isinstance(logvar, int | float) else get_xp(logvar).exp(-logvar)) / len(prediction)
    return out


def gaussian_nll_logvar_grad(prediction: Array, target: Array, logvar: Array) -> Array:
    """(3.2)  By the log-variance of each feature, (d,): 1/B sum_b [1 - (t_bj - p_bj)^2 / s_j^2] / 2."""
    difference = _pair(prediction, target).subtract(prediction, target)
    difference *= difference
    return 0.5 - 0.5 * difference.mean(axis=0) * get_xp(logvar).exp(-logvar)


def bce(prediction: Array, target: Array) -> Array:
    """-log Bernoulli(t; p) = -1/B sum_b sum_j [t log p + (1 - t) log(1 - p)], in nats, for p and t in [0, 1].

    Where p is exactly 0 or 1 and t disagrees the loss is infinite; it is then computed at the nearest number of the
    dtype inside (0, 1). Prefer :func:`bce_with_logits`, which needs no such care.
    """
    xp = _pair(prediction, target)
    p = _inside_unit_interval(prediction)
    return -(target * xp.log(p) + (1 - target) * xp.log1p(-p)).sum() / len(prediction)


def bce_grad(prediction: Array, target: Array, out: Array | None = None) -> Array:
    """(3.3)  (p - t) / (p (1 - p)) / B."""
    xp = _pair(prediction, target)
    p = _inside_unit_interval(prediction)
    out = xp.subtract(p, target, out=out)
    out /= p * (1 - p)
    out *= 1 / len(prediction)
    return out


def bce_with_logits(prediction: Array, target: Array) -> Array:
    """-log Bernoulli(t; sigmoid(l)) = 1/B sum_b sum_j [softplus(l) - t l], in nats, for logits l of any size.

    From -t log s(l) - (1 - t) log(1 - s(l)) with log s(l) = l - softplus(l) and log(1 - s(l)) = -softplus(l).
    """
    return bce_with_logits_rows(prediction, target).sum() / len(prediction)


def bce_with_logits_rows(prediction: Array, target: Array) -> Array:
    """:func:`bce_with_logits` of each sample, (B,)."""
    _pair(prediction, target)
    return _bce_rows(prediction, target)


@twin(cuda=sigmoid_bce.rows)
def _bce_rows(logits: Array, target: Array) -> Array:
    value = softplus(logits)
    value -= target * logits
    return value.sum(axis=1)


def bce_with_logits_grad(prediction: Array, target: Array, out: Array | None = None) -> Array:
    """(3.4)  (sigmoid(l) - t) / B."""
    _pair(prediction, target)
    return _bce_grad(prediction, target, out)


@twin(cuda=sigmoid_bce.gradient)
def _bce_grad(logits: Array, target: Array, out: Array | None) -> Array:
    out = sigmoid(logits, out=out)
    out -= target
    out *= 1 / len(logits)
    return out


def _pair(prediction: Array, target: Array) -> Module:
    """The module of both, after checking that they can be compared: broadcasting would hide a mistake."""
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
