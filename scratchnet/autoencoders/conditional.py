"""The conditional variational autoencoder. Sohn, Lee and Yan 2015."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from scratchnet.autoencoders import conditions, evidence
from scratchnet.autoencoders.variational import BaseVAE
from scratchnet.backend import Array, RandomState
from scratchnet.validation import check_integer


@dataclass(repr=False, eq=False)
class ConditionalVAE(BaseVAE):
    """A VAE whose encoder sees [x | c] and whose decoder sees [z | c], with c made from a property y.

    The loss is E_q[-log p(x|z, c)] + beta * KL(q(z|x, c) || N(0, I)). Because the decoder is told the property, z is
    free to hold everything else: one z through all classes keeps the writing style.

    y may be

    - labels (n,) of integers, strings or booleans: c is one-hot over ``classes_``;
    - numbers (n,) of floats, or (n, k): properties such as an angle, or one-hot labels, used as they are (bring them to
      similar scales);
    - a tuple of these, for several properties at once: ``fit(X, (labels, angles))``, ``sample(5, (3, 0.2))``.

    Wherever n samples take a y, one label or one row of numbers serves all of them. Parameters are those of
    :class:`~scratchnet.autoencoders.VAE`.

    Attributes set by ``fit``
    -------------------------
    properties_ : list of (ndarray or int)
        Of each property its labels in the order of the one-hot columns, or its number of columns.
    """

    properties_: list[conditions.Property] = field(init=False)

    _requires_y: ClassVar[bool] = True
    _saved_attributes: ClassVar[tuple[str, ...]] = (*BaseVAE._saved_attributes, "properties_")

    def loss(self, x: Array, y: Any, eps: Array | None = None) -> Array:
        """-log p(x|z, c) + beta * KL, mean over the batch; y as for ``fit``, or c itself, (B, n_condition)."""
        return self._loss(x, self._batch_condition(y, len(x)), self._given(eps, x), self.beta)

    def gradient(self, x: Array, y: Any, eps: Array | None = None) -> Array:
        """dloss/dtheta at the given noise, written into ``params_.grad`` and returned."""
        return self._gradient(x, self._batch_condition(y, len(x)), self._given(eps, x), self.beta)

    def posterior(self, X: Any, y: Any) -> tuple[Array, Array]:
        """(mu, sigma) of q(z|x, c), each (n, n_latent)."""
        X = self._check(X, dtype=self.dtype)
        return self._posterior(X, self._condition(y, len(X)))

    def transform(self, X: Any, y: Any) -> Array:
        """Posterior means, (n, n_latent): what is left of x when the property is known."""
        return self.posterior(X, y)[0]

    def fit_transform(self, X: Any, y: Any = None) -> Array:
        """``fit(X, y).transform(X, y)``."""
        return self.fit(X, y).transform(X, y)

    def inverse_transform(self, Z: Any, y: Any) -> Array:
        """E[x|z, c], (n, n_features). One label or property vector for y is used for all rows."""
        Z = self._check(Z, name="Z", dtype=self.dtype, n_features=self.n_latent)
        return self._decode(Z, self._condition(y, len(Z)))

    def reconstruct(self, X: Any, y: Any) -> Array:
        """E[x|z, c] at the posterior mean, (n, n_features)."""
        return self.inverse_transform(self.transform(X, y), y)

    def sample(self, n: int, y: Any, *, random_state: RandomState = None) -> Array:
        """Generate n samples with the property y, one for all or one each: z ~ N(0, I), then E[x|z, c]."""
        z = self._prior(n, random_state)
        return self._decode(z, self._condition(y, n))

    def elbo(self, X: Any, y: Any, *, n_samples: int = 1) -> Array:
        """A lower bound of log p(x|c) of each sample, (n,) nats; higher is better."""
        return evidence.elbo(self, self._check_more(X, y), check_integer(n_samples, "n_samples"))

    def log_likelihood(self, X: Any, y: Any, n_importance: int = 500) -> Array:
        """log p(x|c) of each sample by importance sampling, (n,) nats; higher is better."""
        data = self._check_more(X, y)
        return evidence.log_likelihood(self, data, check_integer(n_importance, "n_importance"))

    def kl_per_latent(self, X: Any, y: Any) -> Array:
        """KL(q(z_j|x, c) || N(0, 1)), mean over samples, (n_latent,) nats."""
        return self._kl_entries(*self._check_more(X, y)).mean(axis=0)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean ELBO over samples, in nats; higher is better."""
        return float(self.elbo(X, y).mean())

    # -- the condition ------------------------------------------------------------------------------------------------

    @property
    def n_condition_(self) -> int:
        """Width of c."""
        return sum(conditions.width(prop) for prop in self.properties_)

    @property
    def classes_(self) -> Any:
        """The labels in the order of the one-hot columns, None for numbers; a list of these for several properties."""
        classes = [prop if isinstance(prop, np.ndarray) else None for prop in self.properties_]
        return classes[0] if len(classes) == 1 else classes

    def _check_data(self, X: Any, y: Any) -> tuple[Array, ...]:
        (X,) = super()._check_data(X, None)
        if y is None:
            raise ValueError(
                "This ConditionalVAE requires y to be passed, but the target y is None: give labels (n,) or "
                "properties (n, n_condition)"
            )
        self.properties_ = conditions.learn(y)
        return X, self._condition(y, len(X))

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
        return conditions.encode(self.properties_, y, n, self._xp, self.dtype)

    def _restore(self, name: str, value: Any) -> None:
        if name == "properties_":
            self.properties_ = [np.asarray(prop) if isinstance(prop, list) else prop for prop in value]
        else:
            super()._restore(name, value)
