"""Agglomerative clustering: reference numbers, SciPy, ties, cuts, extremes, conventions."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from scipy.cluster import hierarchy
from sklearn import cluster
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.utils.estimator_checks import parametrize_with_checks

from scratchnet import memory
from scratchnet.backend import asarray, get_xp, to_numpy
from scratchnet.base import NotFittedError
from scratchnet.cluster import AgglomerativeClustering
from scratchnet.cluster.hierarchical import LINKAGES
from scratchnet.metrics import adjusted_rand, clustering_accuracy, normalized_mutual_info
from scratchnet.rows import live_on
from scratchnet.testing.homes import worker_processes

IRIS, DIGITS, NUMERALS = load_iris().data, *load_digits(return_X_y=True)

with warnings.catch_warnings():  # "does not inherit from sklearn.base.BaseEstimator": on purpose
    warnings.simplefilter("ignore", UserWarning)
    conventions = parametrize_with_checks([AgglomerativeClustering(linkage=name) for name in LINKAGES])


@conventions
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@pytest.fixture(params=LINKAGES)
def linkage(request):
    return request.param


def heights_by_definition(X, linkage):
    """All heights, each merge found by looking at all pairs of clusters, each distance from the points themselves."""
    X = X.astype("float64")
    D = np.sqrt(((X[:, None] - X) ** 2).sum(axis=2))
    clusters, heights = [[i] for i in range(len(X))], []

    def distance(a, b):
        if linkage == "ward":
            gap = X[a].mean(axis=0) - X[b].mean(axis=0)
            return np.sqrt(2 * len(a) * len(b) / (len(a) + len(b)) * (gap**2).sum())
        return {"single": np.min, "complete": np.max, "average": np.mean}[linkage](D[np.ix_(a, b)])

    while len(clusters) > 1:
        pairs = [(distance(a, b), i, j) for j, b in enumerate(clusters) for i, a in enumerate(clusters[:j])]
        height, i, j = min(pairs)
        heights.append(height)
        clusters[i] += clusters.pop(j)
    return np.array(heights)


# -- numbers ----------------------------------------------------------------------------------------------------------

LAST = {
    "iris": {"single": 1.6401, "complete": 7.0852, "average": 4.0627, "ward": 32.4476},
    "digits": {"single": 32.1092, "complete": 77.0390, "average": 54.7940, "ward": 691.9612},
}
TOTAL = {
    "iris": {"single": 43.524, "complete": 87.528, "average": 65.213, "ward": 138.162},
    "digits": {"single": 30692.76, "complete": 42316.10, "average": 37330.33, "ward": 54079.06},
}


def test_iris(xp, dtype, linkage):
    model = AgglomerativeClustering(3, linkage=linkage).fit(IRIS.astype(dtype))
    assert float(model.distances_[-1]) == pytest.approx(LAST["iris"][linkage], abs=5e-5)
    # iris has many equal distances; in float32 rounding decides which of them merge first, and the sums of two linkages
    # differ by some thousandths
    rel = 4e-3 if linkage in ("complete", "average") and dtype == "float32" else 1e-5
    assert float(model.distances_.sum()) == pytest.approx(TOTAL["iris"][linkage], rel=rel)


def test_iris_is_scipys_tree(linkage):
    """With all its ties and its duplicates: the same merges at the same heights."""
    model, tree = AgglomerativeClustering(linkage=linkage).fit(IRIS), hierarchy.linkage(IRIS, linkage)
    np.testing.assert_allclose(model.distances_, tree[:, 2], atol=1e-12)
    for k in 2, 3, 5, 10, 20:
        theirs = hierarchy.fcluster(tree, k, "maxclust")
        if len(set(theirs)) == k:  # with ties at this height SciPy gives fewer
            assert adjusted_rand(model.cut(k), theirs) == 1


def test_digits(linkage):
    model = AgglomerativeClustering(10, linkage=linkage).fit(DIGITS)
    assert model.distances_[-1] == pytest.approx(LAST["digits"][linkage], abs=5e-5)
    assert model.distances_.sum() == pytest.approx(TOTAL["digits"][linkage], abs=6e-3)
    if linkage == "ward":
        assert normalized_mutual_info(NUMERALS, model.labels_) == pytest.approx(0.868, abs=1e-3)
        assert clustering_accuracy(NUMERALS, model.labels_) == pytest.approx(0.840, abs=1e-3)


def test_mnist_test_file(mnist_root):
    from scratchnet.datasets import load_mnist

    X, y = load_mnist("test", size="full", root=mnist_root)
    labels = AgglomerativeClustering(10).fit_predict(X)
    assert normalized_mutual_info(y, labels) == pytest.approx(0.711, abs=1e-3)
    assert clustering_accuracy(y, labels) == pytest.approx(0.695, abs=1e-3)


def test_by_hand(xp, dtype, linkage):
    X = np.array([[0.0], [1], [4], [6]], dtype)
    model = AgglomerativeClustering(2, linkage=linkage).fit(X)
    last = {"single": 3, "complete": 6, "average": 4.5, "ward": np.sqrt(2) * 4.5}[linkage]
    np.testing.assert_allclose(
        to_numpy(model.linkage_matrix_), [[0, 1, 1, 2], [2, 3, 2, 2], [4, 5, last, 4]], rtol=1e-6
    )
    assert to_numpy(model.children_).tolist() == [[0, 1], [2, 3], [4, 5]]
    np.testing.assert_allclose(to_numpy(model.distances_), [1, 2, last], rtol=1e-6)
    assert to_numpy(model.labels_).tolist() == [0, 0, 1, 1]
    assert get_xp(model.labels_) is get_xp(model.linkage_matrix_) is xp


@pytest.mark.parametrize("shift", [0, 1e4])
def test_heights_by_definition(xp, dtype, linkage, shift, seed):
    X = (np.random.default_rng(seed).standard_normal((28, 3)) + shift).astype(dtype)
    heights = to_numpy(AgglomerativeClustering(linkage=linkage).fit(X).distances_)
    np.testing.assert_allclose(heights, heights_by_definition(X, linkage), rtol=1e-5 if dtype == "float32" else 1e-10)


@pytest.mark.parametrize("n", [2, 3, 10, 300])
def test_equals_scipy(n, linkage, seed):
    X = np.random.default_rng([seed, n]).standard_normal((n, 4))
    model, tree = AgglomerativeClustering(2, linkage=linkage).fit(X), hierarchy.linkage(X, linkage)
    np.testing.assert_allclose(model.linkage_matrix_, tree, atol=1e-12)
    assert hierarchy.is_valid_linkage(model.linkage_matrix_)
    assert hierarchy.is_monotonic(model.linkage_matrix_)
    for k in {1, 2, max(n // 2, 1), n}:
        theirs = cluster.AgglomerativeClustering(k, linkage=linkage).fit_predict(X)
        assert adjusted_rand(model.cut(k), theirs) == 1


def test_integers_full_of_ties(linkage):
    """Which of equal merges comes first is nobody's to say; where rounding says it, Ward's total differs a little."""
    X = np.random.default_rng(0).integers(0, 4, (200, 3)).astype("float64") + 100
    ours = AgglomerativeClustering(linkage=linkage).fit(X).distances_
    theirs = hierarchy.linkage(X, linkage)[:, 2]
    assert ours.sum() == pytest.approx(theirs.sum(), rel=0.02 if linkage == "ward" else 1e-12)
    assert (ours == 0).sum() == (theirs == 0).sum() == 200 - len(np.unique(X, axis=0))
    assert (np.diff(ours) >= 0).all()


# -- cuts -------------------------------------------------------------------------------------------------------------


def test_cut_by_number_and_by_height(xp):
    X = np.array([[0.0], [1], [4], [6], [20]])
    model = AgglomerativeClustering(linkage="single").fit(X)  # heights 1, 2, 3, 14
    for k, labels in (
        (1, [0] * 5),
        (2, [0, 0, 0, 0, 1]),
        (3, [0, 0, 1, 1, 2]),
        (4, [0, 0, 1, 2, 3]),
        (5, [0, 1, 2, 3, 4]),
    ):
        assert to_numpy(model.cut(k)).tolist() == labels
    for height, n in (0, 5), (1, 5), (1.5, 4), (3, 3), (3.1, 2), (100, 1):
        assert int(model.cut(distance_threshold=height).max()) + 1 == n
        again = AgglomerativeClustering(distance_threshold=height, linkage="single").fit(X)
        assert again.n_clusters_ == n
        assert AgglomerativeClustering(None, distance_threshold=height, linkage="single").fit(X).n_clusters_ == n


def test_threshold_equals_scikit_learn(linkage):
    heights = AgglomerativeClustering(linkage=linkage).fit(DIGITS[:200]).distances_
    at = float(heights[-8:-6].mean())
    ours = AgglomerativeClustering(distance_threshold=at, linkage=linkage).fit(DIGITS[:200])
    theirs = cluster.AgglomerativeClustering(None, distance_threshold=at, linkage=linkage).fit(DIGITS[:200])
    assert ours.n_clusters_ == theirs.n_clusters_ == 8
    assert adjusted_rand(ours.labels_, theirs.labels_) == 1


def test_labels_are_numbered_by_first_point():
    X = np.array([[9.0], [0], [9], [5], [0]])
    assert AgglomerativeClustering(3).fit_predict(X).tolist() == [0, 1, 0, 2, 1]


def test_steps_are_the_merges():
    model = AgglomerativeClustering(3)
    merges = list(model.steps(IRIS))
    assert len(merges) == len(IRIS) - 1
    assert all(m.i < m.j for m in merges)
    np.testing.assert_allclose(sorted(m.height for m in merges), model.distances_)
    assert [m.iteration for m in merges] == list(range(1, len(IRIS)))
    assert all(m.objective == m.height for m in merges)
    assert (np.diff([m.seconds for m in merges]) >= 0).all()
    assert str(merges[-1]).startswith("merge 149: height ")


def test_bad_parameters_raise_at_the_call():
    with pytest.raises(ValueError, match="linkage='centroid' is unknown"):
        AgglomerativeClustering(linkage="centroid").steps(IRIS)


@pytest.mark.parametrize("how", ["break", "error"])
def test_steps_left_early_leave_the_estimator_as_it_was(xp, how):
    """Half the merges are no tree: labels of it would be those of no cut."""

    def leave_early(X):
        merges = model.steps(X)
        for _ in range(10):
            next(merges)
        if how == "break":
            merges.close()
        else:
            with pytest.raises(RuntimeError, match="enough"):
                merges.throw(RuntimeError("enough"))

    model = AgglomerativeClustering(3)
    leave_early(IRIS)
    for attribute in "labels_", "linkage_matrix_", "n_features_in_":
        with pytest.raises(NotFittedError, match="AgglomerativeClustering is not fitted"):
            getattr(model, attribute)
    with pytest.raises(NotFittedError):
        model.cut(3)

    before = dict(vars(model.fit(IRIS)))
    leave_early(DIGITS[:50])
    assert vars(model) == before  # the very same objects
    for merge in model.steps(DIGITS[:50]):
        assert model.linkage_matrix_ is before["linkage_matrix_"], f"changed before the end, at {merge}"
        model.set_params(n_clusters=5)  # for the next fit
    assert model.n_features_in_ == 64
    assert len(model.labels_) == 50
    assert model.n_clusters == 5
    assert len(np.unique(to_numpy(model.labels_))) == 3


# -- extremes ---------------------------------------------------------------------------------------------------------


def test_one_point(xp, linkage):
    model = AgglomerativeClustering(1, linkage=linkage).fit([[3.0, 4.0]])
    assert to_numpy(model.labels_).tolist() == [0]
    assert model.linkage_matrix_.shape == (0, 4)


def test_identical_points(xp, dtype, linkage):
    model = AgglomerativeClustering(2, linkage=linkage).fit(np.full((30, 2), 0.1, dtype))
    assert not to_numpy(model.distances_).any()
    assert int(model.labels_.max()) == 1
    assert hierarchy.is_valid_linkage(to_numpy(model.linkage_matrix_))


def test_a_long_chain(linkage):
    """Each point is a little farther than the one before: the chain of nearest neighbours goes through all of them."""
    X = np.cumsum(1 + np.arange(300.0)[::-1] / 300)[:, None]
    np.testing.assert_allclose(
        AgglomerativeClustering(linkage=linkage).fit(X).distances_, hierarchy.linkage(X, linkage)[:, 2]
    )


@pytest.mark.parametrize("columns", [2, 9])
def test_overflow_is_refused(xp, dtype, linkage, columns):
    """Infinite distances between clusters would lead the chain in circles for ever."""
    X = np.random.default_rng(0).random((30, columns)).astype(dtype)
    largest = float(np.finfo(dtype).max)
    model = AgglomerativeClustering(linkage=linkage).fit(X * np.dtype(dtype).type(1e-3 * largest**0.5))
    tree = model.linkage_matrix_
    assert np.isfinite(to_numpy(tree)).all()
    with pytest.raises(ValueError, match=f"distances overflow {dtype}; scale it down"):
        model.fit((X - 0.5) * np.dtype(dtype).type(largest))
    if linkage == "ward":
        with pytest.raises(ValueError, match=f"distances overflow {dtype}; scale it down"):
            model.fit(X[:20] * np.dtype(dtype).type(0.1 * largest**0.5))
    assert model.linkage_matrix_ is tree


def test_is_told_before_it_would_not_fit(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda xp: 10_000)
    AgglomerativeClustering().fit(np.eye(50))  # 50 * 49 / 2 * 8 = 9800 bytes
    with pytest.raises(MemoryError, match=r"distances between all points, in float64.*n_samples=51.*is 50$"):
        AgglomerativeClustering().fit(np.eye(51))


def test_input_is_not_written_to():
    X = IRIS.copy()
    X.setflags(write=False)
    AgglomerativeClustering().fit(X)


def test_same_bits_wherever_blocks_live(monkeypatch):
    trees = set()
    for n in "1", "2", "8":
        monkeypatch.setenv("SCRATCHNET_THREADS", n)
        trees.add(AgglomerativeClustering().fit(DIGITS.astype("float32")).linkage_matrix_.tobytes())
    with worker_processes(2) as home, live_on(home):
        trees.add(AgglomerativeClustering().fit(DIGITS.astype("float32")).linkage_matrix_.tobytes())
    assert len(trees) == 1


def test_clone_pickle_progress(capsys):
    model = AgglomerativeClustering(3, linkage="average", verbose=1).fit(asarray(IRIS))
    assert "AgglomerativeClustering: 100%" in capsys.readouterr().err
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).cut(3), model.labels_)
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize(("parameters", "message"), [
    ({"n_clusters": 151}, "n_clusters=151 is more than n_samples=150"),
    ({"n_clusters": 0}, "n_clusters=0 must be at least 1"),
    ({"n_clusters": None}, "one of them must say where to cut"),
    ({"distance_threshold": -1}, "distance_threshold=-1 must be at least 0"),
    ({"linkage": "centroid"}, "linkage='centroid' is unknown; choose one of"),
])  # fmt: skip
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        AgglomerativeClustering(**parameters).fit(IRIS)


def test_cut_needs_a_fit():
    with pytest.raises(NotFittedError, match="AgglomerativeClustering is not fitted"):
        AgglomerativeClustering().cut(2)
