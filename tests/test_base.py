"""The estimator convention: parameters, refits that are refused, feature names, progress."""

from __future__ import annotations

import inspect
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import estimator_checks

import scratchnet.autoencoders.latent
import scratchnet.cluster
import scratchnet.decomposition
import scratchnet.manifold
import scratchnet.neighbors  # noqa: F401  (all estimators)
from scratchnet.base import Estimator, NotFittedError, TransformerMixin, progress


class Mean(Estimator):
    """The least an estimator has."""

    def __init__(self, scale=1.0, name="a"):
        self.scale, self.name = scale, name

    def fit(self, X, y=None):
        self.mean_ = self._check_fit(X).mean(axis=0)
        return self

    def transform(self, X):
        return self.scale * (self._check(X) - self.mean_)


def test_parameters_are_stored_listed_changed_and_shown():
    mean = Mean(scale=2.0)
    assert mean.get_params() == {"scale": 2.0, "name": "a"}
    assert repr(mean) == "Mean(scale=2.0)"
    assert mean.set_params(name="b") is mean
    assert mean.name == "b"
    with pytest.raises(ValueError, match=r"Invalid parameter 'colour' for estimator Mean.*\['scale', 'name'\]"):
        mean.set_params(colour=1)


def test_not_fitted_and_wrong_width(xp):
    mean = Mean()
    with pytest.raises(NotFittedError, match=r"this Mean is not fitted yet; call fit\(X\) first"):
        mean.transform([[1.0]])
    mean.fit([[1.0, 2.0]])
    assert mean.n_features_in_ == 2
    with pytest.raises(ValueError, match="X has 1 features, but Mean is expecting 2 features as input"):
        mean.transform([[1.0]])


def test_feature_names_of_data_frames():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    mean = Mean().fit(frame)
    assert list(mean.feature_names_in_) == ["a", "b"]
    np.testing.assert_array_equal(mean.transform(frame), [[-0.5, -0.5], [0.5, 0.5]])
    with pytest.raises(ValueError, match="must be in the same order"):
        mean.transform(frame[["b", "a"]])
    with pytest.raises(
        ValueError, match="unseen at fit time:\n- c\nFeature names seen at fit time, yet now missing:\n- b"
    ):
        mean.transform(frame.rename(columns={"b": "c"}))
    assert not hasattr(mean.fit(frame.to_numpy()), "feature_names_in_")


def test_results_stay_where_fit_was(xp):
    import scratchnet as sn
    from scratchnet.backend import get_xp

    mean = Mean().fit([[1.0, 2.0], [3.0, 4.0]])
    with sn.using("numpy"):
        assert get_xp(mean.transform([[1.0, 2.0]])) is xp


def test_progress_shows_the_last_state_and_asks_for_few(capsys):
    asked = []

    class State:
        def __init__(self, i):
            self.i = i

        def __str__(self):
            asked.append(self.i)
            return f"state {self.i}"

    drained = list(progress((State(i) for i in range(1000)), total=1000, description="work", verbose=1))
    assert [state.i for state in drained] == list(range(1000))
    bar = capsys.readouterr().err
    assert "work: 100%" in bar
    assert bar.rstrip().endswith("state 999]")
    assert len(asked) < 50, "a state may be expensive to describe"
    assert list(progress(iter(()), total=0, description="nothing", verbose=1)) == []
    capsys.readouterr()
    assert len(list(progress(iter([1, 2]), total=2, description="quiet", verbose=0))) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("columns", "kept"), [([0, 1], False), (["a", 1], None), (["a", "b"], True)])
def test_only_strings_are_names(columns, kept):
    frame = pd.DataFrame(np.eye(2), columns=columns)
    if kept is None:
        with pytest.raises(TypeError, match=r"if all input features have string names, .* named by int and str"):
            Mean().fit(frame)
    else:
        assert hasattr(Mean().fit(frame), "feature_names_in_") == kept


# -- a refit that is refused ------------------------------------------------------------------------------------------


def concrete(cls):
    """The estimators among the subclasses of ``cls``, found without a list that could be forgotten."""
    found = [] if inspect.isabstract(cls) or not cls.__module__.startswith("scratchnet.") else [cls]
    return found + [kind for child in cls.__subclasses__() for kind in concrete(child)]


ESTIMATORS = [kind for kind in concrete(Estimator) if kind is not Estimator]
SETTINGS = {  # small and quick, where the defaults are not
    "VAE": {"epochs": 1, "warm_up": 0},
    "KMeans": {"n_clusters": 2, "random_state": 0},
    "GaussianMixture": {"n_components": 2, "random_state": 0},
    "KNeighborsClassifier": {"n_neighbors": 2},
    "PCA": {"n_components": 2},
}
REFUSED = {  # of an estimator with such a parameter: settings that only the data show to be wrong
    "n_clusters": 1000,
    "n_components": 1000,
    "n_neighbors": 1000,
    "perplexity": 1000.0,
    "init": np.zeros((3, 3)),
    "validation_fraction": 0.001,
}


def small(kind):
    names = inspect.signature(kind).parameters
    autoencoder = {"hidden": (), "n_latent": 2, "epochs": 1, "random_state": 0}
    embedding = {"perplexity": 5.0, "max_iter": 3}
    settings = (autoencoder if "epochs" in names else embedding if "perplexity" in names else {}) | SETTINGS.get(
        kind.__name__, {}
    )
    return kind(**(settings | ({"k": 1} if "k" in names else {})))


