"""The conditional variational autoencoder. Sohn, Lee and Yan 2015."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from scratchnet.autoencoders.variational import VAE
from scratchnet.backend import Array, RandomState, asarray, to_numpy
from scratchnet.base import DataConversionWarning, as_scikit_learn_knows, check_array


@dataclass(repr=False, eq=False)
class ConditionalVAE(VAE):
    """A :class:`VAE` whose encoder sees [x | c] and whose decoder sees [z | c], with c made from a property y.

    The loss is E_q[-log p(x|z, c)] + beta * KL(q(z|x, c) || N(0, I)). Because the decoder is told the property, z is
    free to hold everything else: one z through all classes keeps the writing style.

    y may be

    - labels (n,) of integers, strings or booleans: c is one-hot over ``classes_``;
    - numbers (n,) of floats, or (n, n_condition): properties such as an angle, or several at once, used as they are
      (bring them to similar scales).

    Parameters are those of :class:`VAE`.

    Attributes set by ``fit``
    -------------------------
    classes_ : ndarray or None
        The labels in the order of the one-hot columns; None for numeric properties.
    n_condition_ : int
        Width of c.
    """

    classes_: np.ndarray | None = field(init=False)
    n_condition_: int = field(init=False)

    _requires_y: ClassVar[bool] = True
    _saved_attributes: ClassVar[tuple[str, ...]] = (*VAE._saved_attributes, "classes_", "n_condition_")

    def loss(self, x: Array, y: Any, eps: Array | None = None) -> Array:  # type: ignore[override]
        """-log p(x|z, c) + beta * KL, mean over the batch; y as for ``fit``, or c itself, (B, n_condition)."""
        return self._loss(x, self._batch_condition(y, len(x)), eps)

    def gradient(self, x: Array, y: Any, eps: Array | None = None) -> Array:  # type: ignore[override]
        """dloss/dtheta at the given noise, written into ``params_.grad`` and returned."""
        return self._gradient(x, self._batch_condition(y, len(x)), eps)

    # -- what comes out -----------------------------------------------------------------------------------------------

    def posterior(self, X: Any, y: Any) -> tuple[Array, Array]:  # type: ignore[override]
        """(mu, sigma) of q(z|x, c), each (n, n_latent)."""
        X = self._check(X, dtype=self.dtype)
        return self._posterior(X, self._condition(y, len(X)))

    def transform(self, X: Any, y: Any) -> Array:  # type: ignore[override]
        """Posterior means, (n, n_latent): what is left of x when the property is known."""
        return self.posterior(X, y)[0]

    def fit_transform(self, X: Any, y: Any = None) -> Array:
        """``fit(X, y).transform(X, y)``."""
        return self.fit(X, y).transform(X, y)

    def inverse_transform(self, Z: Any, y: Any) -> Array:  # type: ignore[override]
        """E[x|z, c], (n, n_features). One label or property vector for y is used for all rows."""
        Z = self._check(Z, name="Z", dtype=self.dtype, n_features=self.n_latent)
        return self._decode(Z, self._condition(y, len(Z)))

    def reconstruct(self, X: Any, y: Any) -> Array:  # type: ignore[override]
        """E[x|z, c] at the posterior mean, (n, n_features)."""
        return self.inverse_transform(self.transform(X, y), y)

    def sample(self, n: int, y: Any, *, random_state: RandomState = None) -> Array:  # type: ignore[override]
        """Generate n samples with the property y, one for all or one each: z ~ N(0, I), then E[x|z, c]."""
        z = self._prior(n, random_state)
        return self._decode(z, self._condition(y, n))

    def elbo(self, X: Any, y: Any, *, n_samples: int = 1) -> Array:  # type: ignore[override]
        """A lower bound of log p(x|c) of each sample, (n,) nats; higher is better."""
        return self._elbo(self._check_more(X, y), n_samples)

    def log_likelihood(self, X: Any, y: Any, n_importance: int = 500) -> Array:  # type: ignore[override]
        """log p(x|c) of each sample by importance sampling, (n,) nats; higher is better."""
        return self._log_likelihood(self._check_more(X, y), n_importance)

    def kl_per_latent(self, X: Any, y: Any) -> Array:  # type: ignore[override]
        """KL(q(z_j|x, c) || N(0, 1)), mean over samples, (n_latent,) nats."""
        return self._kl_entries(*self._check_more(X, y)).mean(axis=0)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean ELBO over samples, in nats; higher is better."""
        return float(self._elbo(self._check_more(X, y), 1).mean())

    # -- the condition ------------------------------------------------------------------------------------------------

    def _check_data(self, X: Any, y: Any) -> tuple[Array, ...]:
        (X,) = super()._check_data(X, None)
        if y is None:
            raise ValueError(
                "This ConditionalVAE requires y to be passed, but the target y is None: give labels (n,) or "
                "properties (n, n_condition)"
            )
        values = _one_dimensional(to_numpy(y))
        if values.ndim not in (1, 2):
            raise ValueError(f"y must be labels (n,) or properties (n, n_condition), got shape {values.shape}")
        self.classes_ = None
        if values.ndim == 1 and values.dtype.kind in "biuUSO":
            try:
                self.classes_ = np.unique(values)
            except TypeError as error:
                raise ValueError(f"y mixes labels that cannot be sorted ({error}); use one kind of label") from None
        if self.classes_ is not None:
            self.n_condition_ = len(self.classes_)
        else:
            self.n_condition_ = 1 if values.ndim == 1 else values.shape[1]
        return X, self._condition(values, len(X))

    def _check_more(self, X: Any, y: Any = None) -> tuple[Array, ...]:
        (X,) = super()._check_more(X)
        return X, self._condition(y, len(X))

    def _batch_condition(self, y: Any, n: int) -> Array:
        """c for ``loss`` and ``gradient``: an array that is c already is taken as it is, without another look."""
        if getattr(y, "ndim", None) == 2 and y.dtype == self.dtype and y.shape == (n, self.n_condition_):
            return y
        return self._condition(y, n)

    def _condition(self, y: Any, n: int) -> Array:
        """c (n, n_condition) on the model's backend, from labels or properties, or from one for all rows."""
        self._check_is_fitted()
        if y is None:
            raise ValueError("this model is conditional: pass y, the labels or properties of the samples")
        xp, values = self._xp, _one_dimensional(to_numpy(y))
        if self.classes_ is not None and values.ndim < 2:
            values = self._one_hot(values.reshape(-1))
        elif values.ndim < 2:
            values = values.reshape((-1, 1) if self.n_condition_ == 1 else (1, -1))
        c = check_array(asarray(values, xp=xp), name="y", xp=xp, dtype=self.dtype)
        if len(c) == 1 and n != 1:
            c = xp.repeat(c, n, axis=0)
        if c.shape != (n, self.n_condition_):
            kind = f"{n} labels" if self.classes_ is not None else f"{n} rows of {self.n_condition_} numbers"
            raise ValueError(f"y must hold {kind}, or one for all {n} samples; got shape {tuple(np.shape(y))}")
        return c

    def _one_hot(self, labels: np.ndarray) -> np.ndarray:
        assert self.classes_ is not None
        columns = np.searchsorted(self.classes_, labels).clip(0, len(self.classes_) - 1)
        if (wrong := self.classes_[columns] != labels).any():
            raise ValueError(
                f"y holds {labels[wrong].tolist()[0]!r}, which was not among the classes seen in fit: "
                f"{self.classes_.tolist()}"
            )
        return np.eye(len(self.classes_), dtype=self.dtype)[columns]


def _one_dimensional(y: np.ndarray) -> np.ndarray:
    """A column (n, 1) of labels as (n,), with the warning that scikit-learn gives; anything else as it is."""
    if y.ndim == 2 and y.shape[1] == 1 and y.dtype.kind in "biuUSO":
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected; pass y.ravel()",
            as_scikit_learn_knows(DataConversionWarning),
            stacklevel=4,
        )
        return y.ravel()
    return y
