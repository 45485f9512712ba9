"""The KL divergence that openTSNE reaches on many digits, by the dense P of all pairs: what exact t-SNE must match.

    SCRATCHNET_DATA=... python benchmarks/opentsne_kl.py 10000 70000       # half an hour; 12 GB for 70,000

Perplexity 30, 1000 iterations of which 250 are exaggerated, openTSNE's defaults otherwise, from the same start as in
``run.py --case gpu-tsne``. openTSNE interpolates, and the KL divergence it reports counts nearest neighbours only; so
it is recomputed here from all n^2 affinities and all n^2 similarities. One line per size is appended to
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
    """KL(P || Q) of the embedding Y, with float32 affinities as in TSNE."""
    return float(JointObjective(affinities(X, 30.0), StudentSimilarity()).kl(Y.astype(X.dtype)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="+", help="numbers of digits, taken from the training set first")
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
