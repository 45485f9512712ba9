"""Chapter VAE, continued: which latents carry something, arithmetic with codes, likely codes that decode badly."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from scratchnet import plots
from scratchnet.autoencoders import VAE, latent
from scratchnet.backend import Rng, asarray, get_xp, to_numpy
from scratchnet.tour.data import TourData, nearest
from scratchnet.tour.report import Number, Picture, Section

IMPORT = "from scratchnet.autoencoders import VAE, latent"


def latents(data: TourData, vae: VAE, fit: str) -> Section:
    """KL per latent, active units, and a traversal of the latents that carry most."""
    kl = to_numpy(vae.kl_per_latent(data.X_test)).astype(np.float64)
    order = np.argsort(-kl)
    pictures = [
        Picture(
            plots.bars(kl[order], xlabel="latent, by falling KL", ylabel="KL (nats)"),
            "Bars of the KL divergence of each latent from the prior, in falling order.",
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
            "Six rows of images decoded while one latent goes from minus 3 to 3 and the others stay: the five latents "
            "with the largest KL change the image, the one with the smallest much less.",
            "One latent moves from −3 to 3, the others stay where the encoder puts the first held-out image. Numbered "
            "by falling KL.",
        )  # fmt: skip
        pictures.append(picture)
    silent = vae.n_latent - vae.active_units_
    return Section(
        "latents",
        says="""<p>The KL term is a sum over latents, so each has its own share: what it tells about the input, in
            nats. A latent whose posterior is the prior for every input tells nothing. A latent counts as active if
            its posterior mean varies over the data with a variance above 0.01.</p>""",
        pictures=pictures,
        numbers={
            "latents": Number("latents", int(vae.n_latent)),
            "active": Number("active latents", int(vae.active_units_), f"of {vae.n_latent}"),
            "silent": Number("latents that tell nothing", silent),
            "total": Number("KL of all latents, held-out data", kl.sum(), "nats/sample", ".1f"),
            "largest": Number("KL of the most telling latent", kl[order[0]], "nats", ".2f"),
            "smallest": Number("KL of the least telling latent", kl[order[-1]], "nats", ".2f"),
        },
        sees=(
            "Of {latents} latents {active} are active; the other {silent} were switched off, because they were not "
            "worth their price. "
            if silent
            else "All {latents} latents are active: each is worth its price in KL. "
        )
        + "The most telling one carries {largest} nats, the least {smallest}.",
        code=data.code(
            IMPORT, fit, "print(sorted(vae.kl_per_latent(X_test)), vae.active_units_)", test=True
        ),
    )  # fmt: skip


def arithmetic(data: TourData, vae: VAE, seed: int, fit: str) -> Section:
    """Interpolation of posterior means, and adding a feature: z_b + (z_a - z_c)."""
    xp = get_xp(data.X_test)
    Z, ink = vae.transform(data.X), to_numpy(data.X.mean(axis=1))
    by_ink, tenth = np.argsort(ink), len(ink) // 10
    extremes = np.concatenate([by_ink[-tenth:], by_ink[:tenth]])
    direction = latent.attribute_vector(Z[asarray(extremes)], np.arange(2 * tenth) < tenth)
    start = vae.transform(data.X_test)
    amounts = [-1.0, -0.5, 0.0, 0.5, 1.0]
    inks = [vae.inverse_transform(start + a * direction).mean(axis=1) for a in amounts]
    means, more = [float(i.mean()) for i in inks], 100 * float((inks[3] > inks[2]).mean())

    order = Rng(seed).host.permutation(len(data.X_test))
    others = order[1:] if data.y_test is None else order[data.y_test[order] != data.y_test[order[0]]]
    a, b = int(order[0]), int(others[0])
    walk = vae.inverse_transform(latent.interpolate(start[a], start[b]))
    shown = np.linspace(-1.5, 1.5, 10)
    added = [vae.inverse_transform(xp.stack([start[i] + float(s) * direction for s in shown])) for i in (0, 1)]
    return Section(
        "arithmetic",
        says="""<p>Means of posteriors can be added and subtracted. The line between two codes decodes to one image
            turning into another. The difference of two codes is a feature that can be added to a third: here the
            mean code of the tenth of the images with most ink minus that of the tenth with least.</p>
            <p class="formula"><i>z</i><sub>b</sub> + <i>s</i> (<i>z</i><sub>a</sub> − <i>z</i><sub>c</sub>)</p>""",
        pictures=[
            Picture(
                plots.reconstructions(walk, *added, labels=["between two", "ink", "ink"], shape=data.shape),
                "Three rows of images: one turning into another, and two that gain ink from left to right.",
                "First row: from one held-out image to another. Below: the ink feature added to two images, s from "
                "−1.5 to 1.5.",
            )
        ],
        numbers={
            f"ink{i}": Number(f"mean grey level with s = {s:+.1f}", m, "", ".3f")
            for i, (s, m) in enumerate(zip(amounts, means, strict=True))
        }
        | {"more": Number("images with more ink at s = +0.5 than at 0", more, "%", ".1f")},
        sees=(
            "Adding the feature adds ink: the mean grey level of all decoded held-out images rises steadily from "
            "{ink0} over {ink2} to {ink4}, and half a step adds ink to {more}% of the images."
            if all(x < y for x, y in pairwise(means))
            else "The mean grey level goes from {ink0} over {ink2} to {ink4}: here the feature is no simple direction."
        ),
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


def bad_codes(data: TourData, vae: VAE, seed: int, fit: str) -> Section:
    """Codes as likely as any under the prior that decode to bad images."""
    z = asarray(Rng(seed).host.standard_normal((200, vae.n_latent)).astype(np.float32))
    worse = latent.likely_but_grey(vae, z)
    before, after = vae.inverse_transform(z), vae.inverse_transform(worse)
    log_p = [float(-0.5 * (c**2).sum(axis=1).mean() - 0.5 * vae.n_latent * np.log(2 * np.pi)) for c in (z, worse)]
    gaps = [nearest(images, data.X)[1].mean() for images in (before, after)]
    grey = [float((4 * images * (1 - images)).mean()) for images in (before, after)]
    return Section(
        "bad",
        says="""<p>A code that is probable under the prior need not decode to a good image. Such codes are found as
            adversarial examples are: by gradient steps on <i>z</i>, through the decoder's backward pass, towards
            images that are grey instead of black and white. After each step <i>z</i> is brought back to its old
            length, and so to its old probability.</p>""",
        pictures=[
            Picture(
                plots.reconstructions(before[:10], after[:10], labels=["as drawn", "after ascent"], shape=data.shape),
                "Ten images decoded from random codes, and below them what equally probable codes decode to after "
                "gradient steps towards grey images: smears.",
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
        sees="The prior finds both rows equally likely, {log_before} and {log_after} nats. But the images of the "
        "second row are greyer, {grey_after} instead of {grey_before}, and "
        + (
            "farther from any training sample: {gap_after} instead of {gap_before}. To be probable under the prior is "
            "no promise of a good image."
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
