"""PCA: published numbers, the Lagrangian, probabilistic PCA, degenerate data, conventions."""

from __future__ import annotations

import pickle
import tracemalloc
import warnings

import numpy as np
import pytest
from sklearn import decomposition
from sklearn.datasets import load_digits, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from scratchnet import rows
from scratchnet.backend import asarray, to_numpy
from scratchnet.base import NotFittedError
from scratchnet.decomposition import PCA, scatter

IRIS, DIGITS = load_iris().data, load_digits().data


with warnings.catch_warnings():  # "does not inherit from sklearn.base.BaseEstimator": on purpose
    warnings.simplefilter("ignore", UserWarning)
    conventions = parametrize_with_checks([PCA(), PCA(n_components=1, whiten=True)])


@conventions
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


# -- reference numbers ------------------------------------------------------------------------------------------------


def test_iris(xp):
    pca = PCA().fit(IRIS)
    np.testing.assert_allclose(
        to_numpy(pca.explained_variance_ratio_), [0.924619, 0.053066, 0.017103, 0.005212], atol=5e-7
    )
    np.testing.assert_allclose(to_numpy(pca.explained_variance_), [4.22824, 0.24267, 0.07821, 0.02384], atol=6e-6)


def test_digits(xp, dtype):
    pca = PCA(3).fit(DIGITS.astype(dtype))
    np.testing.assert_allclose(to_numpy(pca.explained_variance_ratio_), [0.148906, 0.136188, 0.117946], atol=5e-7)
    np.testing.assert_allclose(to_numpy(pca.explained_variance_), [179.00693, 163.71775, 141.78844], rtol=1e-6)
    assert pca.explained_variance_.dtype == pca.components_.dtype == pca.mean_.dtype == dtype
    assert float(PCA().fit(DIGITS).explained_variance_.sum()) == pytest.approx(1202.1477, abs=5e-5)


def test_mnist_test_file(mnist_root):
    from scratchnet.datasets import load_mnist

    X, _ = load_mnist("test", size="full", root=mnist_root)
    pca = PCA(50).fit(X)
    ratio = pca.explained_variance_ratio_
    np.testing.assert_allclose(ratio[:3], [0.100477, 0.075445, 0.061405], atol=1e-6)
    np.testing.assert_allclose(ratio.cumsum()[[1, 9, 49]], [0.1759, 0.4971, 0.8316], atol=5e-5)
    for k, error in (2, 0.055550), (10, 0.033903), (32, 0.016675):
        pca = PCA(k).fit(X)
        assert np.mean((pca.inverse_transform(pca.transform(X)) - X) ** 2) == pytest.approx(error, abs=5e-7)
    for k, error in (2, 0.058210), (10, 0.035298):  # held out; what a linear autoencoder comes to as well
        pca = PCA(k).fit(X[:9000])
        assert np.mean((pca.inverse_transform(pca.transform(X[9000:])) - X[9000:]) ** 2) == pytest.approx(
            error, abs=1e-6
        )


@pytest.mark.parametrize("n_components", [None, 1, 2, 4])
def test_equals_scikit_learn(n_components):
    ours, theirs = PCA(n_components).fit(IRIS), decomposition.PCA(n_components, svd_solver="full").fit(IRIS)
    for name in "components_", "explained_variance_", "explained_variance_ratio_", "singular_values_", "mean_":
        np.testing.assert_allclose(np.abs(getattr(ours, name)), np.abs(getattr(theirs, name)), atol=1e-12)
    np.testing.assert_allclose(np.abs(ours.transform(IRIS)), np.abs(theirs.transform(IRIS)), atol=1e-12)
    np.testing.assert_allclose(ours.score_samples(IRIS), theirs.score_samples(IRIS), rtol=1e-10)
    assert ours.noise_variance_ == pytest.approx(theirs.noise_variance_)
    assert ours.score(IRIS) == pytest.approx(theirs.score(IRIS))


@pytest.mark.parametrize("mean", [1e4, 1e6])
def test_far_from_the_origin(xp, mean):
    """At 1e6 the mean itself rounds by a thirtieth of a standard deviation; its share is taken out again."""
    X = (np.random.default_rng(0).standard_normal((2000, 3)) + mean).astype("float32")
    exact = np.sort(np.linalg.eigvalsh(np.cov(X.T.astype("float64"))))[::-1]
    np.testing.assert_allclose(to_numpy(PCA().fit(X).explained_variance_), exact, rtol=1e-6)


