"""Training and evaluation on row blocks: the same bits whoever computes them; and a model of one's own."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field

import numpy as np
import pytest

from scratchnet.autoencoders import (
    IWAE,
    VAE,
    Autoencoder,
    ConditionalVAE,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    SparseAutoencoder,
)
from scratchnet.autoencoders.history import History
from scratchnet.autoencoders.model import weighted_sum
from scratchnet.autoencoders.training import Minibatches, block_gradient, n_blocks
from scratchnet.backend import NoiseStream, Rng, asarray, to_numpy
from scratchnet.nn import Adam, check_gradient
from scratchnet.rows import live_on
from scratchnet.testing.homes import ForgetfulRows, worker_processes

pytestmark = pytest.mark.filterwarnings("ignore:posterior collapse")
X = np.random.default_rng(0).random((1500, 12)).astype("float32")
y = np.arange(1500) % 3

SMALL = {"hidden": (8,), "n_latent": 3, "epochs": 2, "batch_size": 600, "random_state": 0}
ONE_LAYER = SMALL | {"hidden": ()}
CUT = {  # three blocks a minibatch, and a short one of two blocks at the end of an epoch
    "Autoencoder": Autoencoder(**SMALL),
    "tied": Autoencoder(tied=True, **SMALL),
    "denoising": DenoisingAutoencoder(noise="masking", **SMALL),
    "k-sparse": KSparseAutoencoder(k=2, annealing=2, **SMALL),
    "contractive": ContractiveAutoencoder(**ONE_LAYER),
    "VAE": VAE(warm_up=1, **SMALL),
    "dynamic": VAE(binarisation="dynamic", **SMALL),
    "learned variance": VAE(likelihood="gaussian", variance="learned", **SMALL),
    "IWAE": IWAE(n_importance=2, warm_up=1, binarisation="dynamic", **SMALL),
    "conditional": ConditionalVAE(**SMALL),
}
WHOLE = {"sparse": SparseAutoencoder(**SMALL), "free bits": VAE(free_bits=0.1, **SMALL)}
MODELS = CUT | WHOLE


def batches_of(model):
    """The minibatches of a training that is about to begin."""
    model.fit(X, y)
    return Minibatches(model, model.check_batch(X, y), Rng(1, np).noise_stream())


def bits(model):
    """What fit has learned and said, and what can be computed with it, as bytes."""
    model.fit(X, y)
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in model.history_]
    more = (y,) if isinstance(model, ConditionalVAE) else ()
    arrays = [model.params_.theta, model.transform(X, *more), model.reconstruct(X, *more)]
    if isinstance(model, VAE | ConditionalVAE):
        arrays += [model.elbo(X, *more), model.log_likelihood(X, *more, 3), *model.posterior(X, *more)]
    return repr(rows), repr(model.score(X, y)), [a.tobytes() for a in arrays]


# -- blocks -----------------------------------------------------------------------------------------------------------


def test_the_number_of_blocks_depends_on_the_batch_size_alone():
    assert [n_blocks(size) for size in (1, 255, 256, 300, 512, 513, 1024)] == [1, 1, 2, 2, 2, 3, 4]
    for size in range(256, 3000):
        assert 128 <= -(-size // n_blocks(size)) <= 256


@pytest.mark.parametrize("name", MODELS)
def test_only_means_over_samples_are_cut(name):
    assert MODELS[name].terms_are_means is (name in CUT)
    assert len(batches_of(MODELS[name]).blocks) == (3 if name in CUT else 1)


@pytest.mark.parametrize("name", CUT)
def test_the_gradient_of_a_batch_is_the_sum_of_those_of_its_blocks(name):
    """At the noise of the blocks, side by side, and any weights of the terms."""
    model = CUT[name].set_params(dtype="float64")
    batches = batches_of(model)
    rows = np.random.default_rng(0).permutation(len(X))[:600]
    weights = {name: 0.3 + i for i, name in enumerate(model.weights(1))}
    batches.gradient(rows, 1, 0, weights)
    x, noise, whole = X[rows], [], model.replica()
    for _, share, _, _, stream in batches.blocks:
        n = len(rows[len(noise) * share : (len(noise) + 1) * share])
        noise.append(model.draw_noise(n, stream.at(1, 0, len(noise))))
    whole.prepare_epoch(1)
    batch = model.check_batch(x, y[rows])
    np.testing.assert_allclose(
        whole.gradient(*batch, joined(noise), weights), batches.params.grad, rtol=1e-9, atol=1e-12
    )
    model.set_params(dtype="float32")


def joined(noise):
    """One noise for all rows from one per block."""
    first = noise[0]
    if first is None:
        return None
    if isinstance(first, np.ndarray):
        return np.concatenate(noise, axis=first.ndim - 2)  # (B, d) or (K, B, d)
    if isinstance(first, tuple):
        return type(first)(*(joined([part[i] for part in noise]) for i in range(len(first))))
    return type(first)(first.kind, first.level, first.clip, joined([part.draws for part in noise]))


@pytest.mark.parametrize("name", MODELS)
def test_any_number_of_threads_gives_the_same_bits(name, monkeypatch):
    found = []
    for threads in ("1", "2", "8"):
        monkeypatch.setenv("SCRATCHNET_THREADS", threads)
        found.append(bits(MODELS[name]))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("name", MODELS)
def test_what_blocks_keep_changes_nothing(name):
    expected = bits(MODELS[name])
    with live_on(ForgetfulRows):
        assert bits(MODELS[name]) == expected


def test_processes_give_the_bits_of_threads():
    expected = {name: bits(model) for name, model in MODELS.items()}
    with worker_processes(2) as home, live_on(home):
        for name, model in MODELS.items():
            assert bits(model) == expected[name], name


def test_a_step_pickles():
    batches = batches_of(CUT["IWAE"])
    args = batches.params.theta, np.arange(600), 1, 0, CUT["IWAE"].weights(1)
    part, _ = block_gradient(batches.blocks[1], None, *args)
    part = part.copy()
    step, block = pickle.loads(pickle.dumps((block_gradient, batches.blocks[1])))
    np.testing.assert_array_equal(step(block, None, *args)[0], part)


def test_copies_that_train_share_the_weights_and_nothing_else():
    model = CUT["k-sparse"].fit(X)
    copy = model.replica()
    assert copy.params_.theta is model.params_.theta
    copy.gradient(X[:5])
    assert not np.shares_memory(copy.params_.grad, model.params_.grad)
    copy.prepare_epoch(1)
    assert copy.encoder_.layers[-1].k == 3
    assert model.encoder_.layers[-1].k == 2
    copy.params_.views["encoder.0.b"][0][...] = 7
    assert (model.params_.views["encoder.0.b"][0] == 7).all()


def test_a_batch_larger_than_the_data_is_cut_as_the_data_are():
    model = Autoencoder(**SMALL | {"batch_size": 100_000})
    assert [share for _, share, *_ in batches_of(model).blocks] == [250] * 6
    model.fit(X[:100])
    assert len(Minibatches(model, (X[:100],), NoiseStream(0)).blocks) == 1


# -- noise ------------------------------------------------------------------------------------------------------------


def test_noise_depends_on_its_address_alone(dtype):
    def draw(stream):
        return stream.standard_normal((4, 3), dtype=dtype), stream.random((2,), dtype=dtype)

    stream = NoiseStream(3)
    there = draw(stream.at(2, 5, 1))
    draw(stream.at(9, 9, 9))
    for again in (stream.at(2, 5, 1), NoiseStream(3).at(2, 5, 1), stream.fork().at(2, 5, 1)):
        for a, b in zip(draw(again), there, strict=True):
            assert a.dtype == dtype
            np.testing.assert_array_equal(a, b)
    moved = pickle.loads(pickle.dumps(stream)).at(2, 5, 1)
    np.testing.assert_array_equal(draw(moved)[0], there[0])
    for other in (stream.at(3, 5, 1), stream.at(2, 6, 1), stream.at(2, 5, 2), NoiseStream(4).at(2, 5, 1)):
        assert (draw(other)[0] != there[0]).all()


def test_noise_at_neighbouring_addresses_is_normal_and_independent(seed):
    """5 standard errors: mean, variance, and the correlation of one address with the next."""
    stream = NoiseStream(seed)
    z = np.stack([stream.at(e, s, b).standard_normal((100,)) for e in (1, 2) for s in range(50) for b in range(4)])
    n = z.size
    assert abs(z.mean()) < 5 / n**0.5
    assert abs(z.var() - 1) < 5 * (2 / n) ** 0.5
    assert abs((z[1:] * z[:-1]).mean()) < 5 / n**0.5


def test_a_device_draws_in_order(xp):
    a, b = (NoiseStream(5, xp) for _ in range(2))
    first = [to_numpy(a.at(1, step).standard_normal((3,))) for step in range(2)]
    again = [to_numpy(b.at(1, step).standard_normal((3,))) for step in range(2)]
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).all()
    assert (to_numpy(a.at(2, 0).standard_normal((3,))) != first[0]).all()
    if xp is not np:
        assert a.fork() is a
        with pytest.raises(TypeError, match="cannot be sent elsewhere"):
            pickle.dumps(a)


# -- the protocol -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_that_of_the_weighted_terms(xp, name):
    model = type(MODELS[name])(**MODELS[name].get_params() | {"epochs": 0, "dtype": "float64", "activation": "tanh"})
    model.fit(X[:6], y[:6])
    model.params_.theta[...] = asarray(np.random.default_rng(1).standard_normal(model.params_.theta.size) / 2)
    batch, noise = model.check_batch(X[:6], y[:6]), model.draw_noise(6, Rng(2))
    weights = dict(zip(model.weights(1), (0.7, 1.9), strict=False))
    assert model.terms(*batch, noise).keys() == weights.keys()
    model.gradient(*batch, noise, weights)
    report = check_gradient(lambda: weighted_sum(weights, model.terms(*batch, noise)), model.params_)
    assert report.ok, f"\n{report}"
    assert float(model.loss(*batch, noise)) == pytest.approx(
        float(weighted_sum(model.final_weights, model.terms(*batch, noise))), rel=1e-12
    )


@dataclass(repr=False, eq=False)
class Shrinking(Autoencoder):
    """A term of its own, the mean squared length of the code, that weighs more from epoch to epoch."""

    strength: float = field(default=0.1, kw_only=True)

    def weights(self, epoch):
        return {"reconstruction": 1.0, "length": self.strength * min(epoch, 2)}

    def terms(self, x, noise):
        code, output = self.forward(x)
        return {"reconstruction": self.likelihood_.nll(output, x), "length": (code**2).sum() / len(x)}

    def gradient(self, x, noise=None, weights=None):
        noise, weights = self.given(len(x), noise, weights)
        code, output = self.forward(x)
        dcode = self.decoder_.backward(self.likelihood_.nll_grad(output, x, weights["reconstruction"]))
        self.encoder_.backward(dcode + 2 * weights["length"] / len(x) * code, need_dx=False)
        return self.params_.grad


def test_a_model_of_ones_own_prints_its_history_saves_and_stops(tmp_path):
    model = Shrinking(**SMALL | {"epochs": 4, "patience": 4}).fit(X, validation=X[:100])
    row = model.history_[-1]
    assert list(row) == ["epoch", "loss", "reconstruction", "length", "mse", "validation_loss", "seconds"]
    assert row["loss"] == pytest.approx(row["reconstruction"] + 0.2 * row["length"], rel=1e-6)
    assert model.history_.units["length"] == "nats/sample"
    loaded = Shrinking.load(model.save(tmp_path / "m.safetensors"))
    for history in (model.history_, loaded.history_):
        assert "length" in str(history).splitlines()[0]
        assert str(history).splitlines()[1].count("nats/sample") == 4
    np.testing.assert_array_equal(loaded.reconstruct(X), model.reconstruct(X))
    assert loaded.evaluate(X) == model.evaluate(X)
    assert model.first_comparable_epoch == 2
    assert not model.terms_are_means, "nothing is known of other terms"


def test_a_model_of_ones_own_may_be_cut_if_it_says_so():
    class Cut(Shrinking):
        terms_are_means = Autoencoder.terms_are_means

    cut, whole = (batches_of(kind(**SMALL)) for kind in (Cut, Shrinking))
    assert (len(cut.blocks), len(whole.blocks)) == (3, 1)


def test_a_formula_from_a_mixin_or_a_penalty_of_ones_own_is_not_cut_either():
    class Mixin:
        def terms(self, x, noise):
            return super().terms(x, noise)

    class Mixed(Mixin, VAE):
        pass

    class Penalised(ContractiveAutoencoder):
        def penalty(self, code):
            return (code.mean(axis=0) ** 2).sum()

    class Renamed(VAE):
        pass

    assert not Mixed().terms_are_means
    assert not Penalised().terms_are_means
    assert Renamed().terms_are_means


def test_a_term_without_a_weight_is_named():
    class Forgotten(Autoencoder):
        def terms(self, x, noise=None):
            return super().terms(x, noise) | {"length": (x**2).sum() / len(x)}

    with pytest.raises(ValueError, match="must have a number for the term 'length'"):
        Forgotten(**SMALL).fit(X)


@pytest.mark.parametrize("interrupted", [2, 5])  # three minibatches an epoch
def test_an_interrupted_epoch_leaves_the_last_state_or_the_former_fit(interrupted, monkeypatch):
    model = Autoencoder(**SMALL).fit(X[:700])
    kept, step, calls = model.params_.theta.copy(), Adam.step, iter(range(1, 100))

    def interrupt(self):
        if next(calls) == interrupted:
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(Adam, "step", interrupt)
    states = model.steps(X)
    if interrupted > 3:
        next(states)
        kept = model.params_.theta.copy()
    with pytest.raises(KeyboardInterrupt):
        next(states)
    np.testing.assert_array_equal(model.params_.theta, kept)
    assert len(model.history_) == model.best_epoch_ == (2 if interrupted == 2 else 1)


def test_unknown_columns_have_no_unit():
    text = str(History([{"epoch": 1, "loss": 1.5, "sharpness": 2.0, "by_latent": [1.0, 2.0]}]))
    assert text.splitlines()[0].split() == ["epoch", "loss", "sharpness"]
    assert text.splitlines()[1].split() == ["nats/sample"]


def test_an_array_in_the_place_of_the_noise():
    """eps: x is taken as it is, whatever the binarisation; for a denoising model it is the corrupted x itself."""
    vae = VAE(binarisation="dynamic", **SMALL).fit(X)
    grey = VAE(**SMALL | {"epochs": 0}).fit(X)
    grey.params_.theta[...] = vae.params_.theta
    eps = np.zeros((1500, 3), "float32")
    assert float(vae.loss(X, eps)) == float(grey.loss(X, eps))
    model = DenoisingAutoencoder(**SMALL).fit(X)
    corruption = model.draw_noise(1500, Rng(0, np))
    assert float(model.loss(X, corruption)) == float(model.loss(X, corruption(X))) != float(model.loss(X, X))
    assert pickle.loads(pickle.dumps(corruption))(X).tobytes() == corruption(X).tobytes()


def test_thresholded_data_are_binary_from_the_start():
    model = VAE(binarisation="threshold", **SMALL).fit(X)
    (x,) = model.check_batch(X)
    np.testing.assert_array_equal(x, X > 0.5)
    assert model.evaluate(X) == model.evaluate(x)


def test_states_say_where_they_are():
    states = list(VAE(**SMALL).steps(X))
    assert [s.iteration for s in states] == [s.epoch for s in states] == [1, 2]
    assert [s.objective for s in states] == [s.loss for s in states] == [s.metrics["loss"] for s in states]
    assert 0 < states[0].seconds < states[1].seconds
