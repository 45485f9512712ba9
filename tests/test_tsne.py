"""TSNE, SymmetricSNE, SNE from data to picture: stored numbers, the descent, degenerate data, conventions."""

from __future__ import annotations

import json
import pickle
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA as PeerPCA
from sklearn.utils.estimator_checks import parametrize_with_checks

from scratchnet.backend import asarray, to_numpy
from scratchnet.base import NotFittedError
from scratchnet.manifold import SNE, TSNE, SymmetricSNE
from scratchnet.manifold.affinities import affinities
from scratchnet.manifold.sne import Student, kl_divergence

IRIS, DIGITS = load_iris().data, load_digits().data
LABELS = load_digits().target
PEER = json.loads((Path(__file__).parent / "references" / "sne.json").read_text())

METHODS = [TSNE, SymmetricSNE, SNE]
PLACES = (
    "transform places points among those of fit; it does not repeat fit's own descent, so it equals no fit_transform"
)
CANNOT_APPLY = {"check_transformer_general": PLACES, "check_transformer_data_not_an_array": PLACES}

with warnings.catch_warnings():  # "does not inherit from sklearn.base.BaseEstimator": on purpose
    warnings.simplefilter("ignore", UserWarning)
    conventions = parametrize_with_checks(
        [method(perplexity=2, max_iter=100) for method in METHODS], expected_failed_checks=lambda _: CANNOT_APPLY
    )


@conventions
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


# -- reference numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [200, 500])
def test_kl_and_gradient_at_given_embeddings(xp, n):
    X, peer = DIGITS[:n], PEER[f"digits[:{n}]"]
    scores = PeerPCA(2, svd_solver="full").fit_transform(X)
    state = next(TSNE(init=scores, max_iter=0).steps(X))
    assert state.kl == pytest.approx(peer["kl_at_pca"], rel=1e-6)
    assert state.gradient_norm == pytest.approx(peer["gradient_norm_at_pca"], rel=1e-5)
    nothing = TSNE(init=np.zeros((n, 2)), max_iter=0).fit(X)
    assert nothing.kl_divergence_ == pytest.approx(peer["kl_at_zero"], rel=1e-6)


@pytest.mark.parametrize(("X", "name"), [(IRIS, "iris"), (DIGITS[:500], "digits[:500]")], ids=["iris", "digits"])
def test_final_kl(X, name):
    """No worse than the peer's by more than the two minima of neighbouring runs differ (iris: .122 to .128)."""
    tsne = TSNE().fit(X.astype("float32"))
    assert tsne.kl_divergence_ < PEER[name]["final_kl"] * 1.05
    assert tsne.n_iter_ == 1000


def test_whole_digits():
    """The peer's exact method ends at KL .680, with 98.8 % of nearest neighbours of the same digit."""
    tsne = TSNE().fit(DIGITS.astype("float32"))
    assert tsne.kl_divergence_ < 0.690
    assert nearest_has_my_label(tsne.embedding_, LABELS) > 0.983


def test_three_dimensions():
    """With the kernel that the peer uses in 3-D (2 degrees of freedom) and the right gradient: .1975 to .2041."""
    tsne = TSNE(3, dof=2.0).fit(DIGITS[:400].astype("float32"))
    assert tsne.embedding_.shape == (400, 3)
    assert tsne.kl_divergence_ < 0.2065


def nearest_has_my_label(Y, y):
    d = ((Y[:, None] - Y) ** 2).sum(axis=-1)
    np.fill_diagonal(d, np.inf)
    return (y[d.argmin(axis=1)] == y).mean()


@pytest.mark.parametrize(("method", "least"), [(TSNE, 0.95), (SymmetricSNE, 0.91), (SNE, 0.91)])
def test_neighbours_stay_neighbours(method, least):
    X, y = DIGITS[:500].astype("float32"), LABELS[:500]
    start, end = method(max_iter=0).fit_transform(X), method(max_iter=300).fit_transform(X)
    assert nearest_has_my_label(start, y) < 0.7
    assert nearest_has_my_label(end, y) > least


