"""The estimator convention and the validation of user input, once.

Estimators follow scikit-learn's conventions without importing it: the constructor only stores, ``fit`` returns self,
what it learned ends in an underscore, ``get_params`` and ``set_params`` read the constructor's signature. Input is
validated here and nowhere else; every message names the argument, what came in and what to do.
"""

from __future__ import annotations

import inspect
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from itertools import chain
from typing import Any, ClassVar, ParamSpec, Self, TypeVar

import numpy as np

from scratchnet import blocks
from scratchnet.backend import Array, Module, asarray, backend_module, get_xp, resolve_backend, to_numpy

_CHECKED_AT_ONCE = 1 << 22  # entries

State = TypeVar("State")
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class NotFittedError(ValueError, AttributeError):
    """A fitted attribute or method was used before ``fit``."""


class DataConversionWarning(UserWarning):
    """Labels came as a column and were read as a vector."""


def as_scikit_learn_knows(cls: type) -> type:
    """The exception ``cls``; where scikit-learn is imported, one that its class of the same name catches as well."""
    theirs = getattr(sys.modules.get("sklearn.exceptions"), cls.__name__, None)
    return type(cls.__name__, (cls, theirs), {"__module__": __name__}) if theirs else cls


class Estimator:
    """What every estimator has: parameters by name, a readable repr, validated input.

    A subclass lists its parameters in ``__init__`` and stores each under its own name. Its ``fit`` calls
    ``X = self._check_fit(X)`` and is :func:`all_or_nothing`; its other methods call ``X = self._check(X)``.
    """

    n_features_in_: int
    feature_names_in_: np.ndarray
    _estimator_type: str | None = None  # "clusterer", "classifier" or None; read by scikit-learn's tools
    _requires_y: ClassVar[bool] = False

    # -- parameters ---------------------------------------------------------------------------------------------------

    @classmethod
    def _param_names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments as a dict (``deep`` is part of the convention; nothing here is nested)."""
        return {name: getattr(self, name) for name in self._param_names()}

    def set_params(self, **params: Any) -> Self:
        """Change constructor arguments; they take effect at the next ``fit``."""
        for name, value in params.items():
            if name not in self._param_names():
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {type(self).__name__}. "
                    f"Valid parameters are: {self._param_names()}."
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = {k: v for k, v in self.get_params().items() if repr(v) != repr(defaults[k].default)}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in changed.items())})"

    def __sklearn_tags__(self) -> Any:
        """Called by scikit-learn only, which is therefore imported already: nothing is imported here."""
        utils = sys.modules["sklearn.utils"]
        return utils.Tags(
            estimator_type=self._estimator_type,
            target_tags=utils.TargetTags(required=self._requires_y),
            transformer_tags=utils.TransformerTags(preserves_dtype=[]) if hasattr(self, "transform") else None,
            classifier_tags=utils.ClassifierTags() if self._estimator_type == "classifier" else None,
            input_tags=utils.InputTags(),
        )

    # -- input --------------------------------------------------------------------------------------------------------

    def _check_fit(self, X: Any, *, dtype: Any = None, min_samples: int = 1, small_integers: bool = False) -> Array:
        """The edge of ``fit``: X validated and moved to the backend (the estimator's own, else the current one)."""
        xp = backend_module(getattr(self, "backend", None))
        names = feature_names(X)
        X = check_array(X, xp=xp, dtype=dtype, min_samples=min_samples, small_integers=small_integers)
        self._fitted_on = xp.__name__
        self.n_features_in_ = X.shape[1]
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return X

    def _check(
        self,
        X: Any,
        *,
        name: str = "X",
        dtype: Any = None,
        n_features: int | None = None,
        small_integers: bool = False,
    ) -> Array:
        """X validated against what ``fit`` saw and moved to where the fitted arrays live."""
        self._check_is_fitted()
        if n_features is None:
            self._check_names(X)
        X = check_array(X, name=name, xp=self._xp, dtype=dtype, small_integers=small_integers)
        expected = self.n_features_in_ if n_features is None else n_features
        if X.shape[1] != expected:
            raise ValueError(
                f"{name} has {X.shape[1]} features, but {type(self).__name__} is expecting {expected} features as input"
            )
        return X

    def _check_names(self, X: Any) -> None:
        names, fitted, model = feature_names(X), getattr(self, "feature_names_in_", None), type(self).__name__
        if names is None and fitted is not None:
            message = f"X does not have valid feature names, but {model} was fitted with feature names"
            warnings.warn(message, UserWarning, stacklevel=4)  # the caller of predict, transform, ...
        elif names is not None and fitted is None:
            message = f"X has feature names, but {model} was fitted without feature names"
            warnings.warn(message, UserWarning, stacklevel=4)
        if names is None or fitted is None or list(names) == list(fitted):
            return
        missing, unseen = [n for n in fitted if n not in names], [n for n in names if n not in fitted]
        lines = ["The feature names should match those that were passed during fit."]
        if unseen:
            lines += ["Feature names unseen at fit time:", *(f"- {n}" for n in unseen[:5])]
        if missing:
            lines += ["Feature names seen at fit time, yet now missing:", *(f"- {n}" for n in missing[:5])]
        if not unseen and not missing:
            lines += ["Feature names must be in the same order as they were in fit."]
        raise ValueError("\n".join(lines) + "\n")

    def _become(self, fresh: Self) -> None:
        """Take over what ``fresh`` has learned, in place of what an earlier fit had.

        Parameters stay as they are: between steps they may have been set for the next fit.
        """
        for name in [name for name in self.__dict__ if name.endswith("_")]:
            del self.__dict__[name]
        parameters = self.get_params()
        self.__dict__.update({name: value for name, value in fresh.__dict__.items() if name not in parameters})

    def _check_is_fitted(self) -> None:
        if "_fitted_on" not in self.__dict__:
            raise as_scikit_learn_knows(NotFittedError)(
                f"this {type(self).__name__} is not fitted yet; call fit(X) first"
            )

    def __getattr__(self, name: str) -> Any:
        """Called for what is not there: a fitted attribute before ``fit`` says so (and is still an AttributeError)."""
        if name.endswith("_") and not name.endswith("__"):
            self._check_is_fitted()
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __sklearn_is_fitted__(self) -> bool:
        return "_fitted_on" in self.__dict__

    @property
    def _xp(self) -> Module:
        """The module of the fitted arrays (its name is stored, because modules do not pickle)."""
        return backend_module(resolve_backend(self._fitted_on))


def all_or_nothing(method: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A method of an estimator that raises leaves the estimator's attributes as they were.

    Stands above what validates for ``fit``, so that a refused fit does not spoil the one before.
    """

    @wraps(method)
    def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        attributes: dict[str, Any] = args[0].__dict__
        before = dict(attributes)
        try:
            return method(*args, **kwargs)
        except BaseException:
            attributes.clear()
            attributes.update(before)
            raise

    return guarded


class TransformerMixin:
    """``fit_transform``, and names for what comes out, for estimators with ``fit`` and ``transform``."""

    @property
    def _n_features_out(self) -> int:
        """How many columns ``transform`` returns, after ``fit``."""
        raise NotImplementedError

    def fit_transform(self, X: Any, y: Any = None) -> Array:
        """``fit(X).transform(X)``."""
        return self.fit(X, y).transform(X)  # type: ignore[attr-defined]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names for the columns that ``transform`` returns: "pca0", "pca1", ... for a PCA.

        Pipelines pass the names of the columns that came in, which are only compared with those of ``fit``.
        """
        self._check_is_fitted()  # type: ignore[attr-defined]
        if input_features is not None:
            fitted, n = getattr(self, "feature_names_in_", None), self.n_features_in_  # type: ignore[attr-defined]
            if fitted is not None and list(input_features) != list(fitted):
                raise ValueError(
                    f"input_features is not equal to feature_names_in_: got {list(input_features)}, but "
                    f"{type(self).__name__} was fitted to {list(fitted)}"
                )
            if len(input_features) != n:
                raise ValueError(
                    f"input_features should have length equal to number of features ({n}), got {len(input_features)}"
                )
        return np.array([f"{type(self).__name__.lower()}{i}" for i in range(self._n_features_out)], dtype=object)


# ---------------------------------------------------------------------------------------------------------------------
# Validation
# ---------------------------------------------------------------------------------------------------------------------


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
    With ``small_integers`` those of at most 16 bits stay integers: with float32 they make float32, so whoever works
    block by block need not hold all of X as floats.

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
    with np.errstate(over="ignore"):  # check_finite tells what became too large
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
        total = blocks.sum(lambda x: x.sum(), X, size=max(1, _CHECKED_AT_ONCE * len(X) // max(1, X.size)))
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


# ---------------------------------------------------------------------------------------------------------------------
# Draining a generator of states
# ---------------------------------------------------------------------------------------------------------------------


def progress(states: Iterator[State], *, total: int | None, description: str, verbose: int) -> Iterator[State]:
    """``states`` under a progress bar (on standard error) if ``verbose``; each state's ``str`` stands beside it."""
    if not verbose:
        yield from states
        return
    from tqdm import tqdm

    states = iter(states)
    first = next(states, None)  # what is said before it, a report or an error, comes before the bar
    if first is None:
        return
    with tqdm(total=total, desc=description) as bar:
        state, told = first, -np.inf
        for state in chain([first], states):
            if time.monotonic() - told > 0.5:  # a state may compute what it says
                bar.set_postfix_str(str(state), refresh=False)
                told = time.monotonic()
            bar.update()
            yield state
        bar.set_postfix_str(str(state))
