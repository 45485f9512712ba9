"""scratchnet's estimators with scikit-learn's tools: pipelines, grid searches, data frames.

    pip install '.[test]' && python examples/scikit_learn_pipeline.py

scratchnet never imports scikit-learn; its estimators follow the same conventions.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scratchnet.autoencoders import Autoencoder
from scratchnet.cluster import KMeans
from scratchnet.datasets import load_mnist
from scratchnet.decomposition import PCA
from scratchnet.neighbors import KNeighborsClassifier


def components_and_neighbors(X: np.ndarray, y: np.ndarray) -> None:
    """A joint grid search over two estimators: how many components, how many neighbours."""
    pipe = make_pipeline(PCA(), KNeighborsClassifier())
    grid = {"pca__n_components": [5, 20, 50], "kneighborsclassifier__n_neighbors": [1, 5]}
    search = GridSearchCV(pipe, grid, cv=3).fit(X, y)
    print(f"best of {len(search.cv_results_['params'])}: {search.best_params_}, accuracy {search.best_score_:.3f}")


def components_by_likelihood(X: np.ndarray) -> None:
    """PCA is a probabilistic model: the likelihood of held-out rows selects the number of components."""
    widths = [5, 50, 200, 400]
    search = GridSearchCV(PCA(), {"n_components": widths}, cv=3).fit(X)
    scores = search.cv_results_["mean_test_score"]
    nats = ", ".join(f"{k}: {score:.0f}" for k, score in zip(widths, scores, strict=True))
    print(f"log-likelihood of held-out images in nats, by components: {nats}")


def codes_for_a_classifier(X: np.ndarray, y: np.ndarray) -> None:
    """An autoencoder as a step of a pipeline: its codes are the classifier's input, and each fold trains its own."""
    pipe = make_pipeline(Autoencoder(n_latent=16, epochs=20, random_state=0), KNeighborsClassifier(3))
    print(f"3 nearest neighbours on codes: accuracy {cross_val_score(pipe, X, y, cv=3).mean():.3f}")


def a_data_frame() -> None:
    """Column names are stored, and columns in another order are an error."""
    rng = np.random.default_rng(0)
    group = rng.integers(3, size=200)
    frame = pd.DataFrame({"length": rng.normal(30 + 10 * group, 2), "weight": rng.normal(0.1 + 0.2 * group, 0.03)})
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), KMeans(3, n_init=5, random_state=0))
    labels = model.fit_predict(frame)
    print(f"clusters of {np.bincount(labels).tolist()} rows, fitted to the columns {list(model[-1].feature_names_in_)}")
    try:
        model[-1].predict(frame[["weight", "length"]])
    except ValueError as error:
        print(f"columns in another order are an error: {str(error).splitlines()[-1]}")
    print(f"its distances to the centres are called {model.get_feature_names_out().tolist()}")


def main() -> None:
    X, y = load_mnist()
    X, y = X[:1500], y[:1500]
    components_and_neighbors(X, y)
    components_by_likelihood(X)
    codes_for_a_classifier(X, y)
    a_data_frame()


if __name__ == "__main__":
    main()