def test_crowding():
    """What t-SNE is for: at the embedding of symmetric SNE, its heavy tail lets far points push each other apart.

    In the middle of a picture that Gaussians made, symmetric SNE is in balance while t-SNE still expands it.
    """
    X = DIGITS[:300].astype("float32")
    Y = SymmetricSNE(max_iter=400).fit_transform(X)
    gaussian, student = (next(m(init=Y, max_iter=0).steps(X)) for m in (SymmetricSNE, TSNE))

    def outward(state):  # the work that a step along minus the gradient does on the size of the picture
        attraction, repulsion = state.forces()
        centred = Y - Y.mean(axis=0)
        np.testing.assert_allclose(np.linalg.norm(attraction + repulsion), state.gradient_norm, rtol=1e-4, atol=1e-6)
        return -float((attraction * centred).sum()), -float((repulsion * centred).sum())

    (g_in, g_out), (t_in, t_out) = outward(gaussian), outward(student)
    assert g_in < 0 < g_out
    assert t_in < 0 < t_out
    assert g_in + g_out == pytest.approx(0, abs=0.01 * g_out)
    assert t_in + t_out > 0.1 * t_out


def test_sne_anneals_with_jitter():
    """Noise in the first half moves the embedding, none in the second; the same seed gives the same noise."""
    X = DIGITS[:60]
    kwargs = {"perplexity": 9, "max_iter": 40, "random_state": 1}
    calm, one, two = SNE(**kwargs).fit(X), SNE(jitter=0.1, **kwargs).fit(X), SNE(jitter=0.1, **kwargs).fit(X)
    np.testing.assert_array_equal(one.embedding_, two.embedding_)
    assert np.abs(one.embedding_ - calm.embedding_).max() > 1e-2
    states = list(SNE(jitter=5.0, learning_rate=1e-12, **kwargs).steps(X))
    moved = [np.abs(b.embedding - a.embedding).max() for a, b in pairwise(states)]
    assert min(moved[:18]) > 1e-2 > max(moved[21:])
    with pytest.raises(ValueError, match="jitter=-1"):
        SNE(jitter=-1.0, perplexity=9).fit(X)


def test_sne_sums_over_points():
    """The cost of SNE is a sum of n row divergences, of symmetric SNE and t-SNE one divergence."""
    X = DIGITS[:100]
    start = 1e-3 * np.random.default_rng(0).standard_normal((100, 2))
    P = affinities(X, 10.0)
    entropy = float(P.entropy.sum())
    sne = SNE(perplexity=10, init=start, max_iter=0).fit(X)
    assert sne.kl_divergence_ == pytest.approx(100 * np.log(99) - entropy, rel=1e-4)


# -- the descent ------------------------------------------------------------------------------------------------------


def test_steps(xp):
    X = DIGITS[:60]
    tsne = TSNE(perplexity=10, max_iter=40, early_exaggeration=4.0)
    states = list(tsne.steps(X))
    assert [s.iteration for s in states] == list(range(41))
    np.testing.assert_allclose(to_numpy(states[0].embedding)[:, 0].std(), 1e-4)
    assert states[-1].kl == tsne.kl_divergence_ < states[0].kl
    assert all(a.seconds <= b.seconds for a, b in pairwise(states))
    assert str(states[-1]) == f"KL {tsne.kl_divergence_:.4f}"
    np.testing.assert_array_equal(to_numpy(states[-1].embedding), to_numpy(tsne.embedding_))
    assert len({to_numpy(s.embedding).tobytes() for s in states}) == 41  # every state keeps its own embedding


