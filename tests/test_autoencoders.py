"""The three models: what training does, what comes out, what is refused. (Gradients: test_gradcheck.)"""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import scratchnet as sn
from scratchnet.autoencoders import IWAE, VAE, Autoencoder, ConditionalVAE, DivergedError
from scratchnet.autoencoders.checking import hold_out
from scratchnet.autoencoders.training import Minibatches
from scratchnet.backend import NoiseStream, Rng, asarray, get_xp, to_numpy
from scratchnet.base import NotFittedError
from scratchnet.datasets import load_mnist
from scratchnet.decomposition import PCA
from scratchnet.nn import Adam
from scratchnet.testing import no_host_sync

MODELS = [Autoencoder, VAE, ConditionalVAE]
pytestmark = pytest.mark.filterwarnings("ignore:posterior collapse")  # toy data, few epochs


@pytest.fixture
def data(rng):
    """Two-class toy images: (80, 12) in [0, 1], labels."""
    y = np.arange(80) % 2
    X = np.where(np.arange(12) % 2 == y[:, None], 0.8, 0.2) + rng.uniform(-0.2, 0.2, (80, 12))
    return X.astype("float32"), y


def small(model, **settings):
    settings = {"hidden": (8,), "n_latent": 3, "epochs": 3, "batch_size": 32, "random_state": 0} | settings
    return model(**settings)


def extra(model, y):
    """The further argument of a conditional model's methods."""
    return (y,) if model is ConditionalVAE else ()


# -- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_training_lowers_the_loss(xp, model, likelihood, data):
    X, y = data
    fitted = small(model, likelihood=likelihood, epochs=40, learning_rate=3e-3).fit(X, y)
    losses = fitted.history_["loss"]
    assert len(losses) == 40
    assert losses[-1] < losses[0] - 0.3
    assert get_xp(fitted.params_.theta) is xp


