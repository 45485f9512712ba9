"""The data of a tour: the embedded digits, or the user's own table in the same form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from scratchnet.backend import Array, Rng, asarray, to_numpy
from scratchnet.datasets import load_fashion_mnist, load_mnist
from scratchnet.decomposition import PCA
from scratchnet.neighbors import nearest_neighbors
from scratchnet.validation import check_array

__all__ = [
    "LEAST_ROWS",
    "PROJECTIONS",
    "TourData",
    "embedded_digits",
    "first_of_each",
    "mse",
    "nearest",
    "own_table",
    "projection_errors",
    "three_classes",
]

_MOST_ROWS = 10_000  # of a user's table, to limit the tour's time
LEAST_ROWS = 100  # fewer would show little
_TEST_SHARE = 0.1
PROJECTIONS = (
    2,
    5,
    10,
    15,
    20,
    25,
    30,
    40,
    50,
    60,
    70,
    80,
    90,
    100,
    120,
    140,
    170,
    200,
)  # numbers of components to try


@dataclass(frozen=True)
class TourData:
    """Training and held-out rows in [0, 1] on the current backend; labels are codes 0..k-1 on the host, or None.

    ``strange`` are rows of the same width from another distribution. ``code`` makes listings that load this data.
    """

    X: Array
    X_test: Array
    y: Any  # np.ndarray | None; chapters check once, far from where they index
    y_test: Any
    class_names: list[str]
    shape: tuple[int, int] | None
    strange: Array
    strange_name: str
    name: str
    about: dict[str, str]
    imports: str
    load: str
    load_test: str

    def code(self, imports: str, *lines: str, test: bool = False) -> str:
        """A listing that loads this data as X, y (and X_test, y_test) and continues with ``lines``."""
        head = "\n".join(line for line in (self.imports, imports) if line)
        return "\n".join([head, "", self.load, *([self.load_test] if test else []), *lines])

    @property
    def n_classes(self) -> int:
        """The number of classes; without labels 10, the number of groups to look for."""
        return len(self.class_names) or 10

    @property
    def n_features(self) -> int:
        return int(self.X.shape[1])

    @property
    def labelled(self) -> bool:
        return self.y is not None

    def named(self, codes: np.ndarray | None) -> np.ndarray | None:
        """The class names of label codes, for plots."""
        return None if codes is None else np.asarray(self.class_names)[codes]


def embedded_digits() -> TourData:
    """The digits that come with the package; Fashion-MNIST's clothes are the strange data."""
    (X, y), (X_test, y_test) = load_mnist("train"), load_mnist("test")
    strange, _ = load_fashion_mnist("test")
    return TourData(
        X=X,
        X_test=X_test,
        y=to_numpy(y),
        y_test=to_numpy(y_test),
        class_names=[str(i) for i in range(10)],
        shape=(28, 28),
        strange=strange,
        strange_name="clothes",
        name="digits",
        about={
            "summary": (
                f"The experiments of five lectures on unsupervised learning, run on {len(X):,} handwritten digits of "
                f"28 by 28 pixels; {len(X_test):,} more are held out."
            ),
            "data": "MNIST, the first 9,000 training and 1,000 test digits: Y. LeCun, C. Cortes, C. Burges; licence "
            "CC BY-SA 3.0. Fashion-MNIST, the first 1,000 test images: H. Xiao, K. Rasul, R. Vollgraf (Zalando SE); "
            "licence MIT.",
        },
        imports="from scratchnet.datasets import load_mnist",
        load='X, y = load_mnist("train")',
        load_test='X_test, y_test = load_mnist("test")',
    )