def test_kl_is_never_exaggerated():
    """Neither while the exaggeration lasts nor after: at every state it is KL(P || Q) of the plain P."""
    X = DIGITS[:50]
    tsne = TSNE(perplexity=10, max_iter=8, early_exaggeration=12.0)
    states = list(tsne.steps(X))
    P = affinities(X, 10.0).joint(slice(0, 50), slice(0, 50))
    for state in states:
        assert state.kl == pytest.approx(float(kl_divergence(state.embedding, P, Student())), rel=1e-12)


def test_exaggeration_is_over_after_a_quarter():
    X = DIGITS[:50]
    states = list(TSNE(perplexity=10, max_iter=8, early_exaggeration=12.0).steps(X))
    plain = [float(np.linalg.norm(s.objective.gradient(s.embedding))) for s in states]
    shown = [s.gradient_norm for s in states]
    assert [a == b for a, b in zip(plain, shown, strict=True)] == [False] * 2 + [True] * 7


@pytest.mark.parametrize("max_iter", [0, 1, 3, 10])
def test_few_iterations_are_meaningful(xp, max_iter):
    tsne = TSNE(perplexity=5, max_iter=max_iter).fit(DIGITS[:30])
    assert tsne.n_iter_ == max_iter
    assert 0 < tsne.kl_divergence_ < np.log(30 * 29)


@pytest.mark.parametrize(("n", "exaggeration", "rate"), [(100, 12.0, 50.0), (4800, 12.0, 100.0), (1000, 1.0, 250.0)])
def test_automatic_learning_rate(n, exaggeration, rate):
    assert TSNE(early_exaggeration=exaggeration)._automatic_rate(n) == rate


def test_descent_ends_at_a_small_gradient():
    tsne = TSNE(perplexity=5, min_grad_norm=1e-2, max_iter=400).fit(DIGITS[:30])
    assert 100 <= tsne.n_iter_ < 400


def test_divergence_is_an_error():
    tsne = TSNE(perplexity=5, learning_rate=1e300, max_iter=50)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=r"lower learning_rate=1e\+300"):
        tsne.fit(DIGITS[:30])


def test_same_seed_same_bits(xp, dtype):
    X = DIGITS[:40].astype(dtype)
    one, two, other = (TSNE(init="random", perplexity=9, max_iter=30, random_state=s).fit(X) for s in (3, 3, 4))
    np.testing.assert_array_equal(to_numpy(one.embedding_), to_numpy(two.embedding_))
    assert not np.array_equal(to_numpy(one.embedding_), to_numpy(other.embedding_))
    assert one.embedding_.dtype == one.beta_.dtype == dtype


def test_metrics(xp):
    """Distances given as such, and cosine against Euclidean geometry on scaled rows."""
    X = DIGITS[:40]
    D = np.sqrt(((X[:, None] - X) ** 2).sum(axis=-1))
    start = np.random.default_rng(0).standard_normal((40, 2))
    a = TSNE(perplexity=9, max_iter=5, init=start).fit(X)
    b = TSNE(perplexity=9, max_iter=5, init=start, metric="precomputed").fit(D)
    np.testing.assert_allclose(to_numpy(a.embedding_), to_numpy(b.embedding_), atol=1e-8)
    lengths = np.linspace(0.5, 2, 40)[:, None]
    c = TSNE(perplexity=9, max_iter=5, init=start, metric="cosine").fit(X)
    d = TSNE(perplexity=9, max_iter=5, init=start, metric="cosine").fit(X * lengths)
    np.testing.assert_allclose(to_numpy(c.embedding_), to_numpy(d.embedding_), atol=1e-8)
    assert np.abs(to_numpy(a.embedding_) - to_numpy(c.embedding_)).max() > 1e-3


def test_progress_bar(capsys):
    TSNE(perplexity=5, max_iter=20, verbose=1).fit(DIGITS[:30])
    shown = capsys.readouterr()
    assert "30 points, perplexity 5" in shown.out
    assert "learning rate 50 = max(n_samples / (4 early_exaggeration), 50)" in shown.out
    assert "TSNE" in shown.err
    assert "KL" in shown.err


