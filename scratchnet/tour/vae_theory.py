"""Chapter VAE, continued: divergences, and Bayes' rule in the plane."""

from __future__ import annotations

from math import log, pi

import numpy as np

from scratchnet import plots
from scratchnet.autoencoders import VAE
from scratchnet.backend import Rng, asarray, get_xp, to_numpy
from scratchnet.nn import kl_discrete, kl_normal
from scratchnet.tour.data import TourData
from scratchnet.tour.report import Number, Picture, Section

__all__ = ["bayes", "divergence"]

GRID, REACH = 141, 3.5  # the grid for Bayes' rule: points per axis, and its largest coordinate
FIRST, SECOND = (1.0, 0.5), (0.0, 2.0)  # mean and standard deviation of the two Gaussians
DRAWS = 100_000
SAMPLES = 200  # held-out samples, of which the first is shown


def divergence(seed: int) -> Section:
    p, q = np.array([0.36, 0.48, 0.16]), np.full(3, 0.333)
    # the lecture rounds 1/3 to three digits; a distribution must sum to one
    q = q / q.sum()
    (m1, s1), (m2, s2) = FIRST, SECOND
    closed = float(kl_normal(*(np.array([[v]]) for v in (m1, 2 * log(s1), m2, 2 * log(s2)))))
    x = m1 + s1 * Rng(seed).host.standard_normal(DRAWS)
    ratio = (x - m2) ** 2 / (2 * s2**2) - (x - m1) ** 2 / (2 * s1**2) + log(s2 / s1)
    fig, axes = plots.figure(1, 2, size=(plots.WIDTH, 2.6))
    with plots.style():
        discrete, normal = axes[0]
        for i, (name, values) in enumerate({"P": p, "Q": q}.items()):
            discrete.bar(np.arange(3) + 0.38 * (i - 0.5), values, width=0.36, color=plots.PALETTE[i], label=name)
        discrete.set_xticks(range(3), ["0", "1", "2"])
        discrete.set(xlabel="outcome", ylabel="probability")
        discrete.legend()
        at = np.linspace(-5, 5, 200)
        for i, (name, (m, s)) in enumerate({"N(1, ½²)": FIRST, "N(0, 2²)": SECOND}.items()):
            density = np.exp(-0.5 * ((at - m) / s) ** 2) / (s * np.sqrt(2 * np.pi))
            normal.plot(at, density, color=plots.PALETTE[i], label=name)
        normal.set(xlabel="x", ylabel="density")
        normal.legend()
    return Section(
        "kl",
        says="""<p>The Kullback–Leibler divergence says how badly <i>Q</i> approximates <i>P</i>: the mean number of
            extra nats when outcomes of <i>P</i> are encoded with a code for <i>Q</i>. It is never negative, zero only
            for <i>P</i> = <i>Q</i>, and not symmetric. The lecture's example: <i>P</i> = (0.36, 0.48, 0.16) against the
            uniform <i>Q</i>. Between Gaussians it has a closed form; against N(0, 1) it is the second term of the
            VAE's loss.</p>
            <p class="formula">KL(<i>P</i>‖<i>Q</i>) = Σ <i>P</i> log(<i>P</i>/<i>Q</i>)</p>
            <p class="formula">KL(N(<i>μ</i><sub>1</sub>, <i>σ</i><sub>1</sub>²)‖N(<i>μ</i><sub>2</sub>,
            <i>σ</i><sub>2</sub>²)) = [((<i>μ</i><sub>1</sub> − <i>μ</i><sub>2</sub>)² + <i>σ</i><sub>1</sub>²)/
            <i>σ</i><sub>2</sub>² − log(<i>σ</i><sub>1</sub>²/<i>σ</i><sub>2</sub>²) − 1]/2</p>
            <p class="formula">KL(N(<i>μ</i>, <i>σ</i>²)‖N(0, 1)) = (<i>μ</i>² + <i>σ</i>² − log <i>σ</i>² −
            1)/2</p>""",
        pictures=[
            Picture(fig, "Bars of the two distributions P and Q over three outcomes; curves of two normal densities.")
        ],
        numbers={
            "pq": Number("KL(P‖Q)", float(kl_discrete(p, q)), "nats", ".7f"),
            "qp": Number("KL(Q‖P)", float(kl_discrete(q, p)), "nats", ".6f"),
            "normal": Number("KL(N(1, ½²)‖N(0, 2²)), closed form", closed, "nats", ".4f"),
            "drawn": Number("the same, estimated from draws", float(ratio.mean()), "nats", ".4f"),
            "draws": Number("draws", DRAWS),
        },
        sees="The two directions differ: {pq} nats and {qp} nats. For the two Gaussians the closed form gives {normal} "
        "nats; the mean of the log ratio over {draws} draws is {drawn}.",
        code="import numpy as np\nfrom scratchnet.nn import kl_discrete, kl_normal\n\n"
        "P, Q = np.array([0.36, 0.48, 0.16]), np.full(3, 1 / 3)\nprint(kl_discrete(P, Q), kl_discrete(Q, P))\n"
        "mu, logvar = np.array([[1.0]]), np.log([[0.5**2]])\n"
        "print(kl_normal(mu, logvar, 0 * mu, np.log([[2.0**2]])))",
    )


