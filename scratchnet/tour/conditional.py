"""Chapter conditional VAE: one style in all classes, samples of a given class, a plane per class, style transfer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scratchnet import plots
from scratchnet.autoencoders import ConditionalVAE, latent
from scratchnet.backend import Rng, asarray, get_xp, to_numpy
from scratchnet.neighbors import KNeighborsClassifier
from scratchnet.tour.conditional_properties import slants, train_on_properties, two_dials
from scratchnet.tour.data import TourData, first_of_each
from scratchnet.tour.report import Chapter, LeftOut, Number, Picture, Section, Table, Tell
from scratchnet.tour.training import Trainings

__all__ = ["CHAPTER"]

HIDDEN, N_LATENT, RATE = (256, 256), 2, 2e-3  # a large code would leave gaps between the styles
EPOCHS = 18
MOST = 10  # classes shown
N_EACH = 50  # samples per class for the classifier
IMPORT = "from scratchnet.autoencoders import ConditionalVAE"
FIT = f"model = ConditionalVAE(hidden={HIDDEN}, n_latent={N_LATENT}, learning_rate={RATE:g})\nmodel.fit(X, y)"


def _run(data: TourData, seed: int, tell: Tell) -> Iterator[Section | LeftOut]:
    with Trainings(tell) as train:
        if data.y is None:
            dialled = train_on_properties(data, seed, train)
            for name in ("training", "styles", "samples", "planes", "transfer"):
                yield LeftOut(name, "the condition is a class, and there are no labels")
        else:
            by_class = ConditionalVAE(
                hidden=HIDDEN, n_latent=N_LATENT, learning_rate=RATE, epochs=EPOCHS, random_state=seed
            )
            future = train(by_class, data.X, data.y, validation=(data.X_test, data.y_test))
            dialled = train_on_properties(data, seed, train)
            judge = KNeighborsClassifier(3).fit(data.X, data.y)
            model = future.result()
            yield _training(data, model)
            yield _styles(data, model, judge, seed) if data.shape else LeftOut("styles", "its pictures need images")
            yield _samples(data, model, judge, seed)
            yield _planes(data, model, judge) if data.shape else LeftOut("planes", "its pictures need images")
            yield _transfer(data, model, judge) if data.shape else LeftOut("transfer", "its pictures need images")
        yield (two_dials(data, dialled.result(), seed) if dialled else LeftOut("property", "only images have a slant"))


def _training(data: TourData, model: ConditionalVAE) -> Section:
    last = model.history_[-1]
    right = float(model.elbo(data.X_test, data.y_test).mean())
    wrong = float(model.elbo(data.X_test, (data.y_test + 1) % data.n_classes).mean())
    return Section(
        "training",
        says=f"""<p>The encoder and the decoder also get the class, as a one-hot vector. The code no longer needs to
            encode it, and is free for everything else: slant, thickness, style. Layers:
            {data.n_features} + {data.n_classes} – {HIDDEN[0]} – {HIDDEN[1]} – {N_LATENT}, and {N_LATENT} +
            {data.n_classes} – {HIDDEN[1]} – {HIDDEN[0]} – {data.n_features}. The code is small: large codes have
            regions between the styles to which no sample was encoded, and draws from there decode badly.</p>
            <p class="formula">log <i>p</i>(<i>x</i>|<i>y</i>) ≥ E[log <i>p</i>(<i>x</i>|<i>z</i>, <i>y</i>)] −
            KL(<i>q</i>(<i>z</i>|<i>x</i>, <i>y</i>)‖N(0, I))</p>""",
        pictures=[
            Picture(
                plots.history(model.history_),
                "Loss on training and held-out data, reconstruction and KL over the epochs, in nats per sample.",
            )
        ],
        numbers={
            "loss": Number("loss, training data", last["loss"], "nats/sample", ".1f"),
            "kl": Number("KL part of the loss", last["kl"], "nats/sample", ".1f"),
            "test": Number("loss, held-out data", last["validation_loss"], "nats/sample", ".1f"),
            "right": Number("−ELBO, held-out data with their class", -right, "nats/sample", ".1f"),
            "wrong": Number("−ELBO, held-out data with the next class", -wrong, "nats/sample", ".1f"),
            "price": Number("cost of the wrong class", right - wrong, "nats/sample", ".1f"),
        },
        sees="With the right class, −ELBO is {right} nats per held-out sample, with the wrong one {wrong}: for the "
        "model, the class is worth {price} nats.",
        code=data.code(IMPORT, FIT, "print(model.history_)", "print(model.score(X_test, y_test))", test=True),
    )


def _styles(data: TourData, model: ConditionalVAE, judge: KNeighborsClassifier, seed: int) -> Section:
    assert data.shape is not None
    k, n_styles = min(data.n_classes, MOST), 6
    Z = Rng(seed).host.standard_normal((200, N_LATENT)).astype(np.float32)
    classes = np.tile(np.arange(k), len(Z))
    images = model.inverse_transform(asarray(np.repeat(Z, k, axis=0)), classes)
    recognised = to_numpy(judge.predict(images)) == classes
    slant = slants(to_numpy(images).reshape(-1, *data.shape)).reshape(len(Z), k)
    slant = slant - slant.mean(axis=0)
    kept = slant.mean(axis=1).var() / max(float(slant.var()), 1e-12)
    all_right = recognised.reshape(len(Z), k).all(axis=1).mean()
    return Section(
        "styles",
        says="""<p>One code, decoded with each class in turn. Since the code does not encode the class, it encodes the
            handwriting: the same <i>z</i> gives the same style in every class.</p>
            <p class="formula"><i>x̂</i><sub>y</sub> = <i>g</i>(<i>z</i>, <i>y</i>), &nbsp; one <i>z</i>, all
            <i>y</i></p>""",
        pictures=[
            Picture(
                plots.image_grid(
                    images[: n_styles * k], shape=data.shape, n_columns=k, column_labels=data.class_names[:k],
                    row_labels=[f"style {i + 1}" for i in range(n_styles)],
                ),
                "A grid of decoded images: each column is a class, each row one random code, whose slant and "
                "thickness stay the same from class to class.",
            )
        ],
        numbers={
            "styles": Number("random codes tried", len(Z)),
            "slant": Number("variance of the slant, within classes, that the code explains", 100 * kept, "%", ".1f"),
            "share": Number("recognised, all classes of all codes", 100 * float(recognised.mean()), "%", ".1f"),
            "all": Number(
                "codes with every class recognised", 100 * float(all_right), "%", ".1f"
            ),
        },
        sees="From column to column the class changes, while the handwriting stays the same along a row: the code "
        "explains {slant}% of the variance of the slant within classes. A classifier trained on real data recognises "
        "the requested class in {share}% of the images; for {all}% of {styles} random codes it recognises every class.",
        code=data.code(
            "import numpy as np\n" + IMPORT, FIT,
            f"z = np.random.default_rng(0).standard_normal((1, {N_LATENT}))",
            f"images = model.inverse_transform(np.repeat(z, {k}, axis=0), np.arange({k}))",
        ),
    )  # fmt: skip


def _samples(data: TourData, model: ConditionalVAE, judge: KNeighborsClassifier, seed: int) -> Section:
    asked = np.repeat(np.arange(data.n_classes), N_EACH)
    images = model.sample(len(asked), asked, random_state=seed)
    right = (to_numpy(judge.predict(images)) == asked).reshape(data.n_classes, N_EACH)
    share, real = right.mean(axis=1), float(judge.score(data.X_test, data.y_test))
    k = min(data.n_classes, MOST)
    worst = int(share.argmin())
    numbers = {
        "share": Number("recognised, samples of a given class", 100 * float(right.mean()), "%", ".1f"),
        "real": Number("recognised, real held-out data", 100 * real, "%", ".1f"),
        "each": Number("samples per class", N_EACH),
        "worst": Number("the class recognised least", data.class_names[worst], "class"),
        "worst_share": Number("recognised, that class", 100 * float(share[worst]), "%", ".0f"),
        **{
            f"class{i}": Number(f"recognised, class {data.class_names[i]}", 100 * float(s), "%", ".0f")
            for i, s in enumerate(share)
        },
    }
    pictures = [
        Picture(
            plots.bars(100 * share[:k], names=data.class_names[:k], xlabel="requested class", ylabel="recognised (%)"),
            "Bars: for each class the share of generated samples that a classifier recognises as that class.",
        )
    ]
    if data.shape:
        shown = np.concatenate([to_numpy(images).reshape(data.n_classes, N_EACH, -1)[:k, j] for j in range(5)])
        picture = Picture(
            plots.image_grid(shown, shape=data.shape, n_columns=k, column_labels=data.class_names[:k]),
            "Five rows of generated images, one column per requested class.",
        )
        pictures.insert(0, picture)
    better = float(right.mean()) > real
    return Section(
        "samples",
        says="""<p>Sampling with a given class: draw <i>z</i> from the prior and decode it with the requested class. A
            nearest-neighbour classifier (three neighbours), trained on real data, judges whether the sample is of
            that class.</p>
            <p class="formula"><i>z</i> ~ N(0, I), &nbsp; <i>x</i> = <i>g</i>(<i>z</i>, <i>y</i>)</p>""",
        pictures=pictures,
        numbers=numbers,
        tables=[Table(["class", "recognised"], {data.class_names[i]: [f"class{i}"] for i in range(data.n_classes)})],
        sees="The classifier recognises {share}% of the samples as the requested class; of real held-out data it "
        "recognises {real}%. "
        + (
            "Generated samples are even easier than real ones: the decoder outputs means, which look more typical than "
            "unusual real samples. "
            if better
            else "Not every draw succeeds: a style that is rare for a class decodes to something ambiguous. "
        )
        + "The hardest class is {worst} with {worst_share}%.",
        code=data.code(
            IMPORT + "\nfrom scratchnet.neighbors import KNeighborsClassifier",
            FIT,
            f"asked = y[:100] * 0 + {min(3, data.n_classes - 1)}",
            "print(KNeighborsClassifier(3).fit(X, y).score(model.sample(100, asked), asked))",
        ),
    )


def _planes(data: TourData, model: ConditionalVAE, judge: KNeighborsClassifier) -> Section:
    """The latent plane of every class: the same grid of codes, decoded with each class."""
    side, shown = 9, [k for k in (2, 4, 7) if k < data.n_classes] or [0]
    codes = latent.manifold_grid(side)
    assert data.shape is not None
    fig, axes = plots.figure(1, len(shown), size=(plots.WIDTH, 2.4))
    for ax, k in zip(axes[0], shown, strict=True):
        images = model.inverse_transform(codes, np.full(len(codes), k))
        name = f"class {data.class_names[k]}"
        plots.image_grid(images, shape=data.shape, n_columns=side, gap=0, ax=ax, title=name)
    classes = np.repeat(np.arange(data.n_classes), len(codes))
    xp = get_xp(codes)
    everything = model.inverse_transform(xp.concatenate([codes] * data.n_classes), classes)
    right = (to_numpy(judge.predict(everything)) == classes).reshape(data.n_classes, side, side)
    inner = right[:, side // 4 : side - side // 4, side // 4 : side - side // 4]
    return Section(
        "planes",
        says="""<p>With the class given, the two latents span a plane for every class: all the ways to write it. The
            grid contains quantiles of the prior, as for the plain VAE, but every cell is now a sample of the requested
            class.</p>""",
        pictures=[
            Picture(
                fig,
                f"{len(shown)} grids of {side} by {side} images, each of one class: from cell to cell slant, width and "
                "thickness change, but not the class.",
            )
        ],
        numbers={
            "cells": Number("cells of the grid, all classes", int(right.size)),
            "all": Number("cells recognised as their class", 100 * float(right.mean()), "%", ".1f"),
            "inner": Number("the same in the middle of the grids", 100 * float(inner.mean()), "%", ".1f"),
        },
        sees="Of {cells} cells, {all}% are recognised as their class; in the middle of the grids {inner}%.",
        code=data.code(
            "from scratchnet import plots\nfrom scratchnet.autoencoders import ConditionalVAE, latent", FIT,
            f"codes = latent.manifold_grid({side})",
            f"images = model.inverse_transform(codes, y[:1].repeat({side**2}))",
            "plots.decoded_grid(images, codes).savefig(\"plane.png\")",
        ),
    )  # fmt: skip


def _transfer(data: TourData, model: ConditionalVAE, judge: KNeighborsClassifier) -> Section:
    k = min(data.n_classes, MOST)
    rows = first_of_each(data.y_test, data.n_classes)[: min(5, k)]
    X, y = data.X_test[asarray(rows)], data.y_test[rows]
    Z = to_numpy(model.transform(X, y))
    images = to_numpy(model.inverse_transform(asarray(np.repeat(Z, k, axis=0)), np.tile(np.arange(k), len(rows))))
    shown = np.concatenate([to_numpy(X)[:, None], images.reshape(len(rows), k, -1)], axis=1)
    n = min(500, len(data.X_test))
    codes = model.transform(data.X_test[:n], data.y_test[:n])
    wanted = (data.y_test[:n] + 1) % data.n_classes
    turned = to_numpy(judge.predict(model.inverse_transform(codes, wanted)))
    return Section(
        "transfer",
        says="""<p>The style need not be random: encode a real image together with its class, then decode the code with
            other classes.</p>
            <p class="formula"><i>x̂</i><sub>y′</sub> = <i>g</i>(<i>μ</i>(<i>x</i>, <i>y</i>), <i>y</i>′)</p>""",
        pictures=[
            Picture(
                plots.image_grid(
                    shown.reshape(-1, data.n_features), shape=data.shape, n_columns=k + 1,
                    column_labels=["real", *data.class_names[:k]],
                ),
                "Each row starts with a real held-out image and continues with all classes in its style.",
            )
        ],
        numbers={
            "n": Number("held-out images turned into the next class", n),
            "turned": Number("recognised as the new class", 100 * float((turned == wanted).mean()), "%", ".1f"),
            "kept": Number(
                "still recognised as the old class", 100 * float((turned == data.y_test[:n]).mean()), "%", ".1f"
            ),
        },
        sees="Each row keeps the handwriting of its first image. Of {n} held-out images turned into the next class, "
        "{turned}% are recognised as the new class and {kept}% still as the old one.",
        code=data.code(
            IMPORT, FIT, "z = model.transform(X_test[:1], y_test[:1])",
            "image = model.inverse_transform(z, y_test[1:2])", test=True,
        ),
    )  # fmt: skip


CHAPTER = Chapter(
    name="conditional",
    title="Conditional VAE",
    lectures="lecture 1",
    lead="If the network is given the class of an image, its code is free to encode the style.",
    sections={
        "training": "The value of the class",
        "styles": "One style, all classes",
        "samples": "Samples of a given class",
        "planes": "A plane for every class",
        "transfer": "Style transfer",
        "property": "Two continuous properties",
    },
    headline=["training.price", "samples.share", "styles.share", "property.slant_correlation"],
    run=_run,
)
