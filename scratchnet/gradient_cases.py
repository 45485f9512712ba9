"""Everything in scratchnet that has a gradient, as small float64 problems: what ``scratchnet check`` goes through.

Gradients with respect to parameters are checked in place; those with respect to inputs by making the inputs parameters
(``Params.of``). Add a new layer, loss or model here, and both the command and the tests check it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from scratchnet.autoencoders import (
    IWAE,
    VAE,
    Autoencoder,
    ConditionalVAE,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    SparseAutoencoder,
)
from scratchnet.autoencoders.latent.walks import greyness, greyness_grad
from scratchnet.autoencoders.model import weighted_sum
from scratchnet.backend import Array, Rng, asarray
from scratchnet.manifold.sne import GaussianSimilarity, Similarity, StudentSimilarity, kl_divergence, kl_gradient
from scratchnet.nn import (
    Dense,
    GaussianSample,
    GradientReport,
    Layer,
    LeakyReLU,
    Params,
    ReLU,
    Sequential,
    Sigmoid,
    Softplus,
    Tanh,
    TopK,
    TransposedDense,
    bce,
    bce_grad,
    bce_with_logits,
    bce_with_logits_grad,
    check_gradient,
    gaussian_nll,
    gaussian_nll_grad,
    gaussian_nll_logvar_grad,
    kl_bernoulli,
    kl_bernoulli_grad,
    kl_discrete,
    kl_discrete_grad,
    kl_normal,
    kl_normal_grad,
    mse,
    mse_grad,
)

__all__ = ["Case", "cases"]

Problem: TypeAlias = tuple[Callable[[], Array], Params]
"""(loss, params) for :func:`~scratchnet.nn.check_gradient`, after a backward pass."""


@dataclass
class Case:
    """One line of the table: ``prepare()`` builds the problem and runs its backward pass."""

    name: str
    prepare: Callable[[], Problem]

    def check(self, *, per_entry: bool = False) -> GradientReport:
        """Compare the gradient with differences of the loss, of every entry by itself if ``per_entry``."""
        loss, params = self.prepare()
        return check_gradient(loss, params, per_entry=per_entry)


def cases() -> Iterator[Case]:
    """All cases, in the order of the table."""
    for layer in (Dense(5, 4), ReLU(), LeakyReLU(0.1), Sigmoid(), Tanh(), Softplus(), TopK(2)):
        yield Case(repr(layer), lambda layer=layer: _layer(layer, 5))  # type: ignore[misc]
    deep = Sequential(Dense(5, 7), Tanh(), Dense(7, 6), ReLU(), Dense(6, 3), Sigmoid())
    yield Case("Sequential", lambda: _layer(deep, 5))
    yield Case("TransposedDense", _tied)
    yield Case("GaussianSample", _gaussian_sample)
    yield from _losses()
    yield from _divergences()
    yield from _models()
    yield from _embeddings()


# ---------------------------------------------------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------------------------------------------------


def _layer(layer: Layer, n_in: int) -> Problem:
    """A layer's parameters and its input x under L = sum(w * layer(x)) with fixed w."""
    rng = np.random.default_rng(3)
    params = Params()
    layer.declare(params, "")
    params.declare("x", (6, n_in), lambda host, shape: _away_from_zero(host.standard_normal(shape)))
    params.allocate(Rng(1), "float64")
    layer.bind(params, "")
    x, dx = params.views["x"]
    w = asarray(rng.standard_normal(tuple(layer.forward(x).shape)))
    layer.forward(x)
    dx[...] = layer.backward(w)
    return lambda: (w * layer.forward(x)).sum(), params


def _tied() -> Problem:
    """Dense(5, 4), Tanh and the transpose back: W stands in both, from x to the code and from the code to y."""
    rng, dense = np.random.default_rng(9), Dense(5, 4)
    net = Sequential(dense, Tanh(), back := TransposedDense(dense))
    params = net.build(Rng(1), "float64")
    params.theta[...] = asarray(rng.standard_normal(params.theta.size))
    x, w = asarray(rng.standard_normal((6, 5))), asarray(rng.standard_normal((6, 5)))
    net.forward(x)
    net.backward(w, need_dx=False)
    back.add_gradient()
    return lambda: (w * net.forward(x)).sum(), params


