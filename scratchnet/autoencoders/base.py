"""What all autoencoders do with their networks: train, evaluate in chunks, save."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from scratchnet.autoencoders import checkpoint
from scratchnet.autoencoders.checking import check_common_parameters, check_unchanged, check_unit_interval, hold_out
from scratchnet.autoencoders.history import EpochState, History
from scratchnet.autoencoders.model import Model, weighted_sum
from scratchnet.autoencoders.training import DivergedError, train
from scratchnet.backend import Array, NoiseStream, Rng, get_xp
from scratchnet.base import TransformerMixin
from scratchnet.rows import joined, rows_from, workspace

__all__ = ["EVALUATION_SEED", "BaseAutoencoder"]

EVALUATION_SEED = 0x5C4A7C4  # of the noise that histories and scores see: the same at every call, for every model
_NOT_PICKLED = ("encoder_", "decoder_", "sample_", "params_", "likelihood_", "_fitted_with", "_draws", "output_")


@dataclass(repr=False, eq=False)
class BaseAutoencoder(TransformerMixin, Model):
    """A :class:`~scratchnet.autoencoders.model.Model` that is trained on data and keeps what it has learned."""

    saved_attributes: ClassVar[tuple[str, ...]] = ("n_features_in_", "best_epoch_")
    """What a saved file holds beside weights, parameters and history."""

    # -- training -----------------------------------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: Any = None, *, validation: Any = None) -> Self:
        """Train on X (n, n_features), under a progress bar if ``verbose``.

        Parameters
        ----------
        X : array_like (n, n_features)
            In [0, 1] for the Bernoulli likelihood. Never written to.
        y : ignored by unconditional models, the condition of a conditional one
        validation : array_like or (X, y), optional
            Held-out data for ``validation_loss`` and early stopping, in place of ``validation_fraction``.

        Raises
        ------
        DivergedError
            If the loss becomes NaN or infinite; the message says at which step.
        """
        return self._drain(self.steps(X, y, validation=validation), total=self.epochs)

    def steps(self, X: ArrayLike, y: Any = None, *, validation: Any = None) -> Iterator[EpochState]:
        """Train like :meth:`fit`, yielding an :class:`EpochState` after every epoch.

        Stop when you like: the model holds the weights of the last state, and goes back to the best ones when
        ``patience`` or the epochs run out.
        """
        fresh = self._fresh()
        fresh.check_parameters(validation is not None)
        data = fresh.check_data(X, y)
        rng = Rng(fresh.random_state, get_xp(data[0]))
        if validation is None:
            data, held_out = hold_out(data, fresh.validation_fraction, rng)
        else:
            held_out = fresh.check_batch(*(validation if isinstance(validation, tuple) else (validation,)))
        fresh.build(rng)
        return self._adopt(fresh, fresh._train(self, data, held_out, rng))

    def _train(
        self, owner: Self, data: tuple[Array, ...], held_out: tuple[Array, ...] | None, rng: Rng
    ) -> Generator[EpochState]:
        try:
            for state in train(self, owner, data, held_out, rng):
                self._usable = True
                yield state
        except DivergedError:  # its message says which weights the model holds
            self._usable = True
            raise
        self._usable = True  # with epochs=0, too
        self.after_training(len(self.history_) * -(-len(data[0]) // self.batch_size))

    def after_training(self, n_updates: int) -> None:
        """Called when training has ended, after that many minibatches: the place to warn about its result."""

    def build(self, rng: Rng) -> None:
        """Make the two networks and draw their first weights."""
        self.declare()
        self.params_.allocate(rng, self.dtype)
        self._begin(rng)

    def _begin(self, rng: Rng) -> None:
        self.bind()
        self._draws = rng.spawn()
        self.history_, self.best_epoch_ = History(terms=list(self.final_weights)), 0

    # -- evaluation ---------------------------------------------------------------------------------------------------

    def evaluate(self, X: ArrayLike, y: Any = None) -> dict[str, Any]:
        """The numbers that the history has, of other data: loss, terms, measures.

        The noise is the same at every call, so that curves are smooth, and not the training's, so that looking at a
        model does not change how it trains.
        """
        return self.evaluate_arrays(self.check_batch(X, y), max(1, self.epochs))

    def evaluate_arrays(self, data: tuple[Array, ...], epoch: int) -> dict[str, Any]:
        """:meth:`evaluate` of arrays that :meth:`check_batch` gave, with the weights of an epoch."""
        chunks = self._in_chunks(evaluate_chunk, data)
        means = [{name: sum(chunk[i][name] for chunk in chunks) for name in chunks[0][i]} for i in (0, 1)]
        terms, measures = means
        row = {"loss": weighted_sum(self.weights(epoch), terms)}
        return self.summary(row | (terms if len(terms) > 1 else {}) | measures, epoch)

    def over_rows(self, method: str, *data: Array, noise: bool = False, **options: Any) -> Any:
        """The method of that name, which takes a batch and gives an array per row or a tuple of them, for all rows:
        chunk by chunk, on all cores. With ``noise`` its first argument is the noise of evaluations."""
        parts = self._in_chunks(map_chunk, data, method, noise, options)
        return parts[0] if len(parts) == 1 else joined(parts, get_xp(data[0]))

    def _in_chunks(self, step: Callable[..., tuple[Any, Any]], data: tuple[Array, ...], *shared: Any) -> list[Any]:
        """The parts of a step whose block is (index, how many rows there are in all, a chunk of each array)."""
        xp, n, size = get_xp(data[0]), len(data[0]), self.rows_at_once
        blocks = [(i, n, *(a[start : start + size] for a in data)) for i, start in enumerate(range(0, n, size))]
        noise = NoiseStream(EVALUATION_SEED, xp)
        if len(blocks) == 1 or xp is not np:  # no copy of the model: small data, or a device, which has one queue
            return [step(block, self, self, noise, *shared)[0] for block in blocks]
        return rows_from(blocks).map(step, self, noise, *shared)

    def encode(self, x: Array) -> Any:
        """The code of a batch (B, n_latent)."""
        return self.encoder_.forward(x)

    def decode(self, z: Array) -> Array:
        """E[x|z] of a batch of codes, (B, n_features)."""
        return self.likelihood_.mean(self.decoder_.forward(z))

    @property
    def _n_features_out(self) -> int:
        return self.n_latent

    # -- checking -----------------------------------------------------------------------------------------------------

    def check_parameters(self, has_validation: bool) -> None:
        """Raise ValueError or TypeError for parameters that make no model."""
        check_common_parameters(self, has_validation)

    def check_data(self, X: ArrayLike, y: Any = None) -> tuple[Array, ...]:
        """What ``fit`` was given, validated and moved: the arrays that minibatches are cut from."""
        return (self._as_target(self._check_fit(X, dtype=self.dtype)),)

    def check_batch(self, X: ArrayLike, y: Any = None) -> tuple[Array, ...]:
        """The same for data that come after ``fit``: arrays that ``terms`` and ``gradient`` take."""
        return (self._as_target(self._check(X, dtype=self.dtype)),)

    def check_rows(self, X: ArrayLike) -> Array:
        """X (n, n_features) validated and moved, its likelihood's range aside: arrays that ``encode`` takes."""
        return self._check(X, dtype=self.dtype)

    def check_codes(self, Z: ArrayLike) -> Array:
        """Z (n, n_latent) validated and moved: arrays that ``decode`` takes."""
        return self._check(Z, name="Z", dtype=self.dtype, n_features=self.n_latent)

    def _as_target(self, X: Array) -> Array:
        """X as the likelihood sees it, if it can."""
        return check_unit_interval(X) if self.likelihood == "bernoulli" else X

    def _check_is_fitted(self) -> None:
        """Fitted, and still what was fitted: ``set_params`` takes effect at the next ``fit``."""
        super()._check_is_fitted()
        check_unchanged(self, self.__dict__.get("_fitted_with", {}))

    # -- keeping ------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write weights, configuration and history to one safetensors file; returns the path."""
        self._check_is_fitted()
        return checkpoint.save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """A model as :meth:`save` wrote it, on the current backend. Nothing in the file is executed."""
        return checkpoint.load(cls, path)

    def restore(self, fitted: dict[str, Any], history: list[dict[str, Any]], xp: Any) -> None:
        """Take over what a saved file holds, plain JSON from an untrusted source, and make networks to match.

        Only the known attributes are set. Memory for the weights is taken by :meth:`set_theta`.
        """
        self.check_parameters(has_validation=True)
        for name in (*self.saved_attributes, "feature_names_in_"):
            if name in fitted:
                self.restore_attribute(name, fitted[name])
        self.history_ = History(history, terms=list(self.final_weights))
        self._fitted_on = xp.__name__
        self.declare()

    def restore_attribute(self, name: str, value: Any) -> None:
        """Set a fitted attribute to what a saved file holds."""
        setattr(self, name, np.asarray(value, object) if isinstance(value, list) else value)

    def set_theta(self, theta: Array) -> None:
        """Use this vector as the weights of networks that are declared."""
        self.params_.share(theta)
        self.bind()
        self._draws = Rng(self.random_state, get_xp(theta)).spawn()

    def __getstate__(self) -> dict[str, Any]:
        """The weights once, as theta: pickled views would no longer share memory."""
        state = {k: v for k, v in self.__dict__.items() if k not in _NOT_PICKLED}
        if "params_" in self.__dict__:
            self._check_is_fitted()
            state["_theta"] = self.params_.theta
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        theta = state.pop("_theta", None)
        self.__dict__.update(state)
        if theta is not None:
            self.declare()
            self.set_theta(theta)


