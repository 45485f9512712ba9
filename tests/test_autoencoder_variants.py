"""Denoising, sparse, k-sparse and contractive autoencoders: what sets each apart. (Gradients: test_gradcheck.)"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import scratchnet as sn
from scratchnet.autoencoders import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    SparseAutoencoder,
)
from scratchnet.autoencoders.denoising import Corruption
from scratchnet.backend import asarray, to_numpy
from scratchnet.nn import TopK
from scratchnet.testing import no_host_sync

VARIANTS = [DenoisingAutoencoder, SparseAutoencoder, KSparseAutoencoder, ContractiveAutoencoder]


def small(model, **settings):
    hidden = {} if model is ContractiveAutoencoder else {"hidden": (8,)}
    kept = {"k": 2} if model is KSparseAutoencoder else {}
    settings = {**hidden, **kept, "n_latent": 6, "epochs": 3, "batch_size": 32, "random_state": 0, **settings}
    return model(**settings)


@pytest.fixture
def X(rng):
    """(80, 12) in [0, 1], of two kinds."""
    kind = np.arange(80)[:, None] % 2
    return (np.where(np.arange(12) % 2 == kind, 0.8, 0.2) + rng.uniform(-0.2, 0.2, (80, 12))).astype("float32")


# -- what all of them share -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", VARIANTS)
def test_training_lowers_the_loss_and_is_repeatable(xp, model, X):
    a, b = (small(model, epochs=40, learning_rate=3e-3).fit(X) for _ in range(2))
    assert a.history_["loss"][-1] < a.history_["loss"][0] - 0.3
    np.testing.assert_array_equal(to_numpy(a.params_.theta), to_numpy(b.params_.theta))


@pytest.mark.parametrize("model", VARIANTS)
def test_saved_and_loaded_gives_the_same_bits(model, X, tmp_path):
    fitted = small(model).fit(X)
    loaded = model.load(fitted.save(tmp_path / "m.safetensors"))
    np.testing.assert_array_equal(loaded.reconstruct(X), fitted.reconstruct(X))
    assert loaded.get_params() == fitted.get_params()


@pytest.mark.parametrize("model", VARIANTS)
def test_a_gradient_never_waits_for_the_device_and_writes_no_input(model, X):
    with sn.using("strict"):
        fitted, x = small(model).fit(X), asarray(X)
        with no_host_sync():
            fitted.gradient(x)
    X.flags.writeable = False
    small(model).fit(X).gradient(X)


@parametrize_with_checks([small(model, likelihood="gaussian", n_latent=2) for model in VARIANTS])
def test_scikit_learns_conventions(estimator, check):
    check(estimator)


# -- denoising --------------------------------------------------------------------------------------------------------


def test_denoising_cleans(X):
    model = small(DenoisingAutoencoder, noise_level=0.3, epochs=300, learning_rate=5e-3).fit(X)
    noisy = model.corrupt(X, random_state=5)
    before, after = np.square(noisy - X).mean(), np.square(model.reconstruct(noisy) - X).mean()
    assert after < 0.3 * before


def test_without_noise_it_is_the_plain_autoencoder(xp, X):
    plain, denoising = small(Autoencoder).fit(X), small(DenoisingAutoencoder, noise_level=0.0).fit(X)
    np.testing.assert_array_equal(to_numpy(plain.params_.theta), to_numpy(denoising.params_.theta))


@pytest.mark.parametrize(("noise", "level"), [("gaussian", 0.2), ("masking", 0.3), ("salt_and_pepper", 0.3)])
def test_corruption_is_what_it_says(xp, noise, level, seed):
    X = np.full((500, 100), 0.5, "float32")
    model = DenoisingAutoencoder(hidden=(), n_latent=2, epochs=0, noise=noise, noise_level=level, clip=False).fit(X)
    noisy = to_numpy(model.corrupt(X, random_state=seed))
    n = noisy.size
    if noise == "gaussian":
        assert abs(noisy.mean() - 0.5) < 4.5 * level / n**0.5
        assert noisy.std() == pytest.approx(level, rel=4.5 * (0.5 / n) ** 0.5)
        return
    values, counts = np.unique(noisy, return_counts=True)
    expected = {0.0: level, 0.5: 1 - level}
    if noise == "salt_and_pepper":
        expected = {0.0: level / 2, 0.5: 1 - level, 1.0: level / 2}
    assert values.tolist() == list(expected)
    for share, p in zip(counts / n, expected.values(), strict=True):
        assert abs(share - p) < 4.5 * (p * (1 - p) / n) ** 0.5


def test_corruption_is_clipped_where_data_live_in_the_unit_interval(X):
    for likelihood, clip, inside in (("bernoulli", None, True), ("gaussian", None, False), ("gaussian", True, True)):
        model = small(DenoisingAutoencoder, likelihood=likelihood, clip=clip, noise_level=2.0, epochs=0).fit(X)
        noisy = model.corrupt(X)
        assert (noisy.min() >= 0 and noisy.max() <= 1) == inside


def test_the_history_is_about_corrupted_input(X):
    """An autoencoder that has learnt nothing about noise does worse on it, and the history must show that."""
    quiet = small(DenoisingAutoencoder, noise_level=0.0, epochs=60, learning_rate=5e-3).fit(X)
    noisy = small(DenoisingAutoencoder, noise_level=0.8, epochs=60, learning_rate=5e-3).fit(X)
    assert noisy.history_[-1]["loss"] > -noisy.score(X) + 0.01
    assert quiet.history_[-1]["loss"] == pytest.approx(-quiet.score(X), rel=1e-5)


def test_every_epoch_corrupts_anew(X):
    model = small(DenoisingAutoencoder).fit(X)
    assert (model.corrupt(X) != model.corrupt(X)).any()
    assert float(model.loss(X)) != float(model.loss(X))
    assert float(model.loss(X, X)) == float(model.loss(X, X))


@pytest.mark.parametrize("noise", ["gaussian", "masking", "salt_and_pepper"])
def test_training_sees_new_noise_every_epoch_and_never_the_clean_data(noise, X, monkeypatch):
    seen, corrupt = [], Corruption.__call__
    monkeypatch.setattr(Corruption, "__call__", lambda self, x: (seen.append(corrupt(self, x)), seen[-1])[1])
    small(DenoisingAutoencoder, noise=noise, noise_level=0.3, epochs=2, batch_size=80).fit(X)
    first, _, second, _ = (np.sort(a.sum(axis=1)) for a in seen)  # between them, what the history is about
    assert (first != second).any()
    assert (first != np.sort(X.sum(axis=1))).any()


def test_tied_weights_for_the_others(X):
    for model in VARIANTS:
        fitted = small(model, tied=True, epochs=40, learning_rate=3e-3).fit(X)
        assert not any(name.startswith("decoder") and name.endswith("W") for name in fitted.params_.names())
        assert fitted.history_["loss"][-1] < fitted.history_["loss"][0] - 0.3


# -- sparse -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["sigmoid", "tanh"])
def test_a_strong_penalty_brings_units_to_their_rate(xp, code, X):
    model = small(
        SparseAutoencoder, code_activation=code, rho=0.2, weight=100.0, n_latent=20, epochs=200, learning_rate=0.01
    ).fit(X)
    rates = to_numpy(model.transform(X)).mean(axis=0)
    np.testing.assert_allclose(rates if code == "sigmoid" else (1 + rates) / 2, 0.2, atol=0.02)
    assert model.history_[-1]["penalty"] < 0.5
    assert model.history_[-1]["loss"] == pytest.approx(
        model.history_[-1]["reconstruction"] + model.history_[-1]["penalty"], rel=1e-5
    )


def test_sparse_penalty_by_hand(xp):
    """Two units with mean activations 0.5 and 0.1 against rho = 0.1: only the first costs, KL(0.1 || 0.5)."""
    model = small(SparseAutoencoder, n_latent=2, rho=0.1, weight=2.0, epochs=0, dtype="float64").fit(
        np.ones((3, 4)) / 2
    )
    code = asarray([[0.3, 0.1], [0.7, 0.1]])
    expected = 2 * (0.1 * np.log(0.1 / 0.5) + 0.9 * np.log(0.9 / 0.5))
    assert float(model.penalty(code)) == pytest.approx(expected, rel=1e-12)
    by_mean = 2 * np.array([(0.5 - 0.1) / 0.25, 0])  # weight * (rho_hat - rho) / (rho_hat (1 - rho_hat))
    np.testing.assert_allclose(to_numpy(model.penalty_grad(code)), by_mean / 2, atol=1e-12)  # each sample is half of it


def test_saturated_codes_and_a_batch_of_one_stay_finite(xp, X):
    model = small(SparseAutoencoder).fit(X)
    for value in (0.0, 1.0):
        code = xp.full((1, 6), value, dtype="float32")
        assert np.isfinite(float(model.penalty(code)))
        assert np.isfinite(to_numpy(model.penalty_grad(code))).all()
    assert np.isfinite(float(model.loss(asarray(X[:1]))))


# -- k-sparse ---------------------------------------------------------------------------------------------------------


def test_top_k_by_hand_with_ties(xp, dtype):
    layer = TopK(2)
    x = asarray([[1, 3, 2, -5], [4, 4, 4, 4], [-1, -2, -3, -4]], dtype)
    np.testing.assert_array_equal(to_numpy(layer.forward(x)), [[0, 3, 2, 0], [4, 4, 0, 0], [-1, -2, 0, 0]])
    np.testing.assert_array_equal(to_numpy(layer.backward(xp.ones_like(x))), [[0, 1, 1, 0], [1, 1, 0, 0], [1, 1, 0, 0]])
    with pytest.raises(ValueError, match="k=0 must be at least 1"):
        TopK(0)


def test_k_entries_are_kept_and_alpha_k_at_encoding(xp, X):
    model = small(KSparseAutoencoder, n_latent=10, k=2, alpha=2.5).fit(X)
    assert ((to_numpy(model.encoder_.forward(asarray(X))) != 0).sum(axis=1) == 2).all()
    assert ((to_numpy(model.transform(X)) != 0).sum(axis=1) == 5).all()


def test_keeping_all_is_the_plain_autoencoder(X):
    plain, kept = small(Autoencoder).fit(X), small(KSparseAutoencoder, k=6).fit(X)
    np.testing.assert_array_equal(plain.params_.theta, kept.params_.theta)


def test_annealing_lowers_k_epoch_by_epoch(X):
    model = small(KSparseAutoencoder, n_latent=10, k=2, annealing=4, epochs=6)
    model.fit(X)
    kept = []
    copy = model.replica()
    for epoch in range(1, 7):
        copy.prepare_epoch(epoch)
        kept.append(copy.encoder_.layers[-1].k)
    assert kept == [10, 8, 6, 4, 2, 2]
    assert model.encoder_.layers[-1].k == 2, "the final k is what the model has outside of training"


def test_a_model_left_while_annealing_is_kept_as_it_is(X, tmp_path):
    model = small(KSparseAutoencoder, n_latent=10, k=2, alpha=2.0, annealing=10, epochs=6)
    next(model.steps(X))
    loaded = KSparseAutoencoder.load(model.save(tmp_path / "m.safetensors"))
    assert loaded.score(X) == model.score(X)
    Z = model.transform(X)
    expected = -model.likelihood_.nll_rows(model.decoder_.forward(Z), X).mean()
    assert model.score(X) == pytest.approx(float(expected), rel=1e-5), "score sees the codes that transform gives"


# -- contractive ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["sigmoid", "tanh", "relu"])
def test_the_penalty_is_the_jacobians_norm(code, rng):
    """Against the Jacobian of transform by central differences."""
    X = rng.uniform(size=(5, 4))
    model = small(ContractiveAutoencoder, code_activation=code, n_latent=3, weight=0.7, dtype="float64", epochs=5).fit(
        X
    )
    h = 1e-6
    columns = [(model.transform(X + h * e) - model.transform(X - h * e)) / (2 * h) for e in np.eye(4)]
    expected = 0.7 * np.square(columns).sum() / 5
    assert float(model.penalty(model.encoder_.forward(X))) == pytest.approx(expected, rel=1e-7)


def test_a_larger_weight_contracts_more(X):
    norms = []
    for weight in (0.0, 0.5, 5.0):
        model = small(ContractiveAutoencoder, weight=weight, epochs=150, learning_rate=0.01).fit(X)
        model.weight = 1.0
        norms.append(float(model.penalty(model.encoder_.forward(X))))
    assert norms[0] > 1.5 * norms[1] > 2 * norms[2]


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (DenoisingAutoencoder(noise="pink"), r"noise='pink' is unknown; choose one of \['gaussian', 'masking'"),
        (DenoisingAutoencoder(noise="masking", noise_level=1.5), "noise_level=1.5 must be at least 0 and at most 1"),
        (SparseAutoencoder(rho=1.0), "rho=1.0 must be below 1"),
        (SparseAutoencoder(code_activation="relu"), "code_activation='relu' is unknown"),
        (KSparseAutoencoder(n_latent=5, k=6), "k=6 must be between 1 and 5"),
        (KSparseAutoencoder(alpha=0.5), "alpha=0.5 must be at least 1"),
        (ContractiveAutoencoder(hidden=(5,)), r"hidden=\(5,\): the Jacobian's closed form is that of one layer"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_mistakes_are_named(model, message, X):
    with pytest.raises(ValueError, match=message):
        model.fit(X)