# -- what a principal component is ------------------------------------------------------------------------------------


def test_lagrangian_is_stationary(xp):
    """Maximising a'Sa under a'a = 1 needs S a = l a; components are uncorrelated and l_k is the variance of z_k."""
    pca = PCA().fit(DIGITS)
    S, A, variance = np.cov(DIGITS.T), to_numpy(pca.components_), to_numpy(pca.explained_variance_)
    np.testing.assert_allclose(S @ A.T, A.T * variance, atol=1e-10 * variance[0])
    np.testing.assert_allclose(A @ A.T, np.eye(64), atol=1e-12)
    np.testing.assert_allclose(np.cov(to_numpy(pca.transform(DIGITS)).T), np.diag(variance), atol=1e-10 * variance[0])


def test_no_direction_has_more_variance(rng):
    first = float(PCA(1).fit(IRIS).explained_variance_[0])
    directions = rng.standard_normal((4, 1000))
    directions /= np.linalg.norm(directions, axis=0)
    assert np.var(IRIS @ directions, axis=0, ddof=1).max() <= first


def test_largest_entry_is_positive(xp, dtype):
    A = to_numpy(PCA().fit(DIGITS[:, 10:50].astype(dtype)).components_)
    assert (A[np.arange(40), np.abs(A).argmax(axis=1)] > 0).all()
    B = to_numpy(PCA().fit(-DIGITS[:, 10:50].astype(dtype)).components_)
    np.testing.assert_allclose(A[:10], B[:10], atol=1e-5)


def test_inverse_is_the_projection(xp):
    pca = PCA(10).fit(DIGITS)
    back = to_numpy(pca.inverse_transform(pca.transform(DIGITS)))
    assert ((DIGITS - back) ** 2).sum() / 1796 == pytest.approx(pca.noise_variance_ * 54)
    whole = PCA().fit(DIGITS)
    np.testing.assert_allclose(to_numpy(whole.inverse_transform(whole.transform(DIGITS))), DIGITS, atol=1e-12)


def test_more_features_than_samples(xp, dtype):
    """The n x n side gives what the d x d side gives on the same data, padded with copies of rows."""
    X = DIGITS[:40].astype(dtype)
    wide, tall = PCA(5).fit(X), PCA(5).fit(np.tile(X, (2, 1)))
    tolerance = 1e-5 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(to_numpy(wide.components_), to_numpy(tall.components_), atol=tolerance)
    np.testing.assert_allclose(to_numpy(wide.singular_values_) * 2**0.5, to_numpy(tall.singular_values_), rtol=1e-5)


@pytest.mark.parametrize(("fraction", "k"), [(0.5, 1), (0.93, 2), (0.99, 3), (0.999, 4)])
def test_fraction_keeps_the_fewest_that_explain_it(xp, fraction, k):
    pca = PCA(fraction).fit(IRIS)
    assert pca.n_components_ == len(pca.components_) == k
    assert float(pca.explained_variance_ratio_.sum()) >= fraction > float(pca.explained_variance_ratio_[:-1].sum())


def test_whitened_scores_have_unit_covariance(xp):
    pca = PCA(5, whiten=True).fit(DIGITS)
    Z = pca.transform(DIGITS)
    np.testing.assert_allclose(np.cov(to_numpy(Z).T), np.eye(5), atol=1e-10)
    plain = PCA(5).fit(DIGITS)
    np.testing.assert_allclose(
        to_numpy(pca.inverse_transform(Z)), to_numpy(plain.inverse_transform(plain.transform(DIGITS))), atol=1e-10
    )


def test_noise_variance_with_fewer_rows_is_the_mean_over_all_directions_left_out():
    X = DIGITS[:20]
    assert PCA(3).fit(X).noise_variance_ == pytest.approx(np.linalg.eigvalsh(np.cov(X.T))[:-3].sum() / 61)


