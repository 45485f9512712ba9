"""k-means: reference numbers, hand-computed steps, weights, empty clusters, starts, both backends, conventions."""

from __future__ import annotations

import pickle
import tracemalloc
import warnings

import numpy as np
import pytest
from sklearn import cluster
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from scratchnet import rows
from scratchnet.backend import asarray, get_xp, to_numpy
from scratchnet.base import NotFittedError
from scratchnet.cluster import KMeans, lloyd, steps
from scratchnet.cluster.geometry import Euclidean
from scratchnet.cluster.seeding import Draw, draw, kmeans_plusplus, left, random_rows
from scratchnet.cluster.steps import cut
from scratchnet.decomposition import PCA
from scratchnet.metrics import adjusted_rand, clustering_accuracy, normalized_mutual_info
from scratchnet.rows import live_on
from scratchnet.testing.homes import ForgetfulRows, worker_processes

IRIS, SPECIES = load_iris(return_X_y=True)
DIGITS, NUMERALS = load_digits(return_X_y=True)

EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": "starts are drawn by row number, and rows that are repeated and "
    "shuffled have other numbers; from a given start, weights do equal repetitions (tested below)",
}

with warnings.catch_warnings():  # "does not inherit from sklearn.base.BaseEstimator": on purpose
    warnings.simplefilter("ignore", UserWarning)
    conventions = parametrize_with_checks(
        [
            KMeans(n_clusters=2),
            KMeans(n_clusters=3, init="random", n_init=2),
            KMeans(n_clusters=3, metric="cosine"),
            KMeans(n_clusters=3, metric="manhattan"),
        ],
        expected_failed_checks=lambda _: EXPECTED_FAILURES,
    )


@conventions
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def blobs(n=60, d=3, k=4, seed=0, dtype="float64"):
    rng = np.random.default_rng(seed)
    centers = 10 * rng.standard_normal((k, d))
    return (centers[np.arange(n) % k] + rng.standard_normal((n, d))).astype(dtype)


def objective(X, labels, centers, weight=1.0):
    X, labels, centers = (to_numpy(a) for a in (X, labels, centers))
    return float((weight * ((X.astype("float64") - centers[labels]) ** 2).sum(axis=1)).sum())


# -- reference numbers ------------------------------------------------------------------------------------------------


def test_iris(xp, dtype):
    km = KMeans(3, n_init=10, random_state=0).fit(IRIS.astype(dtype))
    assert km.inertia_ == pytest.approx(78.851441, abs=1e-6 if dtype == "float64" else 1e-4)
    assert normalized_mutual_info(SPECIES, km.labels_) == pytest.approx(0.7582, abs=5e-5)
    assert km.cluster_centers_.dtype == dtype
    assert get_xp(km.labels_) is get_xp(km.cluster_centers_) is xp


def test_digits():
    """The best of hundreds of starts, from the start that finds it."""
    km = KMeans(10, tol=0, random_state=203).fit(DIGITS)
    assert km.inertia_ <= 1165127.4625
    assert normalized_mutual_info(NUMERALS, km.labels_) == pytest.approx(0.7428, abs=2e-3)
    assert adjusted_rand(NUMERALS, km.labels_) == pytest.approx(0.6668, abs=2e-3)
    assert clustering_accuracy(NUMERALS, km.labels_) == pytest.approx(0.7924, abs=2e-3)


def test_mnist_test_file(mnist_root):
    """The reference is the best of ten of scikit-learn's starts; ten others end within a thousandth of it."""
    from scratchnet.datasets import load_mnist

    X, y = load_mnist("test", size="full", root=mnist_root)
    km = KMeans(10, n_init=10, random_state=0).fit(X)
    assert km.inertia_ / len(X) == pytest.approx(38.9381, rel=1e-3)
    assert normalized_mutual_info(y, km.labels_) == pytest.approx(0.4997, abs=0.01)
    assert adjusted_rand(y, km.labels_) == pytest.approx(0.377, abs=0.01)
    assert clustering_accuracy(y, km.labels_) == pytest.approx(0.5423, abs=0.02)


