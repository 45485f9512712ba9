"""Autoencoders with a penalty on their code beside the reconstruction."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from scratchnet.autoencoders.autoencoder import Autoencoder
from scratchnet.backend import Array, Rng


@dataclass(repr=False, eq=False)
class PenalisedAutoencoder(Autoencoder):
    """Minimises -log p(x | g(f(x))) + penalty(f(x)).

    A penalty reaches the encoder's weights through the code, and may depend on them directly as well.
    """

    @abstractmethod
    def _penalty(self, code: Array) -> Array:
        """The penalty for a batch of codes (B, n_latent), a 0-d array."""

    @abstractmethod
    def _penalty_grad(self, code: Array) -> Array:
        """Its derivative by the code."""

    def _add_direct_gradient(self, code: Array) -> None:
        """Add its derivative by the weights at a fixed code, if there is one, to the gradient that is there."""

    def loss(self, x: Array) -> Array:  # type: ignore[override]
        """-log p(x | g(f(x))) + penalty, as a 0-d array in nats."""
        code = self.encoder_.forward(x)
        return self._likelihood.nll(self.decoder_.forward(code), x) + self._penalty(code)

    def gradient(self, x: Array) -> Array:  # type: ignore[override]
        """dloss/dtheta, written into ``params_.grad`` and returned."""
        code = self.encoder_.forward(x)
        output = self.decoder_.forward(code)
        dcode = self.decoder_.backward(self._likelihood.nll_grad(output, x))
        self.encoder_.backward(dcode + self._penalty_grad(code), need_dx=False)
        self._add_tied_gradient()
        self._add_direct_gradient(code)
        return self.params_.grad

    def _evaluate(self, batch: tuple[Array, ...], noise: Rng) -> dict[str, Array]:
        (x,) = batch
        row = self._measure(x, x)
        penalty = self._penalty(self.encoder_.forward(x))
        return {"loss": row["loss"] + penalty, "reconstruction": row["loss"], "penalty": penalty, "mse": row["mse"]}