def test_threads_do_not_matter(monkeypatch):
    bits = set()
    for threads in "1", "2":
        monkeypatch.setenv("SCRATCHNET_THREADS", threads)
        bits.add(TSNE(max_iter=20).fit(DIGITS[:1100].astype("float32")).embedding_.tobytes())
    assert len(bits) == 1


def test_report_is_there_before_the_descent():
    X = np.r_[DIGITS[:50], DIGITS[:2], np.full((1, 64), 1e3)]
    tsne = TSNE(perplexity=10)
    next(tsne.steps(X))
    report = tsne.affinities_.report()
    assert list(report.duplicates) == [0, 1, 50, 51]
    assert list(report.outliers) == [52]
    assert "outliers: 1 points (52)" in str(report)


# -- new points -------------------------------------------------------------------------------------------------------


def test_transform_puts_new_points_among_their_kind():
    X = DIGITS[:500].astype("float32")
    tsne = TSNE(max_iter=500).fit(X)
    new, y = tsne.transform(DIGITS[500:700].astype("float32")), LABELS[500:700]
    nearest = ((new[:, None] - tsne.embedding_) ** 2).sum(axis=-1).argmin(axis=1)
    assert (LABELS[nearest] == y).mean() > 0.85
    again = tsne.transform(X[:100])
    away = np.linalg.norm(again - tsne.embedding_[:100], axis=1)
    assert np.median(away) < 0.02 * tsne.embedding_.std()


def test_transform_is_by_row(xp):
    tsne = TSNE(perplexity=9, max_iter=30).fit(DIGITS[:40])
    together = to_numpy(tsne.transform(DIGITS[40:50]))
    alone = np.concatenate([to_numpy(tsne.transform(DIGITS[i : i + 1])) for i in range(40, 50)])
    np.testing.assert_allclose(together, alone, atol=1e-9)


def test_transform_of_precomputed_distances():
    X = DIGITS[:50]
    D = np.sqrt(((X[:, None] - X[:40]) ** 2).sum(axis=-1))
    kwargs = {"perplexity": 9, "max_iter": 30, "init": np.random.default_rng(0).standard_normal((40, 2))}
    a, b = TSNE(**kwargs).fit(X[:40]), TSNE(**kwargs, metric="precomputed").fit(D[:40])
    np.testing.assert_allclose(a.transform(X[40:]), b.transform(D[40:]), atol=1e-5)


def test_fitted_estimator_pickles_and_clones():
    tsne = TSNE(perplexity=9, max_iter=10).fit(DIGITS[:40])
    again = pickle.loads(pickle.dumps(tsne))
    np.testing.assert_array_equal(again.transform(DIGITS[40:45]), tsne.transform(DIGITS[40:45]))
    with pytest.raises(NotFittedError):
        clone(tsne).transform(DIGITS[:5])


# -- degenerate data --------------------------------------------------------------------------------------------------


def fit_finite(X, **kwargs):
    tsne = TSNE(**{"max_iter": 60, "random_state": 0, **kwargs}).fit(X)
    Y = to_numpy(tsne.embedding_)
    assert np.isfinite(Y).all()
    assert np.isfinite(tsne.kl_divergence_)
    return tsne, Y


def test_constant_data(xp, dtype):
    """Equal points stay at one place, and the KL says that this is perfect."""
    X = np.full((20, 3), 5.0, dtype)
    tsne, Y = fit_finite(X, perplexity=5)
    assert (Y == 0).all()
    assert tsne.kl_divergence_ == pytest.approx(0, abs=1e-6)
    fit_finite(X, perplexity=5, init="random")