def fit(model, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nothing here trains long enough to be good
        return model.fit(X, np.arange(len(X)) % 2)


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)
def test_a_refused_refit_leaves_the_model_as_it_was(kind, xp, rng):
    X = rng.random((40, 4)).astype("float32")
    model = fit(small(kind), X)
    refused = [name for name in REFUSED if name in model.get_params()]
    if "perplexity" in refused:
        refused.remove("n_components")  # an embedding may have more dimensions than points
    for name in refused:
        kept = model.get_params()[name]
        model.set_params(**{name: REFUSED[name]})
        unchanged_by_refusal(model, rng.random((30, 5)).astype("float32"))
        model.set_params(**{name: kept})
    unchanged_by_refusal(model, np.full((30, 5), np.nan))
    unchanged_by_refusal(model, pd.DataFrame(np.full((30, 2), np.inf), columns=["a", "b"]))
    for method in ("predict", "transform", "score_samples", "log_density"):
        if hasattr(kind, method):
            getattr(model, method)(X, *([np.arange(40) % 2] if kind.__name__ == "ConditionalVAE" else []))


def unchanged_by_refusal(model, X):
    """Every attribute is the very object that it was, and holds what it held."""
    before, copies = dict(vars(model)), pickle.dumps(model)
    with pytest.raises((ValueError, TypeError)):
        fit(model, X)
    assert vars(model).keys() == before.keys()
    assert [name for name in before if vars(model)[name] is not before[name]] == []
    assert pickle.dumps(model) == copies


BOOLEAN = [
    (kind, name)
    for kind in ESTIMATORS
    for name, parameter in inspect.signature(kind).parameters.items()
    if "bool" in str(parameter.annotation)
]


@pytest.mark.parametrize(("kind", "name"), BOOLEAN, ids=lambda value: getattr(value, "__name__", value))
def test_only_true_and_false_are_taken_for_them(kind, name, rng):
    X = rng.random((40, 4)).astype("float32")
    for value in 2, "no", 0.0:
        with pytest.raises(TypeError, match=f"{name}={value!r} must be True or False, got {type(value).__name__}"):
            fit(small(kind).set_params(**{name: value}), X)
    fit(small(kind).set_params(**{name: np.bool_(True)}), X)


def test_the_list_of_estimators_is_whole():
    assert {(kind.__name__, name) for kind, name in BOOLEAN} >= {("PCA", "whiten"), ("DenoisingAutoencoder", "clip")}
    assert {"KMeans", "PCA", "TSNE", "VAE", "ConditionalVAE", "KNeighborsClassifier", "GaussianMixture"} <= {
        kind.__name__ for kind in ESTIMATORS
    }


def test_an_interrupted_fit_is_undone_too():
    class Interrupted(Mean):
        def fit(self, X, y=None):
            fresh = self._fresh()
            Mean.fit(fresh, X)
            raise KeyboardInterrupt

    model = Interrupted()
    Mean.fit(model, np.ones((2, 2)))
    with pytest.raises(KeyboardInterrupt):
        model.fit(np.zeros((2, 3)))
    assert model.n_features_in_ == 2
    np.testing.assert_array_equal(model.mean_, [1, 1])


# -- feature names ----------------------------------------------------------------------------------------------------

TRANSFORMERS = [kind for kind in ESTIMATORS if issubclass(kind, TransformerMixin) and hasattr(kind, "transform")]
ASKED = ("predict", "transform", "reconstruct", "score", "score_samples", "log_density", "elbo", "posterior", "corrupt")


@pytest.mark.parametrize("kind", TRANSFORMERS, ids=lambda kind: kind.__name__)
@pytest.mark.filterwarnings("ignore:posterior collapse")
def test_names_of_what_comes_out(kind):
    """scikit-learn's own checks, and what they leave open."""
    model = small(kind)
    if "likelihood" in model.get_params():
        model.set_params(likelihood="gaussian")
    estimator_checks.check_get_feature_names_out_error(kind.__name__, model)
    estimator_checks.check_transformer_get_feature_names_out(kind.__name__, model)
    estimator_checks.check_transformer_get_feature_names_out_pandas(kind.__name__, model)
    with pytest.raises(NotFittedError, match=f"this {kind.__name__} is not fitted"):
        small(kind).get_feature_names_out()
    names = fit(model, np.eye(12, 3)).get_feature_names_out()
    assert names.tolist() == [f"{kind.__name__.lower()}{i}" for i in range(2)]


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)
def test_names_are_looked_for_where_the_user_speaks(kind, rng):
    """With names throughout nobody complains, whatever a method calls inside; with names on one side only, it warns."""
    X, y = rng.random((30, 3)), np.arange(30) % 2
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    named, nameless = fit(small(kind), frame), fit(small(kind), X)
    with_y = (y,) if kind.__name__ == "ConditionalVAE" else ()
    for method in (method for method in ASKED if hasattr(kind, method)):
        more = (y,) if method == "score" else with_y
        getattr(named, method)(frame, *more)
        getattr(nameless, method)(X, *more)
        with pytest.warns(UserWarning, match="X does not have valid feature names, but .* was fitted with") as noted:
            getattr(named, method)(X, *more)
        assert len(noted) == 1
        with pytest.warns(UserWarning, match="X has feature names, but .* was fitted without feature names"):
            getattr(nameless, method)(frame, *more)