@pytest.mark.parametrize("k", [2, 8, 30])
def test_equals_scikit_learn_from_the_same_start(xp, dtype, k):
    X = blobs(500, 6, 12, dtype=dtype)
    start = X[:k]
    ours = KMeans(k, init=start, tol=0).fit(X)
    theirs = cluster.KMeans(k, init=start, n_init=1, tol=0, algorithm="lloyd").fit(X)
    np.testing.assert_array_equal(to_numpy(ours.labels_), theirs.labels_)
    np.testing.assert_allclose(to_numpy(ours.cluster_centers_), theirs.cluster_centers_, rtol=1e-5, atol=1e-5)
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-6)
    assert ours.n_iter_ == theirs.n_iter_


# -- the steps --------------------------------------------------------------------------------------------------------


def test_steps_by_hand(xp, dtype):
    X = asarray(np.array([[0.0, 0], [1, 0], [4, 0], [9, 0]], dtype))
    states = list(KMeans(2, init=[[0, 0], [1, 0]]).steps(X))
    seen = [(s.step, s.n_iter, s.labels if s.labels is None else to_numpy(s.labels).tolist()) for s in states]
    assert seen == [
        ("start", 0, None),
        ("assign", 1, [0, 1, 1, 1]),
        ("move", 1, [0, 1, 1, 1]),
        ("assign", 2, [0, 0, 1, 1]),
        ("move", 2, [0, 0, 1, 1]),
        ("assign", 3, [0, 0, 1, 1]),
        ("end", 3, [0, 0, 1, 1]),
    ]
    assert [to_numpy(s.centers)[:, 0].tolist() for s in states[2::2]] == [
        [0, pytest.approx(14 / 3)],
        [0.5, 6.5],
        [0.5, 6.5],
    ]
    assert [s.objective for s in states[1:]] == pytest.approx([73, 98 / 3, 1 + 4 / 9 + 169 / 9, 13, 13, 13])


def test_objective_is_that_of_the_state_and_never_rises(xp, dtype):
    X = np.random.default_rng(0).uniform(-3, 3, (300, 5)).astype(dtype)
    states = list(KMeans(6, init="random", tol=0, random_state=1).steps(X))
    assert len(states) > 15
    for state in states[1:]:
        assert state.objective == pytest.approx(objective(X, state.labels, state.centers), rel=1e-5)
    values = np.array([s.objective for s in states[1:]])
    assert (np.diff(values) <= 1e-6 * values[0]).all()


def test_fit_drains_steps():
    km = KMeans(4, n_init=3, random_state=5)
    *_, last = km.steps(blobs())
    other = KMeans(4, n_init=3, random_state=5).fit(blobs())
    np.testing.assert_array_equal(km.cluster_centers_, other.cluster_centers_)
    assert last.step == "end"
    assert last.run == 2
    assert km.inertia_ == other.inertia_


@pytest.mark.parametrize("at", [1, 2, 3, 6])
def test_a_loop_left_early_leaves_a_fitted_estimator(xp, at):
    """Its centres are those last seen; labels and objective belong to them."""
    X, km = blobs(200, 3, 8), KMeans(8, init="random", tol=0, random_state=0)
    for i, state in enumerate(km.steps(X), 1):
        last = state
        if i == at:
            break
    np.testing.assert_array_equal(to_numpy(km.cluster_centers_), to_numpy(last.centers))
    np.testing.assert_array_equal(to_numpy(km.labels_), to_numpy(km.predict(X)))
    assert km.inertia_ == pytest.approx(objective(X, km.labels_, km.cluster_centers_))
    assert km.n_iter_ == last.n_iter


def test_a_loop_left_in_a_later_run_keeps_the_best():
    X = blobs(200, 3, 8)
    for run in 1, 2, 3:
        km, ends = KMeans(8, init="random", n_init=4, tol=0, random_state=0), []
        states = km.steps(X)
        for state in states:
            if state.step == "end":
                ends.append(state.objective)
            if (state.run, state.step) == (run, "start"):
                break
        states.close()
        assert km.inertia_ == min(ends)


