"""What a model is: two networks and four public members. All else that an autoencoder does follows from these.

    noise(n, rng)                        what is random in a training step on n samples, or None
    terms(x, noise)                      {name: value}: the terms of the loss, sums over features, means over the batch
    gradient(x, noise, weights)          d/dtheta of sum_k weights[k] * terms[k], written into ``params_.grad``
    weights(epoch)                       {name: float}: how much each term weighs in that epoch

The loss is the weighted sum, with the weights of the last epoch. Training, history and its units, evaluation, gradient
checks and saving need nothing else. A conditional model has a batch of two arrays, x and its condition c, in place of
x. Noise is an argument, so that terms are a deterministic function and a sampler can be gradient-checked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Protocol, Self

from numpy.typing import DTypeLike

from scratchnet.autoencoders import likelihoods
from scratchnet.autoencoders.history import History
from scratchnet.autoencoders.likelihoods import Likelihood
from scratchnet.backend import Array, RandomState, Rng
from scratchnet.base import Estimator
from scratchnet.nn import ACTIVATIONS, Dense, Layer, Params, Sequential, glorot_uniform
from scratchnet.nn.initializers import Initializer

__all__ = ["Draws", "Model", "weighted_sum"]

_FORMULAS = ("forward", "terms", "gradient", "penalty", "penalty_grad")  # whoever defines one changes the loss


class Draws(Protocol):
    """What ``noise`` draws from: an :class:`~scratchnet.backend.Rng`, a :class:`~scratchnet.backend.NoiseStream`, or a
    generator of NumPy or CuPy."""

    def standard_normal(self, size: Any, dtype: Any = ...) -> Array:
        """Draws from N(0, 1)."""

    def random(self, size: Any, dtype: Any = ...) -> Array:
        """Draws from the uniform distribution on [0, 1)."""


@dataclass(repr=False, eq=False)
class Model(Estimator, ABC):
    """An encoder, a decoder, and what is to be made small. See the module's first lines.

    A dataclass, because its constructor does what the convention asks of an estimator: it stores, and nothing else.

    Attributes set by ``fit``
    -------------------------
    params_ : Params
        All weights in one vector, by name: ``encoder.0.W``, ``encoder.0.b``, ..., ``decoder.0.W``, ...
    encoder_, decoder_ : Sequential
        The networks; the decoder's last output are logits (Bernoulli) or means (Gaussian).
    likelihood_ : Bernoulli or Gaussian
        p(x | decoder output).
    history_ : History
        One row of numbers per epoch.
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
    dtype: DTypeLike = "float32"
    backend: str | None = None
    verbose: int = 0

    params_: Params = field(init=False)
    encoder_: Sequential = field(init=False)
    decoder_: Sequential = field(init=False)
    likelihood_: Likelihood = field(init=False)
    history_: History = field(init=False)
    best_epoch_: int = field(init=False)

    _fitted_with: dict[str, Any] = field(init=False)  # the parameters that the networks were built from
    _draws: Rng = field(init=False)  # whatever a user draws

    output_: Array | None = field(init=False, default=None)  # of the decoder in the last forward pass

    outputs_per_latent: ClassVar[int] = 1  # 2 where the encoder gives [mu | logvar]
    builds_from: ClassVar[tuple[str, ...]] = ("hidden", "n_latent", "activation", "likelihood", "dtype")
    """The parameters that the networks depend on: a fitted model refuses to work when one of them was changed."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        last_word = next(c for c in cls.__mro__ if {*_FORMULAS, "terms_are_means"} & c.__dict__.keys())
        if "terms_are_means" not in last_word.__dict__:
            cls.terms_are_means = False  # type: ignore[method-assign, assignment]  # of other terms nothing is known

    # -- the protocol -------------------------------------------------------------------------------------------------

    def noise(self, n: int, rng: Draws) -> Any:
        """What is random in ``terms`` for n samples: an array, several, or None where nothing is.

        Row i belongs to sample i. It has to be drawn from ``rng`` alone, and to be picklable.
        """
        return None

    @abstractmethod
    def terms(self, x: Array, noise: Any) -> dict[str, Array]:
        """The terms of the loss by name, 0-d arrays: sums over features, means over the batch."""

    @abstractmethod
    def gradient(self, x: Array, noise: Any, weights: Any) -> Array:
        """The gradient of sum_k weights[k] * terms(x, noise)[k] with respect to all parameters, written into
        ``params_.grad`` and returned."""

    def weights(self, epoch: int) -> dict[str, float]:
        """The weight of each term in an epoch (from 1)."""
        return {"reconstruction": 1.0}

    def loss(self, x: Array, noise: Any = None) -> Array:
        """sum_k weights[k] * terms(x, noise)[k], a 0-d array in nats, with the weights of the last epoch; noise is
        drawn if it is not given."""
        noise, weights = self.given(len(x), noise)
        return weighted_sum(weights, self.terms(x, noise))

    # -- optional parts of the protocol -------------------------------------------------------------------------------

    def measures(self, *batch_and_noise: Any) -> dict[str, Array]:
        """Numbers for the history beside the terms, means over the batch; asked for right after ``terms`` of the same
        batch, whose intermediate results may be used."""
        return {}

    def summary(self, row: dict[str, Any], epoch: int) -> dict[str, Any]:
        """The history's row made of loss, terms and measures, which are means over all rows by now, as plain numbers
        and lists. The one place where an epoch waits for the device."""
        return {name: value.tolist() if getattr(value, "ndim", 0) else float(value) for name, value in row.items()}

    def prepare_epoch(self, epoch: int) -> None:
        """Called before an epoch on the copies of the model that are trained, for what changes with the epoch but is
        not the weight of a term. It does not affect evaluation."""

    @property
    def terms_are_means(self) -> bool:
        """Whether each term is a mean over samples of something of that sample alone. Only then is the gradient of a
        batch the sum of those of its parts. A subclass or mixin with a ``forward``, ``terms``, ``gradient`` or
        ``penalty`` of its own has to say so anew."""
        return False

    @property
    def rows_at_once(self) -> int:
        """Rows in a chunk of an evaluation: bounds its memory."""
        return 1000

    @property
    def first_comparable_epoch(self) -> int:
        """The first epoch from which on the weights are the final ones: losses before it are of another function."""
        epoch, final = self.epochs, self.final_weights
        while epoch > 1 and self.weights(epoch - 1) == final:
            epoch -= 1
        return epoch

    # -- what follows -------------------------------------------------------------------------------------------------

    @property
    def final_weights(self) -> dict[str, float]:
        """Those of the last epoch."""
        return self.weights(max(1, self.epochs))

    def draw_noise(self, n: int, rng: Draws) -> Any:
        """:meth:`noise`, under a name that no parameter has taken."""
        return self.noise(n, rng)

    def given(self, n: int, noise: Any = None, weights: Mapping[str, float] | None = None) -> tuple[Any, Any]:
        """(noise, weights) as they are; a new draw for n samples and the final weights where they are None."""
        if weights is None:
            self._check_is_fitted()
            weights = self.final_weights
        if noise is None:
            noise = self.draw_noise(n, self._draws)
        return noise, weights

    # -- the networks -------------------------------------------------------------------------------------------------

    def make_encoder(self, widths: list[int]) -> Sequential:
        """The network from the input to the code; a model whose code is not linear adds its last layer here."""
        return Sequential(*self.make_layers(widths))

    def make_decoder(self, widths: list[int]) -> Sequential:
        """The network from the code to what the likelihood takes."""
        return Sequential(*self.make_layers(widths))

    def make_likelihood(self) -> Likelihood:
        """p(x | decoder output)."""
        return likelihoods.make(self.likelihood)

    def make_layers(self, widths: list[int]) -> list[Layer]:
        """Dense, activation, Dense, ..., Dense: the last layer is linear."""
        inner, last = self.initializers
        layers: list[Layer] = []
        for n_in, n_out in pairwise(widths[:-1]):
            layers += [Dense(n_in, n_out, inner), ACTIVATIONS[self.activation]()]
        return [*layers, Dense(widths[-2], widths[-1], last)]

    @property
    def initializers(self) -> tuple[Initializer, Initializer]:
        """What draws the weights before an activation, and those of a network's last layer.

        Glorot's for codes without noise: behind a narrow code He's, which looks at n_in alone, starts a wide layer too
        large. (Compared in docs/references.md.)
        """
        return glorot_uniform, glorot_uniform

    def declare(self) -> None:
        """Make the networks and name their parameters with their shapes, before any memory is taken."""
        widths = [int(w) for w in self.hidden]
        condition = getattr(self, "n_condition_", 0)
        self.encoder_ = self.make_encoder(
            [self.n_features_in_ + condition, *widths, self.outputs_per_latent * self.n_latent]
        )
        self.decoder_ = self.make_decoder([self.n_latent + condition, *widths[::-1], self.n_features_in_])
        self.likelihood_ = self.make_likelihood()
        self.params_ = Params()
        self.encoder_.declare(self.params_, "encoder")
        self.decoder_.declare(self.params_, "decoder")
        self.likelihood_.declare(self.params_, self.n_features_in_)
        self._fitted_with = {name: getattr(self, name) for name in self.builds_from}

    def bind(self) -> None:
        """Hand the networks their parameters, which have memory by now."""
        self.encoder_.bind(self.params_, "encoder")
        self.decoder_.bind(self.params_, "decoder")
        self.likelihood_.bind(self.params_)

    def replica(self, theta: Array | None = None) -> Self:
        """A copy with layers and a gradient of its own, so that it can work beside this model, and with the very
        memory ``theta`` as its weights, by default this model's."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.declare()
        copy.params_.share(self.params_.theta if theta is None else theta)
        copy.bind()
        return copy


def weighted_sum(weights: Mapping[str, float], terms: Mapping[str, Array]) -> Array:
    """sum_k weights[k] * terms[k]."""
    total: Any = None
    for name, value in terms.items():
        if name not in weights:
            raise ValueError(f"weights(epoch) must have a number for the term {name!r}, but has only {list(weights)}")
        total = weights[name] * value if total is None else total + weights[name] * value
    return total
