"""Autoencoders whose code is sparse: by a penalty on mean activations, or by keeping the k largest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from scratchnet.autoencoders.autoencoder import Autoencoder
from scratchnet.autoencoders.penalised import PenalisedAutoencoder
from scratchnet.backend import Array, get_xp
from scratchnet.nn import ACTIVATIONS, Sequential, TopK, kl_bernoulli, kl_bernoulli_grad
from scratchnet.validation import check_choice, check_integer, check_number

__all__ = ["KSparseAutoencoder", "SparseAutoencoder"]


@dataclass(repr=False, eq=False)
class SparseAutoencoder(PenalisedAutoencoder):
    """Minimises -log p(x | g(a)) + weight * sum_j KL(rho || rho_hat_j), a = f(x).

    rho_hat_j is the mean activation of code unit j over the batch, and KL that between two Bernoulli distributions:
    units are to be active rho of the time. The code may be wider than the input. Ng 2011, "Sparse autoencoder".

    Parameters
    ----------
    rho : float
        Wanted mean activation, in (0, 1).
    weight : float
        Of the penalty beside the loss in nats (it is often called beta).
    code_activation : {"sigmoid", "tanh"}
        tanh codes enter as (1 + a) / 2.
    hidden, n_latent, ...
        As for :class:`~scratchnet.autoencoders.Autoencoder`.

    Examples
    --------
    >>> from scratchnet.datasets import load_mnist
    >>> X, _ = load_mnist("test")
    >>> free, sparse = (SparseAutoencoder((), 30, weight=w, epochs=2, random_state=0).fit(X) for w in (0, 30))
    >>> bool(sparse.transform(X).mean() < free.transform(X).mean())
    True
    """

    rho: float = field(default=0.05, kw_only=True)
    weight: float = field(default=3.0, kw_only=True)
    code_activation: str = field(default="sigmoid", kw_only=True)

    builds_from: ClassVar[tuple[str, ...]] = (*PenalisedAutoencoder.builds_from, "code_activation")

    def penalty(self, code: Array) -> Array:
        """weight * sum_j KL(rho || rho_hat_j), a 0-d array in nats."""
        return self.weight * kl_bernoulli(*self._rates(code))

    def penalty_grad(self, code: Array) -> Array:
        """(6.5)  weight * dKL/drho_hat_j / B, the same for every sample, (n_latent,); half of it for a tanh."""
        share = (0.5 if self.code_activation == "tanh" else 1.0) / len(code)
        return self.weight * share * kl_bernoulli_grad(*self._rates(code))[1]

    def _rates(self, code: Array) -> tuple[Array, Array]:
        """(rho, rho_hat), each (n_latent,); rho_hat is kept off 0 and 1, where the divergence is infinite."""
        xp, mean = get_xp(code), code.mean(axis=0)
        rate = 0.5 * (mean + 1) if self.code_activation == "tanh" else mean
        edge = float(xp.finfo(code.dtype).eps)
        return xp.full_like(rate, self.rho), xp.clip(rate, edge, 1 - edge)

    def make_encoder(self, widths: list[int]) -> Sequential:
        """Ends with the code's activation."""
        return Sequential(*self.make_layers(widths), ACTIVATIONS[self.code_activation]())

    def check_parameters(self, has_validation: bool) -> None:
        """Raise ValueError or TypeError for parameters that make no model."""
        super().check_parameters(has_validation)
        check_choice(self.code_activation, "code_activation", ("sigmoid", "tanh"))
        check_number(self.weight, "weight", minimum=0)
        if check_number(self.rho, "rho", minimum=0, open_minimum=True) >= 1:
            raise ValueError(f"rho={self.rho} must be below 1: it is a rate of activation")


@dataclass(repr=False, eq=False)
class KSparseAutoencoder(Autoencoder):
    """x_hat = g(keep the k largest of f(x)): a linear code of which all but k entries are set to 0.

    Training keeps k; ``transform`` keeps alpha * k, as the paper does at encoding. Makhzani and Frey 2014,
    "k-Sparse Autoencoders".

    Parameters
    ----------
    k : int
        Entries kept of each code; of ties those in front.
    alpha : float
        At encoding alpha * k entries are kept, at least k.
    annealing : int
        Over that many first epochs the number kept falls linearly from n_latent to k, so that no unit dies early. The
        history's numbers are about k throughout.
    hidden, n_latent, ...
        As for :class:`~scratchnet.autoencoders.Autoencoder`.

    Examples
    --------
    >>> from scratchnet.datasets import load_mnist
    >>> X, _ = load_mnist("test")
    >>> model = KSparseAutoencoder((), 100, k=7, epochs=1, random_state=0).fit(X)
    >>> int((model.transform(X) != 0).sum(axis=1).max())
    7
    """

    k: int = field(default=10, kw_only=True)
    alpha: float = field(default=1.0, kw_only=True)
    annealing: int = field(default=0, kw_only=True)

    builds_from: ClassVar[tuple[str, ...]] = (*Autoencoder.builds_from, "k")

    def encode(self, x: Array) -> Array:
        """The code of a batch (B, n_latent), with alpha * k entries that are not 0."""
        linear, kept = Sequential(*self.encoder_.layers[:-1]), min(round(self.alpha * self.k), self.n_latent)
        return TopK(kept).forward(linear.forward(x))

    def make_encoder(self, widths: list[int]) -> Sequential:
        """Ends by keeping the k largest."""
        return Sequential(*self.make_layers(widths), TopK(self.k))

    def prepare_epoch(self, epoch: int) -> None:
        """Keep as many entries as this epoch trains with."""
        left = max(0.0, 1 - (epoch - 1) / self.annealing) if self.annealing else 0.0
        top: Any = self.encoder_.layers[-1]
        top.k = self.k + round(left * (self.n_latent - self.k))

    def check_parameters(self, has_validation: bool) -> None:
        """Raise ValueError or TypeError for parameters that make no model."""
        super().check_parameters(has_validation)
        check_integer(self.k, "k", maximum=self.n_latent, limit="the n_latent units of the code")
        check_number(self.alpha, "alpha", minimum=1)
        check_integer(self.annealing, "annealing", minimum=0)
