"""Chapter variants: linear is PCA, denoising, sparse, k-sparse, contractive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchnet import plots
from scratchnet.autoencoders import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    SparseAutoencoder,
)
from scratchnet.backend import Array, Rng, asarray, get_xp, to_numpy
from scratchnet.decomposition import PCA
from scratchnet.tour.data import TourData, first_of_each, mse, projection_errors
from scratchnet.tour.report import Chapter, LeftOut, Number, Picture, Section, Table, Tell
from scratchnet.tour.training import Trainings

NOISES = {"low": 0.1, "high": 0.5}  # standard deviations; the lecture's is the low one
SOME = 2000  # samples for the code that is wider than the input: it costs most
RHO = 0.05
IMPORT = "from scratchnet.autoencoders import "


def _run(data: TourData, seed: int, tell: Tell) -> Iterator[Section | LeftOut]:
    common: dict[str, Any] = {"random_state": seed}
    k, width = min(10, data.n_features), max(data.n_features + 116, 32)
    with Trainings(tell) as train:
        errors: list[float] = []
        linear = train(
            Autoencoder((), k, likelihood="gaussian", epochs=40, learning_rate=3e-3, **common),
            data.X,
            each=lambda state: errors.append(mse(state.model.reconstruct(data.X_test), data.X_test)),
        )
        denoising = {
            name: train(DenoisingAutoencoder((), 400, noise_level=sd, epochs=6, learning_rate=3e-3, **common), data.X)
            for name, sd in NOISES.items()
        }
        clean = train(Autoencoder((), 400, epochs=6, learning_rate=3e-3, **common), data.X)
        sparse = {
            weight: train(
                SparseAutoencoder((), width, rho=RHO, weight=weight, epochs=10, learning_rate=3e-3, **common),
                data.X[:SOME],
            )
            for weight in (0.0, 3.0)
        }
        k_sparse = train(KSparseAutoencoder((), 256, k=10, annealing=4, epochs=10, **common), data.X)
        contractive = {
            weight: train(ContractiveAutoencoder((), 128, weight=weight, epochs=8, **common), data.X)
            for weight in (0.0, 0.1)
        }
        pca = PCA().fit(data.X)
        yield _linear(data, linear.result(), errors, pca)
        yield _denoising(data, {n: f.result() for n, f in denoising.items()}, clean.result(), pca, seed)
        yield _sparse(data, sparse[0.0].result(), sparse[3.0].result())
        yield _k_sparse(data, k_sparse.result(), pca)
        yield _contractive(data, contractive[0.0].result(), contractive[0.1].result(), seed)


def _linear(data: TourData, model: Autoencoder, errors: list[float], pca: PCA) -> Section:
    k = model.n_latent
    floor = projection_errors(pca, data.X_test, data.X_test, [k])[k]
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
                    list(range(1, len(errors) + 1)),
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
            IMPORT + "Autoencoder",
            f'model = Autoencoder(hidden=(), n_latent={k}, likelihood="gaussian", epochs=40)',
            "model.set_params(learning_rate=3e-3).fit(X)",
            "print(((model.reconstruct(X_test) - X_test) ** 2).mean())",
            test=True,
        ),
    )


def _denoising(
    data: TourData, models: dict[str, DenoisingAutoencoder], clean: Autoencoder, pca: PCA, seed: int
) -> Section:
    numbers: dict[str, Number] = {}
    rows, labels = [], []
    shown = asarray(first_of_each(data.y_test, data.n_classes))
    for name, model in models.items():
        seen = model.corrupt(data.X_test, random_state=seed)
        # clipping lifts the mean; without its shift the projection does better
        shift = model.corrupt(data.X, random_state=seed + 1).mean(axis=0) - pca.mean_
        projected = projection_errors(pca, seen - shift, data.X_test)
        best = min(projected, key=lambda k: projected[k])
        label = f"noise of sd {NOISES[name]}"
        numbers |= {
            f"{name}_noisy": Number(f"{label}: noisy input", mse(seen, data.X_test), "MSE", ".4f"),
            f"{name}_k": Number(f"{label}: components of the best projection", best),
            f"{name}_pca": Number(f"{label}: best PCA projection", projected[best], "MSE", ".4f"),
            f"{name}_plain": Number(
                f"{label}: autoencoder trained without noise", mse(clean.reconstruct(seen), data.X_test), "MSE", ".4f"
            ),
            f"{name}_ours": Number(
                f"{label}: denoising autoencoder", mse(model.reconstruct(seen), data.X_test), "MSE", ".4f"
            ),
        }
        rows += [seen[shown], model.reconstruct(seen[shown])]
        labels += [f"sd {NOISES[name]}", "denoised"]
    wins = sum(float(numbers[f"{name}_ours"]) < float(numbers[f"{name}_pca"]) for name in models)
    pictures = []
    if data.shape:
        picture = Picture(
            plots.reconstructions(data.X_test[shown], *rows, labels=["clean", *labels], shape=data.shape),
            f"Held-out {data.name}; with weak noise and denoised; with strong noise and denoised.",
        )
        pictures.append(picture)
    keys = ["noisy", "pca", "plain", "ours"]
    return Section(
        "denoising",
        says="""<p>Noise is added to the input, clipped to [0, 1], and drawn anew every epoch; the target is the
            clean input. The network cannot copy any more, it has to know what its inputs look like. Its rival is the
            projection onto principal components, with the number of components that is best on the very data it is
            judged on.</p>
            <p class="formula"><i>x̂</i> = <i>g</i>(<i>f</i>(<i>x</i> + <i>ε</i>)), &nbsp; loss against <i>x</i></p>""",
        pictures=pictures,
        numbers=numbers,
        tables=[
            Table(
                ["noise", "noisy", "best PCA", "trained without noise", "denoising"],
                {f"sd {sd}": [f"{name}_{key}" for key in keys] for name, sd in NOISES.items()},
            )
        ],
        facts={**NOISES, "wins": wins, "levels": len(models)},
        sees="At a noise of sd {high} the squared error falls from {high_noisy} to {high_ours}; the best projection, "
        "with {high_k} components, is left with {high_pca}, and an autoencoder that was trained without noise with "
        "{high_plain}. At sd {low} it is {low_ours} against {low_pca} and {low_plain}. "
        + (
            "The denoising autoencoder is better than the projection at both."
            if wins == len(models)
            else "It beats the projection at {wins} of the {levels} strengths: weak noise leaves little to gain."
        ),
        code=data.code(
            IMPORT + "DenoisingAutoencoder",
            "model = DenoisingAutoencoder((), 400, noise_level=0.5, epochs=6, learning_rate=3e-3)",
            "model.fit(X)",
            "noisy = model.corrupt(X_test)",
            "print(((model.reconstruct(noisy) - X_test) ** 2).mean())",
            test=True,
        ),
    )


def _sparse(data: TourData, plain: SparseAutoencoder, sparse: SparseAutoencoder) -> Section:
    codes = {"plain": plain.transform(data.X_test), "sparse": sparse.transform(data.X_test)}
    names = {"plain": "without the penalty", "sparse": "with the penalty"}
    numbers = {"width": Number("numbers in the code", int(sparse.n_latent))}
    for key, model in {"plain": plain, "sparse": sparse}.items():
        Z = codes[key]
        numbers |= {
            f"{key}_mean": Number(f"mean activation, {names[key]}", float(Z.mean()), "", ".3f"),
            f"{key}_on": Number(f"entries above one half, {names[key]}", 100 * float((Z > 0.5).mean()), "%", ".1f"),
            f"{key}_error": Number(
                f"held-out error, {names[key]}", mse(model.reconstruct(data.X_test), data.X_test), "MSE", ".4f"
            ),
        }
    pictures = [
        Picture(
            plots.distributions(
                {names[key]: to_numpy(Z.mean(axis=0)) for key, Z in codes.items()}, xlabel="mean activation of a unit"
            ),
            "Histograms of the mean activation of the code's units: without the penalty about one half, with it near "
            "the small rate asked for.",
        )
    ]
    if data.shape:
        pictures.append(_filters(data, sparse, codes["sparse"]))
    return Section(
        "sparse",
        says="""<p>A code may be wider than its input, and still say something, if few of its units are active at a
            time. The penalty compares the mean activation of each unit over the batch with a wanted rate
            <i>ρ</i>, as if both were coins.</p>
            <p class="formula">loss + <i>β</i> Σ<sub>j</sub> KL(<i>ρ</i> ‖ <i>ρ̂</i><sub>j</sub>)</p>""",
        pictures=pictures,
        numbers=numbers,
        tables=[
            Table(
                ["", "mean activation", "above one half", "held-out error"],
                {names[m]: [f"{m}_mean", f"{m}_on", f"{m}_error"] for m in names},
            )
        ],
        facts={"rho": RHO, "input": data.n_features},
        sees="For {input} entries of the input the code has {width}. Without the penalty its mean "
        "activation is {plain_mean}, with it {sparse_mean}, "
        "where {rho} was asked for; {sparse_on}% of the entries are above one half, instead of {plain_on}%. The "
        "held-out error goes from {plain_error} to {sparse_error}.",
        code=data.code(
            IMPORT + "SparseAutoencoder",
            f"model = SparseAutoencoder((), {sparse.n_latent}, rho={RHO}, weight=3.0, epochs=10)",
            "print(model.fit(X).transform(X_test).mean())",
            test=True,
        ),
    )


def _filters(data: TourData, model: Autoencoder, Z: Array) -> Picture:
    """What each of the 30 most used code units adds to the picture: its row of the decoder's weights."""
    most = np.argsort(-to_numpy((Z * Z).sum(axis=0)))[:30]
    W, _ = model.params_.views["decoder.0.W"]
    return Picture(
        plots.image_grid(to_numpy(W)[most], shape=data.shape, n_columns=10),
        "Thirty small images in blue and red: what the most used units of the code add to the output.",
        "What the most used units add to the output: red adds ink, blue takes it away.",
    )


