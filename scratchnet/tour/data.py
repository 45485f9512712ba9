"""What a tour runs on: the embedded digits, or the user's own table in the same form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np

from scratchnet.backend import Array, Rng, asarray, to_numpy
from scratchnet.datasets import load_fashion_mnist, load_mnist
from scratchnet.decomposition import PCA
from scratchnet.neighbors import nearest_neighbors
from scratchnet.validation import check_array

_MOST_ROWS = 10_000  # of a user's table: what fits into the tour's time
LEAST_ROWS = 100  # what it needs to say much
_TEST_SHARE = 0.1
PROJECTIONS = (2, 5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100, 120, 140, 170, 200)  # tried for the best one


@dataclass(frozen=True)
class TourData:
    """Training and held-out rows in [0, 1] on the current backend; labels are codes 0..k-1 on the host, or None.

    ``strange`` are rows of the same width that are not of this kind, for out-of-distribution sections.
    """

    X: Array
    X_test: Array
    y: Any
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
        """A listing that gets this data as X, y (and X_test, y_test) and goes on with ``lines``."""
        head = "\n".join(line for line in (self.imports, imports) if line)
        return "\n".join([head, "", self.load, *([self.load_test] if test else []), *lines])

    @property
    def n_classes(self) -> int:
        """How many classes the labels have; ten groups are looked for where there are no labels."""
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
    """The digits that come with the package; clothes are what is strange to them."""
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


def own_table(X: Any, y: Any, seed: int) -> TourData:
    """A user's table: at most 10,000 rows drawn at random, a tenth of them held out, values brought to [0, 1].

    With a square number of features the rows are taken to be images, with one scale for all pixels; else every column
    has its own. What is strange to a table is itself with each column shuffled on its own.
    """
    X = to_numpy(check_array(X, min_samples=LEAST_ROWS)).astype(np.float32)
    codes, names, note = _as_classes(y, len(X))
    host = Rng(seed).host
    rows = host.permutation(len(X))[:_MOST_ROWS]
    n_test = max(round(_TEST_SHARE * len(rows)), 20)
    n, d = X.shape
    shape = (isqrt(d), isqrt(d)) if isqrt(d) ** 2 == d and d > 1 else None
    X = X[rows]
    low, high = (X.min(), X.max()) if shape else (X.min(axis=0), X.max(axis=0))
    X = (X - low) / np.where(high > low, high - low, 1)
    test, train = X[:n_test], X[n_test:]
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
            "data": f"your own table of {n:,} rows and {d:,} columns, brought to [0, 1]{note}",
        },
        imports="from scratchnet.datasets import load_table",
        load='X, y = load_table("your-file.csv")  # bring the columns to [0, 1]',
        load_test=f"X, X_test, y, y_test = X[:-{n_test}], X[-{n_test}:], y[:-{n_test}], y[-{n_test}:]",
    )


def _as_classes(y: Any, n: int) -> tuple[np.ndarray | None, list[str], str]:
    """Label codes, class names, and what the footer says of them."""
    if y is None:
        return None, [], "; without labels, so nothing is scored against classes"
    labels = to_numpy(y)
    if labels.shape != (n,):
        raise ValueError(f"y has shape {labels.shape}, but X has {n} rows; pass one label a row, or None")
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.round(labels)):
        return None, [], "; its labels are not classes but numbers, and are left aside"
    if labels.dtype.kind == "f":
        labels = labels.astype(np.int64)
    names, codes = np.unique(labels, return_inverse=True)
    if len(names) > n // 5:
        return None, [], f"; {len(names):,} different labels for {n:,} rows are no classes, and are left aside"
    return codes, [str(name) for name in names], f"; {len(names)} classes"


def first_of_each(y: np.ndarray | None, n_classes: int, most: int = 10) -> np.ndarray:
    """Row numbers of one sample of each of the first classes; without labels, of the first rows."""
    if y is None:
        return np.arange(most)
    found = [np.flatnonzero(y == k)[:1] for k in range(min(n_classes, most))]
    return np.concatenate(found)


def three_classes(data: TourData) -> tuple[np.ndarray, str]:
    """The training rows of three classes: 1, 5 and 6, as in the lecture, where the data are digits."""
    if data.y is None:
        return np.arange(len(data.X)), "all rows"
    lecture = [k for k, name in enumerate(data.class_names) if name in ("1", "5", "6")]
    chosen = lecture if len(lecture) == 3 else list(range(min(3, data.n_classes)))
    return np.flatnonzero(np.isin(data.y, chosen)), ", ".join(data.class_names[k] for k in chosen)


def mse(A: Array, B: Array) -> float:
    """The mean squared difference of two arrays of one shape."""
    return float(((A - B) ** 2).mean())


def projection_errors(pca: PCA, X: Array, target: Array, sizes: Iterable[int] = PROJECTIONS) -> dict[int, float]:
    """The mean squared difference of ``target`` and the projection of X onto the first k components, for each k."""
    scores, most = pca.transform(X), len(pca.components_)
    sizes = sorted({min(k, most) for k in sizes})
    return {k: mse(scores[:, :k] @ pca.components_[:k] + pca.mean_, target) for k in sizes}


def nearest(X: Array, known: Array) -> tuple[np.ndarray, np.ndarray]:
    """For each row of X the number of its nearest row of ``known``, and the mean squared difference to it."""
    rows, distances = nearest_neighbors(X, 1, known)
    return to_numpy(rows)[:, 0], to_numpy(distances)[:, 0] ** 2 / X.shape[1]
