"""The conditional variational autoencoder. Sohn, Lee and Yan 2015."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from scratchnet.autoencoders import conditions
from scratchnet.autoencoders.model import weighted_sum
from scratchnet.autoencoders.variational import BaseVAE
from scratchnet.backend import Array, RandomState
from scratchnet.validation import check_integer

__all__ = ["ConditionalVAE"]


@dataclass(repr=False, eq=False)
class ConditionalVAE(BaseVAE):
    """A VAE whose encoder sees [x | c] and whose decoder sees [z | c], with c made from a property y.

    The loss is E_q[-log p(x|z, c)] + beta * KL(q(z|x, c) || N(0, I)). Because the decoder is told the property, z is
    free to hold everything else: one z through all classes keeps the writing style.

    y may be

    - labels (n,) of integers, strings or booleans: c is one-hot over ``classes_``;
    - numbers (n,) of floats, or (n, k): properties such as an angle, or one-hot labels, used unchanged (bring them to
      similar scales);
    - a tuple of these, for several properties at once: ``fit(X, (labels, angles))``, ``sample(5, (3, 0.2))``.

    Wherever n samples take a y, one label or one row of numbers serves all of them. Parameters are those of
    :class:`~scratchnet.autoencoders.VAE`.

    Attributes set by ``fit``
    -------------------------
    properties_ : list of (ndarray or int)
        Of each property its labels in the order of the one-hot columns, or its number of columns.

    Examples
    --------
    >>> from scratchnet.datasets import load_mnist
    >>> X, y = load_mnist("test")
    >>> model = ConditionalVAE((50,), 2, epochs=2, random_state=0).fit(X, y)
    >>> model.sample(3, 7).shape, model.transform(X, y).shape
    ((3, 784), (1000, 2))
    """

    properties_: list[conditions.Property] = field(init=False)

    _requires_y: ClassVar[bool] = True
    saved_attributes: ClassVar[tuple[str, ...]] = (*BaseVAE.saved_attributes, "properties_")

    # -- one batch ----------------------------------------------------------------------------------------------------

    def terms(self, x: Array, y: Any, noise: Any) -> dict[str, Array]:  # type: ignore[override]
        """{"reconstruction": -log p(x|z, c), "kl": KL}, means over the batch in nats; y as for ``fit``, or c itself,
        (B, n_condition). The noise is as for a VAE."""
        return self._terms(x, self._batch_condition(y, len(x)), noise)

    def loss(self, x: Array, y: Any, noise: Any = None) -> Array:  # type: ignore[override]
        """-log p(x|z, c) + beta * KL, mean over the batch in nats; noise is drawn if it is not given."""
        noise, weights = self.given(len(x), noise)
        return weighted_sum(weights, self.terms(x, y, noise))

    def gradient(  # type: ignore[override]
        self, x: Array, y: Any, noise: Any = None, weights: Mapping[str, float] | None = None
    ) -> Array:
        """The gradient of the weighted sum of the terms with respect to all parameters, written into ``params_.grad``
        and returned; by default that of ``loss``."""
        return self._gradient(x, self._batch_condition(y, len(x)), noise, weights)

    terms_are_means = BaseVAE.terms_are_means

    # -- all rows -----------------------------------------------------------------------------------------------------

    def posterior(self, X: ArrayLike, y: Any) -> tuple[Array, Array]:
        """(mu, sigma) of q(z|x, c), each (n, n_latent)."""
        return self.over_rows("encode", *self._rows_and_condition(X, y))

    def transform(self, X: ArrayLike, y: Any) -> Array:
        """Posterior means, (n, n_latent): what is left of x when the property is known."""
        return self.posterior(X, y)[0]

    def fit_transform(self, X: ArrayLike, y: Any = None) -> Array:
        """``fit(X, y).transform(X, y)``."""
        return self.fit(X, y).transform(X, y)

    def inverse_transform(self, Z: ArrayLike, y: Any) -> Array:
        """E[x|z, c], (n, n_features). One label or property vector for y is used for all rows."""
        z = self.check_codes(Z)
        return self.over_rows("decode", z, self.encode_condition(y, len(z)))

    def reconstruct(self, X: ArrayLike, y: Any) -> Array:
        """E[x|z, c] at the posterior mean, (n, n_features)."""
        return self.inverse_transform(self.transform(X, y), y)

    def sample(self, n: int, y: Any, *, random_state: RandomState = None) -> Array:
        """Generate n samples with the property y, one for all or one each: z ~ N(0, I), then E[x|z, c]."""
        return self.over_rows("decode", self.prior(n, random_state), self.encode_condition(y, n))

    def elbo(self, X: ArrayLike, y: Any, *, n_samples: int = 1) -> Array:
        """A lower bound of log p(x|c) of each sample, (n,) nats; higher is better."""
        n = check_integer(n_samples, "n_samples")
        return self.over_rows("elbo_rows", *self.check_batch(X, y), noise=True, n_samples=n)

    def log_likelihood(self, X: ArrayLike, y: Any, n_importance: int = 500) -> Array:
        """log p(x|c) of each sample by importance sampling, (n,) nats; higher is better."""
        K = check_integer(n_importance, "n_importance")
        return self.over_rows("importance_bound", *self.check_batch(X, y), noise=True, n_importance=K)

    def kl_per_latent(self, X: ArrayLike, y: Any) -> Array:
        """KL(q(z_j|x, c) || N(0, 1)), mean over samples, (n_latent,) nats."""
        return self.over_rows("kl_entries", *self._rows_and_condition(X, y)).mean(axis=0)

    def score(self, X: ArrayLike, y: Any = None) -> float:
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

    def check_data(self, X: ArrayLike, y: Any = None) -> tuple[Array, ...]:
        """What ``fit`` was given as (x, c), validated and moved."""
        (x,) = super().check_data(X)
        if y is None:
            raise ValueError(
                "This ConditionalVAE requires y to be passed, but the target y is None: give labels (n,) or "
                "properties (n, n_condition)"
            )
        self.properties_ = conditions.learn(y)
        return x, self.encode_condition(y, len(x))

    def check_batch(self, X: ArrayLike, y: Any = None) -> tuple[Array, ...]:
        """The same for data that come after ``fit``."""
        (x,) = super().check_batch(X)
        return x, self.encode_condition(y, len(x))

    def _rows_and_condition(self, X: ArrayLike, y: Any) -> tuple[Array, Array]:
        """(x, c), the likelihood's range aside."""
        x = self.check_rows(X)
        return x, self.encode_condition(y, len(x))

    def _batch_condition(self, y: Any, n: int) -> Array:
        """c for ``terms`` and ``gradient``: an array that is c already is passed through unchecked."""
        if getattr(y, "ndim", None) == 2 and y.dtype == self.dtype and y.shape == (n, self.n_condition_):
            return y
        return self.encode_condition(y, n)

    def encode_condition(self, y: Any, n: int) -> Array:
        """c (n, n_condition) on the model's backend, from labels or properties, or from one for all rows."""
        self._check_is_fitted()
        if y is None:
            raise ValueError("this model is conditional: pass y, the labels or properties of the samples")
        return conditions.encode(self.properties_, y, n, self._xp, self.dtype)

    def restore_attribute(self, name: str, value: Any) -> None:
        """Set a fitted attribute to what a saved file holds."""
        if name == "properties_":
            self.properties_ = [np.asarray(prop) if isinstance(prop, list) else prop for prop in value]
        else:
            super().restore_attribute(name, value)