# ---------------------------------------------------------------------------------------------------------------------
# Steps of Rows: a block is (index, n, *chunk); ``kept`` is the model itself where it need not be copied
# ---------------------------------------------------------------------------------------------------------------------


def evaluate_chunk(
    block: tuple[Any, ...], kept: Any, model: Any, noise: NoiseStream
) -> tuple[tuple[dict[str, Array], dict[str, Array]], Any]:
    """The share of a chunk in the means over all n rows: (terms, measures)."""
    index, n, *batch = block
    copy = kept or workspace("replica", model.replica)
    drawn = copy.draw_noise(len(batch[0]), noise.fork().at(0, 0, index))
    share = len(batch[0]) / n
    terms = {name: share * value for name, value in copy.terms(*batch, drawn).items()}
    return (terms, {name: share * value for name, value in copy.measures(*batch, drawn).items()}), kept


def map_chunk(
    block: tuple[Any, ...],
    kept: Model | None,
    model: Model,
    noise: NoiseStream,
    method: str,
    with_noise: bool,
    options: dict[str, Any],
) -> tuple[Any, Model | None]:
    """What a method of the model gives for a chunk, in new arrays of the model's dtype."""
    index, _, *batch = block
    if with_noise:
        batch.insert(0, noise.fork().at(0, 0, index))
    found = getattr(kept or workspace("replica", model.replica), method)(*batch, **options)
    if isinstance(found, tuple):
        return tuple(get_xp(a).array(a, dtype=model.dtype) for a in found), kept
    return get_xp(found).array(found, dtype=model.dtype), kept
