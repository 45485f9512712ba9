"""How often the host waits for the device: never in a training step, never in a t-SNE iteration between two reports."""

from __future__ import annotations

import shutil
from contextlib import nullcontext

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.autoencoders import VAE, Autoencoder
from scratchnet.backend import backend_module
from scratchnet.cluster import KMeans
from scratchnet.manifold import SNE, TSNE, SymmetricSNE
from scratchnet.testing import count_host_syncs, kernels_on_cpu

X = np.random.default_rng(0).random((96, 12)).astype("float32")


@pytest.fixture(params=["formulas", "kernels"])
def device(request):
    """The strict double, as it is and with kernels."""
    if request.param == "kernels" and shutil.which("g++") is None:
        pytest.skip("g++ was not found: kernels cannot be compiled for the CPU")
    with kernels_on_cpu() if request.param == "kernels" else nullcontext(), sn.using("strict"):
        yield


@pytest.mark.parametrize("method", [TSNE, SymmetricSNE, SNE])
def test_tsne_waits_only_where_it_reports(device, method):
    """At iterations 0, 10, 20, ...: the gradient is looked at, and the KL computed. The end of the exaggeration, here
    after iteration 7, is no exception."""
    waits = {}
    states = method(perplexity=10, max_iter=30, kl_every=10, init="random", random_state=0).steps(X)
    next(states)  # iteration 0: affinities, too
    while True:
        with count_host_syncs() as seen:
            state = next(states, None)
        if state is None:
            break
        waits[state.iteration] = list(seen)
    assert sorted(waits) == list(range(1, 31))
    assert [i for i, seen in waits.items() if seen] == [10, 20, 30]
    assert all(len(seen) <= 2 for seen in waits.values()), waits  # the norm, the KL


@pytest.mark.parametrize("model", [Autoencoder, VAE])
def test_more_steps_are_no_more_waiting(device, model):
    """What an epoch waits for is its numbers for the history; a test beside every model holds its step to 0."""
    counts = []
    for batch_size in (48, 8):  # 2 steps an epoch, and 12
        with count_host_syncs() as seen:
            model((6,), 2, epochs=2, batch_size=batch_size, random_state=0).fit(X)
        counts.append(len(seen))
    assert counts[0] == counts[1]


def test_a_round_of_kmeans_waits_a_few_times_whatever_the_size(device):
    """J before and after the move, whether a label changed, which clusters are empty, how far the centres went; and
    where no kernel counts the rows of each cluster, bincount looks at what it counts."""
    counts = []
    for rows in (X, np.tile(X, (4, 1))):
        states = KMeans(3, random_state=0).steps(rows)
        while next(states).step != "move":
            pass
        with count_host_syncs() as seen:
            while next(states).step != "move":
                pass
        counts.append(len(seen))
    assert counts[0] == counts[1] <= (5 if hasattr(backend_module(), "RawKernel") else 6)
