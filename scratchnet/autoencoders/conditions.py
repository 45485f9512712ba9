"""From the properties of samples to the numbers a network takes.

A property is learnt once, by :func:`learn`, and is from then on either the array of its classes (labels: one column
each, one-hot) or a width (numbers: that many columns, used unchanged). Several at once come as a tuple, one entry each,
and stand side by side.
"""

from __future__ import annotations

import warnings
from typing import Any, TypeAlias

import numpy as np

from scratchnet.backend import Array, Module, asarray, to_numpy
from scratchnet.base import DataConversionWarning, as_scikit_learn_knows
from scratchnet.validation import check_array

__all__ = ["Property", "encode", "learn", "width"]

Property: TypeAlias = np.ndarray | int


def width(prop: Property) -> int:
    """Columns of the property in c."""
    return prop if isinstance(prop, int) else len(prop)


def learn(y: Any) -> list[Property]:
    """The properties in the y of ``fit``."""
    parts = _parts(y)
    return [_learn(part, "y" if len(parts) == 1 else f"y[{i}]") for i, part in enumerate(parts)]


def encode(properties: list[Property], y: Any, n: int, xp: Module, dtype: Any) -> Array:
    """c (n, n_condition) on the device of ``xp``, for n samples or from one y for all of them."""
    parts = _parts(y) if len(properties) == 1 or not isinstance(y, tuple) else list(y)
    if len(parts) != len(properties):
        raise ValueError(
            f"the model was fitted with {len(properties)} properties at once, got {len(parts)}: pass a tuple "
            f"y=({', '.join(f'y{i}' for i in range(len(properties)))}), one entry each"
        )
    names = ["y"] if len(parts) == 1 else [f"y[{i}]" for i in range(len(parts))]
    columns = [_encode(*each, n, xp, dtype) for each in zip(properties, parts, names, strict=True)]
    return columns[0] if len(columns) == 1 else xp.concatenate(columns, axis=1)


def _parts(y: Any) -> list[Any]:
    """The entries of a tuple of several properties, or y itself: a tuple of plain labels is one property."""
    return list(y) if isinstance(y, tuple) and y and all(np.ndim(to_numpy(part)) > 0 for part in y) else [y]


def _learn(y: Any, name: str) -> Property:
    values = _flat_labels(to_numpy(y))
    if values.ndim not in (1, 2):
        raise ValueError(f"{name} must be labels (n,) or properties (n, n_condition), got shape {values.shape}")
    if values.ndim == 1 and values.dtype.kind in "biuUSO":
        try:
            return np.unique(values)
        except TypeError as error:
            raise ValueError(f"{name} mixes labels that cannot be sorted ({error}); use one kind of label") from None
    return 1 if values.ndim == 1 else values.shape[1]


def _encode(prop: Property, y: Any, name: str, n: int, xp: Module, dtype: Any) -> Array:
    values = _flat_labels(to_numpy(y))
    if isinstance(prop, np.ndarray) and values.ndim < 2:
        values = _one_hot(prop, values.reshape(-1), name)
    elif values.ndim < 2:
        values = values.reshape((-1, 1) if width(prop) == 1 else (1, -1))
    c = check_array(asarray(values, xp=xp), name=name, xp=xp, dtype=dtype)
    if len(c) == 1 and n != 1:
        c = xp.repeat(c, n, axis=0)
    if c.shape != (n, width(prop)):
        kind = f"{n} labels" if isinstance(prop, np.ndarray) else f"{n} rows of {prop} numbers"
        raise ValueError(f"{name} must hold {kind}, or one for all {n} samples; got shape {np.shape(to_numpy(y))}")
    return c


def _one_hot(classes: np.ndarray, labels: np.ndarray, name: str) -> np.ndarray:
    columns = np.searchsorted(classes, labels).clip(0, len(classes) - 1)
    if (wrong := classes[columns] != labels).any():
        raise ValueError(
            f"{name} holds {labels[wrong].tolist()[0]!r}, which was not among the classes seen in fit: "
            f"{classes.tolist()}"
        )
    return np.eye(len(classes), dtype=np.float32)[columns]


def _flat_labels(y: np.ndarray) -> np.ndarray:
    """A column (n, 1) of labels as (n,), with the warning that scikit-learn gives; anything else as it is."""
    if y.ndim == 2 and y.shape[1] == 1 and y.dtype.kind in "biuUSO":
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected; pass y.ravel()",
            as_scikit_learn_knows(DataConversionWarning),
            stacklevel=5,
        )
        return y.ravel()
    return y
