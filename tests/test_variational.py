"""What makes a VAE honest: warm-up, free bits, variances, binarisation, collapse, importance weighting, the check of a
model against itself. (Gradients: test_gradcheck; fit, save and the rest: test_autoencoders.)"""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from sklearn.decomposition import FactorAnalysis
from sklearn.utils.estimator_checks import parametrize_with_checks

from scratchnet.autoencoders import IWAE, VAE, ConditionalVAE, PosteriorCollapseWarning, consistency_check
from scratchnet.autoencoders.evidence import log_weights
from scratchnet.backend import Rng, asarray, to_numpy
from scratchnet.decomposition import PCA
from scratchnet.nn import GaussianSample

quiet = pytest.mark.filterwarnings("ignore:posterior collapse")


@pytest.fixture
def X(rng):
    """(120, 12) in [0, 1]: two kinds of stripes, in three strengths."""
    kind, strength = np.arange(120)[:, None] % 2, 0.25 + 0.1 * (np.arange(120)[:, None] % 3)
    stripes = np.where(np.arange(12) % 2 == kind, 0.5 + strength, 0.5 - strength)
    return np.clip(stripes + rng.uniform(-0.05, 0.05, (120, 12)), 0, 1).astype("float32")


def small(model=VAE, **settings):
    settings = {"hidden": (16,), "n_latent": 3, "epochs": 40, "learning_rate": 5e-3, "batch_size": 32} | settings
    return model(**{"random_state": 0} | settings)


def eps_for(model, n, seed=0):
    draws = (model.n_importance,) if isinstance(model, IWAE) else ()
    return asarray(np.random.default_rng(seed).standard_normal((*draws, n, model.n_latent)), model.dtype)


# -- warm-up ----------------------------------------------------------------------------------------------------------


def test_warm_up_raises_beta_in_equal_steps_and_the_history_says_so(X):
    rows = small(beta=2.0, warm_up=3, epochs=6).fit(X).history_
    assert rows["effective_beta"] == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]
    for row in rows:
        assert row["loss"] == pytest.approx(row["reconstruction"] + row["effective_beta"] * row["kl"], rel=1e-6)
    assert "effective_beta" in str(rows)


def test_an_epoch_of_warm_up_trains_with_its_beta(X):
    """The first epoch of a warm-up to 2 in three steps is an epoch at 0.5."""
    warm, plain = small(beta=2.0, warm_up=3, epochs=6), small(beta=0.5, epochs=6)
    next(warm.steps(X)), next(plain.steps(X))
    np.testing.assert_array_equal(warm.params_.theta, plain.params_.theta)


def test_patience_does_not_compare_across_betas(X):
    """In a warm-up the validation loss is low because beta is: the best epoch is the best of those at full beta."""
    noise = np.random.default_rng(1).uniform(size=(20, 12)).astype("float32")  # nothing to learn: validation rises
    model = small(warm_up=5, epochs=60, patience=3, learning_rate=0.02).fit(X, validation=noise)
    losses = model.history_["validation_loss"]
    assert np.argmin(losses) < 5 < model.best_epoch_
    assert losses[model.best_epoch_ - 1] == min(losses[5:])
    assert len(losses) == model.best_epoch_ + 3


def test_warm_up_needs_epochs_after_it(X):
    with pytest.raises(ValueError, match="warm_up=40 must be below epochs=40: beta would never be reached"):
        small(warm_up=40).fit(X)


# -- free bits --------------------------------------------------------------------------------------------------------


