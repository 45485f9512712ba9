"""The contractive autoencoder. Rifai et al. 2011, "Contractive auto-encoders"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from scratchnet.autoencoders.penalised import PenalisedAutoencoder
from scratchnet.backend import Array
from scratchnet.nn import ACTIVATIONS, Sequential
from scratchnet.validation import check_choice, check_number

__all__ = ["ContractiveAutoencoder"]


@dataclass(repr=False, eq=False)
class ContractiveAutoencoder(PenalisedAutoencoder):
    """Minimises -log p(x | g(h)) + weight * ||J||_F^2, h = s(xW + b), J = dh/dx: h is to change little when x does.

    With one layer the Jacobian has a closed form, J_ij = W_ij s'(a_j), so that

        ||J||_F^2 = sum_j s'(a_j)^2 c_j,    c_j = sum_i W_ij^2,    a mean over the batch.

    Parameters
    ----------
    weight : float
        Of the penalty beside the loss in nats.
    code_activation : {"sigmoid", "tanh", "relu"}
        s.
    hidden : must be ()
        The closed form is that of a single layer.
    n_latent, ...
        As for :class:`~scratchnet.autoencoders.Autoencoder`.

    Examples
    --------
    >>> from scratchnet.datasets import load_mnist
    >>> X, _ = load_mnist("test")
    >>> tight = ContractiveAutoencoder(n_latent=20, weight=1.0, epochs=2, random_state=0).fit(X)
    >>> list(tight.history_[-1])
    ['epoch', 'loss', 'reconstruction', 'penalty', 'mse', 'seconds']
    """

    hidden: Sequence[int] = ()
    weight: float = field(default=0.1, kw_only=True)
    code_activation: str = field(default="sigmoid", kw_only=True)

    builds_from: ClassVar[tuple[str, ...]] = (*PenalisedAutoencoder.builds_from, "code_activation")

    def penalty(self, code: Array) -> Array:
        """weight / B sum_b sum_j s'_bj^2 c_j."""
        slope = self._slope(code)
        return self.weight / len(code) * (slope * slope @ self._columns()).sum()

    def penalty_grad(self, code: Array) -> Array:
        """(6.6)  weight / B * c_j d(s'^2)/dh, with s' a function of h = s(a)."""
        slope = self._slope(code)
        if self.code_activation == "sigmoid":  # s' = h (1 - h)
            slope_grad = 1 - 2 * code
        elif self.code_activation == "tanh":  # s' = 1 - h^2
            slope_grad = -2 * code
        else:  # s' is 0 or 1
            return 0 * code
        return (2 * self.weight / len(code)) * slope * slope_grad * self._columns()

    def add_direct_gradient(self, code: Array, weight: float) -> None:
        """(6.6)  The path through c: weight / B * 2 W_ij sum_b s'_bj^2."""
        W, dW = self.params_.views["encoder.0.W"]
        slope = self._slope(code)
        dW += (2 * weight * self.weight / len(code)) * W * (slope * slope).sum(axis=0)

    def _slope(self, code: Array) -> Array:
        """s' as a function of h, (B, n_latent)."""
        if self.code_activation == "sigmoid":
            return code * (1 - code)
        return 1 - code * code if self.code_activation == "tanh" else (code > 0).astype(code.dtype)

    def _columns(self) -> Array:
        """c_j, (n_latent,)."""
        W, _ = self.params_.views["encoder.0.W"]
        return (W * W).sum(axis=0)

    @property
    def terms_are_means(self) -> bool:
        """The squared norm of the Jacobian is a mean over samples."""
        return True

    def make_encoder(self, widths: list[int]) -> Sequential:
        """One layer, then s."""
        return Sequential(*self.make_layers(widths), ACTIVATIONS[self.code_activation]())

    def check_parameters(self, has_validation: bool) -> None:
        """Raise ValueError or TypeError for parameters that make no model."""
        super().check_parameters(has_validation)
        check_choice(self.code_activation, "code_activation", ("sigmoid", "tanh", "relu"))
        check_number(self.weight, "weight", minimum=0)
        if len(self.hidden):
            raise ValueError(
                f"hidden={tuple(self.hidden)}: the Jacobian's closed form is that of one layer; use hidden=() and "
                "choose the width with n_latent"
            )
