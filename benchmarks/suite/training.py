"""Training autoencoders against PyTorch (eager) and scikit-learn's MLPRegressor: from the same weights, with the same
batch size. Whole epochs are timed, without the set-up before the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

import scratchnet as sn
from scratchnet.autoencoders import VAE, Autoencoder
from scratchnet.backend import asarray, to_numpy
from scratchnet.datasets import load_mnist

from .race import NotTheSame, Prepare, Race, Work, close, peer

ADAM = {"default Adam": {}, "fused Adam": {"fused": True}}  # PyTorch's two


def small(quick: bool) -> Iterator[Race]:
    """A small network, as learners train: 64-32-2-32-64 on 8 x 8 digits."""
    X, _ = load_mnist("train", size="small")
    X = to_numpy(X)[:1797].reshape(-1, 28, 28)[:, 2:26, 2:26].reshape(-1, 8, 3, 8, 3).mean(axis=(2, 4)).reshape(-1, 64)
    yield from _autoencoder(X, [32], 2, "relu", 32, epochs=5 if quick else 20, with_torch=True)


def deep(quick: bool) -> Iterator[Race]:
    """784-500-300-2-300-500-784 with tanh on the digits 1, 5 and 6."""
    X, y = (to_numpy(a) for a in load_mnist("train", size="small" if quick else "full"))
    yield from _autoencoder(X[np.isin(y, (1, 5, 6))], [500, 300], 2, "tanh", 200, epochs=1 if quick else 2)


def vae(quick: bool) -> Iterator[Race]:
    """784-400-20 on MNIST."""
    X = to_numpy(load_mnist("train", size="small" if quick else "full")[0])
    widths = [784, 400, 40, 20, 400, 784]
    for batch in (128,) if quick else (128, 512):
        race = _Vae(X, batch)
        peers = {f"PyTorch, {name}": race.torch(torch, options) for name, options in ADAM.items()} if (
            torch := peer("torch")
        ) else {}  # fmt: skip
        yield Race(
            "VAE 784-400-20", f"{len(X):,} x 784, batch {batch}, 1 epoch", race.ours, peers, race.compare,
            lambda _, batch=batch: training_work(widths, len(X), batch),
        )  # fmt: skip


def training_work(widths: list[int], n: int, batch: int) -> Work:
    """Work of an epoch: three products per layer (two in the first), Adam's seven passes over the weights in each step,
    and three passes over the batch of every layer."""
    flops = sum(6.0 * a * b * n for a, b in _layers(widths)) - 2.0 * widths[0] * widths[1] * n
    return Work(flops, 4.0 * 7 * parameters(widths) * (n / batch) + 4.0 * 3 * sum(widths) * n)


def parameters(widths: list[int]) -> int:
    """The number of weights and biases of a network."""
    return sum((a + 1) * b for a, b in _layers(widths))


def _layers(widths: list[int]) -> list[tuple[int, int]]:
    return [(a, b) for a, b in pairwise(widths) if (a, b) != (40, 20)]  # a sampler has no weights


# -- autoencoders -----------------------------------------------------------------------------------------------------


def _autoencoder(
    X: np.ndarray, hidden: list[int], code: int, activation: str, batch: int, *, epochs: int, with_torch: bool = False
) -> Iterator[Race]:
    """Squared error, Adam 1e-3. PyTorch starts from our initial weights; losses are compared after the last epoch."""
    widths = [X.shape[1], *hidden, code, *hidden[::-1], X.shape[1]]
    model = Autoencoder(
        hidden, code, activation, likelihood="gaussian", epochs=epochs, batch_size=batch, random_state=0
    )
    first = _first_weights(model, X)

    def ours() -> Callable[[], float]:
        x = asarray(X)
        return lambda: model.fit(x).history_[-1]["mse"]

    def compare(ours: float, theirs: float) -> str:
        return close(
            "squared error", ours, theirs, 0.1 if with_torch else 0.3
        )  # shuffles differ, and for MLPRegressor weights too

    peers: dict[str, Prepare] = {}
    if with_torch and (torch := peer("torch")) is not None:
        for name, options in ADAM.items():
            peers[f"PyTorch, {name}"] = _torch_autoencoder(torch, X, first, activation, batch, epochs, options)
    elif not with_torch and (networks := peer("sklearn.neural_network")) is not None:
        peers["scikit-learn"] = _mlp(networks, X, widths, activation, batch, epochs)
    name = "autoencoder " + "-".join(map(str, widths))
    size = f"{len(X):,} x {X.shape[1]}, batch {batch}, {epochs} epoch{'s' * (epochs > 1)}"
    work = training_work(widths, len(X), batch)
    yield Race(name, size, ours, peers, compare, lambda _: Work(work.flops * epochs, work.bytes * epochs))


def _first_weights(model: Any, X: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(W, b) of every Dense, before the first step."""
    fresh = type(model)(**{**model.get_params(), "epochs": 0}).fit(X[:100])
    views = fresh.params_.views
    names = [name.removesuffix(".W") for name in views if name.endswith(".W")]
    return [tuple(to_numpy(views[f"{name}.{part}"][0]).copy() for part in "Wb") for name in names]  # type: ignore[misc]


