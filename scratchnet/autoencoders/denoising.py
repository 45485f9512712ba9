"""The denoising autoencoder. Vincent et al. 2008, "Extracting and composing robust features"."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scratchnet.autoencoders.autoencoder import Autoencoder
from scratchnet.backend import Array, RandomState, Rng, get_xp
from scratchnet.validation import check_bool, check_choice, check_number

NOISES = ("gaussian", "masking", "salt_and_pepper")


@dataclass(repr=False, eq=False)
class DenoisingAutoencoder(Autoencoder):
    """x_hat = g(f(x~)) with x~ = x + noise, minimising -log p(x | x_hat): the target is the clean x.

    Every epoch corrupts anew. ``transform``, ``reconstruct`` and ``score`` take what they are given as it is: hand them
    noisy data to have it cleaned.

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
    """

    noise: str = field(default="gaussian", kw_only=True)
    noise_level: float = field(default=0.1, kw_only=True)
    clip: bool | None = field(default=None, kw_only=True)

    def loss(self, x: Array, seen: Array | None = None) -> Array:
        """-log p(x | g(f(seen))), mean over the batch, in nats; ``seen``, x with noise, is drawn if not given."""
        return super().loss(x, self._corrupt(x, self._draws) if seen is None else seen)

    def gradient(self, x: Array, seen: Array | None = None) -> Array:
        """dloss/dtheta at the given corruption, written into ``params_.grad`` and returned."""
        return super().gradient(x, self._corrupt(x, self._draws) if seen is None else seen)

    def _batch_gradient(self, *batch: Array) -> Array:
        (x,) = batch
        return self.gradient(x, self._corrupt(x, self._rng))

    def corrupt(self, X: Any, *, random_state: RandomState = None) -> Array:
        """X with noise as in training, a new array."""
        X = self._check(X, dtype=self.dtype)
        return self._corrupt(X, self._draws if random_state is None else Rng(random_state, get_xp(X)))

    def _corrupt(self, x: Array, rng: Rng) -> Array:
        xp = get_xp(x)
        if self.noise == "gaussian":
            noisy = rng.fill_normal(xp.empty(x.shape, dtype=x.dtype))
            noisy *= self.noise_level
            noisy += x
        else:
            u = rng.device.random(size=x.shape, dtype=x.dtype)
            hit = u < self.noise_level
            # among the entries that are hit, u is uniform below noise_level: its lower half is salt
            value = (u < self.noise_level / 2).astype(x.dtype) if self.noise == "salt_and_pepper" else 0
            noisy = xp.where(hit, value, x)
        clip = self.likelihood == "bernoulli" if self.clip is None else self.clip
        return xp.clip(noisy, 0, 1) if clip else noisy

    def _evaluate(self, batch: tuple[Array, ...], noise: Rng) -> dict[str, Array]:
        (x,) = batch
        return self._measure(x, self._corrupt(x, noise))

    def _check_parameters(self, has_validation: bool) -> None:
        super()._check_parameters(has_validation)
        check_choice(self.noise, "noise", NOISES)
        if self.clip is not None:
            check_bool(self.clip, "clip")
        check_number(
            self.noise_level, "noise_level", minimum=0, maximum=float("inf") if self.noise == "gaussian" else 1
        )
