"""Autoencoders with a penalty on their code beside the reconstruction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scratchnet.autoencoders.autoencoder import Autoencoder
from scratchnet.backend import Array

__all__ = ["PenalisedAutoencoder"]


@dataclass(repr=False, eq=False)
class PenalisedAutoencoder(Autoencoder):
    """Minimises -log p(x | g(f(x))) + penalty(f(x)).

    A penalty reaches the encoder's weights through the code, and may depend on them directly as well.
    """

    @abstractmethod
    def penalty(self, code: Array) -> Array:
        """The penalty for a batch of codes (B, n_latent), a 0-d array."""

    @abstractmethod
    def penalty_grad(self, code: Array) -> Array:
        """Its gradient with respect to the code, (B, n_latent)."""

    def add_direct_gradient(self, code: Array, weight: float) -> None:
        """Add weight times its gradient with respect to the parameters at a fixed code, if there is one, to the
        gradient that is there."""

    def weights(self, epoch: int) -> dict[str, float]:
        """1 for both: the parameter ``weight`` is part of the penalty."""
        return {"reconstruction": 1.0, "penalty": 1.0}

    def terms(self, x: Array, noise: Any = None) -> dict[str, Array]:
        """{"reconstruction": -log p(x | g(f(x))), "penalty": penalty(f(x))} in nats."""
        code, output = self.forward(x, noise)
        return {"reconstruction": self.likelihood_.nll(output, x), "penalty": self.penalty(code)}

    def gradient(self, x: Array, noise: Any = None, weights: Mapping[str, float] | None = None) -> Array:
        """The gradient of the weighted sum of the terms with respect to all parameters, written into ``params_.grad``
        and returned; by default that of ``loss``."""
        noise, weights = self.given(len(x), noise, weights)
        code, output = self.forward(x, noise)
        dcode = self.decoder_.backward(self.likelihood_.nll_grad(output, x, weights["reconstruction"]))
        self.encoder_.backward(dcode + float(weights["penalty"]) * self.penalty_grad(code), need_dx=False)
        self.add_tied_gradient()
        self.add_direct_gradient(code, float(weights["penalty"]))
        return self.params_.grad
