"""The plain autoencoder: x -> code -> x."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from numpy.typing import ArrayLike

from scratchnet.autoencoders.base import BaseAutoencoder
from scratchnet.backend import Array
from scratchnet.nn import ACTIVATIONS, Dense, Layer, Sequential, TransposedDense
from scratchnet.validation import check_bool

__all__ = ["Autoencoder"]


@dataclass(repr=False, eq=False)
class Autoencoder(BaseAutoencoder):
    """x_hat = g(f(x)): compress to ``n_latent`` numbers and back, minimising -log p(x | x_hat).

    The encoder f is Dense + activation for every width in ``hidden``, then a linear Dense to the code; the decoder g
    mirrors it. The loss is a sum over features and a mean over samples, in nats. With ``hidden=()`` and the Gaussian
    likelihood the network is linear, and its optimum is PCA.

    Parameters
    ----------
    hidden : sequence of int
        Widths between the input and the code.
    n_latent : int
        Width of the code.
    activation : {"relu", "leaky_relu", "softplus", "tanh", "sigmoid"}
    likelihood : {"bernoulli", "gaussian"}
        Binary cross-entropy for X in [0, 1], or half the squared error (unit variance, constant included).
    epochs, batch_size, learning_rate, optimizer
        ``optimizer`` is "adam", "momentum" or "sgd".
    tied : bool
        The decoder uses the encoder's weights, transposed (Vincent et al. 2010): half the weights, and a linear code
        that comes out orthonormal.
    validation_fraction : float
        Share of X held out for ``validation_loss``.
    patience : int, optional
        Stop after that many epochs without a lower ``validation_loss`` and go back to the best weights.
    random_state : int, generator or None
        Seeds weights, shuffles and noise; the same int gives the same bits.
    dtype : {"float32", "float64"}
    backend : {"numpy", "cupy", "auto"}, optional
        Where to compute; by default the current backend.
    verbose : int
        1 shows a progress bar.

    Examples
    --------
    >>> from scratchnet.datasets import make_ring
    >>> X = make_ring(200, random_state=0)[0]
    >>> model = Autoencoder((16,), 1, likelihood="gaussian", epochs=2, random_state=0).fit(X)
    >>> model.transform(X).shape, model.reconstruct(X).shape
    ((200, 1), (200, 2))
    """

    tied: bool = field(default=False, kw_only=True)

    builds_from: ClassVar[tuple[str, ...]] = (*BaseAutoencoder.builds_from, "tied")

    # -- one batch ----------------------------------------------------------------------------------------------------

    def forward(self, x: Array, noise: Any = None) -> tuple[Array, Array]:
        """(f(x), g(f(x))): the code (B, n_latent) and the output (B, n_features), which is kept for the history.

        An array in the place of the noise goes into f instead of x: x as it was corrupted.
        """
        code = self.encoder_.forward(x if noise is None else noise)
        self.output_ = self.decoder_.forward(code)
        return code, self.output_

    def terms(self, x: Array, noise: Any = None) -> dict[str, Array]:
        """{"reconstruction": -log p(x | g(f(x))), mean over the batch in nats}."""
        _, output = self.forward(x, noise)
        return {"reconstruction": self.likelihood_.nll(output, x)}

    def gradient(self, x: Array, noise: Any = None, weights: Mapping[str, float] | None = None) -> Array:
        """The gradient of weights["reconstruction"] * -log p(x | g(f(x))) with respect to all parameters, written into
        ``params_.grad`` and returned; by default that of ``loss``."""
        noise, weights = self.given(len(x), noise, weights)
        _, output = self.forward(x, noise)
        dcode = self.decoder_.backward(self.likelihood_.nll_grad(output, x, weights["reconstruction"]))
        self.encoder_.backward(dcode, need_dx=False)
        self.add_tied_gradient()
        return self.params_.grad

    def add_tied_gradient(self) -> None:
        """(2.8)  Weights that encoder and decoder share have two gradients; theirs is the sum."""
        for layer in self.decoder_.layers:
            if isinstance(layer, TransposedDense):
                layer.add_gradient()

    @property
    def terms_are_means(self) -> bool:
        """-log p is a mean over samples."""
        return True

    def measures(self, x: Array, noise: Any) -> dict[str, Array]:
        """{"mse": the squared error of the reconstruction, per feature}, if ``terms`` used :meth:`forward`."""
        if self.output_ is None:
            return {}
        return {"mse": ((self.likelihood_.mean(self.output_) - x) ** 2).mean()}

    # -- the networks -------------------------------------------------------------------------------------------------

    def make_decoder(self, widths: list[int]) -> Sequential:
        """The network from the code to what the likelihood takes; with tied weights the encoder's, transposed."""
        if not self.tied:
            return super().make_decoder(widths)
        layers: list[Layer] = []
        for dense in [layer for layer in self.encoder_.layers if isinstance(layer, Dense)][::-1]:
            layers += [TransposedDense(dense), ACTIVATIONS[self.activation]()]
        return Sequential(*layers[:-1])  # the last one is linear

    def check_parameters(self, has_validation: bool) -> None:
        """Raise ValueError or TypeError for parameters that make no model."""
        super().check_parameters(has_validation)
        check_bool(self.tied, "tied")

    def log_p(self, x: Array) -> Array:
        """log p(x | g(f(x))) of each sample of a batch, (B,)."""
        return -self.likelihood_.nll_rows(self.decoder_.forward(self.encode(x)), x)

    # -- all rows -----------------------------------------------------------------------------------------------------

    def transform(self, X: ArrayLike) -> Array:
        """Codes f(x), (n, n_latent)."""
        return self.over_rows("encode", self.check_rows(X))

    def inverse_transform(self, Z: ArrayLike) -> Array:
        """Decoded means g(z), (n, n_features): probabilities for the Bernoulli likelihood."""
        return self.over_rows("decode", self.check_codes(Z))

    def reconstruct(self, X: ArrayLike) -> Array:
        """g(f(x)), (n, n_features)."""
        return self.inverse_transform(self.transform(X))

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Mean over samples of log p(x | g(f(x))), in nats; higher is better."""
        return float(self.over_rows("log_p", *self.check_batch(X)).mean())