@pytest.mark.parametrize("model", MODELS)
def test_the_same_seed_gives_the_same_bits(xp, model, data, seed):
    X, y = data
    a, b = (small(model, random_state=seed).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(to_numpy(a.params_.theta), to_numpy(b.params_.theta))
    assert a.history_["loss"] == b.history_["loss"]
    c = small(model, random_state=seed + 1).fit(X, y)
    assert (to_numpy(a.params_.theta) != to_numpy(c.params_.theta)).any()


@pytest.mark.parametrize("model", MODELS)
def test_both_backends_train_alike(model, data, monkeypatch):
    """Same weights, same minibatches; where NumPy draws its noise as a device does, everything agrees."""

    class InOrder(NoiseStream):
        def __init__(self, key, xp=np):
            super().__init__(key, xp)
            self.sequential = True

    monkeypatch.setattr("scratchnet.backend.NoiseStream", InOrder)
    X, y = data
    with sn.using("numpy"):
        a = small(model).fit(X, y)
    with sn.using("strict"):
        b = small(model).fit(X, y)
    np.testing.assert_array_equal(a.params_.theta, to_numpy(b.params_.theta))


def test_the_backend_argument_beats_the_switch(data):
    model = small(VAE, backend="strict").fit(data[0])
    assert sn.current_backend() == "numpy"
    assert get_xp(model.params_.theta, model.transform(data[0])).__name__ == "strict"


@pytest.mark.parametrize("model", MODELS)
def test_a_training_step_never_waits_for_the_device(model, data):
    X, y = data
    with sn.using("strict"):
        fitted = small(model).fit(X, y)
        data = fitted.check_batch(X[:16], y[:16])
        fitted.batch_size, order = 8, asarray(np.arange(16))
        batches = Minibatches(fitted, data, Rng(0).noise_stream())
        optimizer = Adam(batches.params)
        with no_host_sync():
            batches.run_epoch(1, order, optimizer)
    assert optimizer.t == 2


def test_steps_is_what_fit_drains_and_may_be_left_early(data):
    X, _ = data
    model, losses = small(VAE, epochs=5), []
    for state in model.steps(X):
        losses.append(state.loss)
        assert state.model is model
        assert state.epochs == 5
        if state.epoch == 2:
            break
    assert losses == small(VAE, epochs=5).fit(X).history_["loss"][:2]
    assert model.best_epoch_ == 2
    assert model.transform(X).shape == (80, 3)
    assert str(state).startswith("loss ")
    assert str(state).endswith("nats/sample")


def test_validation_does_not_change_training(data):
    X, _ = data
    plain, watched = small(VAE).fit(X), small(VAE).fit(X, validation=X[:10])
    np.testing.assert_array_equal(plain.params_.theta, watched.params_.theta)
    assert "validation_loss" in watched.history_[0]


@pytest.mark.parametrize("model", MODELS)
def test_validation_loss_is_the_loss_on_the_data_given(model, data):
    X, y = data
    fitted = small(model).fit(X, y, validation=(X, y) if extra(model, y) else X)
    assert fitted.history_["validation_loss"] == fitted.history_["loss"], "80 rows fit into the monitor as a whole"


def test_early_stopping_brings_back_the_best_weights(data):
    X, _ = data
    noise = np.random.default_rng(1).uniform(size=(20, 12)).astype("float32")  # nothing to learn: validation rises
    model = small(Autoencoder, epochs=200, learning_rate=0.02, patience=3).fit(X, validation=noise)
    validation = model.history_["validation_loss"]
    assert len(validation) == model.best_epoch_ + 3 < 200
    assert int(np.argmin(validation)) + 1 == model.best_epoch_
    assert -model.score(noise) == pytest.approx(min(validation), rel=1e-5)


def test_validation_fraction_holds_rows_out(data):
    X, _ = data
    model = small(Autoencoder, validation_fraction=0.25, batch_size=1, epochs=1).fit(X)
    assert "validation_loss" in model.history_[0]
    with pytest.raises(ValueError, match=r"validation_fraction=0.001 of 80 sample\(s\) would hold out 0"):
        small(Autoencoder, validation_fraction=0.001).fit(X)
    with pytest.raises(ValueError, match=r"would hold out 2: both parts need at least one sample"):
        small(Autoencoder, validation_fraction=0.99).fit(X[:2])


def test_held_out_rows_do_not_train_and_all_rows_are_used():
    X = np.arange(40, dtype="float32").reshape(20, 2) / 40
    model = small(Autoencoder, validation_fraction=0.25, epochs=0)
    list(model.steps(X))
    training, held_out = hold_out((X,), model.validation_fraction, Rng(0, np))
    assert (len(training[0]), len(held_out[0])) == (15, 5)
    np.testing.assert_array_equal(np.sort(np.concatenate([training[0], held_out[0]]), axis=0), X)


def test_a_failed_fit_loses_nothing(data):
    X, y = data
    for model in MODELS:
        fitted = small(model).fit(X, y)
        before = fitted.score(X, y)
        with pytest.raises(ValueError, match="features"):
            fitted.fit(X, y, validation=(X[:, :3], y) if extra(model, y) else X[:, :3])
        with pytest.raises(ValueError, match=r"needs X in \[0, 1\]"):
            fitted.fit(5 * X[:, :7], y)
        assert fitted.score(X, y) == before
        fresh = small(model)
        with pytest.raises(ValueError, match=r"needs X in \[0, 1\]"):
            fresh.fit(5 * X, y)
        with pytest.raises(NotFittedError, match="is not fitted yet"):
            fresh.transform(X, *extra(model, y))


@pytest.mark.parametrize(
    "use", [lambda m: m.sample(3), lambda m: m.loss(np.zeros((1, 3), "f4")), lambda m: m.history_, lambda m: m.params_]
)
def test_whatever_is_used_before_fit_says_so(use):
    with pytest.raises(NotFittedError, match="this VAE is not fitted yet"):
        use(VAE())
    assert not hasattr(VAE(), "params_")


def test_looking_at_a_model_does_not_change_how_it_trains(data):
    X, _ = data
    model = small(VAE)
    for _ in model.steps(X):
        model.sample(4), model.loss(X), model.gradient(X), model.elbo(X), model.score(X)
    np.testing.assert_array_equal(model.params_.theta, small(VAE).fit(X).params_.theta)


def test_the_history_sees_sorted_data_as_a_whole():
    """3000 rows sorted by kind: numbers from the first 2000 alone would be those of two kinds."""
    kind = np.repeat([0.1, 0.5, 0.9], 1000)
    X = np.repeat(kind[:, None], 4, axis=1).astype("float32")
    row = small(Autoencoder, likelihood="gaussian", epochs=1).fit(X, validation=X).history_[-1]
    assert row["loss"] == pytest.approx(row["validation_loss"], rel=0.02)
    first = small(Autoencoder, likelihood="gaussian", epochs=1).fit(X, validation=X[:2000]).history_[-1]
    assert abs(first["loss"] / first["validation_loss"] - 1) > 1e-4


def test_a_validation_loss_that_is_not_finite_stops_with_its_name(data):
    X, _ = data
    model = small(Autoencoder, likelihood="gaussian", patience=1)
    with pytest.raises(DivergedError, match="the validation loss became NaN or infinite"):
        model.fit(X, validation=np.full((3, 12), 1e25, "float32"))


def test_numbers_over_several_chunks_are_means_over_all_rows(data):
    X, _ = data
    big = np.tile(X, (32, 1))[:2500]
    for model in (Autoencoder, VAE):
        fitted = small(model).fit(X, validation=big)
        assert fitted.history_[-1]["validation_loss"] == pytest.approx(fitted.history_[-1]["loss"], rel=0.05)


def test_history_numbers_by_definition(data):
    X, _ = data
    model = small(Autoencoder).fit(X)
    assert model.history_[-1]["mse"] == pytest.approx(np.square(model.reconstruct(X) - X).mean(), rel=1e-4)
    vae = small(VAE, beta=3.0).fit(X)
    row = vae.history_[-1]
    assert row["effective_beta"] == 3.0
    assert row["loss"] == pytest.approx(row["reconstruction"] + 3 * row["kl"], rel=1e-5)
    assert 0 < row["mse"] < 0.3


@pytest.mark.parametrize(("model", "activation"), [(Autoencoder, "relu"), (Autoencoder, "tanh"), (VAE, "tanh")])
def test_the_decoder_mirrors_the_encoder(data, model, activation):
    views = small(model, hidden=(9, 7), activation=activation, epochs=0).fit(data[0]).params_.views
    shapes = {name: weight.shape for name, (weight, _) in views.items() if name.endswith("W")}
    assert shapes == {
        "encoder.0.W": (12, 9),
        "encoder.2.W": (9, 7),
        "encoder.4.W": (7, 6 if model is VAE else 3),
        "decoder.0.W": (3, 7),
        "decoder.2.W": (7, 9),
        "decoder.4.W": (9, 12),
    }
    for name, (weight, _) in views.items():
        if name.endswith("W"):
            limit = (6 / sum(weight.shape)) ** 0.5
            assert 0.7 * limit < abs(weight).max() <= limit, "Glorot's"


@pytest.mark.parametrize("model", [VAE, IWAE, ConditionalVAE])
def test_a_vae_begins_with_its_posterior_near_the_prior(model, rng):
    """He's variance before an activation, a tenth of 1 / n_in in the last layers: mu is near 0, sigma near 1."""
    X, y = rng.uniform(size=(200, 300)).astype("float32"), np.arange(200) % 4
    fitted = model((200, 200), 100, epochs=0, random_state=0).fit(X, *extra(model, y))
    expected = {"encoder.0": 2, "encoder.2": 2, "encoder.4": 0.1, "decoder.0": 2, "decoder.2": 2, "decoder.4": 0.1}
    for name, variance in expected.items():
        weight, _ = fitted.params_.views[f"{name}.W"]
        assert weight.var() == pytest.approx(variance / weight.shape[0], rel=0.05), name
        assert not fitted.params_.views[f"{name}.b"][0].any()
    plain = VAE((200, 200), 100, epochs=0, random_state=0).fit(X)
    mu, sigma = plain.posterior(X)
    assert abs(sigma - 1).max() < 0.5
    assert np.square(mu).mean() < 0.1, "0.1 * 0.3, the mean square of x, kept by two layers"


def test_active_units_are_those_of_the_training_data_and_the_best_epoch(data):
    X, _ = data
    vae = small(VAE, epochs=60, learning_rate=5e-3).fit(X, validation=X[:1])
    assert vae.active_units_ == vae.history_[-1]["active_units"] > 0
    with pytest.raises(ValueError, match="trained for none"):
        _ = small(VAE, epochs=0).fit(X).active_units_


def test_active_units_far_from_the_origin(data):
    """A latent whose mean is 1000 with next to no variance carries nothing, float32 or not."""
    vae = small(VAE, epochs=0).fit(data[0])
    vae.params_.views["encoder.2.W"][0][...] = 0
    vae.params_.views["encoder.2.b"][0][:3] = 1000
    assert vae.evaluate(data[0])["active_units"] == 0


@pytest.mark.parametrize("model", MODELS)
def test_divergence_names_the_step_and_keeps_the_last_good_weights(xp, model, data):
    X, y = data
    start = to_numpy(small(model, epochs=0).fit(X, y).params_.theta)
    broken = small(model, learning_rate=1e30)
    with pytest.raises(DivergedError, match=r"at step [23] of 3 in epoch 1 \(update [23] in all\).*learning_rate"):
        broken.fit(X, y)
    np.testing.assert_array_equal(to_numpy(broken.params_.theta), start)
    assert np.isfinite(to_numpy(broken.transform(X, *extra(model, y)))).all()


def test_divergence_in_a_later_epoch_keeps_the_epoch_before(data, monkeypatch):
    X, _ = data
    model = small(Autoencoder, epochs=5)
    states = model.steps(X)
    next(states), next(states)
    good = model.params_.theta.copy()
    gradient = type(model).gradient
    calls = iter(range(100))

    def spoiled(self, *args):
        grad = gradient(self, *args)
        if next(calls) == 1:
            grad[...] = np.nan
        return grad

    monkeypatch.setattr(Autoencoder, "gradient", spoiled)
    with pytest.raises(DivergedError, match=r"at step 2 of 3 in epoch 3 \(update 8 in all\)"):
        next(states)
    np.testing.assert_array_equal(model.params_.theta, good)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ["adam", "momentum", "sgd"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "softplus", "tanh", "sigmoid"])
