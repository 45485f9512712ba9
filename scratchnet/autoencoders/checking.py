"""What ``fit`` refuses: parameters and data that make no autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchnet.autoencoders import likelihoods
from scratchnet.backend import Array, Rng, get_xp
from scratchnet.nn import ACTIVATIONS, OPTIMIZERS
from scratchnet.validation import check_choice, check_dtype, check_integer, check_number

__all__ = ["check_common_parameters", "check_unchanged", "check_unit_interval", "hold_out"]


def check_common_parameters(model: Any, has_validation: bool) -> None:
    """The parameters that all models have. Raises ValueError or TypeError with the name, the value and a remedy."""
    if isinstance(model.hidden, str) or not isinstance(model.hidden, Sequence | np.ndarray):
        raise TypeError(f"hidden={model.hidden!r} must be a sequence of layer widths, such as (400,) or (500, 300)")
    for i, width in enumerate(model.hidden):
        check_integer(width, f"hidden[{i}]")
    check_integer(model.n_latent, "n_latent")
    check_integer(model.epochs, "epochs", minimum=0)
    check_integer(model.batch_size, "batch_size")
    check_choice(model.activation, "activation", ACTIVATIONS)
    check_choice(model.likelihood, "likelihood", likelihoods.NAMES)
    check_choice(model.optimizer, "optimizer", OPTIMIZERS)
    check_dtype(model.dtype)
    check_number(model.learning_rate, "learning_rate", minimum=0, open_minimum=True)
    if check_number(model.validation_fraction, "validation_fraction", minimum=0) >= 1:
        raise ValueError(f"validation_fraction={model.validation_fraction} must be below 1: something has to train")
    if model.patience is not None:
        check_integer(model.patience, "patience")
        if not has_validation and not model.validation_fraction:
            raise ValueError(
                f"patience={model.patience} stops when the validation loss no longer falls, but there is no "
                "validation data: set validation_fraction, or pass validation= to fit"
            )


def check_unchanged(model: Any, fitted_with: dict[str, Any]) -> None:
    """The parameters that the networks were built from are what they were: half of the old and half of the new would
    give nonsense."""
    for name, fitted in fitted_with.items():
        now = getattr(model, name)
        if tuple(now) != tuple(fitted) if name == "hidden" else now != fitted:
            raise ValueError(
                f"{name} was {fitted!r} when this {type(model).__name__} was fitted, and is {now!r} now: call fit "
                f"again, or go back with set_params({name}={fitted!r})"
            )


def check_unit_interval(X: Array) -> Array:
    """X, which a Bernoulli likelihood is to see."""
    low, high = float(X.min()), float(X.max())
    if low < 0 or high > 1:
        raise ValueError(
            f"likelihood='bernoulli' needs X in [0, 1], got values from {low:g} to {high:g}. "
            "Rescale X (images: X / 255), or use likelihood='gaussian'"
        )
    return X


def hold_out(data: tuple[Array, ...], fraction: float, rng: Rng) -> tuple[tuple[Array, ...], tuple[Array, ...] | None]:
    """(training arrays, held-out arrays), the latter with a random ``fraction`` of the rows; None for a fraction of
    0."""
    n_held_out = round(fraction * len(data[0]))
    if not fraction:
        return data, None
    if not 0 < n_held_out < len(data[0]):
        raise ValueError(
            f"validation_fraction={fraction} of {len(data[0])} sample(s) would hold out {n_held_out}: both parts need "
            "at least one sample"
        )
    order = get_xp(data[0]).asarray(rng.host.permutation(len(data[0])))
    return tuple(a[order[n_held_out:]] for a in data), tuple(a[order[:n_held_out]] for a in data)