def _k_sparse(data: TourData, model: KSparseAutoencoder, pca: PCA) -> Section:
    Z = model.transform(data.X_test)
    k = min(model.k, data.n_features)
    return Section(
        "ksparse",
        says="""<p>Harder still: of a linear code only the <i>k</i> largest entries are kept, the rest is set to
            zero. Each input picks its own few directions out of many, where PCA has the same few for all. In the
            first epochs more are kept, so that all units get to learn.</p>
            <p class="formula"><i>z</i> = keep the <i>k</i> largest of (<i>x W</i> + <i>b</i>)</p>""",
        pictures=[_filters(data, model, Z)] if data.shape else [],
        numbers={
            "width": Number("numbers in the code", int(model.n_latent)),
            "k": Number("of them kept", int(model.k)),
            "error": Number("held-out error", mse(model.reconstruct(data.X_test), data.X_test), "MSE", ".4f"),
            "pca": Number(
                "held-out error, PCA with as many components",
                projection_errors(pca, data.X_test, data.X_test, [k])[k], "MSE", ".4f",
            ),
            "used": Number("units that some held-out sample uses", int((Z != 0).any(axis=0).sum())),
        },
        sees="With {k} of {width} numbers the held-out error is {error}; PCA's first {k} components leave {pca}. "
        "{used} of the {width} units are used by some held-out sample.",
        code=data.code(
            IMPORT + "KSparseAutoencoder",
            "model = KSparseAutoencoder((), 256, k=10, annealing=4, epochs=10).fit(X)",
            "print((model.transform(X_test) != 0).sum(axis=1))",
            test=True,
        ),
    )  # fmt: skip


