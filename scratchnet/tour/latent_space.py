"""Chapter latent space: interpolation on lines and arcs, densities of codes, noise mapped onto a ring."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchnet import plots
from scratchnet.autoencoders import VAE, Autoencoder, latent
from scratchnet.backend import Array, Rng, asarray, get_xp, to_numpy
from scratchnet.datasets import make_ring
from scratchnet.neighbors import KNeighborsClassifier
from scratchnet.tour.data import TourData, nearest
from scratchnet.tour.report import Chapter, LeftOut, Number, Picture, Section, Table, Tell
from scratchnet.tour.training import Trainings

__all__ = ["CHAPTER", "N_STEPS", "pairs", "paths", "recognised_ends", "unevenness"]

IMPORT = "from scratchnet.autoencoders import Autoencoder, latent"
FIT = "model = Autoencoder((128,), 32, epochs=12, learning_rate=3e-3).fit(X)"
N_STEPS = 11  # of an interpolation: odd, so that there is a half-way point
N_RING, RING_NOISE, RING_SCALE = 1000, 0.1, 10.0  # scaled so that the likelihood's sd of 1 is a tenth of the radius
HOLE = 0.8  # of the ring's radius, 1: no point of the ring lies inside


def _run(data: TourData, seed: int, tell: Tell) -> Iterator[Section | LeftOut]:
    ring = asarray(to_numpy(make_ring(N_RING, RING_NOISE, random_state=seed)[0]).astype(np.float32))
    with Trainings(tell) as train:
        future = train(Autoencoder((128,), 32, epochs=12, learning_rate=3e-3, random_state=seed), data.X)
        decoder = train(
            VAE((64, 64), 2, "tanh", "gaussian", epochs=150, learning_rate=5e-3, random_state=seed), RING_SCALE * ring
        )
        model = future.result()
        yield _walk(data, model, seed)
        yield _generation(data, model, seed)
        yield _ring(ring, decoder.result(), seed)


def pairs(data: TourData, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The indices of n random pairs of held-out samples, from different classes if there are labels."""
    host = Rng(seed).host
    a, b = (host.integers(len(data.X_test), size=6 * n) for _ in range(2))
    differ = a != b if data.y_test is None else data.y_test[a] != data.y_test[b]
    return a[differ][:n], b[differ][:n]


def paths(model: Any, Za: Array, Zb: Array, *, spherical: bool = False) -> Array:
    """The decoded interpolations between pairs of codes, (n, N_STEPS, n_features)."""
    ways = [latent.interpolate(a, b, N_STEPS, spherical=spherical) for a, b in zip(Za, Zb, strict=True)]
    return model.inverse_transform(get_xp(Za).concatenate(ways)).reshape(len(Za), N_STEPS, -1)


def unevenness(ways: Array) -> float:
    """The largest step of an interpolation over its mean step, averaged over all: 1 if all steps are equally large."""
    steps = ((ways[:, 1:] - ways[:, :-1]) ** 2).sum(axis=2) ** 0.5
    return float((steps.max(axis=1) / get_xp(steps).maximum(steps.mean(axis=1), 1e-12)).mean())


def recognised_ends(data: TourData, ways: Array, a: np.ndarray, b: np.ndarray) -> float:
    """The share of the decoded ends that a 3-NN classifier, trained on the training data, assigns to their class."""
    judge = KNeighborsClassifier(3).fit(data.X, data.y)
    ends = get_xp(ways).concatenate([ways[:, 0], ways[:, -1]])
    return float((to_numpy(judge.predict(ends)) == np.concatenate([data.y_test[a], data.y_test[b]])).mean())