def test_free_bits_by_hand(xp, X):
    """sum_j max(free_bits, mean over the batch of KL_j): latents with KL 2, 0.5 and 0 cost 2, 0.7 and 0.7."""
    model = small(free_bits=0.7, beta=3.0, epochs=0, dtype="float64").fit(X)
    model.params_.views["encoder.2.W"][0][...] = 0
    model.params_.views["encoder.2.b"][0][...] = asarray([2.0, 1.0, 0, 0, 0, 0])  # mu = 2, 1, 0; sigma = 1
    x, eps = asarray(X, "float64"), eps_for(model, len(X))
    nll = model.likelihood_.nll(model.forward(x, None, eps), x)
    assert float(model.loss(x, eps)) == pytest.approx(float(nll) + 3 * (2 + 0.7 + 0.7), rel=1e-12)
    model.gradient(x, eps)
    free = to_numpy(model.params_.views["encoder.2.b"][1]).copy()
    model.free_bits = 0.0
    model.gradient(x, eps)
    paid = to_numpy(model.params_.views["encoder.2.b"][1])
    np.testing.assert_allclose((paid - free)[:3], [0, 3 * 1, 0], atol=1e-12)  # beta mu, withheld below the minimum


def test_free_bits_are_used_and_the_ledger_adds_up(X):
    """With a crushing beta nothing is encoded; what is free is encoded all the same."""
    with pytest.warns(PosteriorCollapseWarning):
        none = small(beta=20.0).fit(X)
    free = small(beta=20.0, free_bits=0.5).fit(X)
    assert none.history_[-1]["kl"] < 0.05
    assert 0.8 < free.history_[-1]["kl"] < 2.0
    row = free.history_[-1]
    assert row["loss"] == pytest.approx(row["reconstruction"] + 20 * np.maximum(row["kl_per_latent"], 0.5).sum())
    assert free.elbo(X).mean() == pytest.approx(-row["reconstruction"] - row["kl"], rel=0.02), "the ELBO knows no gift"


# -- the Gaussian's variance ------------------------------------------------------------------------------------------


@quiet
def test_fixed_variance_by_hand(xp, X):
    model = small(likelihood="gaussian", variance=0.25, epochs=0, dtype="float64").fit(X)
    x, eps = asarray(X, "float64"), eps_for(model, len(X))
    means = to_numpy(model.forward(x, None, eps))
    expected = (((X - means) ** 2 / 0.25 + np.log(2 * np.pi * 0.25)) / 2).sum(axis=1).mean()
    assert float(model.loss(x, eps)) == pytest.approx(expected + float(model.sample_.kl()), rel=1e-6)
    np.testing.assert_allclose(to_numpy(model.variance_), np.full(12, 0.25), rtol=1e-12)


def test_a_linear_vae_that_learns_its_variances_is_factor_analysis(rng):
    """x = Wz + b + noise of a variance a feature: no such model is likelier than scikit-learn's, and ours comes near.
    Each variance is the mean squared error of its feature."""
    noise = np.linspace(0.4, 0.8, 8) * rng.standard_normal((500, 8))
    X = rng.standard_normal((500, 2)) @ rng.uniform(-2, 2, (2, 8)) + noise
    linear = {"hidden": (), "n_latent": 2, "likelihood": "gaussian", "dtype": "float64", "batch_size": 100}
    vae, fixed = (small(variance=v, epochs=400, **linear).fit(X) for v in ("learned", 1.0))
    best = FactorAnalysis(2).fit(X).score(X)
    assert best - 0.2 < vae.log_likelihood(X, 300).mean() < best + 0.02
    assert fixed.log_likelihood(X, 300).mean() < best - 1
    errors = [(to_numpy(vae.forward(X, None, eps_for(vae, 500, seed))) - X) ** 2 for seed in range(50)]
    np.testing.assert_allclose(vae.variance_, np.mean(errors, axis=(0, 1)), rtol=0.1)


@quiet
def test_a_constant_feature_is_worth_no_fortune(X):
    X[:, 3] = 0.5
    model = small(likelihood="gaussian", variance="learned", epochs=300, learning_rate=0.02).fit(X)
    assert 1e-4 <= float(model.variance_[3]) < 3e-4, "the floor is a standard deviation of 0.01"
    assert np.isfinite(model.history_["loss"]).all()