def _torch_layers(torch: Any, weights: list[tuple[np.ndarray, np.ndarray]]) -> list[Any]:
    layers = []
    for W, b in weights:
        layer = torch.nn.Linear(*W.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(W.T.copy()))
            layer.bias.copy_(torch.from_numpy(b))
        layers.append(layer)
    return layers


def _torch_autoencoder(
    torch: Any, X: np.ndarray, first: Any, activation: str, batch: int, epochs: int, options: dict[str, Any]
) -> Prepare:
    def prepare() -> Callable[[], float]:
        device = "cuda" if sn.current_backend() == "cupy" else "cpu"
        torch.manual_seed(0)
        dense = _torch_layers(torch, first)
        act = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[activation]
        half, layers = len(dense) // 2, []
        for i, layer in enumerate(dense):
            layers += [layer] if i in (half - 1, len(dense) - 1) else [layer, act()]
        net = torch.nn.Sequential(*layers).to(device)
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, **options)
        x = torch.from_numpy(X).to(device)

        def run() -> float:
            for _ in range(epochs):
                for rows in torch.randperm(len(x), device=device).split(batch):
                    target = x[rows]
                    loss = 0.5 * (net(target) - target).square().sum() / len(rows)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            with torch.no_grad():
                return float((net(x) - x).square().mean())

        return run

    return prepare


def _mlp(networks: Any, X: np.ndarray, widths: list[int], activation: str, batch: int, epochs: int) -> Prepare:
    """Its loss is also halved and a mean over features, a factor that does not affect Adam; its code is not linear."""

    def prepare() -> Callable[[], float]:
        import warnings

        model = networks.MLPRegressor(
            hidden_layer_sizes=widths[1:-1],
            activation=activation,
            batch_size=batch,
            max_iter=epochs,
            alpha=0,
            random_state=0,
        )

        def run() -> float:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # not converged, on purpose
                model.fit(X, X)
            return 2 * model.loss_

        return run

    return prepare


# -- VAE --------------------------------------------------------------------------------------------------------------


class _Vae:
    def __init__(self, X: np.ndarray, batch: int) -> None:
        self.X, self.batch = X, batch
        self.model = VAE((400,), 20, epochs=1, batch_size=batch, random_state=0)
        self.first = _first_weights(self.model, X)

    def ours(self) -> Callable[[], VAE]:
        x = asarray(self.X)
        return lambda: self.model.fit(x)

    def compare(self, model: VAE, theirs: float) -> str:
        ours = -float(model.elbo(self.X[:2000]).mean())
        # batches and noise differ; early on, ten seeds of either spread by 1.7 (71 steps)
        if abs(ours - theirs) > (2.0 if len(self.X) > 50_000 else 7.5):
            raise NotTheSame(f"loss {ours:.2f} here, {theirs:.2f} there")
        return f"loss {ours:.1f} / {theirs:.1f} nats"

    def torch(self, torch: Any, options: dict[str, Any]) -> Prepare:
        return lambda: self._torch_run(torch, options)

    def _torch_run(self, torch: Any, options: dict[str, Any]) -> Callable[[], float]:
        device = "cuda" if sn.current_backend() == "cupy" else "cpu"
        torch.manual_seed(0)
        layers = [layer.to(device) for layer in _torch_layers(torch, self.first)]
        optimizer = torch.optim.Adam([p for layer in layers for p in layer.parameters()], lr=1e-3, **options)
        x = torch.from_numpy(self.X).to(device)
        f, relu = torch.nn.functional, torch.relu

        def loss_of(batch: Any) -> Any:
            mu, logvar = layers[1](relu(layers[0](batch))).chunk(2, dim=1)
            z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
            logits = layers[3](relu(layers[2](z)))
            kl = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum()
            return (f.binary_cross_entropy_with_logits(logits, batch, reduction="sum") + kl) / len(batch)

        def run() -> float:
            for rows in torch.randperm(len(x), device=device).split(self.batch):
                optimizer.zero_grad()
                loss_of(x[rows]).backward()
                optimizer.step()
            with torch.no_grad():
                return float(loss_of(x[:2000]))

        return run