def own_table(X: ArrayLike, y: ArrayLike | None, seed: int) -> TourData:
    """A user's table: at most 10,000 rows drawn at random, a tenth of them held out, values scaled to [0, 1].

    If the number of features is a square, rows are treated as images and all pixels have one scale; otherwise every
    column has its own. The strange data are the same rows with each column shuffled independently.
    """
    table = to_numpy(check_array(X, min_samples=LEAST_ROWS)).astype(np.float32)
    codes, names, note = _as_classes(y, len(table))
    host = Rng(seed).host
    rows = host.permutation(len(table))[:_MOST_ROWS]
    n_test = max(round(_TEST_SHARE * len(rows)), 20)
    n, d = table.shape
    shape = (isqrt(d), isqrt(d)) if isqrt(d) ** 2 == d and d > 1 else None
    chosen, axis = table[rows], None if shape else 0
    low, high = chosen.min(axis=axis), chosen.max(axis=axis)
    chosen = (chosen - low) / np.where(high > low, high - low, 1)
    test, train = chosen[:n_test], chosen[n_test:]
    strange = np.stack([host.permutation(column) for column in test.T], axis=1)
    return TourData(
        X=asarray(train),
        X_test=asarray(test),
        y=None if codes is None else codes[rows[n_test:]],
        y_test=None if codes is None else codes[rows[:n_test]],
        class_names=names,
        shape=shape,
        strange=asarray(strange),
        strange_name="shuffled rows",
        name="images" if shape else "rows",
        about={
            "summary": (
                f"The experiments of five lectures on unsupervised learning, run on your own table: {len(train):,} "
                f"rows of {d:,} numbers; {n_test:,} more are held out."
            ),
            "data": f"your own table of {n:,} rows and {d:,} columns, scaled to [0, 1]{note}",
        },
        imports="from scratchnet.datasets import load_table",
        load='X, y = load_table("your-file.csv")  # scale the columns to [0, 1]',
        load_test=f"X, X_test, y, y_test = X[:-{n_test}], X[-{n_test}:], y[:-{n_test}], y[-{n_test}:]",
    )


def _as_classes(y: ArrayLike | None, n: int) -> tuple[np.ndarray | None, list[str], str]:
    """Label codes, class names, and a remark on them for the footer."""
    if y is None:
        return None, [], "; without labels, so nothing is compared with classes"
    labels = to_numpy(y)
    if labels.shape != (n,):
        raise ValueError(f"y has shape {labels.shape}, but X has {n} rows; pass one label per row, or None")
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.round(labels)):
        return None, [], "; its labels are numbers, not classes, and are ignored"
    if labels.dtype.kind == "f":
        labels = labels.astype(np.int64)
    names, codes = np.unique(labels, return_inverse=True)
    if len(names) > n // 5:
        return None, [], f"; {len(names):,} different labels for {n:,} rows are not classes, and are ignored"
    return codes, [str(name) for name in names], f"; {len(names)} classes"


def first_of_each(y: np.ndarray | None, n_classes: int, most: int = 10) -> np.ndarray:
    """The index of one sample of each of the first ``most`` classes; without labels, of the first rows."""
    if y is None:
        return np.arange(most)
    found = [np.flatnonzero(y == k)[:1] for k in range(min(n_classes, most))]
    return np.concatenate(found)


def three_classes(data: TourData) -> tuple[np.ndarray, str]:
    """The indices of the training rows of three classes, and their names; for digits 1, 5 and 6, as in the lecture."""
    if data.y is None:
        return np.arange(len(data.X)), "all rows"
    lecture = [k for k, name in enumerate(data.class_names) if name in ("1", "5", "6")]
    chosen = lecture if len(lecture) == 3 else list(range(min(3, data.n_classes)))
    return np.flatnonzero(np.isin(data.y, chosen)), ", ".join(data.class_names[k] for k in chosen)


def mse(A: Array, B: Array) -> float:
    """The mean squared difference of two arrays of the same shape."""
    return float(((A - B) ** 2).mean())


def projection_errors(pca: PCA, X: Array, target: Array, sizes: Iterable[int] = PROJECTIONS) -> dict[int, float]:
    """The mean squared difference between ``target`` and the projection of X onto the first k components, per k."""
    scores, most = pca.transform(X), len(pca.components_)
    sizes = sorted({min(k, most) for k in sizes})
    return {k: mse(scores[:, :k] @ pca.components_[:k] + pca.mean_, target) for k in sizes}


def nearest(X: Array, known: Array) -> tuple[np.ndarray, np.ndarray]:
    """For each row of X the index of its nearest row of ``known``, and the mean squared difference to it."""
    rows, distances = nearest_neighbors(X, 1, known)
    return to_numpy(rows)[:, 0], to_numpy(distances)[:, 0] ** 2 / X.shape[1]