def test_a_learned_variance_is_saved(X, tmp_path):
    model = small(likelihood="gaussian", variance="learned").fit(X)
    loaded = VAE.load(model.save(tmp_path / "m.safetensors"))
    np.testing.assert_array_equal(loaded.variance_, model.variance_)
    assert loaded.score(X) == model.score(X)
    with pytest.raises(ValueError, match="has no variance"):
        _ = small(epochs=0).fit(X).variance_


# -- binarisation -----------------------------------------------------------------------------------------------------


def test_binarisations_are_what_they_say(xp, X):
    x = asarray(X)
    for name in ("grey", "threshold", "dynamic"):
        model = small(binarisation=name, epochs=1).fit(X)
        assert model.history_[-1]["binarisation"] == name
        assert name in str(model.history_)
        rng = Rng(0)
        seen = [to_numpy(model.binarise(x, rng)) for _ in range(400)]
        if name == "dynamic":
            assert set(np.unique(seen)) == {0, 1}
            np.testing.assert_allclose(np.mean(seen, axis=0), X, atol=4.9 * 0.5 / 20)
        else:
            np.testing.assert_array_equal(seen[0], X if name == "grey" else X > 0.5)


@quiet
def test_evaluation_sees_what_training_saw(X):
    """Grey images have another likelihood than binary ones: the numbers belong to the name."""
    X = np.clip(X, 0.2, 0.8)
    for name in ("threshold", "dynamic"):
        model = small(binarisation=name, epochs=80).fit(X)
        grey = small(epochs=0).fit(X)
        grey.params_.theta[...] = model.params_.theta
        assert abs(model.score(X) - grey.score(X)) > 0.1
        if name == "threshold":
            binary = (X > 0.5).astype("float32")
            np.testing.assert_array_equal(model.elbo(X), grey.elbo(binary))
            np.testing.assert_array_equal(model.log_likelihood(X, 5), grey.log_likelihood(binary, 5))
        else:
            assert -model.score(X) == pytest.approx(model.history_[-1]["loss"], rel=0.05)
        np.testing.assert_array_equal(model.transform(X), grey.transform(X))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"binarisation": "gray"}, r"binarisation='gray' is unknown; choose one of \['grey', 'threshold', 'dynamic'\]"),
        ({"binarisation": "dynamic", "likelihood": "gaussian"}, "binarisation='dynamic' belongs to .*'bernoulli'"),
        ({"variance": 0.5}, "variance=0.5 belongs to likelihood='gaussian'"),
        ({"variance": "free", "likelihood": "gaussian"}, "variance='free' is unknown; choose one of"),
        ({"variance": 0, "likelihood": "gaussian"}, "variance=0 must be above 0"),
        ({"free_bits": -1}, "free_bits=-1 must be at least 0"),
        ({"warm_up": -1}, "warm_up=-1 must be at least 0"),
    ],
)
def test_mistakes_are_named(settings, message, X):
    with pytest.raises(ValueError, match=message):
        small(**settings).fit(X)


# -- collapse ---------------------------------------------------------------------------------------------------------


