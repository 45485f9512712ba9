"""Losses and gradients of small autoencoders of every kind by PyTorch's autograd, for tests/test_against_torch.py.

    python tests/references/make_torch_family.py          (needs torch; written with torch 2.13.0, CPU, float64)

Weights, data and noise come from ``problem``, whose generator (RandomState) is frozen for good, so that only results
are stored: of every model the loss and the whole gradient, parameters in alphabetical order. The losses are written
from their definitions: densities from torch.distributions, the contractive penalty from autograd's own Jacobian.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

OUT = Path(__file__).with_name("torch_family.npz")
B, N, HIDDEN, D, C, K = 6, 9, 7, 4, 3, 5  # samples, features, hidden units, latents, width of a condition, draws


def problem(model: str) -> dict[str, np.ndarray]:
    """Weights by their names in scratchnet, and "x", "seen" (B, N), "c" (B, C), "eps" (B, D), "eps_k" (K, B, D)."""
    n_in, n_z, code = N, D, D
    if model == "conditional":
        n_in, n_z = N + C, D + C
    if model.startswith(("vae", "iwae", "conditional")):
        code = 2 * D
    one = model.startswith("contractive")
    widths = {
        "encoder": (n_in, code) if one else (n_in, HIDDEN, code),
        "decoder": (n_z, N) if one else (n_z, HIDDEN, N),
    }
    rng, arrays = np.random.RandomState(11), {}
    for name, sizes in widths.items():
        for i in range(len(sizes) - 1):
            shape = sizes[i], sizes[i + 1]
            W, b = rng.standard_normal(shape) / np.sqrt(shape[0]), 0.3 * rng.standard_normal(shape[1])
            if not (name == "decoder" and "tied" in model):
                arrays[f"{name}.{2 * i}.W"] = W
            arrays[f"{name}.{2 * i}.b"] = b
    if "learned" in model:
        arrays["likelihood.logvar"] = 0.5 * rng.standard_normal(N) - 1
    x = rng.uniform(size=(B, N))
    noise = {"seen": x + 0.2 * rng.standard_normal((B, N)), "c": rng.standard_normal((B, C))}
    return arrays | {"x": x, **noise, "eps": rng.standard_normal((B, D)), "eps_k": rng.standard_normal((K, B, D))}


MODELS = (
    "tied",
    "denoising",
    "sparse_sigmoid",
    "sparse_tanh",
    "k_sparse",
    "contractive_sigmoid",
    "contractive_tanh",
    "contractive_relu",
    "vae_free_bits",
    "vae_variance",
    "vae_learned",
    "iwae_bernoulli",
    "iwae_learned",
    "conditional",
)


def main() -> None:
    import torch
    from torch.distributions import Bernoulli, Normal, kl_divergence

    def dense(w, name, h):
        return h @ w[f"{name}.W"] + w[f"{name}.b"]

    def network(w, name, h):
        return dense(w, f"{name}.2", torch.tanh(dense(w, f"{name}.0", h)))

    def log_p(w, model, output, x):
        """log p(x|output) of each sample."""
        if "variance" in model or "learned" in model:
            variance = (
                torch.exp(w["likelihood.logvar"]) + 1e-4
                if "learned" in model
                else torch.tensor(0.3, dtype=torch.float64)
            )
            return Normal(output, variance.sqrt()).log_prob(x).sum(-1)
        return Bernoulli(logits=output, validate_args=False).log_prob(x).sum(-1)

    def loss(model, w):
        x = w["x"]
        if model == "tied":
            h = torch.tanh(dense(w, "encoder.0", x))
            z = dense(w, "encoder.2", h)
            h = torch.tanh(z @ w["encoder.2.W"].T + w["decoder.0.b"])
            return -log_p(w, model, h @ w["encoder.0.W"].T + w["decoder.2.b"], x).mean()
        if model == "denoising":
            return -log_p(w, model, network(w, "decoder", network(w, "encoder", w["seen"])), x).mean()
        if model.startswith("sparse"):
            code = getattr(torch, model.split("_")[1])(network(w, "encoder", x))
            rate = code.mean(0) if "sigmoid" in model else (1 + code.mean(0)) / 2
            target = torch.full_like(rate, 0.1)
            penalty = torch.distributions.kl_divergence(Bernoulli(target), Bernoulli(rate)).sum()
            return -log_p(w, model, network(w, "decoder", code), x).mean() + 2 * penalty
        if model == "k_sparse":
            code = network(w, "encoder", x)
            kept = torch.zeros_like(code).scatter(1, code.topk(2, dim=1).indices, 1.0)
            return -log_p(w, model, network(w, "decoder", code * kept), x).mean()
        if model.startswith("contractive"):
            s = getattr(torch, model.split("_")[1])

            def encode(row):
                return s(dense(w, "encoder.0", row))

            penalty = sum(
                (torch.autograd.functional.jacobian(encode, row, create_graph=True) ** 2).sum() for row in x
            ) / len(x)
            return -log_p(w, model, dense(w, "decoder.0", encode(x)), x).mean() + 0.5 * penalty
        beside = [w["c"]] if model == "conditional" else []
        mu, logvar = network(w, "encoder", torch.cat([x, *beside], 1)).chunk(2, dim=1)
        q, prior = Normal(mu, torch.exp(logvar / 2)), Normal(0.0, 1.0)
        if model.startswith("iwae"):
            z = mu + torch.exp(logvar / 2) * w["eps_k"]
            log_w = log_p(w, model, network(w, "decoder", z), x) + (prior.log_prob(z) - q.log_prob(z)).sum(-1)
            return -(torch.logsumexp(log_w, 0) - np.log(K)).mean()
        z = mu + torch.exp(logvar / 2) * w["eps"]
        kl = kl_divergence(q, prior).mean(0)
        kl = torch.clamp(kl, min=0.3) if model == "vae_free_bits" else kl
        return -log_p(w, model, network(w, "decoder", torch.cat([z, *beside], 1)), x).mean() + 0.7 * kl.sum()

    out = {"torch": np.array(torch.__version__)}
    for model in MODELS:
        arrays = problem(model)
        w = {k: torch.tensor(v, requires_grad="." in k) for k, v in arrays.items()}
        value = loss(model, w)
        value.backward()
        out[f"{model}.loss"] = value.detach().numpy()
        out[f"{model}.gradient"] = np.concatenate([w[k].grad.numpy().ravel() for k in sorted(w) if "." in k])
        print(f"{model:<20} {value.item():.12g}")
    np.savez_compressed(OUT, **out)


if __name__ == "__main__":
    main()
