"""Chapter VAE, continued: active latents, arithmetic with codes, probable codes that decode badly."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from scratchnet import plots
from scratchnet.autoencoders import VAE, latent
from scratchnet.backend import Rng, asarray, get_xp, to_numpy
from scratchnet.tour.data import TourData, nearest
from scratchnet.tour.latent_space import N_STEPS, pairs, paths, recognised_ends, unevenness
from scratchnet.tour.report import Number, Picture, Section

__all__ = ["arithmetic", "bad_codes", "latents"]

IMPORT = "from scratchnet.autoencoders import VAE, latent"


def latents(data: TourData, vae: VAE, fit: str) -> Section:
    """KL per latent, active units, and a traversal of the latents with the largest KL."""
    kl = to_numpy(vae.kl_per_latent(data.X_test)).astype(np.float64)
    order = np.argsort(-kl)
    pictures = [
        Picture(
            plots.bars(kl[order], xlabel="latent, sorted by KL", ylabel="KL (nats)"),
            "Bars of the KL divergence of each latent from the prior, in descending order.",
        )
    ]
    if data.shape:
        chosen, steps = [*order[:5], order[-1]], np.linspace(-3, 3, 10)
        start = vae.transform(data.X_test[:1])[0]
        Z = get_xp(start).concatenate([latent.traverse(start, int(j), steps.tolist()) for j in chosen])
        ranks = [*(f"latent {i + 1}" for i in range(5)), f"latent {len(order)}"]
        picture = Picture(
            plots.image_grid(
                vae.inverse_transform(Z), shape=data.shape, n_columns=len(steps), row_labels=ranks,
                column_labels=[f"{s:.1f}" for s in steps],
            ),
            "Six rows of images decoded while one latent goes from minus 3 to 3 and the others are fixed: the five "
            "latents with the largest KL change the image, the one with the smallest much less.",
            "One latent moves from −3 to 3, the others keep the values that the encoder gives the first held-out "
            "image. Numbered in order of decreasing KL.",
        )  # fmt: skip
        pictures.append(picture)
    silent = vae.n_latent - vae.active_units_
    return Section(
        "latents",
        says="""<p>The KL term is a sum over latents, so each has its own part: its information about the input, in
            nats. A latent whose posterior equals the prior for every input has no information. A latent counts as
            active if the variance of its posterior mean over the data is above 0.01.</p>""",
        pictures=pictures,
        numbers={
            "latents": Number("latents", int(vae.n_latent)),
            "active": Number("active latents", int(vae.active_units_), f"of {vae.n_latent}"),
            "silent": Number("inactive latents", silent),
            "total": Number("KL of all latents, held-out data", kl.sum(), "nats/sample", ".1f"),
            "largest": Number("largest KL of a latent", kl[order[0]], "nats", ".2f"),
            "smallest": Number("smallest KL of a latent", kl[order[-1]], "nats", ".2f"),
        },
        sees=(
            "Of {latents} latents {active} are active; the other {silent} became inactive, because they did not "
            "improve the reconstruction by more than their KL. "
            if silent
            else "All {latents} latents are active: each improves the reconstruction by more than its KL. "
        )
        + "The largest KL of a latent is {largest} nats, the smallest {smallest}.",
        code=data.code(
            IMPORT, fit, "print(sorted(vae.kl_per_latent(X_test)), vae.active_units_)", test=True
        ),
    )  # fmt: skip


def arithmetic(data: TourData, vae: VAE, seed: int, fit: str) -> Section:
    """Interpolation between posterior means, and adding a feature: z_b + (z_a - z_c)."""
    xp = get_xp(data.X_test)
    Z, ink = vae.transform(data.X), to_numpy(data.X.mean(axis=1))
    by_ink, tenth = np.argsort(ink), len(ink) // 10
    extremes = np.concatenate([by_ink[-tenth:], by_ink[:tenth]])
    direction = latent.attribute_vector(Z[asarray(extremes)], np.arange(2 * tenth) < tenth)
    start = vae.transform(data.X_test)
    amounts = [-1.0, -0.5, 0.0, 0.5, 1.0]
    inks = [vae.inverse_transform(start + a * direction).mean(axis=1) for a in amounts]
    means, more = [float(i.mean()) for i in inks], 100 * float((inks[3] > inks[2]).mean())

    a, b = pairs(data, 100, seed)
    ways = {
        "line": paths(vae, start[asarray(a)], start[asarray(b)]),
        "arc": paths(vae, start[asarray(a)], start[asarray(b)], spherical=True),
    }
    numbers = {
        f"ink{i}": Number(f"mean grey level with s = {s:+.1f}", m, "", ".3f")
        for i, (s, m) in enumerate(zip(amounts, means, strict=True))
    }
    numbers["more"] = Number("images with more ink at s = +0.5 than at 0", more, "%", ".1f")
    for key, name in {"line": "straight line", "arc": "great arc"}.items():
        half = nearest(ways[key][:, N_STEPS // 2], data.X)[1].mean()
        numbers[key] = Number(
            f"half-way on the {name}: squared distance to the nearest training sample", half, "MSE", ".4f"
        )
        numbers[f"{key}_pace"] = Number(f"largest step over mean step, {name}", unevenness(ways[key]), "", ".2f")
    ends = nearest(xp.concatenate([ways["line"][:, 0], ways["line"][:, -1]]), data.X)[1].mean()
    numbers["ends"] = Number("the decoded ends: the same distance", float(ends), "MSE", ".4f")
    sees = (
        "Half-way between two codes, the distance to the nearest training sample is {line} on the line and {arc} on "
        "the "
    )
    sees += "arc; for the decoded ends it is {ends}. The largest step on the line is {line_pace} times the mean step. "
    if data.y_test is not None:
        share = 100 * recognised_ends(data, ways["line"], a, b)
        numbers["classes"] = Number("decoded ends recognised as their class", share, "%", ".1f")
        sees += "Of the ends, {classes}% are recognised as their class. "
    sees += (
        "Adding the feature adds ink: the mean grey level of all decoded held-out images rises steadily from "
        "{ink0} to {ink2} and {ink4}, and half a step adds ink to {more}% of the images."
        if all(x < y for x, y in pairwise(means))
        else "The mean grey level goes from {ink0} to {ink2} and {ink4}: here the feature is not a simple direction."
    )
    shown = np.linspace(-1.5, 1.5, N_STEPS)
    added = [vae.inverse_transform(xp.stack([start[i] + float(s) * direction for s in shown])) for i in (0, 1)]
    return Section(
        "arithmetic",
        says="""<p>Posterior means can be added and subtracted. Decoded, the line between two codes shows one image
            turning into another. The difference of two codes is a feature that can be added to a third; it is clearer
            as a difference of means over many codes: here the mean code of the tenth of the images with the most ink,
            minus that of the tenth with the least.</p>
            <p class="formula"><i>z</i><sub>b</sub> + <i>s</i> (<i>z</i><sub>a</sub> − <i>z</i><sub>c</sub>)</p>""",
        pictures=[
            Picture(
                plots.reconstructions(
                    *(way[0] for way in ways.values()), *added, labels=["line", "arc", "ink", "ink"], shape=data.shape
                ),
                "Four rows of images: one turning into another on the straight line and on the great arc between their "
                "codes, and two that gain ink from left to right.",
                "Upper rows: from one held-out image to another. Lower rows: the ink feature added to two images, s "
                "from −1.5 to 1.5.",
            ),
            _three_images(data, vae, ink),
        ],
        numbers=numbers,
        sees=sees,
        code=data.code(
            "import numpy as np\n" + IMPORT,
            fit,
            "ink, tenth = X.mean(axis=1).argsort(), len(X) // 10",
            "extremes = np.concatenate([ink[-tenth:], ink[:tenth]])",
            "has_ink = np.arange(2 * tenth) < tenth",
            "feature = latent.attribute_vector(vae.transform(X[extremes]), has_ink)",
            "images = vae.inverse_transform(vae.transform(X_test[:10]) + feature)",
            test=True,
        ),
    )


def _three_images(data: TourData, vae: VAE, ink: np.ndarray) -> Picture:
    """a and c: training samples of one class with much and little ink; b: a held-out sample of the next class."""
    columns = []
    for k in range(min(data.n_classes, 10)):
        own = np.arange(len(ink)) if data.y is None else np.flatnonzero(data.y == k)
        own = own[np.argsort(ink[own])]
        much, little = data.X[int(own[-1 - len(own) // 20])], data.X[int(own[len(own) // 20])]
        others = np.arange(k, len(data.X_test)) if data.y is None else np.flatnonzero(
            data.y_test == (k + 1) % data.n_classes
        )  # fmt: skip
        columns.append((much, little, data.X_test[int(others[0])]))
    xp = get_xp(data.X)
    a, c, b = (xp.stack(list(column)) for column in zip(*columns, strict=True))
    sum_ = vae.inverse_transform(vae.transform(b) + (vae.transform(a) - vae.transform(c)))
    return Picture(
        plots.reconstructions(a, c, b, sum_, labels=["a", "c", "b", "b + (a − c)"], shape=data.shape),
        "Four rows of images: bold ones, thin ones of the same class, others, and the others with the difference of "
        "the first two added to their codes; most of the last row are bolder.",
        "The same arithmetic with single images: the difference between a and c, added to b.",
    )


def bad_codes(data: TourData, vae: VAE, seed: int, fit: str) -> Section:
    """Codes with the same prior density as random ones that decode to bad images."""
    z = asarray(Rng(seed).host.standard_normal((200, vae.n_latent)).astype(np.float32))
    worse = latent.likely_but_grey(vae, z)
    before, after = vae.inverse_transform(z), vae.inverse_transform(worse)
    log_p = [float(-0.5 * (c**2).sum(axis=1).mean() - 0.5 * vae.n_latent * np.log(2 * np.pi)) for c in (z, worse)]
    gaps = [nearest(images, data.X)[1].mean() for images in (before, after)]
    grey = [float((4 * images * (1 - images)).mean()) for images in (before, after)]
    return Section(
        "bad",
        says="""<p>A code that is probable under the prior need not decode to a good image. Such codes are found like
            adversarial examples: by gradient steps on <i>z</i>, through the decoder's backward pass, towards images
            that are grey instead of black and white. After each step <i>z</i> is rescaled to its original length, and
            so to its original density.</p>""",
        pictures=[
            Picture(
                plots.reconstructions(before[:10], after[:10], labels=["as drawn", "after ascent"], shape=data.shape),
                "Ten images decoded from random codes, and below them what equally probable codes decode to after "
                "gradient steps towards grey images: blurs.",
            )
        ],
        numbers={
            "codes": Number("codes", len(z)),
            "log_before": Number("log p(z), as drawn", log_p[0], "nats", ".2f"),
            "log_after": Number("log p(z), after the ascent", log_p[1], "nats", ".2f"),
            "grey_before": Number("greyness 4p(1 − p), as drawn", grey[0]),
            "grey_after": Number("greyness, after the ascent", grey[1]),
            "gap_before": Number("squared distance to the nearest training sample, as drawn", gaps[0], "MSE", ".4f"),
            "gap_after": Number("the same, after the ascent", gaps[1], "MSE", ".4f"),
        },
        sees="Both rows are equally probable under the prior, with log-densities of {log_before} and {log_after} nats. "
        "But the images of the second row are greyer, {grey_after} instead of {grey_before}, and "
        + (
            "farther from any training sample: {gap_after} instead of {gap_before}. A high prior density does "
            "not guarantee a good image."
            if gaps[1] > 1.05 * gaps[0]
            else "no farther from the training samples: {gap_after} against {gap_before}."
        ),
        code=data.code(
            "import numpy as np\n" + IMPORT,
            fit,
            "z = np.random.default_rng(0).standard_normal((10, 20))",
            "images = vae.inverse_transform(latent.likely_but_grey(vae, z))",
        ),
    )
