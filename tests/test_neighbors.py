"""Nearest neighbours and their classifier: by hand, against scikit-learn, ties, conventions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import neighbors
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from scratchnet import neighbors as module
from scratchnet.backend import asarray, to_numpy
from scratchnet.base import DataConversionWarning
from scratchnet.decomposition import PCA
from scratchnet.neighbors import KNeighborsClassifier, nearest_neighbors
from scratchnet.rows import live_on
from scratchnet.testing.homes import worker_processes

IRIS, SPECIES = load_iris(return_X_y=True)
DIGITS, NUMERALS = load_digits(return_X_y=True)

with warnings.catch_warnings():  # "does not inherit from sklearn.base.BaseEstimator": on purpose
    warnings.simplefilter("ignore", UserWarning)
    conventions = parametrize_with_checks([KNeighborsClassifier(), KNeighborsClassifier(1)])


@conventions
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


# -- search -----------------------------------------------------------------------------------------------------------


def test_nearest_by_hand(xp, dtype):
    X = asarray(np.array([[0.0], [1.0], [3.0]], dtype))
    index, distance = nearest_neighbors(X, 2)
    assert to_numpy(index).tolist() == [[1, 2], [0, 2], [1, 0]]
    np.testing.assert_allclose(to_numpy(distance), [[1, 3], [1, 2], [2, 3]])
    index, distance = nearest_neighbors(asarray([[2.5]]), 3, among=X)
    assert to_numpy(index).tolist() == [[2, 1, 0]]
    np.testing.assert_allclose(to_numpy(distance), [[0.5, 1.5, 2.5]])


@pytest.mark.parametrize("size", [1, 7, None])
def test_nearest_equals_scikit_learn(xp, monkeypatch, size):
    if size:
        monkeypatch.setattr(module, "rows_per_block", lambda *_: size)
    X = DIGITS[:200] + 1e-3 * np.random.default_rng(0).standard_normal((200, 64))
    theirs = neighbors.NearestNeighbors(n_neighbors=6, algorithm="brute").fit(X)
    for ours, sought in (nearest_neighbors(asarray(X), 6), None), (nearest_neighbors(asarray(X), 6, asarray(X)), X):
        distance, index = theirs.kneighbors(sought)
        np.testing.assert_array_equal(to_numpy(ours[0]), index)
        np.testing.assert_allclose(to_numpy(ours[1]), distance, atol=1e-5)


def test_no_point_is_its_own_neighbour_among_duplicates(xp):
    index, distance = nearest_neighbors(asarray(np.ones((5, 2))), 4)
    assert [sorted(row) for row in to_numpy(index).tolist()] == [[j for j in range(5) if j != i] for i in range(5)]
    assert not to_numpy(distance).any()


def test_too_many_neighbours():
    with pytest.raises(ValueError, match="n_neighbors=3 must be between 1 and 2"):
        nearest_neighbors(np.eye(3), 3)
    assert nearest_neighbors(np.eye(3), 3, np.eye(3))[0].shape == (3, 3)


# -- classifier -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 4, 15])
def test_classifier_equals_scikit_learn(xp, dtype, k):
    images = (DIGITS + 1e-2 * np.random.default_rng(0).standard_normal(DIGITS.shape)).astype(dtype)  # no ties
    X, y, rest, y_rest = images[:1000], NUMERALS[:1000], images[1000:], NUMERALS[1000:]
    ours = KNeighborsClassifier(k).fit(X, y)
    theirs = neighbors.KNeighborsClassifier(k, algorithm="brute").fit(X, y)
    np.testing.assert_allclose(to_numpy(ours.predict_proba(rest)), theirs.predict_proba(rest))
    np.testing.assert_array_equal(to_numpy(ours.predict(rest)), theirs.predict(rest))
    assert ours.score(rest, y_rest) == theirs.score(rest, y_rest)


def test_a_tied_vote_goes_to_the_first_class(xp):
    model = KNeighborsClassifier(2).fit([[0.0], [1.0]], [7, 3])
    assert to_numpy(model.predict_proba([[0.1]])).tolist() == [[0.5, 0.5]]
    assert to_numpy(model.predict([[0.1]])).tolist() == [3]


def test_labels_may_be_strings(xp):
    names = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
    model = KNeighborsClassifier(3).fit(IRIS, names)
    assert model.predict(IRIS[:1]).tolist() == ["setosa"]
    assert model.score(IRIS, names) == KNeighborsClassifier(3).fit(IRIS, SPECIES).score(IRIS, SPECIES)


def test_fitted_arrays_are_its_own(xp):
    X = IRIS.copy()
    model = KNeighborsClassifier(1).fit(X, SPECIES)
    before = to_numpy(model.predict(IRIS))
    X[:] = 0
    np.testing.assert_array_equal(to_numpy(model.predict(IRIS)), before)


def test_pipeline_and_grid_search():
    search = GridSearchCV(make_pipeline(PCA(2), KNeighborsClassifier()), {"kneighborsclassifier__n_neighbors": [1, 9]})
    search.fit(IRIS, SPECIES)
    assert search.best_score_ > 0.95
    assert clone(KNeighborsClassifier(3)).n_neighbors == 3


def test_bad_input():
    with pytest.raises(ValueError, match="y has 2 labels, but X has n_samples=3"):
        KNeighborsClassifier(1).fit(np.eye(3), [0, 1])
    with pytest.raises(ValueError, match="n_neighbors=4 is more than n_samples=3"):
        KNeighborsClassifier(4).fit(np.eye(3), [0, 1, 1])
    with pytest.warns(DataConversionWarning, match=r"column-vector.*pass y.ravel\(\)"):
        KNeighborsClassifier(1).fit(np.eye(3), [[0], [1], [1]])
    with pytest.raises(ValueError, match="y is continuous"):
        KNeighborsClassifier(1).fit(np.eye(3), [0.5, 1, 1])
    with pytest.raises(TypeError, match=r"y mixes labels that have no order.*make them all of one type"):
        KNeighborsClassifier(1).fit(np.eye(3), [None, "a", "a"])


def test_same_bits_wherever_blocks_live(monkeypatch):
    found = []
    monkeypatch.setattr(module, "rows_per_block", lambda *_: 37)
    for threads in "1", "8":
        monkeypatch.setenv("SCRATCHNET_THREADS", threads)
        found.append([a.tobytes() for a in nearest_neighbors(DIGITS[:300], 5)])
    with worker_processes(2) as home, live_on(home):
        found.append([a.tobytes() for a in nearest_neighbors(DIGITS[:300], 5)])
    assert found[0] == found[1] == found[2]


def test_a_refused_fit_leaves_the_fit_before():
    model = KNeighborsClassifier(3).fit(IRIS, SPECIES)
    with pytest.raises(ValueError, match="y has 2 labels"):
        model.fit(DIGITS, [0, 1])
    assert model.n_features_in_ == 4
    assert model.score(IRIS, SPECIES) > 0.9