def test_settings(dtype, optimizer, activation, data):
    X, _ = data
    model = small(VAE, dtype=dtype, optimizer=optimizer, activation=activation, epochs=1).fit(X)
    assert model.reconstruct(X).dtype == model.params_.theta.dtype == dtype


def test_parameter_names_are_the_contract(data):
    X, _ = data
    names = ["encoder.0.W", "encoder.0.b", "encoder.2.W", "encoder.2.b", "decoder.0.W", "decoder.0.b", "decoder.2.W"]
    fitted = small(VAE, epochs=0).fit(X)
    assert fitted.params_.names() == [*names, "decoder.2.b"]
    assert fitted.params_.views["encoder.2.W"][0].shape == (8, 6), "[mu | logvar]"
    assert small(Autoencoder, hidden=(), epochs=0).fit(X).params_.names() == [
        "encoder.0.W",
        "encoder.0.b",
        "decoder.0.W",
        "decoder.0.b",
    ]


def test_inputs_are_never_written_to(data):
    X, y = data
    X.flags.writeable = y.flags.writeable = False
    for model in MODELS:
        fitted = small(model).fit(X, y)
        more = extra(model, y)
        fitted.reconstruct(X, *more)
        fitted.score(X, y)
        fitted.loss(X, *more)
        fitted.gradient(X, *more)


def test_gradient_returns_and_fills_grad(data):
    X, _ = data
    model, eps = small(VAE).fit(X), np.zeros((80, 3), "float32")
    g = model.gradient(X, eps)
    assert g is model.params_.grad
    first = g.copy()
    model.gradient(X, eps)
    np.testing.assert_array_equal(g, first)
    model.gradient(X)
    assert (g != first).any(), "without eps the noise is drawn anew"