def test_duplicates(xp, dtype):
    X = np.repeat(np.random.default_rng(0).standard_normal((5, 3)), 8, axis=0).astype(dtype)
    _, Y = fit_finite(X, perplexity=5)
    within = Y.reshape(5, 8, 2).std(axis=1).max()
    assert within < 0.1 * Y.std()


@pytest.mark.parametrize(("n", "perplexity"), [(2, 1), (3, 1), (3, 2)])
@pytest.mark.parametrize("features", [1, 2, 5])
def test_two_and_three_points(xp, dtype, n, features, perplexity):
    X = np.random.default_rng(1).standard_normal((n, features)).astype(dtype)
    fit_finite(X, perplexity=perplexity)


def test_one_point_is_an_error():
    with pytest.raises(ValueError, match="n_samples=1"):
        TSNE(perplexity=1).fit(np.ones((1, 3)))


def test_outlier(xp, dtype):
    X = np.r_[np.random.default_rng(0).standard_normal((40, 5)), [[1e6] * 5]].astype(dtype)
    fit_finite(X, perplexity=5)


def test_points_on_a_line_leave_it(xp):
    """One feature has one principal component; the other coordinate starts as noise, or it would stay 0 for good."""
    _, Y = fit_finite(np.linspace(0, 1, 30)[:, None], perplexity=5, max_iter=100)
    assert Y[:, 1].std() > 1e-3


# -- input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"perplexity": 30}, ValueError, "n_samples - 1 = 19"),
        ({"perplexity": 0.5}, ValueError, "perplexity=0.5 must be between 1 and"),
        ({"perplexity": "many"}, TypeError, "perplexity='many'"),
        ({"n_components": 0}, ValueError, "n_components=0"),
        ({"early_exaggeration": 0.5}, ValueError, "early_exaggeration=0.5"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate=0 must be above 0"),
        ({"learning_rate": "fast"}, TypeError, "learning_rate='fast'"),
        ({"max_iter": -1}, ValueError, "max_iter=-1"),
        ({"min_grad_norm": -1.0}, ValueError, "min_grad_norm=-1"),
        ({"metric": "hamming"}, ValueError, "metric='hamming'"),
        ({"init": "grid"}, ValueError, "init='grid'"),
        ({"init": np.zeros((3, 2))}, ValueError, r"init must have shape \(n_samples, n_components\) = \(20, 2\)"),
        ({"dof": 0.0}, ValueError, "dof=0 must be above 0"),
        ({"metric": "precomputed"}, ValueError, "matrix of distances|needs features"),
        ({"random_state": -1, "init": "random"}, ValueError, "random_state=-1"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        TSNE(**{"perplexity": 5.0, **arguments}).fit(np.random.default_rng(0).standard_normal((20, 4)))


def test_input_is_not_written_to(xp):
    X, start = DIGITS[:30].copy(), np.random.default_rng(0).standard_normal((30, 2))
    X.setflags(write=False)
    start.setflags(write=False)
    tsne = TSNE(perplexity=5, max_iter=10, init=start).fit(X)
    tsne.transform(asarray(X[:3]))
    for metric in "cosine", "precomputed":
        D = np.sqrt(((X[:, None] - X) ** 2).sum(axis=-1)) if metric == "precomputed" else X
        D.setflags(write=False)
        TSNE(perplexity=5, max_iter=10, init=start, metric=metric).fit(D)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exaggeration_that_beats_all_repulsion_does_not_end_in_a_point(dtype):
    """A perplexity of a quarter of n: the exaggerated picture shrinks towards a saddle, and comes back from it."""
    model = TSNE(perplexity=100, early_exaggeration=4, learning_rate=10, random_state=0).fit(DIGITS[:400].astype(dtype))
    at_a_point = TSNE(perplexity=100, max_iter=0, random_state=0).fit(DIGITS[:400].astype(dtype)).kl_divergence_
    assert model.kl_divergence_ < 0.4 * at_a_point
    assert nearest_has_my_label(model.embedding_, LABELS[:400]) > 0.85
