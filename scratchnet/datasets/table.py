"""Your own data: X, and y if there are labels, from .npy, .npz and delimited text. Nothing is unpickled."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from scratchnet.backend import Array, asarray
from scratchnet.datasets.delimited import read_delimited
from scratchnet.validation import check_array

__all__ = ["load_table"]

LABEL_NAMES = ("y", "label", "target")


def load_table(path: str | os.PathLike[str], label: str | None = None) -> tuple[Array, Array | None]:
    r"""A table of numbers from a file; rows are samples.

    - ``.npy``: one array (n, d).
    - ``.npz``: the array ``X`` (or ``x``), or else the only one that is not the labels.
    - ``.csv``, ``.tsv``, ``.txt``: UTF-8 text, one row per line. The delimiter (comma, semicolon, tab or spaces) is
      detected. The first row is a header if some cell is text and no cell is a number other than a whole number. A
      first column with an empty name is a row index, as pandas and R write it, and is left out.

    Parameters
    ----------
    path : path
    label : str, optional
        The column or array that holds the labels. By default the one called ``y``, ``label`` or ``target`` (in upper or
        lower case), if there is one; in text a column ``y`` beside a column ``x`` is a coordinate, not a label.

    Returns
    -------
    X : array (n, d) on the current backend
        float32 and float64 keep their dtype, integers become float32; text is read as float64.
    y : array (n,) or None
        Whole numbers become int64, other numbers stay floats, both on the current backend; text labels stay a NumPy
        array of strings, because a GPU cannot hold strings.

    Raises
    ------
    OSError
        If the file does not exist (FileNotFoundError) or cannot be read.
    ValueError, TypeError
        If the file is not such a table; the message names the file, the place and what is wrong there.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from scratchnet.datasets import load_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "trees.csv"
    ...     _ = path.write_text("height,width,label\n9,4,oak\n7,6,elm\n")
    ...     X, y = load_table(path)
    >>> X.tolist(), y.tolist()
    ([[9.0, 4.0], [7.0, 6.0]], ['oak', 'elm'])
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file: .npy, .npz, .csv, .tsv or .txt")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path} (current folder: {Path.cwd()})")
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        X, y = _read_numpy(path, label)
    elif suffix in (".csv", ".tsv", ".txt"):
        X, y = read_delimited(path, lambda names: _find_label(_without_coordinates(names, label), label, path))
    else:
        raise ValueError(f"{path} has the suffix {suffix!r}; scratchnet reads .npy, .npz, .csv, .tsv and .txt")
    if X.ndim != 2:
        remedy = "X.reshape(-1, 1) if it is one feature" if X.ndim < 2 else "X.reshape(len(X), -1)"
        raise ValueError(
            f"{path} has a {X.ndim}-D array of shape {X.shape}, not (n_samples, n_features); save {remedy}"
        )
    X = X.astype(X.dtype.newbyteorder("="), copy=False)
    return check_array(X, name=str(path)), _check_labels(y, len(X), path)


# -- which array or column is what -----------------------------------------------------------------------------------


def _find_label(names: list[str], label: str | None, path: Path) -> str | None:
    """The name of the labels: ``label`` if given, else the one called like labels usually are, else None."""
    if label is not None:
        if label not in names:
            raise ValueError(f"label={label!r}: {path} has no column or array of that name; it has {_listed(names)}")
        return label
    found = [name for name in names if name.lower() in LABEL_NAMES]
    if len(found) > 1:
        raise ValueError(
            f"{path} has {_listed(found)}, each of which could be the label; choose one with label= or --label"
        )
    return found[0] if found else None


def _without_coordinates(names: list[str], label: str | None) -> list[str]:
    if label is None and "x" in [name.lower() for name in names]:
        return [name for name in names if name.lower() != "y"]
    return names


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return (", ".join(repr(name) for name in names[:10]) or "no names") + more


def _check_labels(y: np.ndarray | None, n: int, path: Path) -> Array | None:
    if y is None:
        return None
    if y.shape != (n,):
        raise ValueError(f"{path} has labels of shape {y.shape}, but X has {n} rows; labels must be ({n},)")
    if y.dtype.kind == "U":
        return y
    if y.dtype.kind in "biu":
        return asarray(y.astype(np.int64))
    if y.dtype.kind == "f":
        return asarray(y)
    raise TypeError(f"{path} has labels of dtype {y.dtype}; save numbers or strings (dtype U)")


# -- NumPy's own files ------------------------------------------------------------------------------------------------

_DAMAGED = (ValueError, EOFError, zipfile.BadZipFile, zlib.error)


def _read_numpy(path: Path, label: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    with open(path, "rb") as file:
        try:
            loaded = np.load(file, allow_pickle=False)
        except _DAMAGED as error:
            raise _unreadable(path, error) from None
        if isinstance(loaded, np.ndarray):
            if label is not None:
                raise ValueError(f"label={label!r}: {path} holds one array without names; use .npz or .csv for labels")
            return loaded, None
        names = list(loaded.files)
        label = _find_label(names, label, path)
        others = [name for name in names if name != label]
        chosen = next((name for name in ("X", "x") if name in others), others[0] if len(others) == 1 else None)
        if chosen is None:
            raise ValueError(f"{path} has {_listed(names)}, and no array called X; save with np.savez(path, X=X, y=y)")
        try:
            return loaded[chosen], loaded[label] if label is not None else None
        except _DAMAGED as error:
            raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> ValueError:
    if "Object arrays" in str(error):
        return ValueError(f"{path} holds Python objects (dtype object), which are never unpickled; save plain numbers")
    return ValueError(f"{path} is damaged, or not a NumPy file ({error or type(error).__name__})")