def test_score_is_a_density(rng):
    """The likelihood of the fitted Gaussian, computed the long way round through its covariance."""
    pca = PCA(2).fit(IRIS)
    A, L, s2 = pca.components_, pca.explained_variance_, pca.noise_variance_
    C = A.T @ np.diag(L - s2) @ A + s2 * np.eye(4)
    x = IRIS - pca.mean_
    expected = -0.5 * (4 * np.log(2 * np.pi) + np.linalg.slogdet(C)[1] + (x @ np.linalg.inv(C) * x).sum(axis=1))
    np.testing.assert_allclose(pca.score_samples(IRIS), expected, rtol=1e-10)


def test_denoising_by_projection(mnist_root):
    """What noise adds along the directions left out is removed: the best width of each noise level, known errors."""
    from scratchnet.datasets import load_mnist

    X, _ = load_mnist("test", size="full", root=mnist_root)
    X, X_test = X[:9000], X[9000:]
    for sd, noisy_error, error in (0.3, 0.0465, 0.0168), (0.5, 0.1152, 0.0310):
        noise = np.random.default_rng(0).standard_normal(X_test.shape).astype("float32")
        noisy = np.clip(X_test + sd * noise, 0, 1)
        assert ((noisy - X_test) ** 2).mean() == pytest.approx(noisy_error, rel=0.01)
        errors = []
        for k in 10, 20, 30, 50, 80, 120:
            pca = PCA(k).fit(X)
            errors.append(((pca.inverse_transform(pca.transform(noisy)) - X_test) ** 2).mean())
        assert min(errors) == pytest.approx(error, rel=0.02)


# -- row by row -------------------------------------------------------------------------------------------------------

FITTED = "components_", "explained_variance_", "explained_variance_ratio_", "singular_values_", "mean_"


@pytest.mark.parametrize("sizes", [[1797], [1000, 797], [3, 1, 500, 1, 1292], [70] * 25 + [47]])
@pytest.mark.parametrize("shift", [0, 1e4])
def test_partial_fit_equals_fit_on_all_rows(xp, dtype, sizes, shift):
    X = (DIGITS + shift).astype(dtype)
    whole, parts = PCA(10).fit(X), PCA(10)
    for batch in np.split(X, np.cumsum(sizes)[:-1]):
        assert parts.partial_fit(batch) is parts
    # in float32 a component is as certain as its variance is apart from the next one
    tolerance = 1e-10 if dtype == "float64" and not shift else 2e-3 if shift else 1e-4
    for name in FITTED:
        ours, expected = to_numpy(getattr(parts, name)), to_numpy(getattr(whole, name))
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=tolerance)
    assert parts.noise_variance_ == pytest.approx(whole.noise_variance_, rel=tolerance)
    assert parts.n_samples_ == whole.n_samples_ == 1797
    assert parts.score(X) == pytest.approx(whole.score(X), rel=1e-4)


def test_partial_fit_is_a_pca_after_every_batch():
    """Fewer rows than components at first: as many components as there are rows."""
    pca = PCA(5, whiten=True)
    for before, n in (0, 1), (1, 3), (3, 30):
        pca.partial_fit(DIGITS[before:n])
        whole = PCA(min(5, n), whiten=True).fit(DIGITS[:n])
        assert pca.n_components_ == min(5, n)
        np.testing.assert_allclose(pca.explained_variance_, whole.explained_variance_, atol=1e-10)
        np.testing.assert_allclose(pca.transform(DIGITS[:n]), whole.transform(DIGITS[:n]), atol=1e-8)
        np.testing.assert_allclose(pca.noise_variance_, whole.noise_variance_, atol=1e-10)


def test_partial_fit_of_constant_and_repeated_batches(xp, dtype):
    pca = PCA().partial_fit(np.full((4, 3), 7.0, dtype)).partial_fit(np.full((2, 3), 7.0, dtype))
    assert not to_numpy(pca.explained_variance_).any()
    np.testing.assert_array_equal(to_numpy(pca.transform(np.full((1, 3), 7.0, dtype))), np.zeros((1, 3)))
    twice = PCA().partial_fit(IRIS.astype(dtype)).partial_fit(IRIS.astype(dtype))
    expected = to_numpy(PCA().fit(IRIS.astype(dtype)).explained_variance_) * (149 / 150) * (300 / 299)
    np.testing.assert_allclose(to_numpy(twice.explained_variance_), expected, rtol=1e-5)


