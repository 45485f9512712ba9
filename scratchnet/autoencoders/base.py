"""What all autoencoders share: building the two networks, checking input, evaluation in chunks, keeping.

A model adds its ``loss`` and ``gradient`` on one batch; everything else hangs on them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import KW_ONLY, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from scratchnet.autoencoders import checkpoint, likelihoods
from scratchnet.autoencoders.history import EpochState, History
from scratchnet.autoencoders.likelihoods import Likelihood
from scratchnet.autoencoders.parts import ACTIVATIONS, OPTIMIZERS
from scratchnet.autoencoders.training import train
from scratchnet.backend import Array, RandomState, Rng, get_xp
from scratchnet.base import Estimator, TransformerMixin, progress
from scratchnet.nn import Dense, Layer, Params, Sequential, glorot_uniform
from scratchnet.nn.initializers import Initializer
from scratchnet.validation import check_choice, check_dtype, check_integer, check_number

EVALUATION_SEED = 0x5C4A7C4  # of the noise that histories and scores see: the same at every call, for every model
_CHUNK = 1000  # rows evaluated at once: bounds the memory of transform, score and the rest
# made anew from parameters and theta, after unpickling
_REBUILT = ("encoder_", "decoder_", "sample_", "params_", "_likelihood", "_fitted_with", "_rng", "_draws")


@dataclass(repr=False, eq=False)
class BaseAutoencoder(TransformerMixin, Estimator, ABC):
    """An encoder, a decoder, and the loop that trains them.

    A dataclass, because its constructor does what the convention asks of an estimator: it stores, and nothing else.

    Attributes set by ``fit``
    -------------------------
    params_ : Params
        All weights in one vector, by name: ``encoder.0.W``, ``encoder.0.b``, ..., ``decoder.0.W``, ...
    encoder_, decoder_ : Sequential
        The networks; the decoder's last output are logits (Bernoulli) or means (Gaussian).
    history_ : History
        One row of numbers an epoch.
    best_epoch_ : int
        The epoch whose weights the model holds.
    """

    hidden: Sequence[int] = (400,)
    n_latent: int = 20
    activation: str = "relu"
    likelihood: str = "bernoulli"
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    _: KW_ONLY
    validation_fraction: float = 0.0
    patience: int | None = None
    random_state: RandomState = None
    dtype: Any = "float32"
    backend: str | None = None
    verbose: int = 0

    params_: Params = field(init=False)
    encoder_: Sequential = field(init=False)
    decoder_: Sequential = field(init=False)
    history_: History = field(init=False)
    best_epoch_: int = field(init=False)

    _likelihood: Likelihood = field(init=False)  # p(x | decoder output), as it was in fit
    _fitted_with: dict[str, Any] = field(init=False)  # the parameters that the networks were built from

    _outputs_per_latent: ClassVar[int] = 1  # 2 where the encoder gives [mu | logvar]
    _builds_from: ClassVar[tuple[str, ...]] = ("hidden", "n_latent", "activation", "likelihood", "dtype")
    _saved_attributes: ClassVar[tuple[str, ...]] = ("n_features_in_", "best_epoch_")

    # -- what a model is ----------------------------------------------------------------------------------------------

    @abstractmethod
    def _batch_gradient(self, *batch: Array) -> Array:
        """Fill ``params_.grad`` for one batch."""

    def _during_epoch(self, epoch: int) -> AbstractContextManager[None]:
        """What holds only while epoch ``epoch`` (from 1) trains: an annealed sparsity, say."""
        return nullcontext()

    @property
    def _settled_from(self) -> int:
        """The first epoch whose validation loss may be compared with later ones'."""
        return 1

    def _check_result(self, n_updates: int) -> None:
        """Called when training has ended, after so many minibatches: the place to warn about what it ended in."""

    @abstractmethod
    def _evaluate(self, batch: tuple[Array, ...], noise: Rng) -> dict[str, Array]:
        """The history's numbers on one batch, as means over it."""

    # -- training -----------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, *, validation: Any = None) -> Self:
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
        states = self.steps(X, y, validation=validation)
        deque(progress(states, total=self.epochs, description=type(self).__name__, verbose=self.verbose), maxlen=0)
        return self

    def steps(self, X: Any, y: Any = None, *, validation: Any = None) -> Iterator[EpochState]:
        """Train like :meth:`fit`, yielding an :class:`EpochState` after every epoch.

        Stop when you like: the model holds the weights of the last state, and goes back to the best ones when
        ``patience`` or the epochs run out.
        """
        self._check_parameters(validation is not None)
        fresh = type(self)(**self.get_params())  # takes this object's place when training starts: errors lose nothing
        data = fresh._check_data(X, y)
        rng = Rng(self.random_state, get_xp(data[0]))
        training, held_out = fresh._split(data, validation, rng)
        fresh._build(rng)
        fresh.history_, fresh.best_epoch_ = History(), 0
        return self._train(fresh, training, held_out, rng)

    def _train(
        self, fresh: Self, training: tuple[Array, ...], held_out: tuple[Array, ...] | None, rng: Rng
    ) -> Iterator[EpochState]:
        self._become(fresh)
        yield from train(self, training, held_out, rng)
        self._check_result(len(self.history_) * -(-len(training[0]) // self.batch_size))

    # -- evaluation in chunks -----------------------------------------------------------------------------------------

    def _mean_over_chunks(self, data: tuple[Array, ...]) -> dict[str, Any]:
        """``_evaluate`` over all rows. The noise is the same at every call, so that curves are smooth, and not the
        training's, so that looking at a model does not change how it trains."""
        noise, n = Rng(EVALUATION_SEED, get_xp(data[0])), len(data[0])
        totals: dict[str, Any] = {}
        for i in range(0, n, _CHUNK):
            batch = tuple(a[i : i + _CHUNK] for a in data)
            for name, value in self._evaluate(batch, noise).items():
                totals[name] = totals.get(name, 0) + value * (len(batch[0]) / n)
        return self._summarize(totals)

    def _summarize(self, totals: dict[str, Any]) -> dict[str, Any]:
        """Host numbers from the device means of a pass: the one place where an epoch waits for the device."""
        return {name: float(value) for name, value in totals.items()}

    def _map(self, f: Callable[..., Array], *data: Array, width: int | None = None) -> Array:
        """f of all rows, chunk by chunk, in one new array: (n, width), or (n,) without a width."""
        xp, n = get_xp(data[0]), len(data[0])
        out = xp.empty(n if width is None else (n, width), dtype=self.dtype)
        for i in range(0, n, _CHUNK):
            out[i : i + _CHUNK] = f(*(a[i : i + _CHUNK] for a in data))
        return out

    @property
    def _n_features_out(self) -> int:
        return self.n_latent

    def _decode_mean(self, z: Array) -> Array:
        return self._likelihood.mean(self.decoder_.forward(z))

    # -- building -----------------------------------------------------------------------------------------------------

    def _build(self, rng: Rng) -> None:
        """Make the two networks and draw their first weights."""
        self._declare()
        self._fitted_with = {name: getattr(self, name) for name in self._builds_from}
        self.params_.allocate(rng, self.dtype)
        self.encoder_.bind(self.params_, "encoder")
        self.decoder_.bind(self.params_, "decoder")
        self._likelihood.bind(self.params_)
        self._rng, self._draws = rng, rng.spawn()  # noise of the training; whatever a user draws

    def _declare(self) -> None:
        """The networks and their parameters' names and shapes, before any memory is taken."""
        widths = [int(w) for w in self.hidden]
        condition = getattr(self, "n_condition_", 0)
        self.encoder_ = self._encoder(
            [self.n_features_in_ + condition, *widths, self._outputs_per_latent * self.n_latent]
        )
        self.decoder_ = self._decoder([self.n_latent + condition, *widths[::-1], self.n_features_in_])
        self._likelihood = self._make_likelihood()
        self.params_ = Params()
        self.encoder_.declare(self.params_, "encoder")
        self.decoder_.declare(self.params_, "decoder")
        self._likelihood.declare(self.params_, self.n_features_in_)

    def _encoder(self, widths: list[int]) -> Sequential:
        """The network from the input to the code; a model whose code is not linear adds its last layer here."""
        return Sequential(*self._layers(widths))

    def _decoder(self, widths: list[int]) -> Sequential:
        """The network from the code to what the likelihood takes."""
        return Sequential(*self._layers(widths))

    @property
    def _first_weights(self) -> tuple[Initializer, Initializer]:
        """What draws the weights before an activation, and those of a network's last layer.

        Glorot's for codes without noise: behind a narrow code He's, which looks at n_in alone, starts a wide layer too
        large. (Compared in docs/references.md.)
        """
        return glorot_uniform, glorot_uniform

    def _layers(self, widths: list[int]) -> list[Layer]:
        """Dense, activation, Dense, ..., Dense: the last layer is linear."""
        inner, last = self._first_weights
        layers: list[Layer] = []
        for n_in, n_out in pairwise(widths[:-1]):
            layers += [Dense(n_in, n_out, inner), ACTIVATIONS[self.activation]()]
        return [*layers, Dense(widths[-2], widths[-1], last)]

    def _make_likelihood(self) -> Likelihood:
        return likelihoods.make(self.likelihood)

    # -- checking -----------------------------------------------------------------------------------------------------

    def _check_parameters(self, has_validation: bool) -> None:
        if isinstance(self.hidden, str) or not isinstance(self.hidden, Sequence | np.ndarray):  # type: ignore[unreachable]
            raise TypeError(f"hidden={self.hidden!r} must be a sequence of layer widths, such as (400,) or (500, 300)")
        for i, width in enumerate(self.hidden):
            check_integer(width, f"hidden[{i}]")
        check_integer(self.n_latent, "n_latent")
        check_integer(self.epochs, "epochs", minimum=0)
        check_integer(self.batch_size, "batch_size")
        check_choice(self.activation, "activation", ACTIVATIONS)
        check_choice(self.likelihood, "likelihood", likelihoods.NAMES)
        check_choice(self.optimizer, "optimizer", OPTIMIZERS)
        check_dtype(self.dtype)
        check_number(self.learning_rate, "learning_rate", minimum=0, open_minimum=True)
        if check_number(self.validation_fraction, "validation_fraction", minimum=0) >= 1:
            raise ValueError(f"validation_fraction={self.validation_fraction} must be below 1: something has to train")
        if self.patience is not None:
            check_integer(self.patience, "patience")
            if not has_validation and not self.validation_fraction:
                raise ValueError(
                    f"patience={self.patience} stops when the validation loss no longer falls, but there is no "
                    "validation data: set validation_fraction, or pass validation= to fit"
                )

    def _check_is_fitted(self) -> None:
        """Fitted, and still what was fitted: ``set_params`` takes effect at the next ``fit``."""
        super()._check_is_fitted()
        for name, fitted in self.__dict__.get("_fitted_with", {}).items():
            now = getattr(self, name)
            if tuple(now) != tuple(fitted) if name == "hidden" else now != fitted:
                raise ValueError(
                    f"{name} was {fitted!r} when this {type(self).__name__} was fitted, and is {now!r} now: call fit "
                    f"again, or go back with set_params({name}={fitted!r})"
                )

    def _check_data(self, X: Any, y: Any) -> tuple[Array, ...]:
        """What ``fit`` was given, validated and moved: the arrays that minibatches are cut from."""
        return (self._check_range(self._check_fit(X, dtype=self.dtype)),)

    def _check_more(self, X: Any, y: Any = None) -> tuple[Array, ...]:
        """The same for data that comes after ``fit``, its likelihood's range included."""
        return (self._check_range(self._check(X, dtype=self.dtype)),)

    def _check_range(self, X: Array) -> Array:
        if self.likelihood == "bernoulli":
            low, high = float(X.min()), float(X.max())
            if low < 0 or high > 1:
                raise ValueError(
                    f"likelihood='bernoulli' needs X in [0, 1], got values from {low:g} to {high:g}. "
                    "Rescale X (images: X / 255), or use likelihood='gaussian'"
                )
        return X

    def _split(
        self, data: tuple[Array, ...], validation: Any, rng: Rng
    ) -> tuple[tuple[Array, ...], tuple[Array, ...] | None]:
        """Training and validation arrays."""
        if validation is not None:
            return data, self._check_more(*(validation if isinstance(validation, tuple) else (validation,)))
        n_held_out = round(self.validation_fraction * len(data[0]))
        if not self.validation_fraction:
            return data, None
        if not 0 < n_held_out < len(data[0]):
            raise ValueError(
                f"validation_fraction={self.validation_fraction} of {len(data[0])} sample(s) would hold out "
                f"{n_held_out}: both parts need at least one sample"
            )
        order = get_xp(data[0]).asarray(rng.host.permutation(len(data[0])))
        return tuple(a[order[n_held_out:]] for a in data), tuple(a[order[:n_held_out]] for a in data)

    # -- keeping ------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write weights, configuration and history to one safetensors file; returns the path."""
        self._check_is_fitted()
        return checkpoint.save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """A model as :meth:`save` wrote it, on the current backend. Nothing in the file is executed."""
        return checkpoint.load(cls, path)

    def _restore(self, name: str, value: Any) -> None:
        """Set a fitted attribute to what a checkpoint holds, plain JSON."""
        setattr(self, name, np.asarray(value, object) if isinstance(value, list) else value)

    def __getstate__(self) -> dict[str, Any]:
        """The weights once, as theta: pickled views would no longer share memory."""
        state = {k: v for k, v in self.__dict__.items() if k not in _REBUILT}
        if "params_" in self.__dict__:
            self._check_is_fitted()
            state["_theta"] = self.params_.theta
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        theta = state.pop("_theta", None)
        self.__dict__.update(state)
        if theta is not None:
            self._build(Rng(self.random_state, get_xp(theta)))
            self.params_.theta[...] = theta
