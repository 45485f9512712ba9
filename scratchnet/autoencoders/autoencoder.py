"""The plain autoencoder: x -> code -> x."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from scratchnet.autoencoders.base import BaseAutoencoder
from scratchnet.autoencoders.parts import ACTIVATIONS
from scratchnet.backend import Array, Rng
from scratchnet.nn import Dense, Layer, Sequential, TransposedDense
from scratchnet.validation import check_bool


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
        Stop after so many epochs without a lower ``validation_loss`` and go back to the best weights.
    random_state : int, generator or None
        Seeds weights, shuffles and noise; the same int gives the same bits.
    dtype : {"float32", "float64"}
    backend : {"numpy", "cupy", "auto"}, optional
        Where to compute; by default the current backend.
    verbose : int
        1 shows a progress bar.
    """

    tied: bool = field(default=False, kw_only=True)

    _builds_from: ClassVar[tuple[str, ...]] = (*BaseAutoencoder._builds_from, "tied")

    def loss(self, x: Array, seen: Array | None = None) -> Array:
        """-log p(x | g(f(x))), mean over the batch, as a 0-d array in nats. ``seen`` goes into f in place of x."""
        return self._likelihood.nll(self.decoder_.forward(self.encoder_.forward(x if seen is None else seen)), x)

    def gradient(self, x: Array, seen: Array | None = None) -> Array:
        """dloss/dtheta, written into ``params_.grad`` and returned."""
        output = self.decoder_.forward(self.encoder_.forward(x if seen is None else seen))
        dcode = self.decoder_.backward(self._likelihood.nll_grad(output, x))
        self.encoder_.backward(dcode, need_dx=False)
        self._add_tied_gradient()
        return self.params_.grad

    def _add_tied_gradient(self) -> None:
        """(2.8)  Weights that encoder and decoder share have two gradients; theirs is the sum."""
        for layer in self.decoder_.layers:
            if isinstance(layer, TransposedDense):
                layer.add_gradient()

    def _batch_gradient(self, *batch: Array) -> Array:
        return self.gradient(*batch)

    def _evaluate(self, batch: tuple[Array, ...], noise: Rng) -> dict[str, Array]:
        (x,) = batch
        return self._measure(x, x)

    def _measure(self, x: Array, seen: Array) -> dict[str, Array]:
        """Loss and squared error of x reconstructed from what the encoder has ``seen``."""
        output = self.decoder_.forward(self.encoder_.forward(seen))
        difference = self._likelihood.mean(output) - x
        return {"loss": self._likelihood.nll(output, x), "mse": (difference * difference).mean()}

    def _decoder(self, widths: list[int]) -> Sequential:
        if not self.tied:
            return super()._decoder(widths)
        layers: list[Layer] = []
        for dense in [layer for layer in self.encoder_.layers if isinstance(layer, Dense)][::-1]:
            layers += [TransposedDense(dense), ACTIVATIONS[self.activation]()]
        return Sequential(*layers[:-1])  # the last one is linear

    def _check_parameters(self, has_validation: bool) -> None:
        super()._check_parameters(has_validation)
        check_bool(self.tied, "tied")

    def transform(self, X: Any) -> Array:
        """Codes f(x), (n, n_latent)."""
        return self._codes(self._check(X, dtype=self.dtype))

    def _codes(self, X: Array) -> Array:
        return self._map(self.encoder_.forward, X, width=self.n_latent)

    def inverse_transform(self, Z: Any) -> Array:
        """Decoded means g(z), (n, n_features): probabilities for the Bernoulli likelihood."""
        Z = self._check(Z, name="Z", dtype=self.dtype, n_features=self.n_latent)
        return self._map(self._decode_mean, Z, width=self.n_features_in_)

    def reconstruct(self, X: Any) -> Array:
        """g(f(x)), (n, n_features)."""
        return self.inverse_transform(self.transform(X))

    def score(self, X: Any, y: Any = None) -> float:
        """Mean over samples of log p(x | g(f(x))), in nats; higher is better."""
        (X,) = self._check_more(X)
        rows = self._map(lambda x, z: -self._likelihood.nll_rows(self.decoder_.forward(z), x), X, self._codes(X))
        return float(rows.mean())
