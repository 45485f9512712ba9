"""Chapter VAE: training, samples, the plane, a regular latent space; vae_*.py have the theory and the uses of codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchnet import plots
from scratchnet.autoencoders import VAE, Autoencoder, latent
from scratchnet.backend import Rng, asarray, to_numpy
from scratchnet.tour.data import TourData, first_of_each, mse, nearest
from scratchnet.tour.report import Chapter, LeftOut, Number, Picture, Section, Table, Tell
from scratchnet.tour.training import Trainings
from scratchnet.tour.vae_latents import arithmetic, bad_codes, latents
from scratchnet.tour.vae_theory import bayes, divergence
from scratchnet.tour.vae_uses import strange_input, strange_network

__all__ = ["CHAPTER"]

EPOCHS, N_LATENT = 16, 20
PLANE_HIDDEN, PLANE_EPOCHS = (256, 64), 16
REVERSE_SEEDS = 3
IMPORT = "from scratchnet.autoencoders import VAE"
FIT = "vae = VAE(hidden=(400,), n_latent=20, epochs=16, verbose=1).fit(X)"


def _run(data: TourData, seed: int, tell: Tell) -> Iterator[Section | LeftOut]:
    in_the_plane: dict[str, Any] = {
        "hidden": PLANE_HIDDEN, "n_latent": 2, "epochs": PLANE_EPOCHS, "random_state": seed
    }  # fmt: skip
    with Trainings(tell) as train:
        wide = VAE(hidden=(400,), n_latent=N_LATENT, epochs=EPOCHS, random_state=seed)
        future = train(wide, data.X, validation=data.X_test)
        flat, plain = train(VAE(**in_the_plane), data.X), train(Autoencoder(**in_the_plane), data.X)
        reverse = [
            train(strange_network(seed + i), data.strange[: len(data.strange) * 4 // 5]) for i in range(REVERSE_SEEDS)
        ]
        yield divergence(seed)
        vae = future.result()
        yield _training(data, vae)
        yield _samples(data, vae, seed)
        yield latents(data, vae, FIT)
        no_pictures = "its pictures need images"
        yield arithmetic(data, vae, seed, FIT) if data.shape else LeftOut("arithmetic", no_pictures)
        yield bad_codes(data, vae, seed, FIT) if data.shape else LeftOut("bad", no_pictures)
        yield strange_input(data, vae, [future.result() for future in reverse])
        yield _plane(data, flat.result())
        yield bayes(data, flat.result())
        yield _side_by_side(data, flat.result(), plain.result(), seed)


def _training(data: TourData, vae: VAE) -> Section:
    last = vae.history_[-1]
    shown = data.X_test[asarray(first_of_each(data.y_test, data.n_classes))]
    few = data.X_test[:100]
    bound, tight = float(vae.elbo(few).mean()), float(vae.log_likelihood(few, n_importance=100).mean())
    pictures = [
        Picture(
            plots.history(vae.history_),
            "Loss on training and held-out data, and its two parts, reconstruction and KL, in nats per sample over the "
            "epochs. The loss falls; the KL term rises at first and then levels off.",
        )
    ]
    if data.shape:
        picture = Picture(
            plots.reconstructions(shown, vae.reconstruct(shown), shape=data.shape),
            f"Held-out {data.name} and their reconstructions, a little smoother than the originals.",
        )
        pictures.append(picture)
    kl = vae.history_["kl"]
    return Section(
        "training",
        says=f"""<p>The encoder no longer outputs a point but a Gaussian, the approximate posterior; the code is drawn
            from it. The loss rewards good reconstructions and posteriors close to the prior N(0, I). Both terms are
            sums, in nats, so that the negative loss is a lower bound of the log-likelihood of the data. Layers:
            {data.n_features}–400–{N_LATENT}–400–{data.n_features}.</p>
            <p class="formula"><i>z</i> = <i>μ</i> + <i>σ ε</i>, &nbsp; loss = E[−log <i>p</i>(<i>x</i>|<i>z</i>)] +
            KL(<i>q</i>(<i>z</i>|<i>x</i>)‖<i>p</i>(<i>z</i>)) ≥ −log <i>p</i>(<i>x</i>)</p>""",
        pictures=pictures,
        numbers={
            "epochs": Number("epochs", len(vae.history_)),
            "loss": Number("loss, training data", last["loss"], "nats/sample", ".1f"),
            "reconstruction": Number("reconstruction part of the loss", last["reconstruction"], "nats/sample", ".1f"),
            "kl": Number("KL part of the loss", last["kl"], "nats/sample", ".1f"),
            "kl_first": Number("KL after the first epoch", kl[0], "nats/sample", ".1f"),
            "test": Number("loss, held-out data", last["validation_loss"], "nats/sample", ".1f"),
            "beta": Number("weight of the KL term, beta", last["effective_beta"], "", ".0f"),
            "bound": Number("ELBO of 100 held-out samples", bound, "nats/sample", ".1f"),
            "tight": Number("their log-likelihood by importance sampling (100 draws)", tight, "nats/sample", ".1f"),
        },
        sees="After {epochs} epochs the loss is {loss} nats: {reconstruction} for the reconstruction and {kl} for the "
        "KL term, which "
        + ("grew" if kl[-1] > kl[0] else "shrank")
        + " from {kl_first} as the network learned to use its code. On held-out data the loss is {test}. The ELBO is "
        "only a bound: for the same samples importance sampling gives a log-likelihood of {tight}, the ELBO {bound}.",
        code=data.code(IMPORT, FIT, "print(vae.history_)", "print(vae.score(X_test))", test=True),
    )


def _samples(data: TourData, vae: VAE, seed: int) -> Section:
    drawn = vae.sample(500, random_state=seed)
    real = nearest(vae.reconstruct(data.X_test[:500]), data.X)[1].mean()
    gap = nearest(drawn, data.X)[1].mean()
    noise = nearest(asarray(Rng(seed).host.random((100, data.n_features)).astype(np.float32)), data.X)[1].mean()
    pictures = []
    if data.shape:
        pictures = [
            Picture(
                plots.image_grid(drawn[:50], shape=data.shape, n_columns=10),
                f"Fifty images generated from random codes; most look like handwritten {data.name}, some like blends."
                if data.name == "digits"
                else "Fifty images generated from random codes.",
            )
        ]
    else:
        pair = np.argsort(to_numpy(data.X).var(axis=0))[-2:]
        fig, axes = plots.figure(1, 2, size=(plots.WIDTH, 3.0), sharex=True, sharey=True)
        plots.scatter(to_numpy(data.X_test)[:, pair], ax=axes[0, 0], title="held-out data", equal=False)
        plots.scatter(to_numpy(drawn)[:, pair], ax=axes[0, 1], title="generated", equal=False)
        pictures = [Picture(fig, "Scatter plots of two columns of held-out and of generated rows, on the same axes.")]
    return Section(
        "samples",
        says="""<p>Generating samples is now simple: draw <i>z</i> from the prior and decode it. This is ancestral
            sampling from the joint distribution.</p>
            <p class="formula"><i>p</i>(<i>x</i>, <i>z</i>) = <i>p</i>(<i>x</i>|<i>z</i>) <i>p</i>(<i>z</i>), &nbsp;
            <i>z</i> ~ N(0, I)</p>""",
        pictures=pictures,
        numbers={
            "drawn": Number("samples drawn", len(drawn)),
            "gap": Number("samples: squared distance to the nearest training sample", gap, "MSE", ".4f"),
            "real": Number("reconstructions of real data: the same", real, "MSE", ".4f"),
            "noise": Number("random numbers in [0, 1]: the same", noise, "MSE", ".4f"),
        },
        sees="The mean squared distance of {drawn} samples to their nearest training sample is {gap}; for "
        "reconstructions of real data it is {real}, for random numbers {noise}. "
        + (
            "So the samples are close to the data, though not quite as close as reconstructions."
            if real < gap < (real * noise) ** 0.5
            else "So the samples are as close to the data as reconstructions are."
            if gap <= real
            else "So the samples are still far from the data."
        ),
        code=data.code(
            "from scratchnet import plots\n" + IMPORT, FIT, "images = vae.sample(50)",
            'plots.image_grid(images, n_columns=10).savefig("samples.png")',
        ),
    )  # fmt: skip


def _plane(data: TourData, vae: VAE) -> Section:
    last, Z = vae.history_[-1], vae.transform(data.X_test)
    spread, centre = to_numpy(Z.std(axis=0)), to_numpy(Z.mean(axis=0))
    pictures = []
    if data.shape:
        codes = latent.manifold_grid(15)
        pictures = [
            Picture(
                plots.decoded_grid(vae.inverse_transform(codes), codes, shape=data.shape),
                f"A grid of 15 by 15 images decoded from the plane: neighbouring images are similar, and one form of "
                f"the {data.name} turns into the next.",
                "Decoded means at equal steps of probability of N(0, 1) along both latents.",
            )
        ]
    return Section(
        "plane",
        says="""<p>With two latents the whole model fits into one picture: a grid over the plane, decoded. The grid
            lines are quantiles of the prior, so all cells have the same probability.</p>""",
        pictures=pictures,
        numbers={
            "loss": Number("loss, training data", last["loss"], "nats/sample", ".1f"),
            "kl": Number("KL part of the loss", last["kl"], "nats/sample", ".1f"),
            "error": Number("held-out error", mse(vae.reconstruct(data.X_test), data.X_test), "MSE", ".4f"),
            "sd1": Number("standard deviation of the held-out codes, z₁", float(spread[0]), "", ".2f"),
            "sd2": Number("standard deviation of the held-out codes, z₂", float(spread[1]), "", ".2f"),
            "centre": Number("distance of their mean from 0", float(np.linalg.norm(centre)), "", ".2f"),
        },
        sees="Across the grid, shapes change gradually. The KL of the two latents is {kl} nats, and the loss is "
        "{loss}. The codes of held-out data have standard deviations {sd1} and {sd2}; the prior's is one.",
        code=data.code(
            "from scratchnet import plots\nfrom scratchnet.autoencoders import VAE, latent",
            f"vae = VAE(hidden={PLANE_HIDDEN}, n_latent=2, epochs={PLANE_EPOCHS}).fit(X)",
            "codes = latent.manifold_grid(15)",
            'plots.decoded_grid(vae.inverse_transform(codes), codes).savefig("plane.png")'
            if data.shape
            else "rows = vae.inverse_transform(codes)",
        ),
    )


def _side_by_side(data: TourData, vae: VAE, plain: Autoencoder, seed: int) -> Section:
    models: dict[str, Any] = {"plain": plain, "vae": vae}
    numbers: dict[str, Number] = {}
    fig, axes = plots.figure(1, 2, size=(plots.WIDTH, 3.5))
    names = {"plain": "autoencoder", "vae": "variational"}
    z = asarray(Rng(seed).host.standard_normal((500, 2)).astype(np.float32))
    for ax, (key, model) in zip(axes[0], models.items(), strict=True):
        codes = to_numpy(model.transform(data.X_test))
        plots.scatter(codes, data.named(data.y_test), ax=ax, axis_labels=("z₁", "z₂"), title=names[key])
        radius = np.linalg.norm(codes, axis=1)
        numbers |= {
            f"{key}_sd": Number(f"{names[key]}: largest sd of a latent", codes.std(axis=0).max(), "", ".2f"),
            f"{key}_radius": Number(f"{names[key]}: farthest code from 0", radius.max(), "", ".1f"),
            f"{key}_inside": Number(f"{names[key]}: codes within 3 of 0", 100 * (radius < 3).mean(), "%", ".1f"),
            f"{key}_gap": Number(
                f"{names[key]}: decoded N(0, I) to the nearest training sample",
                nearest(model.inverse_transform(z), data.X)[1].mean(), "MSE", ".4f",
            ),
            f"{key}_error": Number(
                f"{names[key]}: held-out error", mse(model.reconstruct(data.X_test), data.X_test), "MSE", ".4f"
            ),
        }  # fmt: skip
    values = {key: float(number) for key, number in numbers.items()}
    keys = ["sd", "radius", "inside", "gap", "error"]
    labels = ["largest sd", "farthest", "within 3 of 0", "sample gap", "held-out error"]
    return Section(
        "regular",
        says="""<p>The same network with and without the KL term. A plain autoencoder puts its codes wherever this helps
            the reconstruction; the VAE pays for every departure from N(0, I).</p>""",
        pictures=[
            Picture(
                fig,
                "Two scatter plots of two-number codes of held-out data, coloured by class: the plain autoencoder's "
                "codes spread far in streaks, the VAE's fill a round cloud about the origin.",
            )
        ],
        numbers=numbers,
        tables=[Table(["model", *labels], {names[m]: [f"{m}_{key}" for key in keys] for m in names})],
        sees="The codes of the plain autoencoder lie up to {plain_radius} from the origin, those of the VAE up to "
        "{vae_radius}; {vae_inside}% of the VAE's codes are within a distance of three, compared with {plain_inside}%. "
        + (
            "The regular latent space has a price: the held-out error is {vae_error} instead of {plain_error}."
            if values["vae_error"] > 1.02 * values["plain_error"]  # seeds alone change it by 2%
            else "The regular latent space costs little or nothing here: a held-out error of {vae_error}, compared "
            "with {plain_error}."
        ),
        code=data.code(
            "from scratchnet import plots\nfrom scratchnet.autoencoders import VAE, Autoencoder",
            "for Model in (Autoencoder, VAE):",
            f"    model = Model(hidden={PLANE_HIDDEN}, n_latent=2, epochs={PLANE_EPOCHS}).fit(X)",
            '    plots.scatter(model.transform(X), y).savefig(f"{Model.__name__}.png")',
        ),
    )


CHAPTER = Chapter(
    name="vae",
    title="Variational autoencoders",
    lectures="lectures 1, 2, 4 and 5",
    lead="An autoencoder whose codes follow a known distribution can generate new samples.",
    sections={
        "kl": "The Kullback–Leibler divergence",
        "training": "Reconstruction plus KL",
        "samples": "Samples from the prior",
        "latents": "What each latent encodes",
        "arithmetic": "Arithmetic with codes",
        "bad": "Probable codes, bad images",
        "strange": "Unfamiliar input",
        "plane": "The whole model in one picture",
        "bayes": "Prior, likelihood, posterior",
        "regular": "With and without the KL term",
    },
    headline=["training.test", "training.kl", "latents.active", "strange.elbo"],
    run=_run,
)
