"""Chapter autoencoder: training, code sizes against PCA, the plane, walks, generation, strange input, clustering."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchnet import plots
from scratchnet.autoencoders import Autoencoder
from scratchnet.backend import Array, asarray, get_xp, to_numpy
from scratchnet.decomposition import PCA
from scratchnet.metrics import knn_accuracy
from scratchnet.tour.autoencoder_codes import clusters, generation, strange_input, walk
from scratchnet.tour.data import TourData, first_of_each, mse
from scratchnet.tour.report import Chapter, LeftOut, Number, Picture, Section, Table, Tell
from scratchnet.tour.training import Trainings

EPOCHS = 20
IMPORT = "from scratchnet.autoencoders import Autoencoder"


def _run(data: TourData, seed: int, tell: Tell) -> Iterator[Section | LeftOut]:
    unrolled = Unrolled(data)
    rows, names = _three_classes(data)
    with Trainings(tell) as train:
        largest = train(_network(32, seed), data.X, validation=data.X_test, each=unrolled)
        smaller = {k: train(_network(k, seed), data.X) for k in (8, 2)}
        errors: list[float] = []
        linear = train(_linear_network(data, seed), data.X, each=lambda s: errors.append(_error(s.model, data)))
        plane = train(_plane_network(seed), data.X[asarray(rows)])

        model = largest.result()
        yield _training(data, model, unrolled)
        models = {k: future.result() for k, future in reversed(smaller.items())} | {32: model}
        yield _sizes(data, models)
        yield _linear(data, linear.result(), errors)
        yield _plane(data, plane.result(), rows, names)
    yield walk(data, model, seed)
    yield generation(data, model, seed)
    yield strange_input(data, model)
    yield clusters(data, models, seed, tell)


def _network(n_latent: int, seed: int) -> Autoencoder:
    return Autoencoder(hidden=(128,), n_latent=n_latent, epochs=EPOCHS, random_state=seed)


def _error(model: Autoencoder, data: TourData) -> float:
    """The mean squared error on held-out data."""
    return mse(model.reconstruct(data.X_test), data.X_test)


class Unrolled:
    """Reconstructions of a few held-out samples, one row an epoch, gathered while a model trains."""

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
            "Training and validation loss in nats a sample over the epochs: both fall steeply, then slowly.",
        )
    ]
    if data.shape:
        picture = Picture(
            plots.reconstructions(*rows, labels=labels, shape=data.shape),
            f"Held-out {data.name} in the first row; below them their reconstructions by the untrained network, which "
            "are grey noise, and after more and more epochs of training.",
        )
        pictures.insert(0, picture)
    n_weights = model.params_.theta.size
    return Section(
        "training",
        says=f"""<p>An autoencoder squeezes its input through a narrow code and is trained to give it back. Here the
            layers are {data.n_features}–128–32–128–{data.n_features} with ReLU, and the loss is the cross-entropy
            between the input <i>x</i> and the output <i>x̂</i>, summed over the entries. Every gradient is written
            out by hand.</p>
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
        sees="Before training the output has nothing to do with the input. After {epochs} epochs the error on data "
        "that the network has never seen has fallen from {before} to {after}. The held-out loss, {test} nats, is "
        + (
            "close to the {train} nats on the training data: there is little overfitting."
            if last["validation_loss"] < 1.05 * last["loss"]
            else "above the {train} nats on the training data: the network has begun to learn its samples by heart."
        ),
        code=data.code(
            IMPORT,
            "model = Autoencoder(hidden=(128,), n_latent=32, epochs=20)",
            "for state in model.steps(X, validation=X_test):",
            "    print(state)",
            test=True,
        ),
    )


