"""One contract of ``steps`` for everything that has it: see ``Estimator._adopt``."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

from scratchnet.autoencoders import VAE, Autoencoder, ConditionalVAE, DenoisingAutoencoder
from scratchnet.autoencoders.latent import GaussianMixture
from scratchnet.base import NotFittedError
from scratchnet.cluster import AgglomerativeClustering, KMeans
from scratchnet.decomposition import PCA
from scratchnet.manifold import SNE, TSNE, SymmetricSNE

SMALL = {"hidden": (4,), "n_latent": 2, "epochs": 3, "random_state": 0}
KINDS = {
    "KMeans": (lambda: KMeans(3, random_state=0), {"n_clusters": 0}),
    "AgglomerativeClustering": (lambda: AgglomerativeClustering(3), {"linkage": "nearest"}),
    "PCA": (lambda: PCA(2), {"n_components": 99}),
    "GaussianMixture": (lambda: GaussianMixture(2, random_state=0), {"n_components": 0}),
    "TSNE": (lambda: TSNE(perplexity=5, max_iter=10, random_state=0), {"perplexity": 99}),
    "SymmetricSNE": (lambda: SymmetricSNE(perplexity=5, max_iter=10, random_state=0), {"metric": "nearest"}),
    "SNE": (lambda: SNE(perplexity=5, max_iter=10, random_state=0), {"jitter": -1}),
    "Autoencoder": (lambda: Autoencoder(**SMALL), {"activation": "step"}),
    "DenoisingAutoencoder": (lambda: DenoisingAutoencoder(**SMALL), {"noise_level": -1}),
    "VAE": (lambda: VAE(**SMALL), {"beta": -1}),
    "ConditionalVAE": (lambda: ConditionalVAE(**SMALL), {"epochs": -1}),
}
ATOMIC = {"AgglomerativeClustering", "PCA"}  # usable at the end only
X = np.random.default_rng(0).random((40, 5)).astype("float32")
y = np.arange(40) % 3


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def steps(kind, model, X=X):
    return model.steps(X, y[: len(X)]) if kind == "ConditionalVAE" else model.steps(X)


def fit(kind, model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nothing here trains long enough to be good
        return model.fit(X, y) if kind == "ConditionalVAE" else model.fit(X)


def use(kind, model):
    """Whatever a fitted one can do, on the fitted data, as bytes."""
    if hasattr(model, "labels_"):
        return model.labels_.tobytes()
    if hasattr(model, "log_density"):
        return model.log_density(X).tobytes()
    return (model.transform(X, y) if kind == "ConditionalVAE" else model.transform(X)).tobytes()


def is_fitted(model):
    try:
        model._check_is_fitted()
    except NotFittedError:
        return False
    return True


def test_bad_parameters_and_data_raise_at_the_call(kind):
    make, wrong = KINDS[kind]
    for fitted in False, True:
        model = fit(kind, make()) if fitted else make()
        before = pickle.dumps(vars(model)) if fitted else None
        model.set_params(**wrong)
        with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
            steps(kind, model)  # and no next()
        model.set_params(**{name: make().get_params()[name] for name in wrong})
        with pytest.raises(ValueError, match="NaN"):
            steps(kind, model, np.full((30, 5), np.nan))
        assert is_fitted(model) is fitted
        assert not fitted or pickle.dumps(vars(model)) == before


def test_states_say_where_they_are(kind):
    make, _ = KINDS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        states = list(steps(kind, make()))
    assert len(states) > 1
    iterations, seconds = [s.iteration for s in states], [s.seconds for s in states]
    assert all(isinstance(i, int) for i in iterations)
    assert iterations == sorted(iterations)
    assert all(isinstance(s, float) for s in seconds)
    assert seconds == sorted(seconds)
    assert seconds[0] >= 0
    assert all(isinstance(s.objective, float) for s in states)
    assert np.isfinite(states[-1].objective)
    assert all(len(str(s)) > 3 and "object at 0x" not in str(s) for s in states)


def test_nothing_is_learned_before_the_first_state_is_asked_for(kind):
    model = fit(kind, KINDS[kind][0]())
    before = use(kind, model)
    states = steps(kind, model, X[:30][:, :3])
    assert use(kind, model) == before
    states.close()
    assert use(kind, model) == before


def test_a_loop_that_is_left_early_leaves_something_usable_or_what_was_there(kind):
    make, _ = KINDS[kind]
    first = make()
    states = steps(kind, first)
    next(states)
    next(states)
    states.close()
    assert is_fitted(first) is (kind not in ATOMIC)
    if is_fitted(first):
        use(kind, first)

    again = fit(kind, make())
    before, other = use(kind, again), X[:30][:, :3]
    states = steps(kind, again, other)
    next(states)
    states.close()
    if kind in ATOMIC:
        assert use(kind, again) == before
        assert again.n_features_in_ == 5
    else:
        assert again.n_features_in_ == 3


def test_draining_the_steps_is_fit(kind):
    make, _ = KINDS[kind]
    by_hand = make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for _ in steps(kind, by_hand):
            pass
    assert use(kind, by_hand) == use(kind, fit(kind, make()))


def test_parameters_set_between_the_steps_stay(kind):
    model = KINDS[kind][0]()
    name = "random_state" if "random_state" in model.get_params() else "backend"
    value = 7 if name == "random_state" else "numpy"
    states = steps(kind, model)
    next(states)
    model.set_params(**{name: value})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for _ in states:
            pass
    assert model.get_params()[name] == value