def _gaussian_sample() -> Problem:
    """h = [mu | logvar] under L = sum(w * z) + 0.7 KL with fixed noise."""
    rng, sample = np.random.default_rng(4), GaussianSample()
    h, eps, w = (asarray(rng.standard_normal(shape)) for shape in ((6, 8), (6, 4), (6, 4)))
    params = Params.of(h=h)
    h, dh = params.views["h"]
    sample.forward(h, eps)
    dh[...] = sample.backward(w, beta=0.7)
    return lambda: (w * sample.forward(h, eps)).sum() + 0.7 * sample.kl(), params


# ---------------------------------------------------------------------------------------------------------------------
# Losses and divergences: functions of arrays
# ---------------------------------------------------------------------------------------------------------------------


def _function(
    name: str,
    value: Callable[..., Array],
    grad: Callable[..., Array | tuple[Array, ...]],
    fixed: dict[str, ArrayLike] | None = None,
    **arrays: ArrayLike,
) -> Case:
    """``value`` of named arrays, and ``grad``, its derivatives with respect to each of them in that order."""

    def prepare() -> Problem:
        constants = {k: asarray(v) for k, v in (fixed or {}).items()}
        params = Params.of(**{k: asarray(v) for k, v in arrays.items()})
        inputs = {k: weight for k, (weight, _) in params.views.items()}
        gradients = grad(**inputs, **constants)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        for (_, gradient), computed in zip(params.views.values(), gradients, strict=True):
            gradient[...] = computed
        return lambda: value(**inputs, **constants), params

    return Case(name, prepare)


def _losses() -> Iterator[Case]:
    rng = np.random.default_rng(5)
    real, other, unit, target = rng.standard_normal((2, 6, 5)).tolist() + rng.uniform(0.1, 0.9, (2, 6, 5)).tolist()
    yield _function("mse", mse, mse_grad, {"target": other}, prediction=real)
    yield _function("gaussian_nll", gaussian_nll, gaussian_nll_grad, {"target": other}, prediction=real)
    v = rng.standard_normal(5).tolist()
    yield _function(
        "gaussian_nll, variances",
        gaussian_nll,
        lambda prediction, target, logvar: (
            gaussian_nll_grad(prediction, target, logvar=logvar),
            gaussian_nll_logvar_grad(prediction, target, logvar),
        ),
        {"target": other},
        prediction=real,
        logvar=v,
    )
    yield _function("bce", bce, bce_grad, {"target": target}, prediction=unit)
    yield _function("bce_with_logits", bce_with_logits, bce_with_logits_grad, {"target": target}, prediction=real)


def _divergences() -> Iterator[Case]:
    rng = np.random.default_rng(6)
    p, q = rng.dirichlet(np.full(5, 5.0), (2, 6))  # no entry near 0
    a, b = rng.uniform(0.1, 0.9, (2, 6, 5))
    mu, logvar, mu2, logvar2 = rng.standard_normal((4, 6, 5))
    yield _function("kl_discrete", kl_discrete, kl_discrete_grad, p=p, q=q)
    yield _function("kl_bernoulli", kl_bernoulli, kl_bernoulli_grad, p=a, q=b)
    yield _function("kl_normal to N(0, I)", kl_normal, kl_normal_grad, mu=mu, logvar=logvar)
    yield _function("kl_normal", kl_normal, kl_normal_grad, mu=mu, logvar=logvar, mu2=mu2, logvar2=logvar2)


# ---------------------------------------------------------------------------------------------------------------------
# Models
# ---------------------------------------------------------------------------------------------------------------------


SMALL: dict[str, Any] = {"hidden": (7,), "n_latent": 3, "activation": "tanh"}
WIDE: dict[str, Any] = {"hidden": (7,), "n_latent": 6, "activation": "tanh"}