def _sizes(data: TourData, models: dict[int, Autoencoder]) -> Section:
    pca = PCA().fit(data.X)
    shown = data.X_test[asarray(first_of_each(data.y_test, data.n_classes))]
    numbers, rows, labels = {}, [shown], ["input"]
    for k, network in models.items():
        A = pca.components_[:k]
        flat = (data.X_test - pca.mean_) @ A.T @ A + pca.mean_
        numbers[f"ae{k}"] = Number(
            f"held-out error, autoencoder with a code of {k}", _error(network, data), "MSE", ".4f"
        )  # fmt: skip
        numbers[f"pca{k}"] = Number(f"held-out error, PCA with {k} components", mse(flat, data.X_test), "MSE", ".4f")
        rows.append(network.reconstruct(shown))
        labels.append(f"code of {k}")
    ae, flat_errors = ([float(numbers[f"{what}{k}"]) for k in models] for what in ("ae", "pca"))
    wins = sum(a < p for a, p in zip(ae, flat_errors, strict=True))
    numbers["wins"] = Number("sizes at which the autoencoder is better than PCA", wins, f"of {len(models)}")
    pictures = [
        Picture(
            plots.curves(
                list(models), {"autoencoder": ae, "PCA": flat_errors}, xlabel="numbers in the code",
                ylabel="held-out error (MSE)", log_x=True,
            ),
            "Held-out squared error against the size of the code, for the autoencoder and for PCA; both fall.",
        )
    ]  # fmt: skip
    if data.shape:
        picture = Picture(
            plots.reconstructions(*rows, labels=labels, shape=data.shape),
            f"Held-out {data.name} and their reconstructions from codes of 2, 8 and 32 numbers: the more numbers, the "
            "more of the input is kept.",
        )
        pictures.insert(0, picture)
    return Section(
        "sizes",
        says="""<p>The larger the code, the better the reconstruction. PCA of the same width is the best that
            straight lines and planes can do; the layers of an autoencoder may bend.</p>""",
        pictures=pictures,
        numbers=numbers,
        tables=[Table(["code", "autoencoder", "PCA"], {str(k): [f"ae{k}", f"pca{k}"] for k in models})],
        facts={"low": 2, "high": 32, "sizes": len(models)},
        sees="From {low} to {high} numbers the autoencoder's held-out error falls from {ae2} to {ae32}, PCA's from "
        "{pca2} to {pca32}. "
        + (
            "At every size the bent map beats the flat one."
            if wins == len(models)
            else "The flat map is never beaten here: these data need no bending, or more training."
            if wins == 0
            else "The bent map is the better one at {wins} of the {sizes} sizes."
        ),
        code=data.code(
            IMPORT,
            "for k in (2, 8, 32):",
            "    model = Autoencoder(hidden=(128,), n_latent=k, epochs=20).fit(X)",
            "    print(k, ((model.reconstruct(X_test) - X_test) ** 2).mean())",
            test=True,
        ),
    )


def _linear_network(data: TourData, seed: int) -> Autoencoder:
    return Autoencoder(
        hidden=(), n_latent=min(10, data.n_features), likelihood="gaussian", epochs=40, learning_rate=3e-3,
        random_state=seed,
    )  # fmt: skip


def _linear(data: TourData, model: Autoencoder, errors: list[float]) -> Section:
    k = model.n_latent
    pca = PCA(k).fit(data.X)
    floor = mse(pca.inverse_transform(pca.transform(data.X_test)), data.X_test)
    epochs = list(range(1, len(errors) + 1))
    return Section(
        "linear",
        says="""<p>Take the bends away: one linear layer down, one up, squared error. The best such network projects
            onto the plane of the first principal components, so gradient descent finds PCA without ever forming a
            covariance.</p>
            <p class="formula">min<sub><i>V</i>, <i>W</i></sub> Σ |<i>x</i> − <i>x V W</i>|² &nbsp;→&nbsp; the plane
            of <i>a</i><sub>1</sub>, …, <i>a</i><sub>k</sub></p>""",
        pictures=[
            Picture(
                plots.curves(
                    epochs,
                    {"linear autoencoder": errors, "PCA": [floor] * len(errors)},
                    xlabel="epoch",
                    ylabel="held-out error (MSE)",
                ),
                "Held-out error of a linear autoencoder over the epochs, falling to the level line of PCA's error.",
            )
        ],
        numbers={
            "k": Number("numbers in the code", k),
            "linear": Number("held-out error, linear autoencoder", errors[-1], "MSE", ".5f"),
            "pca": Number("held-out error, PCA", floor, "MSE", ".5f"),
            "above": Number(
                "linear autoencoder above PCA", 100 * (errors[-1] / floor - 1) if floor else None, "%", ".2f"
            ),
            "epochs": Number("epochs", len(errors)),
        },
        sees="After {epochs} epochs the linear network with a code of {k} has a held-out error of {linear}, PCA has "
        "{pca}: they differ by {above}%.",
        code=data.code(
            IMPORT,
            f'model = Autoencoder(hidden=(), n_latent={k}, likelihood="gaussian", epochs=40)',
            "model.set_params(learning_rate=3e-3).fit(X)",
            "print(((model.reconstruct(X_test) - X_test) ** 2).mean())",
            test=True,
        ),
    )


