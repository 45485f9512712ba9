"""The validation of user input, once: every message names the argument, what came in and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from scratchnet.backend import Array, Module, asarray, get_xp, to_numpy
from scratchnet.rows import rows_of

__all__ = [
    "check_array",
    "check_bool",
    "check_choice",
    "check_dtype",
    "check_finite",
    "check_integer",
    "check_number",
    "feature_names",
]

_CHECKED_AT_ONCE = 1 << 22  # entries


def feature_names(X: Any) -> np.ndarray | None:
    """The column names of a data frame whose columns are all named by strings, else None.

    Raises
    ------
    TypeError
        If only some of them are strings.
    """
    columns = getattr(X, "columns", None)
    if columns is None:
        return None
    types = sorted({type(c).__qualname__ for c in columns})
    if "str" not in types:
        return None
    if len(types) > 1:
        raise TypeError(
            f"Feature names are only supported if all input features have string names, but the columns of X are "
            f"named by {' and '.join(types)}. Name them all by strings: X.columns = X.columns.astype(str)"
        )
    return np.asarray(columns, dtype=object)


def check_array(
    X: Any,
    *,
    name: str = "X",
    xp: Module | None = None,
    dtype: Any = None,
    min_samples: int = 1,
    ndim: int = 2,
    small_integers: bool = False,
) -> Array:
    """User input as a finite float array of ``xp``, copied only where it has to move or change type.

    float32 and float64 stay what they are, integers and booleans become float32, unless ``dtype`` says otherwise.
    With ``small_integers`` those of at most 16 bits stay integers: arithmetic with float32 makes them float32, so that
    an algorithm which works block by block need not hold all of X as floats.

    Raises
    ------
    TypeError, ValueError
        For sparse, complex or non-numeric data, a wrong number of dimensions, too few rows, no columns, NaN, infinity.
    """
    if type(X).__module__.partition(".")[0] == "scipy" or hasattr(X, "tocsr"):
        raise TypeError(f"{name} is a sparse {type(X).__name__}; scratchnet needs dense data, pass {name}.toarray()")
    if not hasattr(X, "dtype") or not hasattr(X, "ndim"):
        try:
            X = np.asarray(X)
        except ValueError as error:
            raise ValueError(f"{name} has rows of different lengths, which make no array ({error})") from None
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        raise ValueError(f"{name} is a masked array with masked entries; fill or drop them first: {name}.filled(value)")
    keep = small_integers and dtype is None and getattr(X.dtype, "kind", "O") in "biu" and X.dtype.itemsize <= 2
    given = X if keep else _numeric(X, name)
    with np.errstate(over="ignore"):  # check_finite reports what became too large
        X = asarray(given, dtype, xp)
    shape = tuple(X.shape)
    if X.ndim != ndim:
        hint = f"Reshape your data: {name}.reshape(-1, 1) if it is one feature, {name}.reshape(1, -1) if one sample"
        if ndim == 1:
            hint = f"Pass {name}.ravel() if it is one column"
        raise ValueError(f"{name} must be {ndim}-D, got {X.ndim}-D with shape {shape}. {hint}")
    if shape[0] < min_samples:
        raise ValueError(
            f"Found array with {shape[0]} sample(s) (n_samples={shape[0]}, shape={shape}) in {name} while a minimum of "
            f"{min_samples} is required."
        )
    if ndim == 2 and shape[1] == 0:
        raise ValueError(f"{name}: Found array with 0 feature(s) (shape={shape}) while a minimum of 1 is required.")
    check_finite(X, name, given)
    return X


def _numeric(X: Any, name: str) -> Any:
    """X with a float dtype, or an error that says what to do."""
    kind = getattr(X.dtype, "kind", "O")
    if kind == "c":
        raise ValueError(f"Complex data not supported: {name} has dtype {X.dtype}; pass {name}.real or np.abs({name})")
    if kind in "USO":  # strings, objects: a table read as text is welcome as long as every entry is a number
        try:
            return np.asarray(X).astype(np.float64)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"{name} has dtype {X.dtype} and holds something that is not a number ({error}); "
                "every argument must be a number or a string that reads as a number: encode it first"
            ) from None
    if kind in "biu":
        return (X if _module_of(X) else np.asarray(X)).astype(np.float32)
    if kind != "f":
        raise TypeError(f"{name} has dtype {X.dtype}, which is not numeric; convert it to float32 or float64")
    if X.dtype not in (np.float32, np.float64):  # half and long double, foreign byte order
        return (X if _module_of(X) else np.asarray(X)).astype(np.float32 if X.dtype.itemsize <= 4 else np.float64)
    return X


def _module_of(X: Any) -> Module | None:
    try:
        return get_xp(X)
    except TypeError:
        return None


def check_finite(X: Array, name: str = "X", given: Array | None = None) -> None:
    """Raise ValueError if X has a NaN or an infinity, naming the first one's place; ``given`` is X before a change of
    type, which may have been what made it infinite."""
    xp = get_xp(X)
    with np.errstate(over="ignore", invalid="ignore"):
        # one pass over memory, on all cores; a sum hides no NaN or infinity, but may overflow
        total = rows_of(X, size=max(1, _CHECKED_AT_ONCE * len(X) // max(1, X.size))).sum(_total)
        if bool(xp.isfinite(total)):
            return
    bad = to_numpy(~xp.isfinite(X))
    if not bad.any():
        return
    place = tuple(int(i) for i in np.argwhere(bad)[0])
    what = "NaN" if np.isnan(float(X[place])) else "infinity"
    if given is not None and np.isfinite(float(given[place])):
        raise ValueError(
            f"{name} holds {float(given[place]):g} at {place}, which is too large for {X.dtype} (at most "
            f"{float(np.finfo(np.dtype(X.dtype.name)).max):.1e}): {bad.sum()} entries overflow. Rescale {name}, or "
            "compute with dtype='float64'"
        )
    raise ValueError(
        f"{name} contains {'NaN' if what == 'NaN' else 'inf'}: {bad.sum()} entries are NaN or infinity, the first "
        f"({what}) at {place}. Remove or fill them first"
    )


def _total(x: Array, kept: Any) -> tuple[Array, Any]:
    return x.sum(), kept


def check_integer(value: Any, name: str, *, minimum: int = 1, maximum: int | None = None, limit: str = "") -> int:
    """``value`` as an int in [minimum, maximum], or an error that names the argument, and what sets the ``limit``."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}={value!r} must be an integer, got {type(value).__name__}")
    if value < minimum or (maximum is not None and value > maximum):
        bounds = f"at least {minimum}" if maximum is None else f"between {minimum} and {maximum}"
        raise ValueError(f"{name}={value} must be {bounds}" + (f", {limit}" if limit else ""))
    return int(value)


