"""Metrics: hand-computed cases, scikit-learn, properties, bad input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn import manifold, metrics
from sklearn import neighbors as sk_neighbors
from sklearn.datasets import load_digits, load_iris

from scratchnet.backend import asarray
from scratchnet.metrics import (
    adjusted_rand,
    auroc,
    best_assignment,
    clustering_accuracy,
    continuity,
    knn_accuracy,
    normalized_mutual_info,
    silhouette,
    trustworthiness,
)

IRIS, SPECIES = load_iris(return_X_y=True)
DIGITS, NUMERALS = load_digits(return_X_y=True)
LABEL_METRICS = [normalized_mutual_info, adjusted_rand, clustering_accuracy]


# -- two labelings ----------------------------------------------------------------------------------------------------


def test_labelings_by_hand(xp):
    true, pred = asarray([0, 0, 1, 1]), asarray([0, 0, 0, 1])
    entropy = -(3 / 4 * np.log(3 / 4) + 1 / 4 * np.log(1 / 4))  # of pred; that of true is log 2
    joint = -(1 / 2 * np.log(1 / 2) + 2 * 1 / 4 * np.log(1 / 4))
    assert normalized_mutual_info(true, pred) == pytest.approx(
        2 * (np.log(2) + entropy - joint) / (np.log(2) + entropy)
    )
    assert adjusted_rand(true, pred) == pytest.approx((1 - 2 * 3 / 6) / ((2 + 3) / 2 - 2 * 3 / 6))
    assert clustering_accuracy(true, pred) == 0.75


@pytest.mark.parametrize("metric", LABEL_METRICS)
def test_same_partition_under_other_names(metric):
    names = np.array(["c", "a", "b"])[SPECIES]
    assert metric(SPECIES, names) == pytest.approx(1)
    assert metric(SPECIES, np.roll(SPECIES, 1)) < 1


@pytest.mark.parametrize(
    "labels",
    [([0, 0, 0], [1, 1, 1]), ([0, 1, 2], [2, 0, 1]), ([0], [3])],
    ids=["one cluster", "all alone", "one point"],
)
@pytest.mark.parametrize("metric", LABEL_METRICS)
def test_trivial_partitions_that_agree(metric, labels):
    assert metric(*labels) == 1


def test_trivial_against_structured():
    assert normalized_mutual_info([0, 0, 1, 1], [0, 0, 0, 0]) == 0
    assert adjusted_rand([0, 0, 1, 1], [0, 0, 0, 0]) == 0
    assert clustering_accuracy([0, 0, 1, 1], [0, 1, 2, 3]) == 0.5


@pytest.mark.parametrize(("ours", "theirs"), [
    (normalized_mutual_info, metrics.normalized_mutual_info_score),
    (adjusted_rand, metrics.adjusted_rand_score),
])  # fmt: skip
def test_labelings_equal_scikit_learn(ours, theirs, seed):
    rng = np.random.default_rng(seed)
    for k, m in (2, 2), (3, 7), (10, 10), (1, 4), (40, 5):
        a = rng.integers(k, size=200)
        b = np.where(rng.random(200) < 0.5, a, rng.integers(m, size=200))
        assert ours(a, b) == pytest.approx(theirs(a, b), abs=1e-12)
        assert ours(a, b) == pytest.approx(ours(b, a), abs=1e-12)


def test_best_assignment_against_all_permutations(seed):
    rng = np.random.default_rng(seed)
    for n in 1, 2, 3, 5, 7:
        for cost in (
            rng.standard_normal((n, n)),
            rng.integers(3, size=(n, n)).astype(float),
        ):  # the second is full of ties
            p = best_assignment(cost)
            assert sorted(p) == list(range(n))
            cheapest = min(cost[np.arange(n), list(q)].sum() for q in itertools.permutations(range(n)))
            assert cost[np.arange(n), p].sum() == pytest.approx(cheapest, abs=1e-12)


def test_clustering_accuracy_with_more_clusters_than_classes_and_fewer():
    true = [0, 0, 0, 1, 1, 1]
    assert clustering_accuracy(true, [0, 0, 1, 2, 2, 2]) == pytest.approx(5 / 6)
    assert clustering_accuracy([0, 0, 1, 2, 2, 2], true) == pytest.approx(5 / 6)


@pytest.mark.parametrize("metric", LABEL_METRICS)
def test_labelings_refuse(metric):
    with pytest.raises(ValueError, match="labels_true has 2 labels and labels_pred 3"):
        metric([0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match=r"labels_pred must be 1-D.*shape"):
        metric([0, 1], [[0, 1], [0, 1]])
    with pytest.raises(ValueError, match="labels_true is empty"):
        metric([], [])
    with pytest.raises(ValueError, match="labels_true contains NaN"):
        metric([np.nan, 1.0], [0, 1])


# -- points -----------------------------------------------------------------------------------------------------------


def test_silhouette_by_hand(xp, dtype):
    X = asarray(np.array([[0.0], [1.0], [4.0]], dtype))
    # point 0: a = 1, b = 4; point 1: a = 1, b = 3; point 2 is alone
    assert silhouette(X, [0, 0, 1]) == pytest.approx((3 / 4 + 2 / 3 + 0) / 3)


@pytest.mark.parametrize("shift", [0, 1e4])
def test_silhouette_equals_scikit_learn(shift, xp):
    assert silhouette(asarray(IRIS + shift), SPECIES) == pytest.approx(
        metrics.silhouette_score(IRIS, SPECIES), abs=1e-9
    )
    assert silhouette(IRIS, SPECIES.astype(str)) == silhouette(IRIS, SPECIES)


def test_silhouette_of_duplicates_and_over_many_blocks():
    assert silhouette(np.ones((4, 2)), [0, 0, 1, 1]) == 0
    expected = metrics.silhouette_score(DIGITS, NUMERALS)
    assert silhouette(DIGITS, NUMERALS) == pytest.approx(expected, abs=1e-12)


def test_silhouette_refuses():
    for labels, k in ([0, 0, 0], 1), ([0, 1, 2], 3):
        with pytest.raises(ValueError, match=f"labels holds {k} clusters of 3 points"):
            silhouette(np.eye(3), labels)
    with pytest.raises(ValueError, match="labels has 2 entries, but X has 3 rows"):
        silhouette(np.eye(3), [0, 1])


def test_trustworthiness_by_hand(xp):
    X, Z = asarray([[0.0], [1.0], [2.5], [4.5]]), asarray([[0.0], [1.0], [-0.5], [4.5]])
    # neighbours in Z: 0 -> 2 (rank 2 in X), 1 -> 0 (rank 1), 2 -> 0 (rank 3), 3 -> 1 (rank 2): excess 1 + 0 + 2 + 1
    assert trustworthiness(X, Z, 1) == pytest.approx(1 - 2 / (4 * 1 * (8 - 3 - 1)) * 4)


@pytest.mark.parametrize("k", [1, 5, 12, 74])
def test_trustworthiness_and_continuity_equal_scikit_learn(k, xp):
    X = IRIS + 1e-6 * np.random.default_rng(0).standard_normal(IRIS.shape)  # no ties, which have no defined order
    Z = X[:, :2] + 0.1 * np.random.default_rng(1).standard_normal((150, 2))
    assert trustworthiness(asarray(X), asarray(Z), k) == pytest.approx(manifold.trustworthiness(X, Z, n_neighbors=k))
    assert continuity(asarray(X), asarray(Z), k) == pytest.approx(manifold.trustworthiness(Z, X, n_neighbors=k))


def test_trustworthiness_properties():
    Z = np.random.default_rng(0).standard_normal((150, 2))
    assert trustworthiness(IRIS, 4 * IRIS, 10) == pytest.approx(1)
    assert 0.4 < trustworthiness(IRIS, Z, 10) < 0.6
    with pytest.raises(ValueError, match="n_neighbors=75 must be between 1 and 74"):
        trustworthiness(IRIS, Z, 75)
    with pytest.raises(ValueError, match="X has 150 rows and Z 149"):
        trustworthiness(IRIS, Z[1:])


@pytest.mark.parametrize("k", [1, 3])
def test_knn_accuracy_leaves_one_out(k, xp, dtype):
    X, y = DIGITS[:300].astype(dtype), NUMERALS[:300]
    found = sk_neighbors.NearestNeighbors(n_neighbors=k, algorithm="brute").fit(X).kneighbors(return_distance=False)
    theirs = np.mean([np.bincount(y[row]).argmax() for row in found] == y)
    assert knn_accuracy(asarray(X), asarray(y), k) == pytest.approx(theirs)


def test_knn_accuracy_against_a_training_set(xp):
    X, y, rest, y_rest = DIGITS[:1000], NUMERALS[:1000], DIGITS[1000:], NUMERALS[1000:]
    theirs = sk_neighbors.KNeighborsClassifier(1).fit(X, y).score(rest, y_rest)
    assert knn_accuracy(asarray(rest), y_rest, train=(asarray(X), y)) == pytest.approx(theirs)
    assert knn_accuracy(X, y, train=(X, y)) == 1  # each row finds itself


def test_one_nearest_neighbour_of_raw_test_digits(mnist_root):
    from scratchnet.datasets import load_mnist

    X, y = load_mnist("test", size="full", root=mnist_root)
    assert knn_accuracy(X[:2000], y[:2000]) == pytest.approx(0.886, abs=5e-4)


def test_input_is_not_written_to():
    X = IRIS.copy()
    X.setflags(write=False)
    silhouette(X, SPECIES)
    trustworthiness(X, X)
    knn_accuracy(X, SPECIES)


# -- scores -----------------------------------------------------------------------------------------------------------


def test_auroc_by_hand(xp):
    # pairs (positive, negative): .9 > .1, .9 > .5, .5 > .1, .5 = .5
    assert auroc(asarray([True, True, False, False]), asarray([0.9, 0.5, 0.1, 0.5])) == 3.5 / 4
    assert auroc([0, 0, 1], [1, 2, 3]) == 1
    assert auroc([1, 1, 0], [1, 2, 3]) == 0
    assert auroc([1, 0, 0], [7, 7, 7]) == 0.5


def test_auroc_equals_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=500)
    for score in y + rng.standard_normal(500), rng.integers(5, size=500) + y:
        assert auroc(y, score) == pytest.approx(metrics.roc_auc_score(y, score), abs=1e-12)
        assert auroc(y == 1, -score) == pytest.approx(1 - auroc(y, score), abs=1e-12)


def test_auroc_refuses():
    for y in [1, 1, 1], [0, 1, 2], ["a", "b", "a"]:
        with pytest.raises(ValueError, match="y_true must hold both True and False"):
            auroc(y, [1, 2, 3])
    with pytest.raises(ValueError, match="y_true has 2 entries and score 3"):
        auroc([0, 1], [1, 2, 3])
    with pytest.raises(ValueError, match="score contains NaN"):
        auroc([0, 1], [1, np.nan])