def _three_classes(data: TourData) -> tuple[np.ndarray, str]:
    """The training rows of three classes: 1, 5 and 6, as in the lecture, where the data are digits."""
    if data.y is None:
        return np.arange(len(data.X)), "all rows"
    lecture = [k for k, name in enumerate(data.class_names) if name in ("1", "5", "6")]
    chosen = lecture if len(lecture) == 3 else list(range(min(3, data.n_classes)))
    return np.flatnonzero(np.isin(data.y, chosen)), ", ".join(data.class_names[k] for k in chosen)


def _plane_network(seed: int) -> Autoencoder:
    return Autoencoder(
        hidden=(500, 300), n_latent=2, activation="tanh", likelihood="gaussian", epochs=25, learning_rate=5e-4,
        random_state=seed,
    )  # fmt: skip


def _plane(data: TourData, model: Autoencoder, rows: np.ndarray, names: str) -> Section:
    X, X_test, y = data.X[asarray(rows)], data.X_test, None if data.y is None else data.y[rows]
    if y is not None:
        X_test = X_test[asarray(np.flatnonzero(np.isin(data.y_test, y)))]
    Z = model.transform(X)
    train_error, test_error = mse(model.reconstruct(X), X), mse(model.reconstruct(X_test), X_test)
    numbers = {
        "train": Number("squared error, training data", train_error, "MSE", ".4f"),
        "test": Number("squared error, held-out data", test_error, "MSE", ".4f"),
    }
    sees = "Two numbers a sample are enough for an error of {train} on the training data and {test} on held-out data."
    if y is not None:
        own = Z[asarray(np.arange(min(1500, len(y))))]
        numbers["knn"] = Number("10-NN accuracy in the plane", knn_accuracy(own, y[: len(own)], 10))
        sees += (
            " Nobody told the network about classes, yet ten neighbours in its plane name the right one for a share "
        )
        sees += "of {knn} of the samples."
    pictures = [
        Picture(
            plots.scatter(Z, data.named(y), axis_labels=("z₁", "z₂")),
            f"Scatter plot of the two-number codes of the classes {names}, one colour a class.",
        )
    ]
    if data.shape:
        picture = _walk_in_plane(data, model, Z)
        pictures.append(picture)
    return Section(
        "plane",
        says=f"""<p>A deeper network, {data.n_features}–500–300–2–300–500–{data.n_features} with tanh and squared
            error, trained on {names}. Its code is a point in the plane, so the whole latent space can be seen: each
            sample is a dot, and every place between the dots can be decoded too.</p>""",
        pictures=pictures,
        numbers=numbers,
        sees=sees,
        code=data.code(
            "from scratchnet import plots\n" + IMPORT,
            'model = Autoencoder(hidden=(500, 300), n_latent=2, activation="tanh",',
            '                    likelihood="gaussian", epochs=25, learning_rate=5e-4).fit(X)',
            'plots.scatter(model.transform(X), y).savefig("plane.png")',
        ),
    )


def _walk_in_plane(data: TourData, model: Autoencoder, Z: Array) -> Picture:
    """Decoded images along the longest straight way through the codes: between two far quantiles of the first axis."""
    host = to_numpy(Z)
    order = host[:, 0].argsort()
    start, end = host[order[len(order) // 20]], host[order[-len(order) // 20]]
    points = start + np.linspace(0, 1, 10)[:, None] * (end - start)
    images = model.inverse_transform(asarray(points.astype(np.float32)))
    return Picture(
        plots.image_grid(get_xp(images).clip(images, 0, 1), shape=data.shape, n_columns=10),
        "Ten images decoded at equal steps along a straight line through the plane of codes.",
        "A walk on a straight line through the plane, from one edge of the codes to the other.",
    )


CHAPTER = Chapter(
    name="autoencoder",
    title="Autoencoders",
    lectures="lectures 1 to 4",
    lead="A network that has to give back its input through a narrow code learns what its inputs have in common.",
    sections={
        "training": "From noise to likeness",
        "sizes": "How large a code?",
        "linear": "Without bends it is PCA",
        "plane": "A code of two numbers",
        "walk": "Walking between samples",
        "generation": "Decoding made-up codes",
        "strange": "Input of another kind",
        "clusters": "Clustering the codes",
    },
    headline=["training.after", "sizes.ae2", "sizes.pca2", "strange.auroc"],
    run=_run,
)