def _models() -> Iterator[Case]:
    for likelihood in ("bernoulli", "gaussian"):
        settings = {**SMALL, "likelihood": likelihood}
        yield _model_case(f"Autoencoder, {likelihood}", Autoencoder(**settings))
        yield _model_case(f"VAE, {likelihood}", VAE(beta=0.7, **settings))
        yield _model_case(f"IWAE, {likelihood}", IWAE(beta=0.7, n_importance=4, **settings))
        yield _model_case(f"ConditionalVAE, {likelihood}", ConditionalVAE(**settings))
    yield _model_case("Autoencoder, tied", Autoencoder(tied=True, **SMALL))
    yield _model_case("VAE, free bits", VAE(free_bits=0.6, **SMALL))
    for model in (VAE, IWAE):
        for variance in (0.3, "learned"):
            fitted = model(likelihood="gaussian", variance=variance, **SMALL)
            yield _model_case(f"{model.__name__}, variance {variance}", fitted)
    yield _model_case("ConditionalVAE, several", ConditionalVAE(**SMALL), several=True)
    yield _model_case("DenoisingAutoencoder", DenoisingAutoencoder(**SMALL))
    yield _model_case("DenoisingAutoencoder, tied", DenoisingAutoencoder(tied=True, **SMALL))
    yield _model_case("KSparseAutoencoder", KSparseAutoencoder(k=2, **WIDE))
    for code in ("sigmoid", "tanh"):
        yield _model_case(f"SparseAutoencoder, {code}", SparseAutoencoder(code_activation=code, **WIDE))
    for code in ("sigmoid", "tanh", "relu"):
        contractive = ContractiveAutoencoder(n_latent=6, code_activation=code, weight=0.5)
        yield _model_case(f"ContractiveAutoencoder, {code}", contractive)
    yield _model_case("ContractiveAutoencoder, tied", ContractiveAutoencoder(n_latent=6, weight=0.5, tied=True))
    yield Case("likely_but_grey", _greyness)


def _model_case(name: str, model: Any, several: bool = False) -> Case:
    return Case(name, lambda: _model(model, several))


def _model(model: Any, several: bool) -> Problem:
    """All parameters of a model, at fixed noise and weights, away from its first weights (where biases are 0)."""
    rng = np.random.default_rng(7)
    X, labels = rng.uniform(0.05, 0.95, (6, 5)), np.arange(6) % 3
    y: Any = (labels, rng.standard_normal((6, 2))) if several else labels
    model.set_params(epochs=0, dtype="float64", random_state=0).fit(X, y)
    model.params_.theta[...] = asarray(0.5 * rng.standard_normal(model.params_.theta.size))
    batch = model.check_batch(X, y)
    noise = model.draw_noise(6, Rng(11))
    weights = {name: (0.8 + 0.3 * i) * value for i, (name, value) in enumerate(model.weights(1).items())}
    model.gradient(*batch, noise, weights)
    return lambda: weighted_sum(weights, model.terms(*batch, noise)), model.params_


def _greyness() -> Problem:
    """How close to 1/2 decoded probabilities are, as a function of the code."""
    rng, model = np.random.default_rng(10), VAE(**SMALL, epochs=0, dtype="float64", random_state=0)
    model.fit(rng.uniform(size=(6, 5)))
    params = Params.of(z=asarray(rng.standard_normal((6, 3))))
    z, dz = params.views["z"]
    dz[...] = greyness_grad(model, z)
    return lambda: greyness(model, z), params


# ---------------------------------------------------------------------------------------------------------------------
# Embeddings
# ---------------------------------------------------------------------------------------------------------------------


def _embeddings() -> Iterator[Case]:
    for k in (1, 2, 3):
        yield Case(f"SNE in {k}-D", lambda k=k: _embedding(k, GaussianSimilarity(), by_row=True))  # type: ignore[misc]
        yield Case(f"SymmetricSNE in {k}-D", lambda k=k: _embedding(k, GaussianSimilarity()))  # type: ignore[misc]
        for dof in (1.0, 2.0, 0.5):
            yield Case(f"TSNE in {k}-D, dof {dof:g}", lambda k=k, dof=dof: _embedding(k, StudentSimilarity(dof)))  # type: ignore[misc]


def _embedding(k: int, similarity: Similarity, by_row: bool = False) -> Problem:
    """KL(P || Q) as a function of the embedding Y (10, k), for some P with a zero diagonal."""
    rng = np.random.default_rng(8)
    P = rng.uniform(size=(10, 10))
    np.fill_diagonal(P, 0)
    P = P / P.sum(axis=1, keepdims=True) if by_row else (P + P.T) / (2 * P.sum())
    affinities = asarray(P)
    params = Params.of(Y=asarray(rng.standard_normal((10, k))))
    Y, dY = params.views["Y"]
    dY[...] = kl_gradient(Y, affinities, similarity, by_row)
    return lambda: kl_divergence(Y, affinities, similarity, by_row), params


def _away_from_zero(a: np.ndarray) -> np.ndarray:
    """The same signs, every entry at least 0.1 from the kink of a ReLU."""
    return np.sign(a) * (np.abs(a) + 0.1)