def check_number(
    value: Any, name: str, *, minimum: float = -np.inf, maximum: float = np.inf, open_minimum: bool = False
) -> float:
    """``value`` as a finite float in [minimum, maximum] ((minimum, maximum] if open), or an error that names it."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}={value!r} must be a number, got {type(value).__name__}")
    value = float(value)
    if not np.isfinite(value) or value < minimum or value > maximum or (open_minimum and value == minimum):
        low = f"{'above' if open_minimum else 'at least'} {minimum:g}" if np.isfinite(minimum) else ""
        high = f"at most {maximum:g}" if np.isfinite(maximum) else ""
        raise ValueError(f"{name}={value:g} must be {' and '.join(b for b in (low, high) if b) or 'finite'}")
    return value


def check_bool(value: Any, name: str) -> bool:
    """``value`` as True or False, or an error that names the argument: 2, "no" and None are not taken for one."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}={value!r} must be True or False, got {type(value).__name__}")
    return bool(value)


def check_choice(value: Any, name: str, choices: Iterable[str]) -> str:
    """``value`` if it is one of ``choices``, or an error that lists them."""
    if not isinstance(value, str) or value not in (choices := list(choices)):
        raise ValueError(f"{name}={value!r} is unknown; choose one of {list(choices)}")
    return value


def check_dtype(value: Any, name: str = "dtype") -> str:
    """ "float32" or "float64", from its name or type (``np.float64``), or an error that names the argument."""
    try:
        dtype = np.dtype(value).name if value is not None else "None"
    except TypeError:
        dtype = ""
    if dtype not in ("float32", "float64"):
        raise ValueError(f"{name}={value!r} is unknown; choose one of ['float32', 'float64']")
    return dtype
