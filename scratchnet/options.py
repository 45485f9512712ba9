"""The command's options: values are checked before any work, and errors name the option instead of an argument."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scratchnet.backend import Array

__all__ = [
    "OptionError",
    "check_out",
    "check_out_folder",
    "named_as",
    "read_data",
    "use_backend",
    "write_out",
]


class OptionError(ValueError):
    """An option has an invalid value; the message begins with the option. The command exits with 2."""


@contextmanager
def named_as(**options: str) -> Iterator[None]:
    """Re-raise errors about an argument under the option's name: ``with named_as(n_clusters="--clusters"):``."""
    try:
        yield
    except (TypeError, ValueError) as error:
        for argument, option in options.items():
            name = rf"\b{argument}(?=[=\[])"
            if re.match(name, str(error)):
                raise OptionError(re.sub(name, option, str(error))) from error
        raise


def use_backend(backend: str | None) -> None:
    """Switch to the backend given as ``--backend``, if any."""
    import scratchnet

    if backend is not None:
        with named_as(backend="--backend"):
            scratchnet.use(backend)


def read_data(path: Path | None, label: str | None, *, at_least: int = 1) -> tuple[Array, Array | None]:
    """X, and y or None, from the user's file, with at least ``at_least`` rows; or the embedded digits."""
    from scratchnet.datasets import load_mnist, load_table

    if path is None:
        if label is not None:
            raise OptionError(f"--label {label!r} names a column of your own file, but --data is not given")
        return load_mnist()
    try:
        with named_as(label="--label"):
            X, y = load_table(path, label)
    except OptionError:
        raise
    except (OSError, TypeError, ValueError) as error:
        raise OptionError(f"--data: {error}") from error
    if len(X) < at_least:
        raise OptionError(f"--data: {path} has {len(X)} row{'s' * (len(X) > 1)}, but at least {at_least} are needed")
    return X, y


def check_out(out: Path, *endings: str) -> None:
    """Raise unless ``--out`` can be written, and ends in one of ``endings`` if there are any."""
    if endings and out.suffix.lower() not in endings:
        raise OptionError(f"--out {out}: the ending must be one of {', '.join(endings)}")
    if out.is_dir():
        raise OptionError(f"--out {out} is a folder; name a file in it")
    if not out.parent.is_dir():
        raise OptionError(f"--out {out}: the folder {out.parent} does not exist; create it first")
    if not os.access(out if out.exists() else out.parent, os.W_OK):
        raise OptionError(f"--out {out}: you have no permission to write there")


def check_out_folder(out: Path) -> None:
    """Raise unless ``--out`` is a folder, or can be made one."""
    above = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not above.is_dir():
        raise OptionError(f"--out {out}: {above} is a file; name a folder")
    if not os.access(above, os.W_OK):
        raise OptionError(f"--out {out}: you have no permission to write there")


def write_out(out: Path, values: Array, y: Array | None) -> None:
    """Write ``values`` (n, k) as a table, or as a scatter plot coloured by ``y``, as the ending of ``out`` says."""
    import numpy as np

    from scratchnet.backend import to_numpy

    values, ending = to_numpy(values), out.suffix.lower()
    if ending == ".npy":
        np.save(out, values)
    elif ending == ".csv":
        np.savetxt(out, values, delimiter=",", fmt="%d" if values.dtype.kind in "iu" else "%.9g")
    else:
        from scratchnet.plots import scatter

        scatter(values, None if y is None else to_numpy(y)).savefig(out, dpi=150)
    print(f"wrote {out}")