def test_a_collapse_is_called_by_name_with_what_to_do(X):
    with pytest.warns(PosteriorCollapseWarning, match=r"posterior collapse: none of the 3 .* effective beta 500"):
        model = small(beta=500.0).fit(X)
    assert model.active_units_ == 0
    with pytest.warns(PosteriorCollapseWarning, match=r"warm_up=10.*free_bits=0.1.*lower beta.*more epochs"):
        list(small(beta=500.0).steps(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert small().fit(X).active_units_ > 0
        assert small(beta=500.0, epochs=5).fit(X).active_units_ == 0  # after 20 updates nobody can tell
        small(epochs=0).fit(X)


# -- importance weighting ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("K", [1, 4])
def test_the_importance_weighted_loss_by_its_definition(xp, K, X):
    """-log of the mean of p(x|z) p(z) / q(z|x), with the densities written out."""
    model = small(IWAE, n_importance=K, epochs=3, dtype="float64").fit(X)
    x, eps = asarray(X[:7], "float64"), eps_for(model, 7)
    mu, sigma = (to_numpy(a) for a in model.posterior(X[:7]))
    ratios = []
    for e in to_numpy(eps):
        z = mu + sigma * e
        p = to_numpy(model.inverse_transform(z)).clip(1e-12, 1 - 1e-12)
        log_p = (X[:7] * np.log(p) + (1 - X[:7]) * np.log(1 - p)).sum(axis=1)
        log_q = -0.5 * (((z - mu) / sigma) ** 2 + np.log(2 * np.pi * sigma**2)).sum(axis=1)
        ratios.append(np.exp(log_p - 0.5 * (z**2 + np.log(2 * np.pi)).sum(axis=1) - log_q))
    assert float(model.loss(x, eps)) == pytest.approx(-np.log(np.mean(ratios, axis=0)).mean(), rel=1e-9)


def test_one_draw_is_the_vae_with_its_kl_by_one_draw(X):
    """The same weights and noise: the two losses differ by KL - (log q - log p), and agree on average."""
    iwae, vae = small(IWAE, n_importance=1, dtype="float64").fit(X), small(epochs=0, dtype="float64").fit(X)
    vae.params_.theta[...] = iwae.params_.theta
    x, differences, gradients = asarray(X, "float64"), [], []
    for seed in range(200):
        eps = eps_for(vae, len(X), seed)
        nll = float(vae.likelihood_.nll(vae.forward(x, None, eps), x))
        s = vae.sample_
        single = float((0.5 * ((s.mu + s.sigma * eps) ** 2 - eps**2 - s.logvar)).sum()) / len(X)
        assert float(iwae.loss(x, eps[None])) == pytest.approx(nll + single, rel=1e-10)
        differences.append(float(vae.loss(x, eps)) - float(iwae.loss(x, eps[None])))
        gradients.append(vae.gradient(x, eps).copy() - iwae.gradient(x, eps[None]))
    assert abs(np.mean(differences)) < 4.5 * np.std(differences) / 200**0.5
    error = np.std(gradients, axis=0) / 200**0.5
    assert (np.abs(np.mean(gradients, axis=0)) < 6 * error + 1e-12).all()


def test_more_draws_give_a_tighter_bound(X):
    """On average, at the same weights; and the training loss is minus the public log_likelihood with as many draws."""
    models = [small(IWAE, n_importance=K, epochs=0).fit(X) for K in (1, 5, 50)]
    trained = small(IWAE, n_importance=5).fit(X)
    for model in models:
        model.params_.theta[...] = trained.params_.theta
    losses = [np.mean([float(model.loss(X)) for _ in range(40)]) for model in models]
    assert losses[0] > losses[1] > losses[2]
    assert losses[1] == pytest.approx(-float(trained.log_likelihood(X, 5).mean()), rel=0.02)
    assert trained.history_[-1]["loss"] < trained.history_[-1]["reconstruction"] + trained.history_[-1]["kl"]


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_importance_weighted_training_learns(xp, likelihood, X):
    variance = {"variance": "learned"} if likelihood == "gaussian" else {}
    model = small(IWAE, likelihood=likelihood, **variance).fit(X)
    assert model.history_["loss"][-1] < model.history_["loss"][0] - 0.3
    assert model.history_[-1]["active_units"] > 0
    with pytest.raises(ValueError, match=r"free_bits=0.1: the importance-weighted bound has no KL term"):
        small(IWAE, free_bits=0.1).fit(X)
    with pytest.raises(ValueError, match="n_importance=0 must be at least 1"):
        small(IWAE, n_importance=0).fit(X)


def test_saved_and_pickled_importance_weighted_models_are_whole(X, tmp_path):
    model = small(IWAE, n_importance=3, epochs=5, likelihood="gaussian", variance=0.1).fit(X)
    for other in (IWAE.load(model.save(tmp_path / "m.safetensors")), pickle.loads(pickle.dumps(model))):
        assert other.score(X) == model.score(X)
        np.testing.assert_array_equal(other.loss(X, eps_for(model, 120)), model.loss(X, eps_for(model, 120)))
    with pytest.raises(ValueError, match=r"holds a IWAE; load it with IWAE.load\(path\)"):
        VAE.load(tmp_path / "m.safetensors")


@parametrize_with_checks([IWAE(hidden=(8,), n_latent=2, epochs=2, n_importance=2, likelihood="gaussian")])
@quiet
def test_scikit_learns_conventions(estimator, check):
    check(estimator)


# -- a model against itself -------------------------------------------------------------------------------------------


class Broken(GaussianSample):
    """The well-known mistake, sigma = exp(logvar), forward and backward alike: its gradient check passes."""

    def forward(self, h, eps):
        half = h.copy()
        half[:, eps.shape[1] :] *= 2
        z = super().forward(half, eps)
        self.logvar = h[:, eps.shape[1] :]
        return z


@pytest.mark.parametrize("model", [VAE, IWAE])
@pytest.mark.parametrize("settings", [{}, {"binarisation": "dynamic"}, {"likelihood": "gaussian", "variance": 0.01}])
def test_a_right_model_is_consistent(model, settings, seed, X):
    vae = small(model, random_state=seed, epochs=15, **settings).fit(X)
    for data in (X[:60], None):
        report = consistency_check(vae, data, n_samples=300, random_state=seed)
        assert report.ok, f"\n{report}"
    assert [row.name for row in report.rows][-3:] == [
        "KL: closed form, Monte Carlo",
        "ELBO <= IWAE-10",
        "IWAE-10 <= IWAE-100",
    ]
    assert "WRONG" not in str(report)
    assert ("dynamic" in str(report)) == ("binarisation" in settings)


def test_a_sampler_with_the_wrong_sigma_is_caught(xp, X):
    vae = small(epochs=15).fit(X)
    assert consistency_check(vae, X[:50], n_samples=200).ok
    vae.sample_ = Broken()
    report = consistency_check(vae, X[:50], n_samples=200)
    wrong = [row.name for row in report.rows if not row.ok]
    assert not report.ok
    assert "z: variance of (z - mu) / sigma" in wrong
    assert "KL: closed form, Monte Carlo" in wrong
    assert str(report).count("WRONG") == len(wrong)


def test_a_model_trained_with_the_wrong_sigma_is_caught(monkeypatch, X):
    """Trained around its mistake, as it would be in the wild, it is still caught."""
    monkeypatch.setattr("scratchnet.autoencoders.variational.GaussianSample", Broken)
    vae = small(epochs=40).fit(X)
    assert isinstance(vae.sample_, Broken)
    assert not consistency_check(vae).ok


def test_a_wrong_closed_form_is_caught(monkeypatch, X):
    vae = small(epochs=15).fit(X)
    right = type(vae).kl_entries
    monkeypatch.setattr(type(vae), "kl_entries", lambda self, *data: 0.9 * right(self, *data))
    assert "KL: closed form, Monte Carlo" in [row.name for row in consistency_check(vae, X).rows if not row.ok]


def test_bounds_in_the_wrong_order_are_caught(monkeypatch, X):
    """Weights that are too small put the importance bound below the ELBO."""
    vae = small(epochs=15).fit(X)
    monkeypatch.setattr(
        "scratchnet.autoencoders.consistency.evidence.log_weights", lambda *args: log_weights(*args) - 1.0
    )
    assert [row.name for row in consistency_check(vae, X).rows if not row.ok] == ["ELBO <= IWAE-10"]


def test_conditional_models_are_checked_on_data(X):
    y = np.arange(120) % 2
    model = small(ConditionalVAE, epochs=15).fit(X, y)
    assert consistency_check(model, X, y, n_samples=200).ok
    with pytest.raises(ValueError, match="pass X and y"):
        consistency_check(model)
    with pytest.raises(TypeError, match="needs a variational autoencoder, got PCA"):
        consistency_check(PCA())