def _contractive(
    data: TourData, plain: ContractiveAutoencoder, contractive: ContractiveAutoencoder, seed: int
) -> Section:
    noise = asarray(Rng(seed).host.standard_normal(data.X_test.shape).astype(np.float32))
    noisy = get_xp(noise).clip(data.X_test + 0.1 * noise, 0, 1)
    names = {"plain": "without the penalty", "contractive": "with the penalty"}
    numbers: dict[str, Number] = {}
    moves: dict[str, np.ndarray] = {}
    for key, model in {"plain": plain, "contractive": contractive}.items():
        Z, moved = model.transform(data.X_test), model.transform(noisy)
        apart = ((Z - Z[::-1]) ** 2).sum(axis=1)
        moves[key] = to_numpy(((moved - Z) ** 2).sum(axis=1)) / float(apart.mean())
        numbers |= {
            f"{key}_move": Number(
                f"squared way of the code under noise of sd 0.1, {names[key]}", 100 * moves[key].mean(),
                "% of that between samples", ".1f",
            ),
            f"{key}_error": Number(
                f"held-out error, {names[key]}", mse(model.reconstruct(data.X_test), data.X_test), "MSE", ".4f"
            ),
        }  # fmt: skip
    return Section(
        "contractive",
        says="""<p>Instead of adding noise one can ask for its effect to be small: the penalty is the squared length
            of the code's derivative by the input. For one layer with a sigmoid it has a closed form.</p>
            <p class="formula">loss + <i>λ</i> |∂<i>f</i>/∂<i>x</i>|², &nbsp; |∂<i>f</i>/∂<i>x</i>|² =
            Σ<sub>j</sub> <i>h</i><sub>j</sub>²(1 − <i>h</i><sub>j</sub>)² Σ<sub>i</sub>
            <i>W</i><sub>ij</sub>²</p>""",
        pictures=[
            Picture(
                plots.distributions(
                    {names[key]: 100 * values for key, values in moves.items()},
                    xlabel="squared way of the code under noise (% of that between samples)",
                ),
                "Histograms of how far noise moves the codes, as a share of the distance between codes of different "
                "samples, without and with the penalty.",
            )
        ],
        numbers=numbers,
        sees="Noise of the same strength moves the codes by {contractive_move}% of the squared distance between two "
        "samples with the penalty, by {plain_move}% without. The held-out error is {contractive_error} with it and "
        "{plain_error} without.",
        code=data.code(
            IMPORT + "ContractiveAutoencoder",
            "model = ContractiveAutoencoder(n_latent=128, weight=0.1, epochs=8).fit(X)",
            'print(model.history_["penalty"])',
        ),
    )


CHAPTER = Chapter(
    name="variants",
    title="Variants of the autoencoder",
    lectures="lectures 2 to 4",
    lead="A code can be kept honest by more than its width: by noise, by sparseness, by stiffness.",
    sections={
        "linear": "Without bends it is PCA",
        "denoising": "Noise in, clean out",
        "sparse": "Wide, but seldom active",
        "ksparse": "Only the k largest",
        "contractive": "Deaf to small changes",
    },
    headline=["linear.above", "denoising.high_ours", "denoising.high_pca", "ksparse.error"],
    run=_run,
)