def test_converged_means_every_point_is_nearest_to_the_mean_of_its_cluster(seed):
    X = blobs(400, 4, 10, seed)
    km = KMeans(7, tol=0, random_state=seed).fit(X)
    means = np.array([X[km.labels_ == c].mean(axis=0) for c in range(7)])
    np.testing.assert_allclose(km.cluster_centers_, means, atol=1e-10)
    np.testing.assert_array_equal(km.labels_, ((X[:, None] - means) ** 2).sum(axis=2).argmin(axis=1))
    assert km.inertia_ == pytest.approx(objective(X, km.labels_, means))


def test_labels_and_inertia_belong_to_the_final_centers(xp):
    """Also where the descent was cut off between assign and move."""
    X = blobs(300, 5, 9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        km = KMeans(6, init="random", max_iter=1, random_state=0).fit(X)
    np.testing.assert_array_equal(to_numpy(km.labels_), to_numpy(km.predict(X)))
    assert km.inertia_ == pytest.approx(objective(X, km.labels_, km.cluster_centers_))
    assert km.inertia_ == pytest.approx(-km.score(X))
    assert km.n_iter_ == 1


def test_tol_stops_early():
    X = blobs(500, 2, 1)
    assert KMeans(8, init=X[:8], tol=1e-2).fit(X).n_iter_ < KMeans(8, init=X[:8], tol=0).fit(X).n_iter_


def test_n_init_keeps_the_smallest_objective():
    X = blobs(200, 3, 8)
    ends = [s.objective for s in KMeans(8, init="random", n_init=6, random_state=0).steps(X) if s.step == "end"]
    assert len(set(ends)) > 1
    assert KMeans(8, init="random", n_init=6, random_state=0).fit(X).inertia_ == min(ends)


# -- other data -------------------------------------------------------------------------------------------------------


def test_transform_is_the_distance_to_every_center(xp, dtype):
    X = blobs(50, dtype=dtype) + np.asarray(1e3, dtype)
    km = KMeans(3, random_state=0)
    Z = km.fit_transform(X)
    exact = np.sqrt(((X[:, None].astype("float64") - to_numpy(km.cluster_centers_)) ** 2).sum(axis=2))
    assert Z.dtype == dtype
    np.testing.assert_allclose(to_numpy(Z), exact, rtol=1e-6)
    np.testing.assert_array_equal(to_numpy(Z.argmin(axis=1)), to_numpy(km.fit_predict(X)))


def test_far_from_the_origin(xp):
    """At 1e4 float32 has three decimals; products of uncentred rows would have none."""
    X = blobs(200, 2, 4, dtype="float64")
    near = KMeans(4, random_state=0).fit(X)
    far = KMeans(4, random_state=0).fit((X + 1e4).astype("float32"))
    np.testing.assert_array_equal(to_numpy(near.labels_), to_numpy(far.labels_))
    assert far.inertia_ == pytest.approx(near.inertia_, rel=1e-3)


# -- weights ----------------------------------------------------------------------------------------------------------


def test_weights_equal_repeated_rows(xp):
    X, weight = blobs(80, 3, 5), np.random.default_rng(0).integers(0, 4, size=80)
    start = X[:5]
    weighted = KMeans(5, init=start, tol=0).fit(X, sample_weight=weight)
    repeated = KMeans(5, init=start, tol=0).fit(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(to_numpy(weighted.cluster_centers_), to_numpy(repeated.cluster_centers_), atol=1e-9)
    assert weighted.inertia_ == pytest.approx(repeated.inertia_)
    assert weighted.n_iter_ == repeated.n_iter_
    assert weighted.score(X, sample_weight=weight) == pytest.approx(-weighted.inertia_)


@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_a_row_of_weight_zero_counts_for_nothing(xp, init, seed):
    X = np.r_[blobs(40, 2, 3), [[1e3, 1e3]]]
    km = KMeans(4, init=init, n_init=3, random_state=seed).fit(X, sample_weight=np.r_[np.ones(40), 0])
    assert float(km.cluster_centers_.max()) < 100


def test_equal_rows_among_rows_of_weight_zero(xp):
    km = KMeans(1).fit(asarray([[2.0], [2.0], [7.0]]), sample_weight=[1, 1, 0])
    assert to_numpy(km.cluster_centers_).tolist() == [[2.0]]
    assert km.inertia_ == 0


def test_k_means_plus_plus_draws_repeated_rows_like_weights():
    X, weight = blobs(30), np.random.default_rng(0).integers(0, 4, size=30)
    at = Euclidean(np.zeros(3))
    for seed in range(20):
        a = kmeans_plusplus(cut(X, weight.astype(float)), 5, np.random.default_rng(seed), at)
        b = kmeans_plusplus(cut(np.repeat(X, weight, axis=0)), 5, np.random.default_rng(seed), at)
        np.testing.assert_array_equal(a, b)


# -- starts -----------------------------------------------------------------------------------------------------------


def test_same_start_on_every_backend(xp):
    for start in kmeans_plusplus, random_rows:
        expected, found = (begin(start, to(blobs(200, 5, 9)), 6, 3) for to in (np.asarray, asarray))
        np.testing.assert_array_equal(to_numpy(found), expected)


def begin(start, X, k, seed):
    data = cut(X)
    return start(data, k, np.random.default_rng(seed), Euclidean.around(data))


def test_k_means_plus_plus_finds_far_clusters(seed):
    """Four tight clusters, one of three points among 10,000: random rows miss it, k-means++ does not."""
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(0, 0.1, (9997, 2)), rng.normal(100, 0.1, (3, 2))]
    for s in range(20):
        centers = begin(kmeans_plusplus, X, 2, 100 * seed + s)
        assert abs(centers[0, 0] - centers[1, 0]) > 90
    centers = begin(random_rows, X, 2, seed)
    assert abs(centers[0, 0] - centers[1, 0]) < 90


def test_k_means_plus_plus_probabilities():
    """From the first row chosen, the others follow with probability D^2 / sum D^2 where one draw is made."""
    X = np.array([[0.0], [1.0], [3.0]])
    pairs, place = np.zeros((3, 3)), {0.0: 0, 1.0: 1, 3.0: 2}
    for seed in range(4000):
        a, b = random_pair(X, np.random.default_rng(seed))
        pairs[place[a], place[b]] += 1
    expected = np.array([[0, 1 / 10, 9 / 10], [1 / 5, 0, 4 / 5], [9 / 13, 4 / 13, 0]]) / 3
    assert np.abs(pairs / 4000 - expected).max() < 0.025  # three standard deviations of the largest


def random_pair(X, host):
    data, at = cut(X), Euclidean(np.zeros(1))
    history = [Draw(draw(data, [], np.array([3.0]), 1, host, at), 0)]
    potential = np.array([left(data.blocks[0], None, history, at).sum()])
    return float(history[0].rows[0, 0]), float(draw(data, history, potential, 1, host, at)[0, 0])


def test_same_seed_same_bits():
    X = blobs(300, dtype="float32")
    a, b = (KMeans(6, n_init=2, random_state=7).fit(X) for _ in range(2))
    assert a.cluster_centers_.tobytes() == b.cluster_centers_.tobytes()
    assert KMeans(6, random_state=8).fit(X).cluster_centers_.tobytes() != a.cluster_centers_.tobytes()


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
@pytest.mark.parametrize("threads", ["2", "8"])
def test_same_bits_for_any_number_of_threads(threads, metric, monkeypatch):
    X, found = blobs(5000, 20, 9, dtype="float32"), []
    for n in "1", threads:
        monkeypatch.setenv("SCRATCHNET_THREADS", n)
        km = KMeans(12, metric=metric, max_iter=20, random_state=0).fit(X, sample_weight=np.linspace(1, 2, len(X)))
        found.append((km.cluster_centers_.tobytes(), km.labels_.tobytes(), km.inertia_))
    assert found[0] == found[1]


def hard_cases(metric):
    """Weights, duplicates, centres that coincide, clusters that are filled; a wide one, with bounds, and two runs."""
    rng = np.random.default_rng(0)
    grid = rng.integers(0, 3, (3000, 4)).astype("float32")  # 81 different rows, full of ties
    far = np.r_[blobs(2000, 40, 9), blobs(2000, 40, 9)].astype("float32") + 100
    yield grid, None, KMeans(20, metric=metric, init=np.r_[grid[:15], np.full((5, 4), 50, "float32")], tol=0)
    yield grid, rng.integers(0, 3, 3000), KMeans(9, metric=metric, init="random", random_state=1)
    yield far, rng.random(4000), KMeans(12, metric=metric, n_init=2, max_iter=15, tol=0, random_state=0)
    yield np.asfortranarray(far), None, KMeans(40, metric=metric, init=np.r_[far[:37], -far[:3]], max_iter=8)


def every_state(metric):
    bits = []
    for X, weight, km in hard_cases(metric):
        for s in km.steps(X, sample_weight=weight):
            bits.append((s.step, s.iteration, s.run, to_numpy(s.centers).tobytes(), s.objective, s.relocated))
            bits.append(None if s.labels is None else to_numpy(s.labels).tobytes())
        bits.append((km.cluster_centers_.tobytes(), km.labels_.tobytes(), km.inertia_, km.n_iter_))
    return bits


@pytest.mark.filterwarnings("ignore:only .* clusters hold points:UserWarning")
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
def test_same_bits_wherever_blocks_live(metric, monkeypatch):
    """On any number of threads, in processes, and where blocks forget what they kept: every state of every run."""
    monkeypatch.setattr(steps, "_ROWS_PER_BLOCK", 700)
    expected = every_state(metric)
    for n in "1", "8":
        monkeypatch.setenv("SCRATCHNET_THREADS", n)
        assert every_state(metric) == expected
    with live_on(ForgetfulRows):
        assert every_state(metric) == expected
    with worker_processes(2) as home, live_on(home):
        assert every_state(metric) == expected


@pytest.mark.filterwarnings("ignore:only .* clusters hold points:UserWarning")
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_same_centers_however_rows_are_cut(metric, monkeypatch):
    """Sums are exact: only J and the origin, which are ordinary sums, may change in their last bits."""
    ends = []
    for size in 700, 4000:
        monkeypatch.setattr(steps, "_ROWS_PER_BLOCK", size)
        ends.append([km.fit(X, sample_weight=w).cluster_centers_.tobytes() for X, w, km in hard_cases(metric)][:2])
    assert ends[0] == ends[1]


# -- empty clusters ---------------------------------------------------------------------------------------------------


def test_an_empty_cluster_gets_the_farthest_point(xp, dtype):
    X = np.array([[0.0], [1], [2], [10]], dtype)
    states = list(KMeans(2, init=[[1.0], [100]]).steps(X))
    assert states[2].step == "move"
    assert states[2].relocated == (3,)
    assert to_numpy(states[2].labels).tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(to_numpy(states[2].centers), [[1], [10]], atol=1e-6)
    assert states[-1].objective == pytest.approx(2)


def test_several_empty_clusters_never_empty_another(xp):
    """Rows 2 and 3 are the farthest, but each is alone in its cluster: moving one would leave a hole."""
    X = np.array([[0.0, 0], [1, 0], [50, 0], [0, 70]])
    start = [[0.0, 0], [40, 0], [0, 50], [999, 999]]
    km = KMeans(4, init=start).fit(X)
    assert sorted(to_numpy(km.labels_).tolist()) == [0, 1, 2, 3]
    assert km.inertia_ == 0
    assert km.n_iter_ <= 3


def test_weight_decides_which_point_is_farthest(xp):
    X = np.array([[0.0], [1], [9], [10]])
    states = list(KMeans(2, init=[[0.0], [100]]).steps(X, sample_weight=[1, 1, 2, 1]))
    assert states[2].relocated == (2,)  # 2 * 81 > 100
    assert list(KMeans(2, init=[[0.0], [100]]).steps(X, sample_weight=[1, 1, 2, 0]))[2].relocated == (2,)


@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_fewer_different_rows_than_clusters(xp, dtype, init):
    X = np.repeat(np.array([[0.1, 0.2], [1, 1], [3, 7]], dtype), 20, axis=0)
    with pytest.warns(UserWarning, match=r"only 3 of n_clusters=5 clusters hold points.*too few different rows"):
        km = KMeans(5, init=init, random_state=0, tol=0).fit(X)
    assert km.inertia_ == pytest.approx(0, abs=1e-10)
    assert km.n_iter_ < 10
    assert bool(get_xp(km.cluster_centers_).isfinite(km.cluster_centers_).all())


def test_constant_data(xp, dtype):
    with pytest.warns(UserWarning, match="only 1 of n_clusters=2"):
        km = KMeans(2, random_state=0).fit(np.full((10, 3), 0.1, dtype))
    assert km.inertia_ < 1e-12
    np.testing.assert_allclose(to_numpy(km.cluster_centers_), 0.1, rtol=1e-6)


def test_as_many_clusters_as_points(xp):
    km = KMeans(20, random_state=0).fit(blobs(20))
    assert sorted(to_numpy(km.labels_).tolist()) == list(range(20))
    assert km.inertia_ == pytest.approx(0, abs=1e-20)


def test_one_point(xp):
    km = KMeans(1).fit([[3.0, 4.0]])
    assert to_numpy(km.cluster_centers_).tolist() == [[3, 4]]


# -- other metrics ----------------------------------------------------------------------------------------------------


def costs(X, centers, metric):
    """(n, k), by definition."""
    X, centers = to_numpy(X).astype("float64"), to_numpy(centers).astype("float64")
    if metric == "manhattan":
        return np.abs(X[:, None] - centers).sum(axis=2)
    length = np.linalg.norm(X, axis=1)[:, None] * np.linalg.norm(centers, axis=1)
    return 1 - X @ centers.T / np.where(length > 0, length, 1)


@pytest.mark.parametrize("init", ["k-means++", "random"])
@pytest.mark.parametrize("metric", ["cosine", "manhattan"])
def test_labels_objective_and_transform_follow_the_metric(metric, init, xp, dtype, seed):
    X = np.random.default_rng(seed).uniform(-3, 3, (300, 4)).astype(dtype)
    km = KMeans(5, metric=metric, init=init, tol=0, random_state=seed)
    states = list(km.steps(X))
    for state in states[1:]:
        found = costs(X, state.centers, metric)[np.arange(300), to_numpy(state.labels)].sum()
        assert state.objective == pytest.approx(found, rel=1e-5, abs=1e-5)
    values = np.array([s.objective for s in states[1:]])
    assert len(values) > 4
    assert (np.diff(values) <= 1e-6 * values[0]).all()
    exact = costs(X, km.cluster_centers_, metric)
    np.testing.assert_array_equal(to_numpy(km.predict(X)), exact.argmin(axis=1))
    np.testing.assert_array_equal(to_numpy(km.labels_), exact.argmin(axis=1))
    np.testing.assert_allclose(to_numpy(km.transform(X)), exact, rtol=1e-5, atol=1e-5)
    assert km.inertia_ == pytest.approx(exact.min(axis=1).sum(), rel=1e-5)


def test_k_medians_by_hand(xp, dtype):
    """The mean of the second cluster would be at 340."""
    X = np.array([[0.0], [1], [2], [10], [12], [1000]], dtype)
    km = KMeans(2, metric="manhattan", init=[[0.0], [12]]).fit(X)
    assert to_numpy(km.cluster_centers_).tolist() == [[1], [12]]
    assert km.inertia_ == 2 + 2 + 988


def test_k_medians_weights_equal_repeated_rows(xp):
    X, weight = blobs(80, 3, 5), np.random.default_rng(0).integers(0, 4, size=80)
    weighted = KMeans(5, metric="manhattan", init=X[:5], tol=0).fit(X, sample_weight=weight)
    repeated = KMeans(5, metric="manhattan", init=X[:5], tol=0).fit(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(to_numpy(weighted.cluster_centers_), to_numpy(repeated.cluster_centers_), atol=1e-12)
    assert weighted.inertia_ == pytest.approx(repeated.inertia_)


def test_spherical_k_means_sees_directions_only(xp, dtype):
    rng = np.random.default_rng(0)
    X = np.eye(3)[np.arange(60) % 3] + 0.1 * rng.standard_normal((60, 3))
    km = KMeans(3, metric="cosine", random_state=0).fit(X.astype(dtype))
    np.testing.assert_allclose(np.linalg.norm(to_numpy(km.cluster_centers_), axis=1), 1, rtol=1e-6)
    assert adjusted_rand(np.arange(60) % 3, km.labels_) == 1
    scaled = (X * np.exp(5 * rng.standard_normal((60, 1)))).astype(dtype)
    np.testing.assert_array_equal(to_numpy(km.predict(scaled)), to_numpy(km.labels_))
    again = KMeans(3, metric="cosine", random_state=0).fit(scaled)
    np.testing.assert_array_equal(to_numpy(again.labels_), to_numpy(km.labels_))


def test_cosine_of_zero_and_of_huge_rows(xp):
    X = np.array([[0.0, 0], [1e200, 0], [1, 0.1], [0, 1], [0, 1e-200]])
    km = KMeans(2, metric="cosine", init=[[1.0, 0], [0, 1]]).fit(X)
    assert to_numpy(km.labels_)[1:].tolist() == [0, 0, 1, 1]
    assert km.inertia_ == pytest.approx(1, abs=0.01)  # the row of zeros


@pytest.mark.parametrize("metric", ["cosine", "manhattan"])
def test_empty_clusters_in_other_metrics(metric, xp):
    X = np.array([[1.0, 0], [1, 0.1], [1, 0.2], [0, 9]])
    states = list(KMeans(2, metric=metric, init=[[1.0, 0.1], [-50, -1]]).steps(X))
    assert states[2].relocated == (3,)
    with pytest.warns(UserWarning, match="only 1 of n_clusters=2"):
        km = KMeans(2, metric=metric, random_state=0, tol=0).fit(np.full((9, 2), 0.3))
    assert km.n_iter_ < 5


# -- large data -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_data_on_disk_are_read_in_blocks(tmp_path, monkeypatch, metric, init):
    monkeypatch.setattr(rows, "_ROWS_ON_HOST", 256)  # of a file of 10,000 or more
    monkeypatch.setattr(lloyd, "_AT_ONCE", 1 << 16)
    n = 20_000 if metric != "manhattan" else 10_000
    X = np.random.default_rng(0).standard_normal((n, 200)).astype("float32")
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    tracemalloc.start()
    on_disk = KMeans(3, metric=metric, init=init, max_iter=3, random_state=0).fit(mapped)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < X.nbytes / 2
    in_memory = KMeans(3, metric=metric, init=init, max_iter=3, random_state=0).fit(X)
    np.testing.assert_array_equal(on_disk.cluster_centers_, in_memory.cluster_centers_)


# -- conventions ------------------------------------------------------------------------------------------------------


def test_input_is_not_written_to(xp):
    X, start, weight = blobs(), blobs()[:4].copy(), np.ones(60)
    for a in X, start, weight:
        a.setflags(write=False)
    km = KMeans(4, init=start).fit(X, sample_weight=weight)
    km.predict(X), km.transform(X), km.score(X)
    np.testing.assert_array_equal(start, blobs()[:4])


def test_clone_pickle_pipeline_grid_search():
    km = KMeans(4, random_state=0).fit(blobs())
    again = pickle.loads(pickle.dumps(km))
    np.testing.assert_array_equal(again.predict(blobs()), km.labels_)
    assert clone(km).get_params() == km.get_params()
    search = GridSearchCV(make_pipeline(PCA(2), KMeans(random_state=0)), {"kmeans__n_clusters": [2, 5]}).fit(blobs())
    assert search.best_params_ == {"kmeans__n_clusters": 5}


def test_progress_bar(capsys):
    KMeans(4, random_state=0, verbose=1).fit(blobs())
    assert "KMeans" in capsys.readouterr().err
    assert str(next(KMeans(4, random_state=0).steps(blobs()))) == "run 0, round 0, start: J = nan"


@pytest.mark.parametrize(("parameters", "message"), [
    ({"n_clusters": 0}, "n_clusters=0 must be at least 1"),
    ({"n_clusters": 2.5}, "n_clusters=2.5 must be an integer"),
    ({"n_clusters": 61}, "n_clusters=61 is more than n_samples=60"),
    ({"n_init": 0}, "n_init=0 must be at least 1"),
    ({"max_iter": 0}, "max_iter=0 must be at least 1"),
    ({"tol": -1}, "tol=-1 must be at least 0"),
    ({"metric": "l1"}, "metric='l1' is unknown; choose one of"),
    ({"init": "kmeans"}, r"init='kmeans' is unknown; choose one of \['k-means\+\+', 'random'\]"),
    ({"init": np.zeros((4, 2))}, r"init has shape \(4, 2\), expected \(8, 3\)"),
    ({"init": np.full((8, 3), np.nan)}, "init contains NaN"),
    ({"random_state": -1}, "random_state=-1 is no seed"),
])  # fmt: skip
def test_bad_parameters(parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        KMeans(**parameters).fit(blobs())


@pytest.mark.parametrize(("weight", "message"), [
    (-np.ones(60), "sample_weight has negative entries"),
    (np.zeros(60), "sample_weight is zero everywhere"),
    (np.ones(59), "sample_weight has 59 entries, but X has n_samples=60"),
    (np.ones((60, 1)), r"sample_weight must be 1-D.*Pass sample_weight\.ravel\(\)"),
    (np.full(60, np.nan), "sample_weight contains NaN"),
    (np.r_[np.ones(3), np.zeros(57)], r"n_clusters=8 is more than n_samples=60 \(3 of them with a positive weight\)"),
])  # fmt: skip
def test_bad_weights(weight, message):
    with pytest.raises(ValueError, match=message):
        KMeans().fit(blobs(), sample_weight=weight)


@pytest.mark.parametrize(("X", "message"), [
    (np.full((9, 2), np.nan), r"X contains NaN.*at \(0, 0\)"),
    (np.full((9, 2), np.inf), r"X contains inf.*at \(0, 0\)"),
    (np.empty((0, 2)), "0 sample"),
    (np.empty((9, 0)), "0 feature"),
    (np.ones(9), "X must be 2-D, got 1-D"),
    (np.ones((9, 2, 2)), "X must be 2-D, got 3-D"),
    ([["a", "b"]] * 9, "not a number"),
    (np.ones((9, 2), dtype=complex), "Complex data not supported"),
])  # fmt: skip
def test_bad_data(X, message):
    with pytest.raises((ValueError, TypeError), match=message):
        KMeans().fit(X)


def test_overflow_is_refused(xp):
    with pytest.raises(ValueError, match="squared distances overflow; scale it down"):
        KMeans(2).fit(np.array([[1e25, 0], [-1e25, 0], [0, 1]], dtype="float32"))
    km = KMeans(2, random_state=0).fit(np.array([[1e25, 0], [-1e25, 0], [0, 1]]))
    assert np.isfinite(km.inertia_)


def test_predict_needs_a_fit_and_the_same_features():
    with pytest.raises(NotFittedError, match="KMeans is not fitted"):
        KMeans().predict(blobs())
    with pytest.raises(ValueError, match="X has 2 features, but KMeans is expecting 3"):
        KMeans(2).fit(blobs()).predict(np.ones((3, 2)))


def test_an_interrupted_refit_leaves_the_fit_before(monkeypatch):
    X = np.random.default_rng(0).standard_normal((60, 3))
    model = KMeans(4, random_state=0).fit(X)
    centers, inertia = model.cluster_centers_.copy(), model.inertia_

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("scratchnet.cluster.lloyd.Lloyd.middles", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert model.inertia_ == inertia
    np.testing.assert_array_equal(model.cluster_centers_, centers)