@pytest.mark.parametrize("n", [2, 70])
def test_partial_fit_goes_on_after_fit_and_pickle(n):
    pca = pickle.loads(pickle.dumps(PCA(2).fit(IRIS[:n]))).partial_fit(IRIS[n:])
    np.testing.assert_allclose(pca.components_, PCA(2).fit(IRIS).components_, atol=1e-12)
    np.testing.assert_array_equal(pca.fit(IRIS[:50]).mean_, PCA(2).fit(IRIS[:50]).mean_)  # and fit starts anew


def test_partial_fit_checks_its_batches():
    pca = PCA(2).partial_fit(IRIS)
    with pytest.raises(ValueError, match="X has 3 features, but PCA is expecting 4"):
        pca.partial_fit(IRIS[:, :3])
    with pytest.raises(ValueError, match="X contains NaN"):
        pca.partial_fit(np.full((2, 4), np.nan))
    np.testing.assert_array_equal(pca.components_, PCA(2).partial_fit(IRIS).components_)  # unharmed
    pca = PCA(5)
    for _ in range(2):
        with pytest.raises(ValueError, match="n_components=5 must be between 1 and 4"):
            pca.partial_fit(IRIS)


# -- degenerate data --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 3), (1, 1), (2, 5), (5, 2), (6, 6)])
@pytest.mark.parametrize("whiten", [False, True])
def test_constant_data(xp, dtype, shape, whiten):
    X = np.full(shape, 7.0, dtype)
    pca = PCA(whiten=whiten).fit(X)
    k = min(shape)
    A = to_numpy(pca.components_)
    np.testing.assert_allclose(A @ A.T, np.eye(k), atol=1e-6)
    for values in pca.explained_variance_, pca.explained_variance_ratio_, pca.singular_values_:
        np.testing.assert_array_equal(to_numpy(values), np.zeros(k))
    np.testing.assert_array_equal(to_numpy(pca.transform(X)), np.zeros((shape[0], k)))
    np.testing.assert_array_equal(to_numpy(pca.inverse_transform(pca.transform(X))), X)
    with pytest.raises(ValueError, match="singular"):
        pca.score(X)


@pytest.mark.parametrize("shape", [(30, 6), (6, 30)])
def test_low_rank(xp, dtype, shape):
    rng = np.random.default_rng(1)
    X = (rng.standard_normal((shape[0], 2)) @ rng.standard_normal((2, shape[1])) + 3).astype(dtype)
    pca = PCA(whiten=True).fit(X)
    A, variance = to_numpy(pca.components_), to_numpy(pca.explained_variance_)
    np.testing.assert_allclose(A @ A.T, np.eye(6), atol=1e-5 if dtype == "float32" else 1e-12)
    assert (variance >= 0).all()
    assert variance[2] < 1e-5 * variance[1]
    Z = to_numpy(pca.transform(X))
    assert (Z[:, 2:] == 0).all()  # not rounding noise blown up to unit variance
    np.testing.assert_allclose(Z[:, :2].std(axis=0, ddof=1), 1, rtol=1e-4)
    np.testing.assert_allclose(to_numpy(pca.inverse_transform(pca.transform(X))), X, atol=1e-4)


def test_a_small_variance_is_not_taken_for_none(xp, dtype):
    """A ten-thousandth of the largest variance bears a likelihood and whitened scores, in float32 too."""
    X = (np.random.default_rng(0).standard_normal((1000, 300)) * np.geomspace(1, 1e-2, 300)).astype(dtype)
    pca = PCA(whiten=True).fit(X)
    assert np.isfinite(pca.score(X))
    np.testing.assert_allclose(to_numpy(pca.transform(X)).std(axis=0, ddof=1), 1, rtol=1e-2)


def test_fraction_of_constant_data_is_one_component():
    assert PCA(0.9).fit(np.ones((5, 3))).n_components_ == 1


