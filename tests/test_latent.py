"""Walks, densities and outlier scores on codes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as SklearnMixture

from scratchnet.autoencoders import VAE, Autoencoder, ConditionalVAE
from scratchnet.autoencoders.latent import (
    GaussianDensity,
    GaussianMixture,
    attribute_vector,
    interpolate,
    likely_but_grey,
    manifold_grid,
    outlier_scores,
    traverse,
)
from scratchnet.backend import asarray, get_xp, to_numpy
from scratchnet.datasets import load_fashion_mnist, load_mnist
from scratchnet.metrics import auroc

# -- walks ------------------------------------------------------------------------------------------------------------


def test_straight_line(xp, dtype):
    codes = interpolate(asarray([0, 2], dtype), asarray([4, 0], dtype), 5)
    assert codes.dtype == dtype
    np.testing.assert_allclose(to_numpy(codes), [[0, 2], [1, 1.5], [2, 1], [3, 0.5], [4, 0]], atol=1e-6)


def test_great_arc(xp):
    codes = to_numpy(interpolate(asarray([3.0, 0.0, 0.0]), asarray([0.0, 0.0, 3.0]), 4, spherical=True))
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 3, rtol=1e-12)
    angles = np.degrees(np.arctan2(codes[:, 2], codes[:, 0]))
    np.testing.assert_allclose(angles, [0, 30, 60, 90], atol=1e-9)


def test_arcs_between_parallel_codes_are_lines():
    z = np.array([1.0, 2.0])
    np.testing.assert_allclose(interpolate(z, 2 * z, 3, spherical=True), [z, 1.5 * z, 2 * z])


def test_traverse_moves_one_latent(xp):
    z = asarray([1.0, 2.0, 3.0])
    codes = to_numpy(traverse(z, 1, [-1, 0, 5]))
    np.testing.assert_array_equal(codes, [[1, -1, 3], [1, 0, 3], [1, 5, 3]])
    np.testing.assert_array_equal(to_numpy(z), [1, 2, 3])


def test_manifold_grid_is_even_in_probability(xp):
    grid = to_numpy(manifold_grid(21, tail=0.1)).reshape(21, 21, 2)
    np.testing.assert_allclose(grid[10, 10], 0, atol=1e-7)
    np.testing.assert_allclose(grid[0, 0], [-1.2815516, 1.2815516], rtol=1e-6)  # the normal's 10% quantile; top left
    np.testing.assert_allclose(grid[0, :, 0], grid[20, :, 0])
    x = grid[0, :, 0]
    assert (np.diff(x) > 0).all()
    assert np.diff(x)[0] > 1.5 * np.diff(x)[10], "wider where the prior is thinner"


def test_attribute_vector_is_a_difference_of_means(xp, rng):
    Z, has = rng.standard_normal((50, 3)), rng.uniform(size=50) < 0.4
    vector = to_numpy(attribute_vector(asarray(Z), has))
    np.testing.assert_allclose(vector, Z[has].mean(axis=0) - Z[~has].mean(axis=0), rtol=1e-12)


def test_adding_an_attribute_reaches_those_that_have_it(rng):
    """z_b + (z_a - z_c) in a space where the attribute is a shift."""
    base, shift, has = rng.standard_normal((200, 4)), np.array([2.0, 0, -1, 0]), np.arange(200) % 2 == 0
    vector = attribute_vector(base + has[:, None] * shift, has)
    np.testing.assert_allclose(vector, shift, atol=0.6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interpolate(np.zeros(2), np.zeros(3)), r"two codes \(n_latent,\), got \(2,\) and \(3,\)"),
        (lambda: interpolate(np.zeros(2), np.ones(2), spherical=True), "a code at the origin has no direction"),
        (lambda: interpolate(np.zeros(2), np.ones(2), 1), "n_steps=1 must be at least 2"),
        (lambda: traverse(np.zeros(2), 2, [0]), "latent=2 must be between 0 and 1"),
        (lambda: traverse(np.zeros((2, 2)), 0, [0]), r"z must be one code \(n_latent,\)"),
        (lambda: attribute_vector(np.zeros((3, 2)), [True] * 3), "has is the same for all codes"),
        (lambda: attribute_vector(np.zeros((3, 2)), [True] * 2), r"a boolean for each of 3 codes, got shape \(2,\)"),
        (lambda: manifold_grid(1), "n=1 must be at least 2"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_one_has_and_another_has_not_can_be_given_to_a_third(trained):
    """z_b + (z_a - z_c) on means: a and c differ in kind, so b changes its kind."""
    vae, _, X, _ = trained
    Z, odd = vae.transform(X), X[:, 1] > 0.5
    a, c, b = Z[odd][0], Z[~odd][0], Z[~odd][1:40]
    turned = vae.inverse_transform(b + (a - c))
    assert (turned[:, 1] > turned[:, 0]).mean() > 0.9
    assert (vae.inverse_transform(b)[:, 1] < vae.inverse_transform(b)[:, 0]).all()


def test_walks_leave_codes_alone(xp):
    a, b = np.array([1.0, 2.0]), np.array([3.0, -1.0])
    a.flags.writeable = b.flags.writeable = False
    z_a, z_b = asarray(a), asarray(b)
    for codes in (interpolate(z_a, z_b), interpolate(z_a, z_b, spherical=True), traverse(z_a, 0, [1.0, 2.0])):
        assert get_xp(codes) is xp
    np.testing.assert_array_equal(to_numpy(z_a), [1, 2])


def test_the_arc_keeps_the_length_that_the_line_loses(rng):
    """Draws from N(0, I) in 20 dimensions have a length near 4.5; the middle of a line between two has 3.2."""
    a, b = rng.standard_normal((2, 20))
    line, arc = (np.linalg.norm(interpolate(a, b, 11, spherical=s)[5]) for s in (False, True))
    ends = (np.linalg.norm(a) + np.linalg.norm(b)) / 2
    assert line < 0.85 * ends
    assert arc == pytest.approx(ends, rel=0.1)


# -- densities --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_gaussian_density(xp, covariance, rng):
    X = rng.standard_normal((400, 3)) @ rng.standard_normal((3, 3)) + [1, 2, 3]
    density = GaussianDensity(covariance).fit(X)
    C = np.cov(X.T, bias=True)
    C = C if covariance == "full" else np.diag(np.diag(C))
    np.testing.assert_allclose(to_numpy(density.covariance_), C, rtol=1e-9, atol=1e-9)
    delta = X - X.mean(axis=0)
    expected = -0.5 * (np.einsum("ij,jk,ik->i", delta, np.linalg.inv(C), delta) + np.linalg.slogdet(2 * np.pi * C)[1])
    np.testing.assert_allclose(to_numpy(density.log_density(X)), expected, rtol=1e-8)
    drawn = to_numpy(density.sample(40_000, random_state=0))
    np.testing.assert_allclose(drawn.mean(axis=0), X.mean(axis=0), atol=4.5 * (np.diag(C).max() / 40_000) ** 0.5)
    np.testing.assert_allclose(np.cov(drawn.T), C, atol=0.05 * np.diag(C).max())


def test_a_mixture_equals_scikit_learns(rng):
    """Same optimum from well separated starts; its likelihood never falls on the way."""
    centers = np.array([[0.0, 0], [6, 0], [0, 6]])
    X = centers[rng.integers(0, 3, 600)] + rng.standard_normal((600, 2)) @ [[1, 0.5], [0, 0.7]]
    ours = GaussianMixture(3, regularization=0.0, tol=1e-9, max_iter=300, random_state=0).fit(X)
    theirs = SklearnMixture(3, reg_covar=0, tol=1e-9, max_iter=300, random_state=0).fit(X)
    assert ours.log_density(X).mean() == pytest.approx(theirs.score(X), abs=1e-5)
    np.testing.assert_allclose(np.sort(ours.weights_), np.sort(theirs.weights_), atol=1e-3)
    assert (np.diff(ours.log_likelihood_) > -1e-9).all()
    assert GaussianDensity().fit(X).log_density(X).mean() < ours.log_density(X).mean() - 0.3


def test_the_rounds_of_a_mixture(rng):
    """What a loop has seen when it is left early is the fit; what is refused is refused at the call."""
    X = np.concatenate([rng.standard_normal((200, 2)), rng.standard_normal((200, 2)) + 2])
    whole = GaussianMixture(3, tol=1e-6, random_state=0).fit(X)
    mixture = GaussianMixture(3, tol=1e-6, random_state=0)
    states = list(mixture.steps(X))
    assert [s.objective for s in states] == mixture.log_likelihood_ == whole.log_likelihood_
    assert [s.iteration for s in states] == list(range(1, len(states) + 1))
    assert (np.diff([s.seconds for s in states]) >= 0).all()
    assert str(states[0]) == f"round 1: {states[0].objective:.4f} nats"
    for state in mixture.steps(X):
        if state.iteration == 2:
            break
    assert mixture.log_likelihood_ == whole.log_likelihood_[:2]
    with pytest.raises(ValueError, match="max_iter=0 must be at least 1"):
        GaussianMixture(max_iter=0).steps(X)


def test_mixture_draws_follow_its_density(xp, rng):
    X = np.concatenate([rng.standard_normal((300, 2)), rng.standard_normal((100, 2)) + 8])
    mixture = GaussianMixture(2, random_state=0).fit(X)
    drawn = to_numpy(mixture.sample(20_000, random_state=1))
    assert (drawn.sum(axis=1) > 8).mean() == pytest.approx(0.25, abs=0.02)
    assert float(mixture.log_density(drawn).mean()) == pytest.approx(float(mixture.log_density(X).mean()), abs=0.06)


def test_degenerate_codes_are_defined(xp):
    X = np.tile([[1.0, 2.0]], (10, 1))
    X[:, 1] = np.arange(10)
    for model in (GaussianDensity(), GaussianMixture(2, random_state=0)):
        assert np.isfinite(to_numpy(model.fit(X).log_density(X))).all()


# -- outliers ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    """A VAE and an autoencoder on two kinds of striped images, and strangers: unstriped noise."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 400)[:, None]
    X = np.where(np.arange(16) % 2 == kind, 0.9, 0.1) + rng.uniform(-0.1, 0.1, (400, 16))
    settings = {"hidden": (16,), "n_latent": 3, "epochs": 60, "learning_rate": 5e-3, "random_state": 0}
    strangers = rng.uniform(size=(100, 16))
    return VAE(**settings).fit(X), Autoencoder(**settings).fit(X), X.astype("float32"), strangers.astype("float32")


