"""How low openTSNE ends on many digits, judged by the dense P of all pairs: what exact t-SNE on a GPU is held to.

    SCRATCHNET_DATA=... python benchmarks/opentsne_kl.py 10000 70000       # half an hour; 12 GB for 70,000

Perplexity 30, 1000 iterations of which 250 exaggerated, all else as openTSNE has it, from the start that ``run.py
--case gpu-tsne`` gives both. openTSNE interpolates, and its own figure is over the nearest neighbours alone; so the KL
divergence is computed anew here, from all n^2 affinities and all n^2 similarities. A line for each size is appended to
results/opentsne-kl.jsonl.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
from suite import gpu, machine

from scratchnet.manifold.affinities import affinities
from scratchnet.manifold.objectives import JointObjective
from scratchnet.manifold.sne import StudentSimilarity
from scratchnet.metrics import knn_accuracy


def kl(X: np.ndarray, Y: np.ndarray) -> float:
    """Of the embedding Y, with float32 affinities as in TSNE."""
    return float(JointObjective(affinities(X, 30.0), StudentSimilarity()).kl(Y.astype(X.dtype)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="+", help="how many digits, the training set's first")
    sizes = parser.parse_args().sizes
    digits, labels = gpu.digits(quick=False)
    for n in sizes:
        X = digits[:n]
        Y = gpu.open_tsne(X, gpu.start(X), 1000)
        record: dict[str, Any] = {
            "n": n,
            "kl": kl(X, Y),
            "nearest_neighbour_accuracy": float(knn_accuracy(Y, labels[:n], 1)),
        }
        print(json.dumps(record), flush=True)
        with gpu.OPENTSNE.open("a") as file:
            file.write(json.dumps({**record, **machine.describe()}) + "\n")


if __name__ == "__main__":
    main()
