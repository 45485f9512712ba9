"""Models in safetensors files: named weights, and the configuration as JSON in the header. No pickle."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from scratchnet.backend import asarray, backend_module, to_numpy

__all__ = ["load", "save"]

AnyModel = TypeVar("AnyModel", bound=Any)


def save(model: Any, path: str | Path) -> Path:
    """Write ``model`` to ``path``, by way of a temporary file: a reader never sees half a checkpoint."""
    from safetensors.numpy import save as to_bytes

    from scratchnet import __version__

    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"cannot save to {path}: it is a folder; name a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot save to {path}: the folder {path.parent} does not exist; make it first")
    weights = {name: np.ascontiguousarray(to_numpy(weight)) for name, (weight, _) in model.params_.views.items()}
    fitted = {name: _plain(getattr(model, name)) for name in model.saved_attributes if hasattr(model, name)}
    if hasattr(model, "feature_names_in_"):
        fitted["feature_names_in_"] = _plain(model.feature_names_in_)
    header = {
        "scratchnet": __version__,
        "model": type(model).__name__,
        "parameters": json.dumps({k: _plain(v) for k, v in model.get_params().items()}),
        "fitted": json.dumps(fitted),
        "history": json.dumps(model.history_.rows),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(to_bytes(weights, metadata=header))
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def load(cls: type[AnyModel], path: str | Path) -> AnyModel:
    """The model of class ``cls`` in ``path``, on the current backend."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error
    if "scratchnet" not in header:
        raise ValueError(f"{path} was not written by scratchnet's save(): its header has no configuration")
    if header["model"] != cls.__name__:
        raise ValueError(f"{path} holds a {header['model']}; load it with {header['model']}.load(path)")
    try:
        return _rebuild(cls, header, weights)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} holds no valid {cls.__name__}: {type(error).__name__}: {error}") from error


def _rebuild(cls: type[AnyModel], header: dict[str, str], weights: dict[str, np.ndarray]) -> AnyModel:
    """The model that a header and weights describe. Nothing in them is trusted: parameters are checked as in ``fit``,
    only known attributes are set, shapes are compared before memory is taken."""
    parameters = json.loads(header["parameters"])
    parameters["hidden"], parameters["backend"] = tuple(parameters["hidden"]), None
    model = cls(**parameters)
    xp = backend_module()
    model.restore(json.loads(header["fitted"]), json.loads(header["history"]), xp)
    expected, found = model.params_.shapes(), {name: tuple(weight.shape) for name, weight in weights.items()}
    if expected != found:
        raise ValueError(f"weights do not fit the configuration: expected {expected}, found {found}")
    theta = np.concatenate([weights[name].reshape(-1) for name in expected])
    model.set_theta(asarray(theta, dtype=model.dtype, xp=xp))
    return model


def _plain(value: Any) -> Any:
    """A value as JSON knows it; a random generator has no plain form and becomes None."""
    if isinstance(value, np.random.Generator | np.random.RandomState):
        return None
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, type | np.dtype):  # dtype=np.float64
        return np.dtype(value).name
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