# -- what comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_shapes_and_chunks(xp, model, data):
    """2500 rows are three chunks; each row's result is that of the row alone."""
    X, y = data
    fitted, more = small(model).fit(X, y), extra(model, y)
    big, big_y = np.tile(X, (32, 1))[:2500], np.tile(y, 32)[:2500]
    Z = fitted.transform(big, *extra(model, big_y))
    assert Z.shape == (2500, 3)
    np.testing.assert_allclose(to_numpy(Z[2480:2500]), to_numpy(fitted.transform(X, *more))[:20], rtol=1e-4, atol=1e-5)
    recon = to_numpy(fitted.reconstruct(X, *more))
    assert recon.shape == (80, 12)
    assert (recon >= 0).all()
    assert (recon <= 1).all(), "probabilities"
    np.testing.assert_array_equal(
        recon,
        to_numpy(fitted.inverse_transform(fitted.transform(X, *more), *more)),
        "reconstruct = inverse o transform",
    )


def test_score_is_the_mean_log_likelihood_and_higher_is_better(data):
    X, _ = data
    before, after = small(Autoencoder, epochs=0).fit(X), small(Autoencoder, epochs=40, learning_rate=3e-3).fit(X)
    assert after.score(X) > before.score(X)
    assert after.score(X) == pytest.approx(-float(after.loss(X)), rel=1e-5)


def test_elbo_is_minus_the_loss_on_average(data, seed):
    X, _ = data
    vae = small(VAE, epochs=20, random_state=seed).fit(X)
    losses = [float(vae.loss(X)) for _ in range(200)]
    elbo = vae.elbo(X, n_samples=200)
    assert elbo.shape == (80,)
    assert elbo.mean() == pytest.approx(-np.mean(losses), abs=4.5 * np.std(losses) / 200**0.5 * 2)
    assert vae.score(X) == pytest.approx(vae.elbo(X).mean(), rel=1e-5)
    np.testing.assert_array_equal(vae.elbo(X), vae.elbo(X), "the same draws at every call")


def test_beta_changes_the_training_loss_but_not_the_elbo(data):
    X, _ = data
    vae = small(VAE, epochs=5).fit(X)
    elbo, eps = vae.elbo(X), np.zeros((80, 3), "float32")
    one = float(vae.loss(X, eps))
    vae.beta = 3.0
    np.testing.assert_array_equal(vae.elbo(X), elbo)
    assert float(vae.loss(X, eps)) == pytest.approx(one + 2 * float(vae.sample_.kl()), rel=1e-5)