# -- input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_components", "error", "message"),
    [
        (0, ValueError, "n_components=0 must be between 1 and 4"),
        (5, ValueError, "n_components=5 must be between 1 and 4"),
        (1.0, ValueError, "ambiguous"),
        (0.0, ValueError, "n_components=0 must be above 0"),
        (-0.5, ValueError, "n_components=-0.5"),
        ("mle", TypeError, "n_components='mle' must be an integer"),
        (True, TypeError, "n_components=True"),
    ],
)
def test_n_components_is_checked(n_components, error, message):
    with pytest.raises(error, match=message):
        PCA(n_components).fit(IRIS)


@pytest.mark.parametrize("n", [3, 50])
def test_overflow_is_refused(xp, dtype, n):
    X = np.random.default_rng(0).standard_normal((n, 5)).astype(dtype)
    largest = float(np.finfo(dtype).max)
    pca = PCA(2).fit(X * np.dtype(dtype).type(1e-3 * largest**0.5))
    assert np.isfinite(to_numpy(pca.explained_variance_)).all()
    before = pca.components_
    for scale in 10 * largest**0.5, 0.1 * largest:
        for fit in pca.fit, PCA(2).partial_fit:
            with pytest.raises(ValueError, match=f"variances overflow {dtype}; scale it down"):
                fit(X * np.dtype(dtype).type(scale))
    assert pca.components_ is before


def test_not_fitted():
    for call in PCA().transform, PCA().inverse_transform, PCA().score:
        with pytest.raises(NotFittedError, match="not fitted"):
            call(IRIS)


def test_scores_must_fit_the_components():
    with pytest.raises(ValueError, match="Z has 3 features"):
        PCA(2).fit(IRIS).inverse_transform(np.zeros((1, 3)))


def test_input_is_not_written_to(xp):
    X = IRIS.copy()
    X.setflags(write=False)
    pca = PCA(2, whiten=True).fit(X)
    pca.score(X)
    Z = to_numpy(pca.transform(X))
    Z.setflags(write=False)
    pca.inverse_transform(asarray(Z))


def test_blocks_do_not_matter(monkeypatch, tmp_path):
    """A file mapped into memory, read seven rows at a time, gives the same components."""
    mapped = np.memmap(tmp_path / "iris", dtype="float64", mode="w+", shape=IRIS.shape)
    mapped[...] = IRIS
    whole = PCA().fit(IRIS)
    monkeypatch.setattr(scatter, "_ROWS", 7)
    monkeypatch.setattr(rows, "_ROWS_ON_HOST", 7)
    np.testing.assert_allclose(PCA().fit(mapped).components_, whole.components_, atol=1e-12)


@pytest.mark.parametrize("kind", ["float32", "uint8", "int16"])
def test_data_on_disk_are_read_in_blocks(tmp_path, kind):
    X = (20 * np.random.default_rng(0).standard_normal((50_000, 100)) + 128).clip(0, 255).astype(kind)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    tracemalloc.start()
    pca = PCA(2).fit(mapped)
    Z, score = pca.transform(mapped), pca.score(mapped)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * X.size / 3  # a block for each thread, and what it becomes in float64
    assert pca.components_.dtype == Z.dtype == "float32"
    in_memory = PCA(2).fit(X.astype("float32"))
    np.testing.assert_array_equal(Z, in_memory.transform(X.astype("float32")))
    assert score == in_memory.score(X.astype("float32"))


@pytest.mark.parametrize("kind", ["uint8", "int16", "bool", "int32"])
@pytest.mark.parametrize("shape", [(40, 6), (6, 40)])
def test_integers_give_what_their_floats_give(xp, kind, shape, rng):
    X = rng.integers(0, 2 if kind == "bool" else 100, shape).astype(kind)
    ours, floats = PCA(3).fit(asarray(X)), PCA(3).fit(asarray(X.astype("float32")))
    for name in "components_", "explained_variance_", "mean_", "singular_values_":
        np.testing.assert_array_equal(to_numpy(getattr(ours, name)), to_numpy(getattr(floats, name)))
        assert getattr(ours, name).dtype == "float32"
    np.testing.assert_array_equal(to_numpy(ours.transform(X)), to_numpy(floats.transform(X.astype("float32"))))
    np.testing.assert_array_equal(
        to_numpy(ours.partial_fit(X).components_), to_numpy(floats.partial_fit(X.astype("float32")).components_)
    )


