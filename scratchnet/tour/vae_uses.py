"""Chapter VAE, continued: five scores for out-of-distribution detection, in both directions."""

from __future__ import annotations

import numpy as np

from scratchnet import plots
from scratchnet.autoencoders import VAE, latent
from scratchnet.backend import to_numpy
from scratchnet.tour.autoencoder_codes import separation
from scratchnet.tour.data import TourData
from scratchnet.tour.report import Number, Picture, Section, Table

__all__ = ["strange_input", "strange_network"]

KINDS = {
    "elbo": "−ELBO", "error": "squared error", "kl": "KL", "mahalanobis": "Mahalanobis", "typicality": "typicality"
}  # fmt: skip


def strange_network(seed: int) -> VAE:
    """A model to train on the strange data, for the opposite direction."""
    return VAE((200,), 20, epochs=40, learning_rate=2e-3, random_state=seed)


def strange_input(data: TourData, vae: VAE, reverse: list[VAE]) -> Section:
    """``reverse`` are models of several seeds, trained on the first four fifths of the strange data."""
    known = len(data.strange) * 4 // 5
    there, back = {}, {}
    for kind in KINDS:
        own, strange = (
            to_numpy(latent.outlier_scores(vae, X, kind, reference=data.X)) for X in (data.X_test, data.strange)
        )
        if kind == "elbo":
            nats = own, strange
        there[kind] = separation(own, strange)
        back[kind] = [
            separation(
                *(
                    to_numpy(latent.outlier_scores(model, X, kind, reference=data.strange[:known]))
                    for X in (data.strange[known:], data.X_test)
                )
            )
            for model in reverse
        ]
    own, strange = nats
    numbers = {
        "own": Number(f"mean −ELBO, held-out {data.name}", own.mean(), "nats/sample", ".1f"),
        "strange": Number(f"mean −ELBO, {data.strange_name}", strange.mean(), "nats/sample", ".1f"),
    }
    for kind, name in KINDS.items():
        numbers[kind] = Number(f"AUROC of {name}, {data.strange_name} unfamiliar", there[kind])
        label = f"AUROC of {name}, trained on {data.strange_name}, {data.name} unfamiliar"
        numbers[f"{kind}_back"] = Number(f"{label}, mean over seeds", float(np.mean(back[kind])))
        numbers[f"{kind}_sd"] = Number(f"{label}, sd", float(np.std(back[kind])))
    lowest, best = min(KINDS, key=lambda k: np.mean(back[k])), max(KINDS, key=lambda k: np.mean(back[k]))
    return Section(
        "strange",
        says=f"""<p>The ELBO of an input is a lower bound of its log-likelihood, so −ELBO is a score for unfamiliar
            input. Other scores are the squared error, the KL term, the distance of the code from the codes of the
            training data (Mahalanobis), and the difference between the ELBO and its usual value, in either direction
            (typicality). First, the model of {data.name} gets {data.strange_name}; then, in the opposite direction,
            small models of {data.strange_name} get {data.name}.</p>""",
        pictures=[
            Picture(
                plots.distributions(
                    {f"held-out {data.name}": own, data.strange_name: strange}, xlabel="−ELBO (nats)", n_bins=80
                ),
                f"Histograms of the negative ELBO of held-out {data.name} and of {data.strange_name}.",
            )
        ],
        numbers=numbers,
        tables=[
            Table(
                ["AUROC of", f"unfamiliar: {data.strange_name}", f"unfamiliar: {data.name}", "± sd"],
                {name: [kind, f"{kind}_back", f"{kind}_sd"] for kind, name in KINDS.items()},
            )
        ],
        facts={"lowest": KINDS[lowest], "best": KINDS[best]},
        sees=f"For this model −ELBO is {{strange}} nats per sample for {data.strange_name}, and {{own}} for held-out "
        f"{data.name}; its AUROC is {{elbo}}. In the opposite direction it is {{elbo_back}} ± {{elbo_sd}}"
        + (
            ": below one half, so the unfamiliar images look more probable than those the model was trained on, "
            "because −ELBO also depends on how much information an image contains, and they are the simpler images. "
            if np.mean(back["elbo"]) < 0.5
            else ". "
        )
        + f"There the best score is {{best}} with {{{best}_back}} ± {{{best}_sd}}, the worst {{lowest}} with "
        f"{{{lowest}_back}}: no score is safe without knowing what unfamiliar input looks like.",
        code=data.code(
            "from scratchnet.autoencoders import VAE, latent",
            "vae = VAE(hidden=(400,), n_latent=20, epochs=16, verbose=1).fit(X)",
            f"for kind in {tuple(KINDS)}:",
            "    scores = latent.outlier_scores(vae, X_test, kind, reference=X)",
            "    print(kind, scores.mean())  # higher: less familiar",
            test=True,
        ),
    )