def test_log_likelihood_equals_the_integral():
    """A linear Gaussian VAE has p(x) = N(b, W'W + I) in closed form, whatever its posterior."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 4))
    vae = VAE(
        hidden=(), n_latent=2, likelihood="gaussian", dtype="float64", epochs=300, learning_rate=1e-2, random_state=0
    )
    vae.fit(X)
    W, b = (vae.params_.views[f"decoder.0.{name}"][0] for name in "Wb")
    cov = W.T @ W + np.eye(4)
    delta = X - b
    exact = -0.5 * (np.einsum("ij,jk,ik->i", delta, np.linalg.inv(cov), delta) + np.linalg.slogdet(2 * np.pi * cov)[1])
    np.testing.assert_allclose(vae.log_likelihood(X, 3000), exact, atol=0.05)
    elbo = vae.elbo(X, n_samples=3000)
    assert (elbo < exact + 0.05).all(), "the ELBO is a lower bound"
    assert elbo.mean() < vae.log_likelihood(X, 10).mean() < exact.mean() + 0.05


def test_posterior_and_active_units(xp, data):
    X, _ = data
    vae = small(VAE, epochs=60, learning_rate=5e-3).fit(X)
    mu, sigma = vae.posterior(X)
    assert mu.shape == sigma.shape == (80, 3)
    assert bool((sigma > 0).all())
    np.testing.assert_array_equal(to_numpy(vae.transform(X)), to_numpy(mu))
    assert vae.active_units_ == int((to_numpy(mu).var(axis=0) > 0.01).sum()) > 0
    kl = to_numpy(vae.kl_per_latent(X))
    assert kl.sum() == pytest.approx(vae.history_[-1]["kl"], rel=1e-4)
    np.testing.assert_allclose(kl, vae.history_[-1]["kl_per_latent"], rtol=1e-3, atol=1e-6)


def test_a_crushing_beta_collapses_all_units(data):
    assert small(VAE, beta=1000.0, epochs=60, learning_rate=1e-2).fit(data[0]).active_units_ == 0


def test_sampling(xp, data):
    vae = small(VAE).fit(data[0])
    a, b = vae.sample(5, random_state=1), vae.sample(5, random_state=1)
    np.testing.assert_array_equal(to_numpy(a), to_numpy(b))
    assert a.shape == (5, 12)
    assert (to_numpy(vae.sample(5)) != to_numpy(vae.sample(5))).any()


def test_history_is_rows_columns_units_and_a_table(data):
    history = small(VAE).fit(data[0]).history_
    assert history[0]["epoch"] == 1
    assert history["epoch"] == [1, 2, 3]
    assert len(history[1:]) == 2
    assert all(row["loss"] == pytest.approx(row["reconstruction"] + row["kl"], rel=1e-5) for row in history)
    assert set(history[0]) <= set(history.units)
    text = str(history)
    assert "nats/sample" in text
    assert "effective_beta" in text
    assert "KL per latent" in text
    with pytest.raises(KeyError, match=r"no column 'accuracy'; it has \['epoch', 'loss'"):
        history["accuracy"]


# -- the condition ----------------------------------------------------------------------------------------------------


def test_conditional_model_uses_the_condition(data):
    """With no code left to carry it (a crushing beta), the class still decides what is decoded."""
    X, y = data
    model = small(ConditionalVAE, beta=100.0, epochs=150, learning_rate=5e-3).fit(X, y)
    for label in (0, 1):
        expected = X[y == label].mean(axis=0)
        np.testing.assert_allclose(model.sample(50, label, random_state=0).mean(axis=0), expected, atol=0.08)


@pytest.mark.parametrize(
    ("y", "n_condition", "classes"),
    [
        (np.arange(80) % 3, 3, [0, 1, 2]),
        (np.array(["b", "a"] * 40), 2, ["a", "b"]),
        (np.array([True, False] * 40), 2, [False, True]),
        ([5, 7] * 40, 2, [5, 7]),
        (np.linspace(-1, 1, 80), 1, None),
        (np.random.default_rng(0).standard_normal((80, 4)), 4, None),
        (np.eye(2, dtype="float32")[np.arange(80) % 2], 2, None),
    ],
    ids=["ints", "strings", "bools", "list", "one property", "several properties", "one-hot"],
)
def test_kinds_of_conditions(xp, y, n_condition, classes, data):
    X, _ = data
    model = small(ConditionalVAE, epochs=1).fit(X, y)
    assert model.n_condition_ == n_condition
    assert (None if model.classes_ is None else model.classes_.tolist()) == classes
    one = np.asarray(y)[3]
    np.testing.assert_array_equal(
        to_numpy(model.sample(4, one, random_state=0)),
        to_numpy(model.sample(4, np.asarray(y)[[3, 3, 3, 3]], random_state=0)),
    )
    assert model.posterior(X, y)[0].shape == (80, 3)
    assert model.elbo(X, y).shape == model.log_likelihood(X, y, 3).shape == (80,)
    assert model.kl_per_latent(X, y).shape == (3,)
    assert model.fit_transform(X, y).shape == (80, 3)


def test_one_vector_of_properties_serves_all_rows(data):
    X, _ = data
    properties = np.random.default_rng(0).standard_normal((80, 4))
    model = small(ConditionalVAE, epochs=1).fit(X, properties)
    for n in (2, 4):
        one, all_rows = model.sample(n, properties[0], random_state=0), np.tile(properties[0], (n, 1))
        np.testing.assert_array_equal(one, model.sample(n, all_rows, random_state=0))


def test_kl_per_latent_depends_on_the_condition(data):
    X, y = data
    model = small(ConditionalVAE, epochs=20).fit(X, y)
    assert (model.kl_per_latent(X, y) != model.kl_per_latent(X, 1 - y)).any()


def test_a_column_of_labels_is_taken_as_labels(data):
    from sklearn.exceptions import DataConversionWarning

    X, y = data
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        model = small(ConditionalVAE, epochs=1).fit(X, y[:, None])
    assert model.classes_.tolist() == [0, 1]


def test_several_properties_at_once(xp, data, tmp_path):
    """Labels and numbers side by side: as the same columns put together by hand."""
    X, y = data
    names, numbers = np.where(y == 0, "even", "odd"), np.linspace(-1, 1, 80).astype("float32")
    by_hand = np.concatenate([np.eye(2, dtype="float32")[y], numbers[:, None]], axis=1)
    a, b = small(ConditionalVAE).fit(X, (names, numbers)), small(ConditionalVAE).fit(X, by_hand)
    np.testing.assert_array_equal(to_numpy(a.params_.theta), to_numpy(b.params_.theta))
    assert a.n_condition_ == 3
    assert a.classes_[0].tolist() == ["even", "odd"]
    assert a.classes_[1] is None
    one = to_numpy(a.sample(4, ("odd", 0.5), random_state=0))
    np.testing.assert_array_equal(one, to_numpy(b.sample(4, [0, 1, 0.5], random_state=0)))
    np.testing.assert_array_equal(one, to_numpy(a.sample(4, (["odd"] * 4, [0.5] * 4), random_state=0)))
    loaded = ConditionalVAE.load(a.save(tmp_path / "m.safetensors"))
    assert loaded.score(X, (names, numbers)) == a.score(X, (names, numbers))
    assert a.fit(X, (names, numbers), validation=(X, (names, numbers))).history_["validation_loss"][0] > 0
    for y_wrong, message in [
        (names, r"fitted with 2 properties at once, got 1: pass a tuple y=\(y0, y1\)"),
        (("odd", 0.1, 3), "fitted with 2 properties at once, got 3"),
        (("red", 0.1), r"y\[0\] holds 'red', which was not among the classes"),
        ((names, numbers[:7]), r"y\[1\] must hold 80 rows of 1 numbers"),
    ]:
        with pytest.raises(ValueError, match=message):
            a.transform(X, y_wrong)
    with pytest.raises(
        ValueError, match=r"y\[1\] must hold 80 rows of 1 numbers, or one for all 80 samples; got shape \(5,\)"
    ):
        a.fit(X, (names, numbers[:5]))


def test_conditional_loss_takes_labels_or_their_encoding(data):
    X, y = data
    model, eps = small(ConditionalVAE).fit(X, y), np.zeros((80, 3), "float32")
    assert float(model.loss(X, y, eps)) == float(model.loss(X, np.eye(2, dtype="float32")[y], eps))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, X, y: m.fit(X), r"requires y to be passed, but the target y is None"),
        (lambda m, X, y: m.fit(X, y[:5]), r"y must hold 80 labels, or one for all 80 samples; got shape \(5,\)"),
        (lambda m, X, y: m.sample(3, 9), r"y holds 9, which was not among the classes seen in fit: \[0, 1\]"),
        (lambda m, X, y: m.transform(X, y[:7]), r"y must hold 80 labels"),
        (lambda m, X, y: m.score(X), r"this model is conditional: pass y"),
        (lambda m, X, y: m.fit(X, 1), r"y must be labels \(n,\) or properties \(n, n_condition\), got shape \(\)"),
        (lambda m, X, y: m.fit(X, np.array(["a", 2.5] * 40, dtype=object)), r"y mixes labels that cannot be sorted"),
        (lambda m, X, y: m.transform(X, np.full((80, 2), np.nan, "f4")), r"y contains NaN"),
        (lambda m, X, y: m.fit(X, np.ones((80, 3))).sample(2, [1, 2, 3, 4]), r"y must hold 2 rows of 3 numbers"),
        (lambda m, X, y: m.fit(X, np.full((80, 2), np.nan)), r"y contains NaN"),
        (lambda m, X, y: m.fit(X, np.zeros((80, 2))).sample(2, np.zeros((2, 3))), r"y must hold 2 rows of 2 numbers"),
    ],
)
def test_conditions_that_do_not_fit(call, message, data):
    X, y = data
    model = small(ConditionalVAE, epochs=1).fit(X, y)
    with pytest.raises(ValueError, match=message):
        call(model, X, y)


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"hidden": 400}, TypeError, r"hidden=400 must be a sequence of layer widths"),
        ({"hidden": (4, 0)}, ValueError, r"hidden\[1\]=0 must be at least 1"),
        ({"n_latent": 0}, ValueError, "n_latent=0 must be at least 1"),
        ({"epochs": -1}, ValueError, "epochs=-1 must be at least 0"),
        ({"batch_size": 0}, ValueError, "batch_size=0 must be at least 1"),
        ({"activation": "selu"}, ValueError, r"activation='selu' is unknown; choose one of \['relu'"),
        ({"likelihood": "mse"}, ValueError, r"likelihood='mse' is unknown; choose one of \['bernoulli', 'gaussian'\]"),
        ({"optimizer": "lbfgs"}, ValueError, "optimizer='lbfgs' is unknown"),
        ({"learning_rate": 0}, ValueError, "learning_rate=0 must be above 0"),
        ({"learning_rate": "fast"}, TypeError, "learning_rate='fast' must be a number"),
        ({"dtype": "float16"}, ValueError, "dtype='float16' is unknown"),
        ({"dtype": np.int32}, ValueError, r"dtype=.*int32.* is unknown; choose one of \['float32', 'float64'\]"),
        ({"dtype": None}, ValueError, "dtype=None is unknown"),
        ({"beta": -1}, ValueError, "beta=-1 must be at least 0"),
        ({"validation_fraction": 1.0}, ValueError, "validation_fraction=1.0 must be below 1"),
        ({"patience": 3}, ValueError, "patience=3 stops when .* set validation_fraction"),
        ({"random_state": -1}, ValueError, "random_state=-1 is no seed"),
        ({"backend": "torch"}, ValueError, "backend='torch' is unknown"),
    ],
)
def test_bad_settings(settings, error, message, data):
    with pytest.raises(error, match=message):
        small(VAE, **settings).fit(data[0])


def test_mistakes_are_named_when_steps_is_called_not_at_its_first_state(data):
    X, _ = data
    model = small(VAE).fit(X)
    before = model.params_.theta.copy()
    with pytest.raises(ValueError, match=r"needs X in \[0, 1\]"):
        model.steps(5 * X)
    states = model.steps(X)
    np.testing.assert_array_equal(model.params_.theta, before, "nothing has begun")
    assert next(states).epoch == 1


def test_a_dtype_may_be_a_type(data, tmp_path):
    X, _ = data
    a, b = (small(VAE, dtype=dtype).fit(X) for dtype in (np.float64, "float64"))
    assert a.params_.theta.dtype == np.float64
    np.testing.assert_array_equal(a.transform(X), b.transform(X))
    assert VAE.load(a.save(tmp_path / "m.safetensors")).score(X) == a.score(X)


def test_what_float32_cannot_hold_is_named():
    X = np.ones((4, 3))
    X[2, 1] = 1e300
    with pytest.raises(
        ValueError, match=r"X holds 1e\+300 at \(2, 1\), which is too large for float32 .*dtype='float64'"
    ):
        small(Autoencoder, likelihood="gaussian").fit(X)


@pytest.mark.parametrize(
    ("model", "change"),
    [
        (VAE, {"n_latent": 5}),
        (VAE, {"likelihood": "gaussian"}),
        (VAE, {"dtype": "float64"}),
        (VAE, {"binarisation": "dynamic"}),
        (Autoencoder, {"hidden": (4,)}),
        (Autoencoder, {"tied": True}),
        (ConditionalVAE, {"activation": "tanh"}),
    ],
)
def test_a_model_whose_settings_changed_since_fit_says_so(model, change, data, tmp_path):
    """Settings that the networks were built from: half of the old and half of the new would give nonsense."""
    X, y = data
    fitted, more = small(model).fit(X, y), extra(model, y)
    before = fitted.reconstruct(X, *more)
    ((name, value),) = change.items()
    old = getattr(fitted, name)
    fitted.set_params(**change)
    uses = [
        lambda: fitted.reconstruct(X, *more),
        lambda: fitted.score(X, y),
        lambda: fitted.save(tmp_path / "m.safetensors"),
        lambda: copy.deepcopy(fitted),
        *([] if model is Autoencoder else [lambda: fitted.sample(2, *extra(model, 1))]),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=rf"{name} was .* fitted, and is .* now: call fit again, or go back"):
            use()
    fitted.set_params(**{name: old})
    np.testing.assert_array_equal(fitted.reconstruct(X, *more), before)
    assert getattr(fitted.set_params(**change).fit(X, y), name) == value
    fitted.set_params(epochs=9, batch_size=7, learning_rate=0.1, random_state=4).reconstruct(X, *more)


@pytest.mark.parametrize("model", MODELS)
def test_bernoulli_needs_the_unit_interval(model, data):
    X, y = data
    with pytest.raises(ValueError, match=r"needs X in \[0, 1\], got values from .* to 2\d\d.*X / 255.*'gaussian'"):
        small(model).fit(255 * X, y)
    with pytest.raises(ValueError, match=r"needs X in \[0, 1\]"):
        small(model).fit(X, y).score(-X, y)


@pytest.mark.parametrize("model", MODELS)
def test_methods_before_fit_and_wrong_widths(model, data):
    X, y = data
    with pytest.raises(NotFittedError, match=f"this {model.__name__} is not fitted yet"):
        small(model).transform(X, *extra(model, y))
    fitted = small(model).fit(X, y)
    with pytest.raises(ValueError, match=f"X has 5 features, but {model.__name__} is expecting 12"):
        fitted.transform(X[:, :5], *extra(model, y))
    with pytest.raises(ValueError, match=f"Z has 2 features, but {model.__name__} is expecting 3"):
        fitted.inverse_transform(np.zeros((1, 2)), *extra(model, y[:1]))
    with pytest.raises(TypeError, match=r"float32 parameters but x is float64.*astype"):
        fitted.loss(X.astype("float64"), *extra(model, y))


# -- keeping ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_a_saved_and_loaded_model_gives_the_same_bits(xp, model, data, tmp_path):
    X, y = data
    fitted = small(model, validation_fraction=0.1).fit(X, y)
    loaded = model.load(fitted.save(tmp_path / "model.safetensors"))
    more = extra(model, y)
    np.testing.assert_array_equal(to_numpy(loaded.reconstruct(X, *more)), to_numpy(fitted.reconstruct(X, *more)))
    assert loaded.score(X, y) == fitted.score(X, y)
    assert loaded.get_params() == fitted.get_params()
    assert loaded.history_.rows == fitted.history_.rows
    for name in fitted.saved_attributes:
        assert np.array_equal(getattr(loaded, name), getattr(fitted, name)), name
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"], "no temporary file stays"


def test_a_checkpoint_moves_between_backends(data, tmp_path):
    X, _ = data
    path = small(VAE, backend="strict").fit(X).save(tmp_path / "m.safetensors")
    assert isinstance(VAE.load(path).transform(X), np.ndarray)
    with sn.using("strict"):
        assert get_xp(VAE.load(path).transform(X)).__name__ == "strict"


def test_a_checkpoint_is_plain_safetensors(data, tmp_path):
    from safetensors import safe_open

    model = small(VAE).fit(data[0])
    with safe_open(model.save(tmp_path / "m.safetensors"), framework="numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("encoder.0.W"), model.params_.views["encoder.0.W"][0])
        assert file.metadata()["model"] == "VAE"


def test_a_checkpoint_is_read_by_others_and_names_its_columns(tmp_path, data):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(data[0], columns=[f"c{i}" for i in range(12)])
    path = small(Autoencoder).fit(frame).save(tmp_path / "m.safetensors")
    (tmp_path / "plain").write_text("")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode, "as readable as any new file"
    assert Autoencoder.load(path).feature_names_in_.tolist() == list(frame.columns)


def test_a_failed_save_leaves_no_file(tmp_path, data, monkeypatch):
    model = small(Autoencoder).fit(data[0])
    monkeypatch.setattr("os.replace", lambda *args: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        model.save(tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("parameters", {"activation": "selu"}, "activation='selu' is unknown"),
        ("parameters", {"colour": 1}, "unexpected keyword argument 'colour'"),
        ("parameters", {"hidden": [10**11]}, "weights do not fit the configuration"),
        ("fitted", {"n_features_in_": 7}, "weights do not fit the configuration"),
    ],
)
def test_tampered_checkpoints_are_refused(tmp_path, data, part, value, message):
    import json

    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    path = small(Autoencoder).fit(data[0]).save(tmp_path / "m.safetensors")
    with safe_open(path, framework="numpy") as file:
        header = file.metadata()
    header[part] = json.dumps(json.loads(header[part]) | value)
    save_file(load_file(path), path, metadata=header)
    with pytest.raises(ValueError, match=f"holds no valid Autoencoder.*{message}"):
        Autoencoder.load(path)
    del header[part]
    save_file(load_file(path), path, metadata=header)
    with pytest.raises(ValueError, match="holds no valid Autoencoder: KeyError"):
        Autoencoder.load(path)


def test_bad_checkpoints(data, tmp_path):
    from safetensors.numpy import save_file

    model = small(VAE).fit(data[0])
    path = model.save(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match=r"m.safetensors holds a VAE; load it with VAE.load\(path\)"):
        Autoencoder.load(path)
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*nowhere"):
        VAE.load(tmp_path / "nowhere")
    (tmp_path / "text").write_text("no tensors here")
    with pytest.raises(ValueError, match="is not a readable safetensors file"):
        VAE.load(tmp_path / "text")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is not a readable safetensors file"):
        VAE.load(path)
    save_file({"a": np.zeros(2)}, tmp_path / "foreign")
    with pytest.raises(ValueError, match="was not written by scratchnet"):
        VAE.load(tmp_path / "foreign")
    with pytest.raises(FileNotFoundError, match=r"the folder .* does not exist; make it first"):
        model.save(tmp_path / "no" / "m.safetensors")
    with pytest.raises(NotFittedError):
        VAE().save(path)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("clone", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_pickles_and_copies_are_whole_and_independent(xp, model, clone, data):
    X, y = data
    fitted, more = small(model).fit(X, y), extra(model, y)
    before = to_numpy(fitted.reconstruct(X, *more)).copy()
    other = clone(fitted)
    np.testing.assert_array_equal(to_numpy(other.reconstruct(X, *more)), before)
    other.params_.theta[...] = 0
    assert float(abs(other.params_.views["encoder.0.W"][0]).sum()) == 0, "views still share memory with theta"
    np.testing.assert_array_equal(to_numpy(fitted.reconstruct(X, *more)), before)
    assert len(clone(small(model)).get_params()) == len(fitted.get_params())


# -- against theory ---------------------------------------------------------------------------------------------------


def test_a_linear_autoencoder_reaches_pca():
    """Its optimum is the principal subspace (Baldi and Hornik 1989): held-out error within 0.1% of PCA's."""
    (X, _), (X_test, _) = load_mnist(), load_mnist("test")
    pca = PCA(n_components=10).fit(X)
    expected = np.square(pca.inverse_transform(pca.transform(X_test)) - X_test).mean()
    linear = Autoencoder(
        hidden=(), n_latent=10, likelihood="gaussian", learning_rate=2e-3, batch_size=500, epochs=120, random_state=0
    ).fit(X)
    assert np.square(linear.reconstruct(X_test) - X_test).mean() == pytest.approx(expected, rel=1e-3)