@pytest.mark.parametrize("kind", ["uint8", "bool"])
def test_constant_integers(xp, kind):
    assert to_numpy(PCA(1).fit(asarray(np.ones((5, 3), dtype=kind))).explained_variance_).tolist() == [0]


def test_where_rows_live_does_not_matter(run_everywhere):
    X, bits = np.random.default_rng(0).standard_normal((5000, 9)).astype("float32"), set()

    def run():
        pca = PCA().fit(X)
        parts = pca.components_, pca.explained_variance_, pca.mean_, pca.transform(X), pca.score_samples(X)
        bits.add(b"".join(a.tobytes() for a in parts))

    run_everywhere(run)
    assert len(bits) == 1


@pytest.mark.parametrize(("n", "d"), [(1, 1), (33, 5), (300, 40)])
def test_moments_formula_and_twin(n, d, dtype):
    x = (np.random.default_rng(n).standard_normal((n, d)) + 7).astype(dtype)
    near = x[0] + 1
    tolerance = 20 * n**0.5 * np.finfo(dtype).eps
    for given in x, x.astype("uint8"):
        for a, b in zip(scatter.moments.formula(given, near), scatter.moments.host(given, near), strict=True):
            assert a.dtype == b.dtype == "float64"
            np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance * n)


@pytest.mark.parametrize("order", ["sorted", "first block far away"])
def test_rows_in_an_unlucky_order(xp, dtype, order):
    """The first block is what rows are centred about: where it is far from the mean, variances stay right."""
    X = np.random.default_rng(0).standard_normal((20_000, 3)) @ [[1, 0.5, 0], [0, 1, 0.2], [0, 0, 1]]
    X = np.sort(X, axis=0) if order == "sorted" else X + 1e3 * (np.arange(20_000) < 2048)[:, None]
    X = X.astype(dtype)
    exact = np.linalg.eigvalsh(np.cov(X.T.astype("float64")))[::-1]
    found = to_numpy(PCA().fit(X).explained_variance_)
    np.testing.assert_allclose(found, exact, atol=(3e-6 if dtype == "float32" else 1e-13) * exact[0])


def test_steps(xp):
    pca = PCA(2)
    states = list(pca.steps(IRIS))
    assert [s.iteration for s in states] == [0, 1, 2]
    assert [s.step for s in states] == ["mean", "scatter", "components"]
    total = float(np.cov(IRIS.T).trace())
    assert np.isnan(states[0].objective)
    assert states[1].objective == pytest.approx(total)
    assert states[2].objective == pytest.approx(total - float(pca.explained_variance_.sum()))
    assert states[0].seconds <= states[1].seconds <= states[2].seconds
    np.testing.assert_array_equal(to_numpy(pca.components_), to_numpy(PCA(2).fit(IRIS).components_))
    wide = list(PCA(3).steps(DIGITS[:20]))
    assert wide[1].objective == pytest.approx(float(np.cov(DIGITS[:20].T).trace()))


def test_steps_left_early_leave_what_was_there():
    pca = PCA(2)
    with pytest.raises(ValueError, match="n_components=5"):
        PCA(5).steps(IRIS)  # at the call
    next(pca.steps(IRIS))
    with pytest.raises(NotFittedError):
        pca.transform(IRIS)
    before = pca.fit(IRIS).components_
    next(pca.steps(DIGITS))
    assert pca.components_ is before


def test_rank():
    assert PCA(1).fit(IRIS).rank_ == 4
    assert PCA().fit(np.ones((5, 3))).rank_ == 0
    assert PCA().fit(DIGITS).rank_ == np.linalg.matrix_rank(DIGITS - DIGITS.mean(axis=0))


def test_works_in_a_pipeline_and_with_data_frames():
    import pandas as pd

    frame = pd.DataFrame(IRIS, columns=["a", "b", "c", "d"])
    pca = PCA(2).fit(frame)
    assert list(pca.feature_names_in_) == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="feature names should match"):
        pca.transform(frame[["b", "a", "c", "d"]])
    assert make_pipeline(PCA(3), PCA(2)).fit_transform(IRIS).shape == (150, 2)
