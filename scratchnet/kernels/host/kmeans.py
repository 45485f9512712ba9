"""The assignment step of k-means with the distances left out that cannot matter.

When a centre moves by s, its distance to a point changes by s at most. So a distance measured some rounds ago still
bounds the distance now, from above and from below. A point stays where it is as long as its own centre is certainly
nearer than every other one; only the rest is measured again. After a few rounds that is a small part. Labels and sums
are those of the formula, ``assign`` of :mod:`scratchnet.cluster.steps` (Elkan, Using the triangle inequality to
accelerate k-means, 2003; here with products of whole blocks of rows in place of single distances).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from scratchnet.rows import scratch

__all__ = ["Known", "assign", "assign_by_angle"]

_DISTANCES = 1 << 19  # that are looked through at once
_PIECE = 1024  # rows that are measured at once: they stay in the cache from picking to product
_ADDED = 128, 1 << 16  # rows, or entries if there are more rows of them, that are added up at once, in float64
_FEW = 13_000  # k (d + 20), up to which a product with a one-hot matrix costs less than a second look at the rows


class Geometry(Protocol):
    """What is asked of :class:`scratchnet.cluster.geometry.Euclidean`."""

    def local(self, x: np.ndarray) -> np.ndarray: ...
    def nearest(self, x: np.ndarray, centers: np.ndarray) -> np.ndarray: ...
    def slack(self, x: np.ndarray) -> float: ...


@dataclass
class Known:
    """What a block of m rows remembers of its last assignment.

    Bounds are stored once and never decayed: with S_c the way that centre c has gone so far, ``lower[i, c]`` is a lower
    bound on |x_i - c| at the time it was measured, plus S_c then. Minus S_c it is one now.

    Attributes
    ----------
    sums, counts : (k, d), (k,) float64
        Of the block's clusters, exact: brought up to date by the rows that move.
    whole : bool
        Whether no w x has to be rounded: data of few digits are whole multiples of the units already. None: not known.
    size : (m,)
        |x|^2.
    upper : (m,)
        An upper bound on the distance to the own centre, minus S of that centre at the time.
    others : (m,)
        A lower bound on the distance to all other centres, plus the sum of the largest steps so far, ``farthest``.
    lower : (m, k)
        See above; infinite for the own centre. All bounds are empty where they cost more than distances.
    """

    sums: np.ndarray
    counts: np.ndarray
    size: np.ndarray
    upper: np.ndarray
    others: np.ndarray
    lower: np.ndarray
    whole: bool | None = None

    @classmethod
    def nothing(cls, x: np.ndarray, k: int, bounded: bool) -> Known:
        """Before the first assignment of local rows x (m, d)."""
        (m, d), dtype = x.shape, x.dtype
        size, m = np.empty(m, dtype), m if bounded else 0
        upper, others, lower = np.full(m, np.inf, dtype), np.full(m, -np.inf, dtype), np.full((m, k), -np.inf, dtype)
        return cls(np.zeros((k, d)), np.zeros(k), size, upper, others, lower)


def assign(
    block: tuple[Any, ...], kept: Any, centers: np.ndarray, geometry: Geometry, units: Any, path: Any
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, Known]]:
    """The block's sums and counts, which it goes on to use, and its labels; see the formula."""
    (k, d), x = centers.shape, block[0]
    labels, known = kept if kept is not None else (np.zeros(len(x), dtype=np.intp), None)
    before = labels.copy() if known is not None else None
    if known is None:
        known = Known.nothing(x, k, bounded=d >= 32 and k <= 4 * d)
    _Search(x, labels, known, centers, geometry, path).run(first=before is None)
    return _moved(block, labels, before, known, geometry, units)


def assign_by_angle(
    block: tuple[Any, ...], kept: Any, centers: np.ndarray, geometry: Geometry, units: Any
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, Known]]:
    """All angles are computed again, but sums are updated by the rows that moved."""
    before, known = kept if kept is not None else (None, None)
    x = block[0]
    labels = np.concatenate(
        [geometry.nearest(geometry.local(x[i : i + _PIECE]), centers) for i in range(0, len(x), _PIECE)]
    )
    if known is None:
        before, known = None, Known.nothing(x, len(centers), bounded=False)
    return _moved(block, labels, before, known, geometry, units)