def test_a_linear_tied_autoencoder_reaches_pca(xp, rng):
    """Its error is PCA's, its weights an orthonormal basis of the same subspace, though nothing asks for that."""
    scales = [3, 2.5, 2] + [0.5] * 9
    X = (rng.standard_normal((400, 12)) * scales) @ np.linalg.qr(rng.standard_normal((12, 12)))[0] + 0.5
    tied = Autoencoder(
        hidden=(),
        n_latent=3,
        likelihood="gaussian",
        tied=True,
        learning_rate=0.01,
        batch_size=400,
        epochs=1000,
        dtype="float64",
        random_state=0,
    )
    error = np.square(to_numpy(tied.fit(X).reconstruct(X)) - X).mean()
    pca = PCA(n_components=3).fit(X)
    assert error == pytest.approx(np.square(to_numpy(pca.inverse_transform(pca.transform(X))) - X).mean(), rel=1e-3)
    W = to_numpy(tied.params_.views["encoder.0.W"][0])
    np.testing.assert_allclose(W.T @ W, np.eye(3), atol=0.03)
    V = to_numpy(pca.components_)
    np.testing.assert_allclose(W @ W.T, V.T @ V, atol=0.03)


def test_tied_weights_are_one_weight(data, tmp_path):
    X, _ = data
    model = small(Autoencoder, hidden=(9, 7), tied=True).fit(X)
    assert [name for name in model.params_.names() if name.startswith("decoder")] == [
        f"decoder.{i}.b" for i in (0, 2, 4)
    ]
    Z = model.transform(X)
    assert (model.inverse_transform(Z + 1) != model.inverse_transform(Z)).any()
    loaded = Autoencoder.load(model.save(tmp_path / "m.safetensors"))
    np.testing.assert_array_equal(loaded.reconstruct(X), model.reconstruct(X))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).reconstruct(X), model.reconstruct(X))
    with pytest.raises(TypeError, match="tied='yes' must be True or False"):
        small(Autoencoder, tied="yes").fit(X)


def test_loss_noise_is_an_argument_so_a_batch_of_one_and_none_are_defined(data):
    vae = small(VAE).fit(data[0])
    assert np.isfinite(float(vae.loss(data[0][:1], np.zeros((1, 3), "float32"))))
    with pytest.raises(ValueError, match="empty batch"):
        vae.loss(data[0][:0], np.zeros((0, 3), "float32"))


def test_fit_with_one_sample(data):
    assert VAE(hidden=(4,), n_latent=2, epochs=2, random_state=0).fit(data[0][:1]).reconstruct(data[0][:1]).shape == (
        1,
        12,
    )


@parametrize_with_checks([small(model, likelihood="gaussian") for model in (Autoencoder, VAE)])
def test_scikit_learns_conventions(estimator, check):
    """ConditionalVAE is left out: its transform needs the condition y, which scikit-learn's checks never pass."""
    check(estimator)
