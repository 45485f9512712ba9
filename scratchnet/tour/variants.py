"""Chapter variants: linear (PCA), denoising, sparse, k-sparse, contractive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from scratchnet import plots
from scratchnet.autoencoders import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    SparseAutoencoder,
)
from scratchnet.backend import asarray
from scratchnet.decomposition import PCA
from scratchnet.tour.data import TourData, first_of_each, mse, projection_errors
from scratchnet.tour.report import Chapter, LeftOut, Number, Picture, Section, Table, Tell
from scratchnet.tour.training import Trainings
from scratchnet.tour.variants_codes import IMPORT, RHO, contractive_code, k_sparse_code, sparse_code

__all__ = ["CHAPTER"]

NOISES = {"low": 0.1, "high": 0.5}  # standard deviations; the lecture uses the low one
SOME = 2000  # samples for the code that is wider than the input, the slowest network


def _run(data: TourData, seed: int, tell: Tell) -> Iterator[Section | LeftOut]:
    common: dict[str, Any] = {"random_state": seed}
    k, width = min(10, data.n_features), max(data.n_features + 116, 32)
    with Trainings(tell) as train:
        errors: dict[str, list[float]] = {"free": [], "tied": []}
        linear = [
            train(
                Autoencoder((), k, tied=name == "tied", likelihood="gaussian", epochs=40, learning_rate=2e-3, **common),
                data.X,
                each=_gather_errors(found, data),
            )
            for name, found in errors.items()
        ]
        denoising = {
            name: train(DenoisingAutoencoder((), 400, noise_level=sd, epochs=8, learning_rate=3e-3, **common), data.X)
            for name, sd in NOISES.items()
        }
        clean = train(Autoencoder((), 400, epochs=8, learning_rate=3e-3, **common), data.X)
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
        for future in linear:
            future.result()
        yield _linear(data, errors, k, pca)
        yield _denoising(data, {n: f.result() for n, f in denoising.items()}, clean.result(), pca, seed)
        yield sparse_code(data, sparse[0.0].result(), sparse[3.0].result())
        yield k_sparse_code(data, k_sparse.result(), pca)
        yield contractive_code(data, contractive[0.0].result(), contractive[0.1].result(), seed)


def _gather_errors(found: list[float], data: TourData) -> Callable[[Any], None]:
    return lambda state: found.append(mse(state.model.reconstruct(data.X_test), data.X_test))


def _linear(data: TourData, errors: dict[str, list[float]], k: int, pca: PCA) -> Section:
    free, tied = errors["free"], errors["tied"]
    floor = projection_errors(pca, data.X_test, data.X_test, [k])[k]
    return Section(
        "linear",
        says="""<p>Without nonlinearities, the network has one linear layer for encoding and one for decoding, with
            squared error. The optimum projects onto the plane of the first principal components, so gradient descent
            finds PCA without forming a covariance matrix. The two layers can even share one matrix, transposed in one
            of them: tied weights, half as many.</p>
            <p class="formula">min<sub><i>V</i>, <i>W</i></sub> Σ |<i>x</i> − <i>x V W</i>|² &nbsp;→&nbsp; the plane
            of <i>a</i><sub>1</sub>, …, <i>a</i><sub>k</sub></p>""",
        pictures=[
            Picture(
                plots.curves(
                    list(range(1, len(free) + 1)),
                    {"linear autoencoder": free, "tied weights": tied, "PCA": [floor] * len(free)},
                    xlabel="epoch",
                    ylabel="held-out error (MSE)",
                ),
                "Held-out error of linear autoencoders over the epochs, falling to the horizontal line of PCA's error.",
            )
        ],
        numbers={
            "k": Number("numbers in the code", k),
            "linear": Number("held-out error, linear autoencoder", free[-1], "MSE", ".5f"),
            "tied": Number("held-out error, tied weights", tied[-1], "MSE", ".5f"),
            "pca": Number("held-out error, PCA", floor, "MSE", ".5f"),
            "above": Number(
                "linear autoencoder above PCA", 100 * (free[-1] / floor - 1) if floor else None, "%", ".2f"
            ),
            "epochs": Number("epochs", len(free)),
        },
        sees="After {epochs} epochs, the linear network with a code of {k} numbers has a held-out error of {linear}, "
        "with tied weights {tied}; PCA has {pca}. With untied weights the difference from PCA is {above}%.",
        code=data.code(
            IMPORT + "Autoencoder",
            f'model = Autoencoder(hidden=(), n_latent={k}, likelihood="gaussian", epochs=40)',
            "model.set_params(learning_rate=2e-3).fit(X)",
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
        # clipping raises the mean; the projection is better when this shift is subtracted
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
        says="""<p>Noise is added to the input, which is then clipped to [0, 1]; it is redrawn in every epoch. The
            target is the clean input. The network can no longer copy its input; it must learn what inputs look like.
            The baseline is the projection onto principal components, with the number of components that is best on the
            test data themselves.</p>
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
        "with {high_k} components, has {high_pca}, and an autoencoder that was trained without noise {high_plain}. At "
        "sd {low} the errors are {low_ours}, {low_pca} and {low_plain}. "
        + (
            "The denoising autoencoder is better than the projection at both."
            if wins == len(models)
            else "It is better than the projection at {wins} of the {levels} noise levels: weak noise leaves little to "
            "gain."
        ),
        code=data.code(
            IMPORT + "DenoisingAutoencoder",
            "model = DenoisingAutoencoder((), 400, noise_level=0.5, epochs=8, learning_rate=3e-3)",
            "model.fit(X)",
            "noisy = model.corrupt(X_test)",
            "print(((model.reconstruct(noisy) - X_test) ** 2).mean())",
            test=True,
        ),
    )


CHAPTER = Chapter(
    name="variants",
    title="Variants of the autoencoder",
    lectures="lectures 2 to 4",
    lead="A code can be constrained not only by its size, but also by noise, by sparsity, or by its derivative.",
    sections={
        "linear": "A linear autoencoder is PCA",
        "denoising": "From noisy input to clean output",
        "sparse": "Many units, rarely active",
        "ksparse": "Only the k largest",
        "contractive": "Insensitive to small changes",
    },
    headline=["linear.above", "denoising.high_ours", "denoising.high_pca", "ksparse.error"],
    run=_run,
)
