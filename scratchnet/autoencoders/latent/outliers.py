"""Scores that tell whether a sample is like the training data; higher means less like it."""

from __future__ import annotations

from typing import Any

from scratchnet.autoencoders.latent.densities import GaussianDensity
from scratchnet.autoencoders.variational import VAE
from scratchnet.backend import Array
from scratchnet.validation import check_choice

__all__ = ["KINDS", "outlier_scores"]

KINDS = ("elbo", "error", "kl", "mahalanobis", "typicality")


def outlier_scores(model: Any, X: Any, kind: str = "error", *, reference: Any = None) -> Array:
    """How unlike the training data of an unconditional ``model`` each row of X is, (n,); higher is less like them.

    ==============  ==================================================================================================
    kind            score
    ==============  ==================================================================================================
    "error"         squared reconstruction error, sum over features
    "elbo"          -ELBO, nats (VAE). It also depends on how complex a sample is: outliers simpler than the training
                    data can score *lower* than the training data
    "kl"            KL(q(z|x) || N(0, I)), nats (VAE)
    "mahalanobis"   squared Mahalanobis distance of the code to the codes of ``reference``
    "typicality"    |-ELBO - its mean over ``reference``|, nats (VAE): too likely is atypical as well
    ==============  ==================================================================================================

    Parameters
    ----------
    reference : array_like (m, n_features), optional
        Data that are not outliers, such as the training data; needed by "mahalanobis" and "typicality".

    Raises
    ------
    TypeError
        If the model has no such score.
    ValueError
        If there is no such kind, or ``reference`` is needed.
    """
    check_choice(kind, "kind", KINDS)
    if getattr(model, "n_condition_", 0):
        raise TypeError(f"outlier_scores needs an unconditional model, got {type(model).__name__}")
    if kind in ("elbo", "kl", "typicality") and not isinstance(model, VAE):
        raise TypeError(f"kind={kind!r} needs a VAE, got {type(model).__name__}; use 'error' or 'mahalanobis'")
    if kind in ("mahalanobis", "typicality") and reference is None:
        raise ValueError(f"kind={kind!r} compares with data that are not outliers: pass reference=")
    if kind == "error":
        difference = model.reconstruct(X) - model.check_rows(X)
        return (difference * difference).sum(axis=1)
    if kind == "elbo":
        return -model.elbo(X)
    if kind == "typicality":
        return abs(model.elbo(X) - model.elbo(reference).mean())
    if kind == "kl":
        return model.over_rows("kl_entries", model.check_rows(X)).sum(axis=1)
    density = GaussianDensity().fit(model.transform(reference))
    at_mean = density.log_density(density.mean_[None, :])
    return 2 * (at_mean - density.log_density(model.transform(X)))
