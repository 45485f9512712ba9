"""The denoising autoencoder. Vincent et al. 2008, "Extracting and composing robust features"."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import ArrayLike

from scratchnet.autoencoders.autoencoder import Autoencoder
from scratchnet.autoencoders.model import Draws
from scratchnet.backend import Array, RandomState, Rng, get_xp
from scratchnet.validation import check_bool, check_choice, check_number

__all__ = ["NOISES", "Corruption", "DenoisingAutoencoder"]

NOISES = ("gaussian", "masking", "salt_and_pepper")


@dataclass(frozen=True)
class Corruption:
    """What is done to x: the noise of a :class:`DenoisingAutoencoder`.

    Parameters
    ----------
    kind : {"gaussian", "masking", "salt_and_pepper"}
    level : float
        Standard deviation, or share of the entries.
    clip : bool
        Whether the result is clipped to [0, 1].
    draws : (B, n_features)
        From N(0, 1) for "gaussian", else from the uniform distribution on [0, 1).
    """

    kind: str
    level: float
    clip: bool
    draws: Array

    def __call__(self, x: Array) -> Array:
        """x~, a new array."""
        xp, u = get_xp(x, self.draws), self.draws
        if self.kind == "gaussian":
            noisy = x + self.level * u
        elif self.kind == "masking":
            noisy = xp.where(u < self.level, 0, x)
        else:  # among the entries that are hit, u is uniform below the level: its lower half is salt
            noisy = xp.where(u < self.level, (u < self.level / 2).astype(x.dtype), x)
        return xp.clip(noisy, 0, 1) if self.clip else noisy


@dataclass(repr=False, eq=False)
class DenoisingAutoencoder(Autoencoder):
    """x_hat = g(f(x~)) with x~ = x + noise, minimising -log p(x | x_hat): the target is the clean x.

    Every epoch corrupts anew. ``transform``, ``reconstruct`` and ``score`` do not corrupt what they are given: hand
    them noisy data to have it cleaned. ``loss`` and ``gradient`` take a :class:`Corruption`, or x~ itself, in the place
    of the noise.

    Parameters
    ----------
    noise : {"gaussian", "masking", "salt_and_pepper"}
        Add N(0, noise_level^2); set a share of the entries to 0; set a share to 0 or 1, half each.
    noise_level : float
        Standard deviation, or share.
    clip : bool, optional
        Whether corrupted values are clipped to [0, 1]; by default they are with the Bernoulli likelihood.
    hidden, n_latent, ...
        As for :class:`~scratchnet.autoencoders.Autoencoder`.

    Examples
    --------
    >>> from scratchnet.datasets import load_mnist
    >>> X, _ = load_mnist("test")
    >>> model = DenoisingAutoencoder((50,), 10, noise_level=0.5, epochs=5, learning_rate=3e-3, random_state=0).fit(X)
    >>> noisy = model.corrupt(X, random_state=0)
    >>> bool(((model.reconstruct(noisy) - X) ** 2).mean() < ((noisy - X) ** 2).mean())
    True
    """

    noise: str = field(default="gaussian", kw_only=True)  # type: ignore[assignment]  # draw_noise is the protocol's
    noise_level: float = field(default=0.1, kw_only=True)
    clip: bool | None = field(default=None, kw_only=True)

    def draw_noise(self, n: int, rng: Draws) -> Corruption:
        """What is done to n samples. (``noise`` is the name of a parameter here.)"""
        draw = rng.standard_normal if self.noise == "gaussian" else rng.random
        clip = self.likelihood == "bernoulli" if self.clip is None else self.clip
        return Corruption(self.noise, float(self.noise_level), clip, draw((n, self.n_features_in_), dtype=self.dtype))

    def forward(self, x: Array, noise: Any = None) -> tuple[Array, Array]:
        """(f(x~), g(f(x~))): the code and the output, which is kept for the history."""
        return super().forward(x, noise(x) if isinstance(noise, Corruption) else noise)

    terms_are_means = Autoencoder.terms_are_means

    def corrupt(self, X: ArrayLike, *, random_state: RandomState = None) -> Array:
        """X with noise as in training, a new array."""
        x = self.check_rows(X)
        return self.draw_noise(len(x), self._draws if random_state is None else Rng(random_state, get_xp(x)))(x)

    def check_parameters(self, has_validation: bool) -> None:
        """Raise ValueError or TypeError for parameters that make no model."""
        super().check_parameters(has_validation)
        check_choice(self.noise, "noise", NOISES)
        if self.clip is not None:
            check_bool(self.clip, "clip")
        check_number(
            self.noise_level, "noise_level", minimum=0, maximum=float("inf") if self.noise == "gaussian" else 1
        )
