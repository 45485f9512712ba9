"""Clustering, PCA, neighbours and metrics behave alike: one table of bad input, and scikit-learn's tools.

The checks of scikit-learn itself run in the file of each estimator. One of them cannot apply, to KMeans: see
``EXPECTED_FAILURES`` in test_kmeans.py.
"""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scratchnet.backend import asarray, to_numpy
from scratchnet.cluster import AgglomerativeClustering, KMeans, epsilon_graph, k_neighbor_graph, maximal_cliques
from scratchnet.decomposition import PCA
from scratchnet.manifold import TSNE
from scratchnet.metrics import (
    adjusted_rand,
    auroc,
    clustering_accuracy,
    continuity,
    knn_accuracy,
    normalized_mutual_info,
    silhouette,
    trustworthiness,
)
from scratchnet.neighbors import KNeighborsClassifier

IRIS, SPECIES = load_iris(return_X_y=True)
LABELS = np.arange(9) % 3

# -- one table of bad input -------------------------------------------------------------------------------------------

BAD = {
    "NaN": (np.full((9, 2), np.nan), ValueError, r"X contains NaN: 18 entries are NaN or infinity.*\(0, 0\)"),
    "one NaN": (np.where(np.eye(9, 2, -1) > 0, np.nan, 1.0), ValueError, r"X contains NaN: 2 entries.*at \(1, 0\)"),
    "infinity": (np.full((9, 2), np.inf), ValueError, r"X contains inf: 18 entries.*first \(infinity\) at \(0, 0\)"),
    "-infinity": (np.full((9, 2), -np.inf), ValueError, r"X contains inf.*Remove or fill them first"),
    "no rows": (np.empty((0, 2)), ValueError, r"0 sample\(s\) .*in X while a minimum of [12] is required"),
    "no columns": (np.empty((9, 0)), ValueError, r"X: Found array with 0 feature\(s\) \(shape=\(9, 0\)\)"),
    "a number": (3.0, ValueError, r"X must be 2-D, got 0-D with shape \(\)"),
    "1-D": (np.ones(9), ValueError, r"X must be 2-D, got 1-D with shape \(9,\)\. Reshape your data: X\.reshape"),
    "3-D": (np.ones((9, 2, 2)), ValueError, r"X must be 2-D, got 3-D with shape \(9, 2, 2\)"),
    "strings": ([["a", "b"]] * 9, ValueError, r"X has dtype <U1 and holds something that is not a number.*encode it"),
    "objects": (np.full((9, 2), {}, dtype=object), TypeError, r"X has dtype object and holds something .*not a number"),
    "None": ([[None, 1.0]] * 9, (TypeError, ValueError), r"X (has dtype object|contains NaN)"),
    "ragged": ([[1.0, 2.0], [3.0]], ValueError, r"X has rows of different lengths"),
    "complex": (np.ones((9, 2), dtype=complex), ValueError, r"Complex data not supported: X has dtype complex128"),
    "dates": (np.zeros((9, 2), "datetime64[D]"), TypeError, r"X has dtype datetime64\[D\], which is not numeric"),
    "masked": (np.ma.masked_equal(np.eye(9, 2), 1), ValueError, r"X is a masked array with masked entries"),
}  # fmt: skip