@pytest.mark.parametrize("kind", ["error", "elbo", "mahalanobis", "typicality", "kl"])
def test_strangers_score_higher(trained, kind):
    vae, _, X, strangers = trained
    scores = [to_numpy(outlier_scores(vae, data, kind, reference=X)) for data in (X, strangers)]
    assert [s.shape for s in scores] == [(400,), (100,)]
    truth = np.repeat([0, 1], [400, 100])
    least = {"error": 0.99, "elbo": 0.99, "typicality": 0.99, "mahalanobis": 0.6, "kl": 0.0}[kind]
    assert auroc(truth, np.concatenate(scores)) >= least


def test_a_model_of_rich_images_finds_simple_strangers_more_probable():
    """Trained on clothes, digits as strangers: -ELBO is inverted, the squared error is not. On all of Fashion-MNIST's
    test file AUROC .31 and .98 (benchmarks/references.py)."""
    (clothes, _), (digits, _) = load_fashion_mnist("test"), load_mnist("test")
    vae = VAE((200,), 20, epochs=25, learning_rate=2e-3, random_state=0).fit(clothes[:800])
    truth = np.repeat([0, 1], [200, 500])

    def separation(kind):
        scores = [outlier_scores(vae, X, kind, reference=clothes[:800]) for X in (clothes[800:], digits[:500])]
        return auroc(truth, np.concatenate(scores))

    assert 0.2 < separation("elbo") < 0.45
    assert separation("kl") < 0.3
    assert separation("error") > 0.9


