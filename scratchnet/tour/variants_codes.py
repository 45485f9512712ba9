"""Chapter variants, continued: sparse, k-sparse and contractive codes."""

from __future__ import annotations

import numpy as np

from scratchnet import plots
from scratchnet.autoencoders import Autoencoder, ContractiveAutoencoder, KSparseAutoencoder, SparseAutoencoder
from scratchnet.backend import Array, Rng, asarray, get_xp, to_numpy
from scratchnet.decomposition import PCA
from scratchnet.tour.data import TourData, mse, projection_errors
from scratchnet.tour.report import Number, Picture, Section, Table

__all__ = ["IMPORT", "RHO", "contractive_code", "k_sparse_code", "sparse_code"]

IMPORT = "from scratchnet.autoencoders import "
RHO = 0.05  # target of the mean activation


def sparse_code(data: TourData, plain: SparseAutoencoder, sparse: SparseAutoencoder) -> Section:
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
            "the small target.",
        )
    ]
    if data.shape:
        pictures.append(_filters(data, sparse, codes["sparse"]))
    return Section(
        "sparse",
        says="""<p>A code can have more units than its input and still be useful, if only few of them are active at a
            time. The penalty compares the mean activation of each unit over the batch with a target rate <i>ρ</i>,
            both taken as Bernoulli probabilities.</p>
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
        sees="The input has {input} entries, the code {width}. Without the penalty the mean activation is "
        "{plain_mean}, with it {sparse_mean}, for a target of {rho}; {sparse_on}% of the entries are above one half, "
        "instead of {plain_on}%. The held-out error goes from {plain_error} to {sparse_error}.",
        code=data.code(
            IMPORT + "SparseAutoencoder",
            f"model = SparseAutoencoder((), {sparse.n_latent}, rho={RHO}, weight=3.0, epochs=10)",
            "print(model.fit(X).transform(X_test).mean())",
            test=True,
        ),
    )


def _filters(data: TourData, model: Autoencoder, Z: Array) -> Picture:
    """What each of the 30 most active units adds to the image: its row of the decoder's weights."""
    most = np.argsort(-to_numpy((Z * Z).sum(axis=0)))[:30]
    W, _ = model.params_.views["decoder.0.W"]
    return Picture(
        plots.image_grid(to_numpy(W)[most], shape=data.shape, n_columns=10),
        "Thirty small images in blue and red: what the most active units of the code add to the output.",
        "What the most active units add to the output: red adds ink, blue removes it.",
    )


def k_sparse_code(data: TourData, model: KSparseAutoencoder, pca: PCA) -> Section:
    Z = model.transform(data.X_test)
    k = min(model.k, data.n_features)
    return Section(
        "ksparse",
        says="""<p>A stricter constraint: only the <i>k</i> largest entries of a linear code are kept, the others are
            set to zero. Each input uses its own few directions out of many, while PCA uses the same few for all. In the
            first epochs more entries are kept, so that all units are trained.</p>
            <p class="formula"><i>z</i> = keep the <i>k</i> largest of (<i>x W</i> + <i>b</i>)</p>""",
        pictures=[_filters(data, model, Z)] if data.shape else [],
        numbers={
            "width": Number("numbers in the code", int(model.n_latent)),
            "k": Number("numbers kept", int(model.k)),
            "error": Number("held-out error", mse(model.reconstruct(data.X_test), data.X_test), "MSE", ".4f"),
            "pca": Number(
                "held-out error, PCA with as many components",
                projection_errors(pca, data.X_test, data.X_test, [k])[k], "MSE", ".4f",
            ),
            "used": Number("units used by some held-out sample", int((Z != 0).any(axis=0).sum())),
        },
        sees="With {k} of {width} numbers the held-out error is {error}; with PCA's first {k} components it is {pca}. "
        "{used} of the {width} units are used by some held-out sample.",
        code=data.code(
            IMPORT + "KSparseAutoencoder",
            "model = KSparseAutoencoder((), 256, k=10, annealing=4, epochs=10).fit(X)",
            "print((model.transform(X_test) != 0).sum(axis=1))",
            test=True,
        ),
    )  # fmt: skip


def contractive_code(
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
                f"squared shift of the code under noise of sd 0.1, {names[key]}", 100 * moves[key].mean(),
                "% of that between samples", ".1f",
            ),
            f"{key}_error": Number(
                f"held-out error, {names[key]}", mse(model.reconstruct(data.X_test), data.X_test), "MSE", ".4f"
            ),
        }  # fmt: skip
    return Section(
        "contractive",
        says="""<p>Instead of adding noise, we can penalise its effect: the penalty is the squared norm of the
            derivative of the code with respect to the input. For one layer with a sigmoid it has a closed form.</p>
            <p class="formula">loss + <i>λ</i> |∂<i>f</i>/∂<i>x</i>|², &nbsp; |∂<i>f</i>/∂<i>x</i>|² =
            Σ<sub>j</sub> <i>h</i><sub>j</sub>²(1 − <i>h</i><sub>j</sub>)² Σ<sub>i</sub>
            <i>W</i><sub>ij</sub>²</p>""",
        pictures=[
            Picture(
                plots.distributions(
                    {names[key]: 100 * values for key, values in moves.items()},
                    xlabel="squared shift of the code under noise (% of the distance between samples)",
                ),
                "Histograms of how far noise moves the codes, as a share of the distance between codes of different "
                "samples, without and with the penalty.",
            )
        ],
        numbers=numbers,
        sees="The same noise moves the codes by {contractive_move}% of the squared distance between two samples with "
        "the penalty, and by {plain_move}% without it. The held-out error is {contractive_error} with the penalty and "
        "{plain_error} without.",
        code=data.code(
            IMPORT + "ContractiveAutoencoder",
            "model = ContractiveAutoencoder(n_latent=128, weight=0.1, epochs=8).fit(X)",
            'print(model.history_["penalty"])',
        ),
    )