def _moved(
    block: tuple[Any, ...], labels: np.ndarray, before: np.ndarray | None, known: Known, geometry: Geometry, units: Any
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, Known]]:
    """What a step returns, the sums brought up to date by the rows whose labels are not what they were ``before``."""
    x, w, _ = block
    rows = np.arange(len(x)) if before is None else np.flatnonzero(labels != before)
    if len(rows):
        _Sums(x, w, known, geometry, units).move(rows, None if before is None else before[rows], labels[rows])
    return (known.sums, known.counts), (labels, known)


class _Search:
    """One round: finds which rows must be measured again, and measures them.

    A squared distance from products is wrong by no more than ``slack`` (|x|^2 + |c|^2), a sum of steps by no more than
    ``margin``. Bounds give way by that much, so that a label never depends on them. Where they cannot tell two centres
    apart, the formula decides.
    """

    def __init__(
        self, x: np.ndarray, labels: np.ndarray, known: Known, centers: np.ndarray, geometry: Geometry, path: Any
    ) -> None:
        dtype, eps = centers.dtype, np.finfo(centers.dtype).eps
        self.x, self.labels, self.known, self.c, self.geometry = x, labels, known, centers, geometry
        self.c_size, self.minus_2c = np.einsum("ij,ij->i", centers, centers), (-2 * centers).T
        self.way, self.farthest = path.way.astype(dtype), dtype.type(path.farthest)
        self.slack, self.margin = dtype.type(geometry.slack(x)), 8 * eps * self.farthest
        self.near = [np.empty(0, dtype=np.intp)]  # rows to which another centre may be as near

    def run(self, first: bool) -> None:
        """Update labels and bounds of all rows."""
        n, k = len(self.x), len(self.c)
        size = max(_PIECE, _DISTANCES // k)
        for i in range(0, n, size):
            part = slice(i, min(i + size, n))
            if first or self.known.lower.size == 0:
                self._measure(part, part.stop - i, first)
            else:
                self._look_through(part)
        near = np.concatenate(self.near)
        for i in range(0, len(near), _PIECE):
            rows = near[i : i + _PIECE]
            self.labels[rows] = self.geometry.nearest(self.geometry.local(self.x[rows]), self.c)

    def _look_through(self, part: slice) -> None:
        """Measure those rows of a part that are in doubt; all of it if they are most."""
        s, k = self.known, len(self.c)
        others = s.others[part]
        at_most = s.upper[part] + self.way[self.labels[part]]
        at_most += self.margin
        rows = np.flatnonzero(at_most >= others - self.farthest)
        now = scratch("kmeans distances", (len(rows), k), s.lower.dtype)
        np.take(s.lower[part], rows, axis=0, out=now, mode="clip")
        now -= self.way
        least = now.min(axis=1)
        others[rows] = least + self.farthest
        rows = rows[at_most[rows] >= least]
        if len(rows) > len(others) // 2:  # then all, as a slice: cheaper than picking
            self._measure(part, len(others))
        elif len(rows):
            self._measure(rows + part.start, len(rows))

    def _measure(self, rows: np.ndarray | slice, n: int, first: bool = False) -> None:
        """All distances of these ``n`` rows. (Measuring fewer now would be more later: a product with all centres costs
        little more than reading the rows, and tightens all bounds.)"""
        s, here = self.known, np.arange(n)
        d = scratch("kmeans distances", (n, len(self.c)), self.c.dtype)
        for i in range(0, n, _PIECE):
            x = self.geometry.local(self._some(rows, slice(i, min(i + _PIECE, n))))
            np.matmul(x, self.minus_2c, out=d[i : i + len(x)])
            if first:
                s.size[rows][i : i + len(x)] = np.einsum("ij,ij->i", x, x)
        d += self.c_size
        size = s.size[rows]
        slack = self.slack * (size + self.c_size.max())
        nearest = d.argmin(axis=1)
        if s.lower.size == 0:
            own = d[here, nearest]
            d[here, nearest] = np.inf
            self._keep(rows, nearest, d.min(axis=1) <= own + 2 * slack)
            return
        d += size[:, None]
        upper = np.sqrt(np.maximum(d[here, nearest] + slack, 0))
        d -= slack[:, None]
        np.sqrt(np.maximum(d, 0, out=d), out=d)
        d[here, nearest] = np.inf
        others = d.min(axis=1)
        d += self.way
        s.lower[rows] = d
        s.others[rows] = others + self.farthest
        near = others <= upper
        upper -= self.way[nearest]
        upper[near] = np.inf  # such a row is measured in every round
        s.upper[rows] = upper
        self._keep(rows, nearest, near)

    def _keep(self, rows: np.ndarray | slice, nearest: np.ndarray, near: np.ndarray) -> None:
        """Labels of rows, and which of them have another centre as ``near``."""
        self.labels[rows] = nearest
        found = np.flatnonzero(near)
        self.near.append(found + rows.start if isinstance(rows, slice) else rows[found])

    def _some(self, rows: np.ndarray | slice, some: np.ndarray | slice) -> np.ndarray:
        """Some of these rows of x: a view, or a copy in scratch memory."""
        if isinstance(rows, slice):
            return self.x[rows][some]
        return _pick(self.x, rows[some])


class _Sums:
    """The sums and counts of a block's clusters, and how they change; exact, so the order does not matter."""

    def __init__(self, x: np.ndarray, w: np.ndarray, known: Known, geometry: Geometry, units: Any) -> None:
        self.x, self.w, self.known, self.geometry, self.units = x, w, known, geometry, units

    def add(self, rows: np.ndarray, labels: np.ndarray, change: Any = np.add) -> None:
        """Add w x and w of ``rows`` to clusters ``labels``; with ``np.subtract`` take them away."""
        sums, counts, order = self.known.sums, self.known.counts, labels.argsort(kind="stable")
        rows, labels = rows[order], labels[order]  # clusters one after the other
        for part, y, w in self._terms(rows):
            of, start = labels[part], 0
            change(counts, np.bincount(of, w, len(counts)), out=counts)
            for end in [*(np.flatnonzero(of[1:] != of[:-1]) + 1).tolist(), len(of)]:
                total = sums[of[start]]
                change(total, y[start] if end == start + 1 else np.add.reduce(y[start:end], axis=0), out=total)
                start = end

    def move(self, rows: np.ndarray, before: np.ndarray | None, now: np.ndarray) -> None:
        """Take ``rows`` from clusters ``before``, if they were in any, and add them to ``now``."""
        (k, d), clusters = self.known.sums.shape, np.arange(len(self.known.counts))[:, None]
        if k * (d + 20) > _FEW:
            self.add(rows, now)
            if before is not None:
                self.add(rows, before, np.subtract)
            return
        for part, y, w in self._terms(rows):
            one_hot = (now[part] == clusters).astype(np.float64)
            if before is not None:
                one_hot -= before[part] == clusters
            self.known.sums += one_hot @ y
            self.known.counts += one_hot @ w

    def _terms(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Which of ``rows``, and their w x and w as whole multiples of the units, in float64; some rows at a time."""
        first, whole, per_unit = self.known.whole is None, True, 1 / self.units.x
        size = max(_ADDED[0], _ADDED[1] // len(per_unit))
        for i in range(0, len(rows), size):
            part = slice(i, i + size)
            x, w = self.geometry.local(_pick(self.x, rows[part])), self.w[rows[part]].astype(np.float64)
            weighted = bool((w != 1).any())
            if first:
                round_it = weighted or not _all_whole(x, per_unit)
                whole = whole and not round_it
            else:
                round_it = not self.known.whole
            y = scratch("kmeans products", x.shape, np.float64)
            np.copyto(y, x)
            if weighted:
                y *= w[:, None]
            if round_it:
                y *= per_unit
                np.rint(y, out=y)
                y *= self.units.x
            yield part, y, np.rint(w / self.units.weight) * self.units.weight
        if first:
            self.known.whole = whole


def _all_whole(x: np.ndarray, per_unit: np.ndarray) -> bool:
    """Whether all x are whole multiples of units; False where their type cannot tell."""
    with np.errstate(over="ignore"):
        factor = per_unit.astype(x.dtype)
        if not (np.isfinite(factor) & (factor >= 1)).all():  # or products could underflow
            return False
        multiples = np.multiply(x, factor, out=scratch("kmeans multiples", x.shape, x.dtype))
    return bool((np.rint(multiples, out=scratch("kmeans rounded", x.shape, x.dtype)) == multiples).all())


def _pick(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """x[rows]: all of them as they are, others in scratch memory."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (rows[1:] > rows[:-1]).all():
        return x[rows[0] : rows[-1] + 1]
    if not x.flags.c_contiguous:  # take would copy all of x first
        return x[rows]
    return np.take(x, rows, axis=0, out=scratch("kmeans rows", (len(rows), x.shape[1]), x.dtype), mode="clip")