ENTRIES = {
    "KMeans.fit": lambda X: KMeans(2).fit(X),
    "KMeans.fit_predict": lambda X: KMeans(2).fit_predict(X),
    "KMeans.steps": lambda X: list(KMeans(2).steps(X)),
    "KMeans.predict": lambda X: KMeans(2, random_state=0).fit(np.eye(9, 2)).predict(X),
    "KMeans.transform": lambda X: KMeans(2, random_state=0).fit(np.eye(9, 2)).transform(X),
    "KMeans.score": lambda X: KMeans(2, random_state=0).fit(np.eye(9, 2)).score(X),
    "AgglomerativeClustering.fit": lambda X: AgglomerativeClustering(2).fit(X),
    "AgglomerativeClustering.fit_predict": lambda X: AgglomerativeClustering(2).fit_predict(X),
    "PCA.fit": lambda X: PCA(1).fit(X),
    "PCA.partial_fit": lambda X: PCA(1).partial_fit(X),
    "PCA.partial_fit again": lambda X: PCA(1).partial_fit(np.eye(9, 2)).partial_fit(X),
    "PCA.transform": lambda X: PCA(1).fit(np.eye(9, 2)).transform(X),
    "PCA.score": lambda X: PCA(1).fit(np.eye(9, 2)).score(X),
    "KNeighborsClassifier.fit": lambda X: KNeighborsClassifier(1).fit(X, LABELS),
    "KNeighborsClassifier.predict": lambda X: KNeighborsClassifier(1).fit(np.eye(9, 2), LABELS).predict(X),
    "epsilon_graph": lambda X: epsilon_graph(X, 1.0),
    "k_neighbor_graph": lambda X: k_neighbor_graph(X, 1),
    "silhouette": lambda X: silhouette(X, LABELS),
    "trustworthiness": lambda X: trustworthiness(X, np.eye(9, 2), 2),
    "knn_accuracy": lambda X: knn_accuracy(X, LABELS),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("bad", BAD)
def test_bad_data(entry, bad):
    X, error, message = BAD[bad]
    with pytest.raises(error, match=message):
        ENTRIES[entry](X)


FITTED = {
    KMeans: (lambda: KMeans(2, random_state=0).fit(IRIS), ("predict", "transform", "score")),
    PCA: (lambda: PCA(2).fit(IRIS), ("transform", "score", "score_samples", "partial_fit")),
    KNeighborsClassifier: (lambda: KNeighborsClassifier().fit(IRIS, SPECIES), ("predict", "predict_proba")),
}


@pytest.mark.parametrize(
    ("model", "method"), [(model, method) for model, (_, methods) in FITTED.items() for method in methods]
)
@pytest.mark.parametrize("width", [3, 5])
def test_another_number_of_features(model, method, width):
    fitted = FITTED[model][0]()
    with pytest.raises(ValueError, match=f"X has {width} features, but {model.__name__} is expecting 4 features"):
        getattr(fitted, method)(np.ones((7, width)))


@pytest.mark.parametrize(("call", "message"), [
    (lambda: KMeans(4).fit(np.eye(3)), "n_clusters=4 is more than n_samples=3; ask for fewer"),
    (lambda: AgglomerativeClustering(4).fit(np.eye(3)), "n_clusters=4 is more than n_samples=3; ask for fewer"),
    (lambda: PCA(4).fit(np.eye(3, 9)), "n_components=4 must be between 1 and 3"),
    (lambda: KNeighborsClassifier(4).fit(np.eye(3), [0, 1, 2]), "n_neighbors=4 is more than n_samples=3"),
    (lambda: k_neighbor_graph(np.eye(3), 3), "n_neighbors=3 must be between 1 and 2"),
    (lambda: trustworthiness(np.eye(9), np.eye(9), 5), "n_neighbors=5 must be between 1 and 4"),
    (lambda: knn_accuracy(np.eye(3), [0, 1, 2], 3), "n_neighbors=3 must be between 1 and 2"),
    (lambda: silhouette(np.eye(3), [0, 1, 2]), "labels holds 3 clusters of 3 points"),
    (lambda: KMeans(2).fit(np.eye(3), sample_weight=[1, -1, 1]), "sample_weight has negative entries"),
    (lambda: KMeans(2).fit(np.eye(3), sample_weight=[1, 1]), "sample_weight has 2 entries, but X has n_samples=3"),
    (lambda: KMeans(2).fit(np.eye(3)).score(np.eye(3), sample_weight=[1, -1, 1]), "sample_weight has negative entries"),
    (lambda: epsilon_graph(np.eye(3), -1), "epsilon=-1 must be at least 0"),
    (lambda: maximal_cliques(np.eye(2, 3)), r"graph must be an \(n, n\) matrix"),
    (lambda: KNeighborsClassifier(1).fit(np.eye(3), [0.5, 1, 2]), "y is continuous"),
    (lambda: KNeighborsClassifier(1).fit(np.eye(3), [0, 1]), "y has 2 labels, but X has n_samples=3"),
    (lambda: continuity(np.eye(9), np.full((9, 2), np.nan), 2), r"contains NaN"),
    (lambda: auroc([0, 1], [0.5, np.inf]), "score contains inf"),
])  # fmt: skip
def test_arguments_that_do_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("metric", [normalized_mutual_info, adjusted_rand, clustering_accuracy])
@pytest.mark.parametrize(("labels", "message"), [
    ([], "labels_pred is empty"),
    ([[0, 1], [1, 2]], r"labels_pred must be 1-D, one label per row, got shape \(2, 2\)"),
    ([0.0, np.nan], "labels_pred contains NaN"),
    ([0.5, 1.0], "labels_pred is continuous"),
    ([0], "labels_true has 2 labels and labels_pred 1"),
])  # fmt: skip
def test_bad_labels(metric, labels, message):
    with pytest.raises(ValueError, match=message):
        metric([0, 1], labels)


# -- tiny data --------------------------------------------------------------------------------------------------------

SQUARED = {  # what squares the differences of the rows of X, by the number that then scales with X
    "KMeans": lambda X: KMeans(3, init=X[::50]).fit(X).inertia_ ** 0.5,
    "ward": lambda X: AgglomerativeClustering(3).fit(X).distances_[-1],
    "single": lambda X: AgglomerativeClustering(3, linkage="single").fit(X).distances_[-1],
    "PCA": lambda X: PCA(2).fit(X).explained_variance_[1] ** 0.5,
    "wide PCA": lambda X: PCA(2).fit(X[:3]).explained_variance_[1] ** 0.5,
    "TSNE": lambda X: X.max() * TSNE(max_iter=2).fit(X).kl_divergence_,
    "neighbors": lambda X: X.max() * KNeighborsClassifier(1).fit(X, SPECIES).score(X, SPECIES),
    "silhouette": lambda X: X.max() * silhouette(X, SPECIES),
    "graph": lambda X: X.max() * to_numpy(k_neighbor_graph(X, 3)).sum(),
}
IN_FLOAT64 = ("single", "neighbors", "silhouette", "graph")  # whatever the type of X


@pytest.mark.parametrize("entry", SQUARED)
def test_tiny_data_are_as_good_as_any(dtype, entry):
    X, scale = IRIS.astype(dtype), 2.0 ** (-460 if dtype == "float64" else -98 if entry in IN_FLOAT64 else -45)
    assert SQUARED[entry](X * scale) / scale == pytest.approx(SQUARED[entry](X), rel=1e-6)


@pytest.mark.parametrize(
    ("entry", "dtype"), [(e, "float64") for e in SQUARED] + [(e, "float32") for e in SQUARED if e not in IN_FLOAT64]
)
def test_squares_that_vanish_are_refused(entry, dtype, xp):
    X = asarray(IRIS.astype(dtype) * np.dtype(dtype).type(1e-300 if dtype == "float64" else 1e-30))
    remedy = r"X \* 1e\+\d+" if dtype == "float64" else r"X.astype\('float64'\)"
    with pytest.raises(ValueError, match=f"X spans so small a range .* vanish in {dtype}; pass {remedy}$") as error:
        SQUARED[entry](X)
    SQUARED[entry](eval(str(error.value).partition("pass ")[2], {"X": X}))  # what it says helps


# -- what scikit-learn's tools need -----------------------------------------------------------------------------------

MODELS = [
    KMeans(3, random_state=0),
    KMeans(3, metric="cosine", random_state=0),
    AgglomerativeClustering(3, linkage="average"),
    PCA(2, whiten=True),
    KNeighborsClassifier(3),
]


@pytest.fixture(params=MODELS, ids=repr)
def model(request):
    return clone(request.param)


def answer(model, X):
    """What a model says about X, whatever it is called."""
    for method in "predict", "transform":
        if hasattr(model, method):
            return to_numpy(getattr(model, method)(X))
    return to_numpy(model.labels_)


def test_clone_has_the_parameters_and_nothing_learned(model):
    copy = clone(model.fit(IRIS, SPECIES))
    assert copy.get_params() == model.get_params()
    assert not [name for name in vars(copy) if name.endswith("_")]
    np.testing.assert_array_equal(answer(copy.fit(IRIS, SPECIES), IRIS), answer(model, IRIS))


def test_pickle_keeps_what_was_learned(model, xp):
    again = pickle.loads(pickle.dumps(model.fit(IRIS, SPECIES)))
    np.testing.assert_array_equal(answer(again, IRIS), answer(model, IRIS))


def test_feature_names_are_kept_and_compared(model):
    frame = pd.DataFrame(IRIS, columns=["a", "b", "c", "d"])
    model.fit(frame, SPECIES)
    assert list(model.feature_names_in_) == ["a", "b", "c", "d"]
    assert model.n_features_in_ == 4
    np.testing.assert_allclose(answer(model, frame), answer(clone(model).fit(IRIS, SPECIES), IRIS), atol=1e-9)
    if not isinstance(model, AgglomerativeClustering):
        with pytest.raises(ValueError, match="Feature names must be in the same order"):
            answer(model, frame[["b", "a", "c", "d"]])
    assert not hasattr(model.fit(IRIS, SPECIES), "feature_names_in_")


def test_pipeline(model):
    pipe = make_pipeline(StandardScaler(), PCA(3), model).fit(IRIS, SPECIES)
    scaled = PCA(3).fit_transform(StandardScaler().fit_transform(IRIS))
    np.testing.assert_allclose(answer(pipe[-1], scaled), answer(clone(model).fit(scaled, SPECIES), scaled), atol=1e-9)


def test_names_come_out_of_a_column_transformer_in_a_pipeline():
    frame = pd.DataFrame(IRIS, columns=["a", "b", "c", "d"])
    parts = [("lengths", PCA(1), ["a", "c"]), ("widths", KMeans(3, random_state=0), ["b", "d"])]
    columns = ColumnTransformer(parts, remainder="passthrough")
    pipe = make_pipeline(columns, PCA(2)).fit(frame)
    assert pipe[0].get_feature_names_out().tolist() == [
        "lengths__pca0", "widths__kmeans0", "widths__kmeans1", "widths__kmeans2"
    ]  # fmt: skip
    assert pipe.get_feature_names_out().tolist() == pipe[:].get_feature_names_out(["a", "b", "c", "d"]).tolist()
    assert pipe.get_feature_names_out().tolist() == ["pca0", "pca1"]
    assert pipe.transform(frame).shape == (150, 2)
    np.testing.assert_allclose(pipe[0].transform(frame)[:, :1], PCA(1).fit_transform(IRIS[:, [0, 2]]), atol=1e-9)
    with pytest.raises(ValueError, match=r"columns are missing: \{'a'\}"):
        pipe.transform(frame.drop(columns="a"))
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        pipe.get_feature_names_out(["b", "a", "c", "d"])


@pytest.mark.parametrize(
    ("pipe", "grid"),
    [
        (make_pipeline(PCA(2), KMeans(random_state=0)), {"pca__n_components": [1, 2], "kmeans__n_clusters": [2, 3]}),
        (PCA(), {"n_components": [1, 2, 3]}),  # by the likelihood of held-out rows
        (make_pipeline(PCA(2), KNeighborsClassifier()), {"kneighborsclassifier__n_neighbors": [1, 5, 15]}),
        (make_pipeline(KMeans(20, random_state=0), KNeighborsClassifier()), {"kmeans__n_clusters": [5, 20]}),
    ],
)
def test_grid_search(pipe, grid):
    search = GridSearchCV(pipe, grid, cv=3).fit(IRIS[::-1][::2], SPECIES[::-1][::2])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_.keys() == grid.keys()