def test_scores_by_definition(trained):
    vae, plain, X, _ = trained
    np.testing.assert_allclose(outlier_scores(plain, X), np.square(plain.reconstruct(X) - X).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(outlier_scores(vae, X, "kl").mean(), vae.kl_per_latent(X).sum(), rtol=1e-4)
    Z = plain.transform(X).astype("float64")
    delta = Z - Z.mean(axis=0)
    expected = np.einsum("ij,jk,ik->i", delta, np.linalg.inv(np.cov(Z.T, bias=True)), delta)
    np.testing.assert_allclose(outlier_scores(plain, X, "mahalanobis", reference=X), expected, rtol=1e-6)


def test_scores_that_do_not_apply(trained):
    _, plain, X, _ = trained
    with pytest.raises(TypeError, match="kind='elbo' needs a VAE, got Autoencoder"):
        outlier_scores(plain, X, "elbo")
    with pytest.raises(ValueError, match="pass reference="):
        outlier_scores(plain, X, "mahalanobis")
    with pytest.raises(ValueError, match="kind='entropy' is unknown"):
        outlier_scores(plain, X, "entropy")


def test_conditional_models_are_refused_by_name(trained):
    _, _, X, _ = trained
    model = ConditionalVAE(hidden=(4,), n_latent=2, epochs=0).fit(X, np.arange(len(X)) % 2)
    for call in (lambda: outlier_scores(model, X), lambda: likely_but_grey(model, np.zeros((1, 2)))):
        with pytest.raises(TypeError, match="needs an unconditional model, got ConditionalVAE"):
            call()


def test_likely_codes_can_decode_badly(trained):
    vae, _, _, _ = trained
    z = vae.prior(50, 1)
    worse = likely_but_grey(vae, z)
    np.testing.assert_allclose(np.linalg.norm(worse, axis=1), np.linalg.norm(z, axis=1), rtol=1e-4)
    grey = [4 * p * (1 - p) for p in (vae.inverse_transform(z), vae.inverse_transform(worse))]
    assert (grey[1].sum(axis=1) >= grey[0].sum(axis=1) - 0.05).mean() > 0.9
    assert grey[1].mean() > 1.2 * grey[0].mean()
    assert get_xp(worse) is np
    with pytest.raises(ValueError, match="Z has 2 features, but VAE is expecting 3"):
        likely_but_grey(vae, z[:, :2])
    with pytest.raises(ValueError, match="likelihood='gaussian'"):
        likely_but_grey(VAE(likelihood="gaussian", epochs=0).fit(np.zeros((2, 2))), z)