def bayes(data: TourData, vae: VAE) -> Section:
    """With two latents, Bayes' rule can be evaluated on a grid and compared with the encoder's posterior."""
    xp = get_xp(data.X_test)
    shown = data.X_test[:SAMPLES]
    side = np.linspace(-REACH, REACH, GRID)
    cell = (side[1] - side[0]) ** 2
    first, second = np.meshgrid(side, side)
    Z = np.stack([first.ravel(), second.ravel()], axis=1)
    p = xp.clip(vae.inverse_transform(asarray(Z.astype(np.float32))), 1e-7, 1 - 1e-6)
    likelihood = to_numpy(shown @ xp.log(p).T + (1 - shown) @ xp.log1p(-p).T).astype(np.float64)  # (samples, grid)
    prior = -0.5 * (Z**2).sum(axis=1) - log(2 * pi)
    joint = likelihood + prior
    top = joint.max(axis=1, keepdims=True)
    evidence = top[:, 0] + np.log(np.exp(joint - top).sum(axis=1) * cell)
    posterior = np.exp(joint - evidence[:, None])
    mean = (posterior * cell) @ Z
    mu, sigma = (to_numpy(a).astype(np.float64) for a in vae.posterior(shown))
    bound = to_numpy(vae.elbo(shown, n_samples=50)).astype(np.float64)

    fig, axes = plots.figure(1, 3, size=(plots.WIDTH, 2.4))
    panels = {"prior p(z)": prior, "log p(x|z)": likelihood[0], "posterior p(z|x)": np.log(posterior[0] + 1e-300)}
    turn = np.linspace(0, 2 * np.pi, 100)
    with plots.style():
        for ax, (title, values) in zip(axes[0], panels.items(), strict=True):
            picture = (
                np.exp(values - values.max()) if title != "log p(x|z)" else np.maximum(values - values.max(), -150)
            )
            extent = (-REACH, REACH, -REACH, REACH)
            ax.imshow(picture.reshape(GRID, GRID), origin="lower", extent=extent, cmap="viridis")
            ax.set(xlabel="z₁", title=title)
        axes[0, 0].set_ylabel("z₂")
        ax = axes[0, 2]
        ax.plot(
            mu[0, 0] + 2 * sigma[0, 0] * np.cos(turn), mu[0, 1] + 2 * sigma[0, 1] * np.sin(turn),
            color=plots.PALETTE[1], linewidth=1,
        )  # fmt: skip
        half = max(6 * float(sigma[0].max()), float(np.abs(mean[0] - mu[0]).max()) + 3 * float(sigma[0].max()))
        ax.set(xlim=(mu[0, 0] - half, mu[0, 0] + half), ylim=(mu[0, 1] - half, mu[0, 1] + half))
    return Section(
        "bayes",
        says="""<p>The decoder and the prior together are a model of the data: draw <i>z</i>, then <i>x</i> given
            <i>z</i>. The posterior of <i>z</i> given <i>x</i> then follows from Bayes' rule. With many latents the
            integral in the denominator cannot be computed, which is why an encoder is trained to approximate the
            posterior; with two latents a grid is enough, and the approximation can be compared with the true
            posterior.</p>
            <p class="formula"><i>p</i>(<i>z</i>|<i>x</i>) = <i>p</i>(<i>x</i>|<i>z</i>) <i>p</i>(<i>z</i>) /
            ∫ <i>p</i>(<i>x</i>|<i>z</i>) <i>p</i>(<i>z</i>) d<i>z</i>, &nbsp; log <i>p</i>(<i>x</i>) − ELBO =
            KL(<i>q</i>(<i>z</i>|<i>x</i>)‖<i>p</i>(<i>z</i>|<i>x</i>))</p>""",
        pictures=[
            Picture(
                fig,
                "Three heat maps over the plane of codes for one held-out sample: the prior, a round hill; the log "
                "likelihood, high in one region; the posterior, a small spot, enlarged, with the encoder's ellipse.",
                "For one held-out sample; the posterior is enlarged, and the ellipse is two standard deviations of the "
                "encoder's Gaussian.",
            )
        ],
        numbers={
            "images": Number("held-out samples", len(shown)),
            "evidence": Number("log p(x) from the grid", float(evidence.mean()), "nats/sample", ".2f"),
            "bound": Number("ELBO", float(bound.mean()), "nats/sample", ".2f"),
            "gap": Number("log p(x) minus the ELBO", float((evidence - bound).mean()), "nats/sample", ".2f"),
            "off": Number(
                "distance of the encoder's mean from the posterior's, in the encoder's sd (median)",
                float(np.median(np.linalg.norm(mean - mu, axis=1) / sigma.mean(axis=1))), "", ".2f",
            ),
        },
        sees="Over {images} held-out samples the log-likelihood from the grid is {evidence} nats, the ELBO {bound}. "
        "The difference, {gap} nats, is the divergence of the encoder's Gaussian from the true posterior.",
        code=data.code(
            "import numpy as np\nfrom scratchnet.autoencoders import VAE",
            "vae = VAE(hidden=(256, 64), n_latent=2, epochs=16).fit(X)",
            "side = np.linspace(-3.5, 3.5, 141)",
            "Z = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)",
            "p = vae.inverse_transform(Z).clip(1e-7, 1 - 1e-6)",
            "log_joint = X_test[0] @ np.log(p).T + (1 - X_test[0]) @ np.log1p(-p).T",
            "log_joint = log_joint - (Z**2).sum(axis=1) / 2 - np.log(2 * np.pi)",
            test=True,
        ),
    )  # fmt: skip