def _walk(data: TourData, model: Autoencoder, seed: int) -> Section:
    a, b = pairs(data, 100, seed)
    A, B = data.X_test[asarray(a)], data.X_test[asarray(b)]
    Za, Zb = model.transform(A), model.transform(B)
    xp, t = get_xp(A), asarray(np.linspace(0, 1, N_STEPS).astype(np.float32))[None, :, None]
    ways = {
        "pixels": (1 - t) * A[:, None] + t * B[:, None],
        "code": paths(model, Za, Zb),
        "arc": paths(model, Za, Zb, spherical=True),
    }
    names = {"pixels": "blended inputs", "code": "straight line of codes", "arc": "great arc of codes"}
    numbers: dict[str, Number] = {"pairs": Number("pairs of held-out samples", len(a))}
    for key, way in ways.items():
        half = nearest(way[:, N_STEPS // 2], data.X)[1].mean()
        numbers[key] = Number(
            f"half-way, {names[key]}: squared distance to the nearest training sample", half, "MSE", ".4f"
        )
        numbers[f"{key}_pace"] = Number(f"largest step over mean step, {names[key]}", unevenness(way), "", ".2f")
    ends = xp.concatenate([ways["code"][:, 0], ways["code"][:, -1]])
    numbers["ends"] = Number(
        "reconstructed ends: the same distance", float(nearest(ends, data.X)[1].mean()), "MSE", ".4f"
    )
    gaps = {key: float(numbers[key]) for key in (*ways, "ends")}
    sees = (
        "Half-way points between codes are closer to real data than half-way points between pixels: over {pairs} "
        "pairs, the distance to the nearest training sample is {code} on the line and {arc} on the arc, instead of "
        "{pixels}. "
        if max(gaps["code"], gaps["arc"]) < gaps["pixels"]
        else "Over {pairs} pairs, the distance to the nearest training sample is {code} half-way on the line, {arc} on "
        "the arc, and {pixels} for blended inputs. "
    )
    sees += (
        "They are still farther away than the reconstructed ends, {ends}: nothing in the loss makes this latent space "
        "free of gaps. "
        if gaps["code"] > 1.05 * gaps["ends"]
        else "For the reconstructed ends it is {ends}. "
    )
    sees += "Blending changes in equal steps; the largest step of a decoded line is {code_pace} times the mean step."
    if data.y_test is not None:
        numbers["classes"] = Number(
            "reconstructed ends recognised as their class", 100 * recognised_ends(data, ways["code"], a, b), "%", ".1f"
        )
        sees += " Of the reconstructed ends, {classes}% are recognised as their class."
    pictures = []
    if data.shape:
        rows = [way[i, :: (N_STEPS - 1) // 10] for i in range(2) for way in ways.values()]
        pictures = [
            Picture(
                plots.reconstructions(*rows, labels=["pixels", "line", "arc"] * 2, shape=data.shape),
                "Two pairs of images, each connected in three ways: blended pixels, which show both images at the same "
                "time; the straight line and the great arc between the codes, where one shape turns into the other.",
            )
        ]
    return Section(
        "walk",
        says="""<p>The straight line between two images passes through double exposures. The straight line between their
            codes, decoded, passes through other images. The great arc goes around the origin instead of straight
            across.</p>
            <p class="formula"><i>g</i>((1 − <i>a</i>) <i>f</i>(<i>x</i>) + <i>a</i> <i>f</i>(<i>x</i>′))
            &nbsp;versus&nbsp; (1 − <i>a</i>) <i>x</i> + <i>a x</i>′</p>""",
        pictures=pictures,
        numbers=numbers,
        tables=[
            Table(
                ["half-way", "to the nearest sample", "largest/mean step"],
                {names[k]: [k, f"{k}_pace"] for k in ways},
            )
        ],
        sees=sees,
        code=data.code(
            IMPORT,
            FIT,
            "Z = model.transform(X[:2])",
            "line = latent.interpolate(Z[0], Z[1])",
            "arc = latent.interpolate(Z[0], Z[1], spherical=True)",
            "images = model.inverse_transform(line)",
        ),
    )


def _generation(data: TourData, model: Autoencoder, seed: int) -> Section:
    Z, Z_test = model.transform(data.X), model.transform(data.X_test)
    densities: dict[str, Any] = {
        "diagonal": latent.GaussianDensity("diagonal"),
        "full": latent.GaussianDensity("full"),
        "mixture": latent.GaussianMixture(data.n_classes, max_iter=20, random_state=seed),
    }
    names = {"diagonal": "independent latents", "full": "correlated latents", "mixture": "mixture of Gaussians"}
    codes = {kind: density.fit(Z).sample(500, random_state=seed) for kind, density in densities.items()}
    codes["far"] = densities["diagonal"].mean_ + 4 * (codes["diagonal"] - densities["diagonal"].mean_)
    images = {kind: model.inverse_transform(z.astype("float32")) for kind, z in codes.items()}
    gaps = {kind: nearest(x, data.X)[1].mean() for kind, x in images.items()}
    real = nearest(model.reconstruct(data.X_test[:500]), data.X)[1].mean()
    correlation = np.abs(np.atleast_2d(np.corrcoef(to_numpy(Z).astype(np.float64), rowvar=False)))
    np.fill_diagonal(correlation, 0)
    numbers = {
        "real": Number("reconstructions: squared distance to the nearest training sample", real, "MSE", ".4f"),
        "far": Number("decoded from four times as far out: the same", gaps["far"], "MSE", ".4f"),
        "correlation": Number("largest correlation of two latents", float(correlation.max())),
    }
    for kind, density in densities.items():
        numbers[kind] = Number(f"decoded draws, {names[kind]}: the same", gaps[kind], "MSE", ".4f")
        numbers[f"{kind}_log"] = Number(
            f"log-density of held-out codes, {names[kind]}", float(density.log_density(Z_test).mean()), "nats", ".1f"
        )
    pictures = []
    if data.shape:
        rows = [model.reconstruct(data.X_test[:10]), *(x[:10] for x in images.values())]
        labels = ["real codes", "independent", "correlated", "mixture", "far out"]
        pictures = [
            Picture(
                plots.reconstructions(*rows, labels=labels, shape=data.shape),
                "Five rows of images: decoded from the codes of real images; from codes drawn from a Gaussian with "
                "independent latents; from one with correlated latents; from a mixture of Gaussians; and from codes "
                "four times as far from the mean.",
            )
        ]
    return Section(
        "generation",
        says="""<p>Any point of the latent space can be decoded. To generate new samples, we need to know where the
            codes are. The simplest model is a Gaussian fitted to each latent separately; the next one is a Gaussian
            with all correlations; then a mixture of several, fitted by expectation maximisation.</p>""",
        pictures=pictures,
        numbers=numbers,
        tables=[
            Table(
                ["codes drawn from", "to the nearest sample", "log-density, held out"],
                {names[k]: [k, f"{k}_log"] for k in densities},
            )
        ],
        sees="For draws with independent latents, the distance to the nearest training sample is {diagonal}; with "
        "correlations it is {full}, for the mixture {mixture}. For reconstructions of real data it is {real}, and for "
        "codes far out, in regions without training data, {far}. "
        + (
            "A diagonal Gaussian is too simple for these codes: latents are correlated, up to {correlation}. "
            if gaps["diagonal"] > 1.1 * real
            else ""
        )
        + (
            "Even draws from the mixture are worse than real codes. A variational autoencoder makes the codes Gaussian "
            "instead."
            if gaps["mixture"] > 1.1 * real
            else "Draws from the mixture are as good as real codes."
        ),
        code=data.code(
            IMPORT,
            FIT,
            "density = latent.GaussianMixture(10, random_state=0).fit(model.transform(X))",
            "images = model.inverse_transform(density.sample(10))",
        ),
    )


def _ring(ring: Array, decoder: VAE, seed: int) -> Section:
    z = Rng(seed + 1).host.standard_normal((N_RING, 2))
    mapped = z / np.linalg.norm(z, axis=1, keepdims=True) + RING_NOISE * z
    gaussian = to_numpy(latent.GaussianDensity().fit(ring).sample(N_RING, random_state=seed))
    learned = to_numpy(decoder.inverse_transform(asarray(z.astype(np.float32)))) / RING_SCALE
    sets = {"noise": z, "mapped": mapped, "gaussian": gaussian, "learned": learned}
    titles = {"noise": "noise z", "mapped": "z/|z| + z/10", "gaussian": "Gaussian fit", "learned": "learned decoder"}
    fig, axes = plots.figure(1, 4, size=(plots.WIDTH, 1.9))
    angle = np.arctan2(z[:, 1], z[:, 0])
    for ax, (key, points) in zip(axes[0], sets.items(), strict=True):
        plots.scatter(points, None if key == "gaussian" else _sector(angle), ax=ax, title=titles[key], names=False)
    hole = {key: 100 * float((np.linalg.norm(points, axis=1) < HOLE).mean()) for key, points in sets.items()}
    return Section(
        "ring",
        says="""<p>A suitable decoder can turn normal noise into any other distribution. Here a formula turns two normal
            numbers into a ring. A Gaussian fitted to the ring cannot do that, but the decoder of a small VAE, trained
            on points of the ring alone, comes close.</p>
            <p class="formula"><i>x</i> = <i>z</i>/|<i>z</i>| + <i>z</i>/10, &nbsp; <i>z</i> ~ N(0, I)</p>""",
        pictures=[
            Picture(
                fig,
                "Four scatter plots: a round cloud of noise; the ring it is mapped onto; a Gaussian fit of the ring, "
                "which fills the middle; and the output of a trained decoder, a ring with few points inside.",
                "Colours are sectors of the noise's angle: they show where each part of the cloud is mapped to.",
            )
        ],
        numbers={
            "points": Number("points", N_RING),
            "hole": Number("radius of the empty middle", HOLE, "", ".1f"),
            "mapped": Number("points in the middle, by the formula", hole["mapped"], "%", ".1f"),
            "gaussian": Number("points in the middle, Gaussian fit", hole["gaussian"], "%", ".1f"),
            "learned": Number("points in the middle, learned decoder", hole["learned"], "%", ".1f"),
        },
        sees="Of {points} points, {mapped}% are within {hole} of the centre with the formula, {gaussian}% with the "
        "fitted Gaussian, {learned}% with the learned decoder. "
        + (
            "A ring has a hole and the cloud has none, so a continuous map must leave some points inside."
            if 0 < hole["learned"] < hole["gaussian"]
            else ""
        ),
        code="from scratchnet import plots\nfrom scratchnet.autoencoders import VAE\n"
        "from scratchnet.datasets import make_ring\n\n"
        f"X, _ = make_ring({N_RING}, noise={RING_NOISE})\n"
        'vae = VAE((64, 64), 2, "tanh", "gaussian", epochs=150, learning_rate=5e-3)\n'
        f"vae.fit({RING_SCALE:g} * X)\n"
        'plots.scatter(vae.sample(1000)).savefig("ring.png")',
    )


def _sector(angle: np.ndarray) -> np.ndarray:
    """Which sixth of the full circle each angle is in, 0..5."""
    return np.floor(6 * (angle + np.pi) / (2 * np.pi)).astype(int).clip(0, 5)


CHAPTER = Chapter(
    name="latent",
    title="The latent space",
    lectures="lectures 1, 3 and 4",
    lead="Codes are points: interpolate between them, model their density, and decode new ones.",
    sections={
        "walk": "Interpolating between samples",
        "generation": "Decoding random codes",
        "ring": "From noise to a ring",
    },
    headline=["walk.code", "walk.pixels", "generation.mixture", "ring.learned"],
    run=_run,
)
