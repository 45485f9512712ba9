"""The estimator convention, once; the validation of user input is in :mod:`.validation`.

Estimators follow scikit-learn's conventions without importing it: the constructor only stores, ``fit`` returns self,
what it learned ends in an underscore, ``get_params`` and ``set_params`` read the constructor's signature.
"""

from __future__ import annotations

import inspect
import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterator
from functools import cache
from itertools import chain
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np

from scratchnet.backend import Array, Module, backend_module, resolve_backend
from scratchnet.validation import check_array, feature_names

__all__ = [
    "DataConversionWarning",
    "Estimator",
    "NotFittedError",
    "State",
    "TransformerMixin",
    "as_scikit_learn_knows",
    "progress",
]


class State(Protocol):
    """What every state of every ``steps`` has; its ``str`` is a line of progress."""

    @property
    def iteration(self) -> int:
        """The number of this iteration: a round, an epoch, a merge; a start counts as 0."""

    @property
    def objective(self) -> float:
        """What the algorithm makes small (or, where its docs say so, large); NaN where it is not known yet."""

    @property
    def seconds(self) -> float:
        """Since the first state was asked for."""


AnyState = TypeVar("AnyState", bound=State)


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

    A subclass lists its parameters in ``__init__`` and stores each under its own name. Its ``steps``, or ``fit`` where
    there are none, lets ``fresh = self._fresh()`` check ``X = fresh._check_fit(X)`` and learn, and takes over the
    result with :meth:`_adopt` or :meth:`_become`. Its other methods call ``X = self._check(X)``.
    """

    n_features_in_: int
    feature_names_in_: np.ndarray
    _estimator_type: str | None = None  # "clusterer", "classifier" or None; read by scikit-learn's tools
    _requires_y: ClassVar[bool] = False
    _usable: bool = False  # whether what was learned so far makes a fitted estimator; set while learning

    # -- parameters ---------------------------------------------------------------------------------------------------

    @classmethod
    @cache  # asked with every state of every ``steps``
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

    # -- learning ------------------------------------------------------------------------------------------------------

    def _fresh(self) -> Self:
        """The same parameters, nothing learned. All learning happens there, so that no error can spoil a former fit."""
        return type(self)(**self.get_params())

    def _become(self, fresh: Self) -> Self:
        """Take over what ``fresh`` has learned, in place of what was there. Parameters stay as they are: they may have
        been set for the next fit; so do private names that others keep here, as scikit-learn does."""
        parameters = self._param_names()
        for name in [n for n in self.__dict__ if n not in parameters and n.endswith("_")]:
            del self.__dict__[name]
        self.__dict__.update({name: value for name, value in fresh.__dict__.items() if name not in parameters})
        return self

    def _adopt(self, fresh: Self, states: Generator[AnyState]) -> Iterator[AnyState]:
        """``states``, which train ``fresh``, and with each state what ``fresh`` has learned. The contract of ``steps``:

        - Parameters and data are checked before this is called: an error raises at the call of ``steps``, not at the
          first ``next``, and the estimator stays what it was.
        - As soon as ``fresh`` is usable (``_usable`` says so) the fitted attributes are those of the latest state.
        - A loop may be left at any time. ``states`` is then closed, and may make a result of what it has; if there is
          none, the estimator stays what it was: not fitted, or with its former fit.
        """
        try:
            for state in states:
                if fresh._usable:
                    self._become(fresh)
                yield state
        finally:
            states.close()
            if fresh._usable:
                self._become(fresh)

    def _drain(self, states: Iterator[AnyState], total: int | None = None) -> Self:
        """``fit``: all of ``states``, of which there are ``total`` if that is known; with a progress bar if
        ``verbose``."""
        verbose = getattr(self, "verbose", 0)
        deque(progress(states, total=total, description=type(self).__name__, verbose=verbose), maxlen=0)
        return self

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


class TransformerMixin(ABC):
    """``fit_transform``, and names for what comes out, for estimators with ``fit`` and ``transform``."""

    @property
    @abstractmethod
    def _n_features_out(self) -> int:
        """How many columns ``transform`` returns, after ``fit``."""

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
# Draining a generator of states
# ---------------------------------------------------------------------------------------------------------------------


def progress(states: Iterator[AnyState], *, total: int | None, description: str, verbose: int) -> Iterator[AnyState]:
    """``states`` under a progress bar (on standard error) if ``verbose``; each state's ``str`` is shown next to it."""
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
            if time.monotonic() - told > 0.5:  # str(state) can be expensive
                bar.set_postfix_str(str(state), refresh=False)
                told = time.monotonic()
            bar.update()
            yield state
        bar.set_postfix_str(str(state))
