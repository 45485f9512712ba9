"""Writes sne.json: what scikit-learn finds for perplexity 30 on its own bundled data, by its own search and formulas.

python tests/references/make_sne.py        (a minute; scikit-learn's exact method is slow)

beta is not in its public results, so it is recovered from the row it belongs to: p_j|i ~ exp(-beta_i d_ij^2).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import sklearn
from scipy.spatial.distance import squareform
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.manifold._t_sne import _joint_probabilities, _kl_divergence
from sklearn.manifold._utils import _binary_search_perplexity
from sklearn.metrics import pairwise_distances


def numbers(X: np.ndarray) -> dict[str, float]:
    n = len(X)
    d = pairwise_distances(X, squared=True).astype("float32")
    conditional = _binary_search_perplexity(d, 30.0, 0)
    i = np.arange(n)
    order = np.where(np.eye(n, dtype=bool), np.inf, d).argsort(axis=1)
    near, far = order[:, 0], order[:, 20]
    wide = d.astype("float64")
    beta = np.log(conditional[i, near] / conditional[i, far]) / (wide[i, far] - wide[i, near])
    P = _joint_probabilities(d, 30.0, 0)
    Y = PCA(2, svd_solver="full").fit_transform(X)
    kl, gradient = _kl_divergence(Y.ravel(), P, 1, n, 2)
    return {
        "first_beta": beta[0],
        "sum_of_beta": beta.sum(),
        "largest_p": squareform(P).max(),
        "kl_at_pca": kl,
        "gradient_norm_at_pca": np.linalg.norm(gradient),
        "kl_at_zero": _kl_divergence(np.zeros(2 * n), P, 1, n, 2)[0],
    }


def final_kl(X: np.ndarray) -> float:
    return float(TSNE(perplexity=30, init="pca", method="exact", random_state=0).fit(X).kl_divergence_)


if __name__ == "__main__":
    digits, iris = load_digits().data, load_iris().data
    found = {
        "versions": {"scikit-learn": sklearn.__version__, "numpy": np.__version__},
        "digits[:200]": numbers(digits[:200]),
        "digits[:500]": numbers(digits[:500]) | {"final_kl": final_kl(digits[:500])},
        "iris": {"final_kl": final_kl(iris)},
    }
    Path(__file__).with_name("sne.json").write_text(json.dumps(found, indent=1) + "\n")
