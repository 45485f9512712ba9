"""Chapter autoencoder: training, code sizes compared with PCA; then the plane, unfamiliar input, clustering."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchnet import plots
from scratchnet.autoencoders import Autoencoder
from scratchnet.backend import Array, asarray
from scratchnet.decomposition import PCA
from scratchnet.tour.autoencoder_codes import clusters, plane, plane_network, strange_input, strange_network
from scratchnet.tour.data import TourData, first_of_each, mse, projection_errors, three_classes
from scratchnet.tour.report import Chapter, LeftOut, Number, Picture, Section, Table, Tell
from scratchnet.tour.training import Trainings

__all__ = ["CHAPTER", "Unrolled"]

EPOCHS, RATE, SIZES, SEEDS = 8, 3e-3, (2, 8, 32), 3
IMPORT = "from scratchnet.autoencoders import Autoencoder"


def _run(data: TourData, seed: int, tell: Tell) -> Iterator[Section | LeftOut]:
    unrolled, wanted = Unrolled(data), {}
    rows, names = three_classes(data)
    with Trainings(tell) as train:
        for k in reversed(SIZES):
            for i in range(SEEDS):
                each = unrolled if (k, i) == (SIZES[-1], 0) else None
                held_out = {"validation": data.X_test} if each else {}
                wanted[k, i] = train(_network(k, seed + i), data.X, each=each, **held_out)
        in_the_plane = train(plane_network(seed), data.X[asarray(rows)])
        reverse = train(strange_network(data, seed), data.strange[: len(data.strange) * 4 // 5])

        pca = PCA().fit(data.X)
        model = wanted[SIZES[-1], 0].result()
        yield _training(data, model, unrolled)
        models = {k: [wanted[k, i].result() for i in range(SEEDS)] for k in SIZES}
        yield _sizes(data, models, pca)
        yield plane(data, in_the_plane.result(), rows, names)
        yield strange_input(data, model, pca, reverse.result())
    yield clusters(data, models, seed, tell)


def _network(n_latent: int, seed: int) -> Autoencoder:
    return Autoencoder(hidden=(128,), n_latent=n_latent, epochs=EPOCHS, learning_rate=RATE, random_state=seed)


def _error(model: Autoencoder, data: TourData) -> float:
    """The mean squared error on held-out data."""
    return mse(model.reconstruct(data.X_test), data.X_test)


class Unrolled:
    """Reconstructions of a few held-out samples after some epochs, one row each, collected while a model trains."""

    def __init__(self, data: TourData) -> None:
        self.x = data.X_test[asarray(first_of_each(data.y_test, data.n_classes))]
        self.rows: list[Array] = [self.x]
        self.labels = ["input"]

    def __call__(self, state: Any) -> None:
        if state.epoch in (1, 5, state.epochs):
            self.rows.append(state.model.reconstruct(self.x))
            self.labels.append(f"{state.epoch} epoch{'s' * (state.epoch > 1)}")


def _training(data: TourData, model: Autoencoder, unrolled: Unrolled) -> Section:
    untrained = Autoencoder(**{**model.get_params(), "epochs": 0}).fit(data.X)
    rows = [unrolled.x, untrained.reconstruct(unrolled.x), *unrolled.rows[1:]]
    labels = ["input", "untrained", *unrolled.labels[1:]]
    last = model.history_[-1]
    pictures = [
        Picture(
            plots.history(model.history_),
            "Training and validation loss in nats per sample over the epochs: both fall steeply, then slowly.",
        )
    ]
    if data.shape:
        picture = Picture(
            plots.reconstructions(*rows, labels=labels, shape=data.shape),
            f"Held-out {data.name} in the first row; below them their reconstructions by the untrained network, which "
            "are grey noise, and after one or more epochs of training.",
        )
        pictures.insert(0, picture)
    n_weights = model.params_.theta.size
    return Section(
        "training",
        says=f"""<p>An autoencoder compresses its input into a small code and is trained to reconstruct it. Here the
            layers are {data.n_features}–128–32–128–{data.n_features} with ReLU, and the loss is the cross-entropy
            between the input <i>x</i> and the output <i>x̂</i>, summed over the entries. Every gradient is written by
            hand.</p>
            <p class="formula"><i>x̂</i> = <i>g</i>(<i>f</i>(<i>x</i>)), &nbsp; loss = −Σ<sub>j</sub>
            [<i>x</i><sub>j</sub> log <i>x̂</i><sub>j</sub> + (1 − <i>x</i><sub>j</sub>) log(1 −
            <i>x̂</i><sub>j</sub>)]</p>""",
        pictures=pictures,
        numbers={
            "weights": Number("weights and biases", int(n_weights)),
            "epochs": Number("epochs", EPOCHS),
            "train": Number("loss on training data", last["loss"], "nats/sample", ".1f"),
            "test": Number("loss on held-out data", last["validation_loss"], "nats/sample", ".1f"),
            "before": Number("held-out error, untrained", _error(untrained, data), "MSE", ".4f"),
            "after": Number("held-out error, trained", _error(model, data), "MSE", ".4f"),
        },
        sees="Before training, the output is unrelated to the input. After {epochs} epochs, the error on held-out data "
        "has fallen from {before} to {after}. The held-out loss, {test} nats, is "
        + (
            "close to the {train} nats on the training data: there is little overfitting."
            if last["validation_loss"] < 1.05 * last["loss"]
            else "above the {train} nats on the training data: the network has begun to memorise its samples."
        ),
        code=data.code(
            IMPORT,
            "model = Autoencoder(hidden=(128,), n_latent=32, epochs=8, learning_rate=3e-3)",
            "for state in model.steps(X, validation=X_test):",
            "    print(state)",
            test=True,
        ),
    )


def _sizes(data: TourData, models: dict[int, list[Autoencoder]], pca: PCA) -> Section:
    shown = data.X_test[asarray(first_of_each(data.y_test, data.n_classes))]
    numbers, rows, labels = {}, [shown], ["input"]
    flat = {k: next(iter(projection_errors(pca, data.X_test, data.X_test, [k]).values())) for k in models}
    for k, networks in models.items():
        errors = [_error(network, data) for network in networks]
        numbers[f"ae{k}"] = Number(
            f"held-out error, code of {k}, mean over seeds", float(np.mean(errors)), "MSE", ".4f"
        )
        numbers[f"sd{k}"] = Number(f"held-out error, code of {k}, sd over seeds", float(np.std(errors)), "MSE", ".4f")
        numbers[f"pca{k}"] = Number(f"held-out error, PCA with {k} components", flat[k], "MSE", ".4f")
        rows.append(networks[0].reconstruct(shown))
        labels.append(f"code of {k}")
    ae, straight = ([float(numbers[f"{what}{k}"]) for k in models] for what in ("ae", "pca"))
    wins = sum(float(numbers[f"ae{k}"]) + 2 * float(numbers[f"sd{k}"]) < float(numbers[f"pca{k}"]) for k in models)
    numbers["wins"] = Number("sizes at which PCA is worse by more than two sd", wins, f"of {len(models)}")
    pictures = [
        Picture(
            plots.curves(
                list(models), {"autoencoder": ae, "PCA": straight}, xlabel="numbers in the code",
                ylabel="held-out error (MSE)", log_x=True,
            ),
            "Held-out squared error against the size of the code, for the autoencoder and for PCA; both fall.",
        )
    ]  # fmt: skip
    if data.shape:
        picture = Picture(
            plots.reconstructions(*rows, labels=labels, shape=data.shape),
            f"Held-out {data.name} and their reconstructions from codes of 2, 8 and 32 numbers: the more numbers, the "
            "better the reconstruction.",
        )
        pictures.insert(0, picture)
    return Section(
        "sizes",
        says="""<p>The larger the code, the better the reconstruction. PCA with the same number of components is the
            best linear map; the layers of an autoencoder are nonlinear. Each network was trained from three seeds,
            because the result depends on the initial weights.</p>""",
        pictures=pictures,
        numbers=numbers,
        tables=[
            Table(["code", "autoencoder", "± sd", "PCA"], {str(k): [f"ae{k}", f"sd{k}", f"pca{k}"] for k in models})
        ],
        facts={"low": SIZES[0], "high": SIZES[-1], "sizes": len(models)},
        sees="From {low} to {high} numbers the autoencoder's held-out error falls from {ae2} ± {sd2} to {ae32} ± "
        "{sd32}, PCA's from {pca2} to {pca32}. "
        + (
            "At every size the autoencoder is better than PCA by more than two standard deviations over seeds."
            if wins == len(models)
            else "PCA is never beaten here: these data need no nonlinear map, or the networks need more training."
            if wins == 0
            else "The autoencoder is clearly better at {wins} of the {sizes} sizes."
        ),
        code=data.code(
            IMPORT,
            "for k in (2, 8, 32):",
            f"    model = Autoencoder(hidden=(128,), n_latent=k, epochs={EPOCHS}, learning_rate={RATE}).fit(X)",
            "    print(k, ((model.reconstruct(X_test) - X_test) ** 2).mean())",
            test=True,
        ),
    )


CHAPTER = Chapter(
    name="autoencoder",
    title="Autoencoders",
    lectures="lectures 1 to 4",
    lead="A network that must reconstruct its input from a small code learns what its inputs have in common.",
    sections={
        "training": "From noise to reconstructions",
        "sizes": "How large a code?",
        "plane": "A code of two numbers",
        "strange": "Unfamiliar input",
        "clusters": "Clustering the codes",
    },
    headline=["training.after", "sizes.ae2", "sizes.pca2", "strange.auroc"],
    run=_run,
)
