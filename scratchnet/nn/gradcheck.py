"""Is a hand-written gradient the gradient of its loss? Ask the loss itself, by finite differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf, isfinite, prod
from typing import NamedTuple

import numpy as np

from scratchnet.backend import Array, get_xp, to_numpy
from scratchnet.nn.params import Params

TOLERANCE = 1e-7
_STEPS = (1e-3, 1e-4, 1e-5, 1e-6)  # tried from long to short: long ones round less, short ones cross fewer kinks
_DIRECTIONS = 3  # drawn anew where a kink lies on the way


class GradientRow(NamedTuple):
    """One direction: the two derivatives along it, and their relative difference."""

    name: str
    numeric: float
    analytic: float
    error: float


@dataclass
class GradientReport:
    """The result of :func:`check_gradient`; ``print`` it for a table.

    Attributes
    ----------
    rows : list of (name, numeric, analytic, error)
        What was checked: the derivative by differences, the one of the backward pass, their relative difference.
    kinks : list of str
        What could not be checked: the loss has a kink at this very point (a ReLU fed with exactly 0).
    max_error : float
        The largest error (NaN counts as infinite); 0 if there are no rows.
    ok : bool
        Everything could be checked, and every error is below ``tolerance``.
    """

    rows: list[GradientRow]
    kinks: list[str]
    tolerance: float

    @property
    def max_error(self) -> float:
        return max((row.error if row.error == row.error else inf for row in self.rows), default=0.0)

    @property
    def ok(self) -> bool:
        return bool(self.rows) and not self.kinks and self.max_error < self.tolerance

    def __str__(self) -> str:
        width = max([len(row.name) for row in self.rows] + [len(name) for name in self.kinks] + [9])
        lines = [f"{'parameter':<{width}}  {'numeric':>14}  {'backward':>14}  {'error':>9}"]
        for name, numeric, analytic, error in self.rows:
            verdict = "ok" if error < self.tolerance else "WRONG"
            lines.append(f"{name:<{width}}  {numeric:>14.7g}  {analytic:>14.7g}  {error:>9.1e}  {verdict}")
        lines += [f"{name:<{width}}  not differentiable at this point: the loss has a kink here" for name in self.kinks]
        return "\n".join(lines)


def check_gradient(
    loss: Callable[[], Array],
    params: Params,
    *,
    per_entry: bool = False,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> GradientReport:
    """Compare ``params.grad`` with differences of ``loss()`` around ``params.theta``.

    For every named parameter one direction r is drawn, with entries of either sign between 0.5 and 1.5 in size, so that
    none weighs little and no simple error (one constant too much in every entry, say, which balanced +-1s cancel) is
    orthogonal to it. The derivative along it, grad . r, is compared with a central difference of fourth order,

        f'(0) = [8 (f(h) - f(-h)) - (f(2h) - f(-2h))] / 12h + O(h^4),    f(t) = loss at theta + t r.

    A wrong backward pass therefore names the parameter it spoils. Where a kink lies between the points (first and
    second differences at h and 2h disagree), the step shrinks, then another direction is drawn; where the point itself
    is a kink, the report says so. Kinks are found from the loss alone: a wrong gradient cannot hide behind one.

    Parameters
    ----------
    loss : callable
        The loss at the current ``params.theta``, the same number at every call: noise must be fixed outside.
    params : Params
        Its ``grad`` must hold the gradient at the current ``theta``: run the backward pass first. float64.
    per_entry : bool
        Check every entry by itself instead (4 losses an entry), to see *where* in a matrix the gradient is wrong.

    Returns
    -------
    GradientReport
        ``error`` is |numeric - analytic| / max(|numeric|, |analytic|), or over the rounding noise of the loss divided
        by ``tolerance`` where both derivatives are smaller than that.

    Raises
    ------
    ValueError
        If the parameters are not float64, or two calls of ``loss()`` differ.
    """
    if params.theta.dtype != np.float64:
        raise ValueError(
            f"check_gradient needs float64 (differences of float32 losses are mostly rounding), got "
            f"{params.theta.dtype}: build the model with dtype='float64'"
        )
    analytic, theta = params.grad.copy(), params.theta.copy()
    center = float(loss())
    if center != float(loss()) and isfinite(center):
        raise ValueError("loss() gave two different values at the same point: draw its noise once, outside")
    xp, rng, report = get_xp(theta), np.random.default_rng(seed), GradientReport([], [], tolerance)
    try:
        for name, s in params.slices.items():
            for label, directions in _directions(name, params.views[name][0].shape, per_entry, rng):
                for r in directions:
                    found = _derivative(_along(loss, params, s, theta[s].copy(), xp.asarray(r)), center, tolerance)
                    params.theta[s] = theta[s]
                    if found is not None:
                        break
                else:
                    report.kinks.append(label)
                    continue
                numeric, noise = found
                exact = float(to_numpy(analytic[s]) @ r)
                scale = max(abs(numeric), abs(exact), noise / tolerance)
                report.rows.append(GradientRow(label, numeric, exact, abs(numeric - exact) / scale if scale else 0.0))
    finally:
        params.theta[...] = theta
    return report


def _directions(
    name: str, shape: tuple[int, ...], per_entry: bool, rng: np.random.Generator
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """What to check of a parameter: (label, directions to try in turn)."""
    if not per_entry:
        n = prod(shape)
        yield name, [rng.choice([-1.0, 1.0], size=n) * rng.uniform(0.5, 1.5, size=n) for _ in range(_DIRECTIONS)]
        return
    for i, unit in enumerate(np.eye(prod(shape))):
        yield f"{name}[{', '.join(map(str, np.unravel_index(i, shape)))}]", [unit]


def _along(loss: Callable[[], Array], params: Params, s: slice, start: Array, r: Array) -> Callable[[float], float]:
    """f(t) = the loss with the parameter in slice s moved to start + t r."""

    def f(t: float) -> float:
        params.theta[s] = start + t * r
        return float(loss())

    return f


def _derivative(f: Callable[[float], float], center: float, tolerance: float) -> tuple[float, float] | None:
    """f'(0) and the rounding noise in it, or None if f has a kink at 0 or as near to it as can be told.

    Smooth f:  first differences D(h), D(2h) differ by O(h^2), second differences S(h) = [f(h) - 2 f(0) + f(-h)] / h and
    S(2h) / 2 by O(h^3). A kink between -2h and 2h leaves its mark on at least one of the two.
    """
    for h in _STEPS:
        minus2, minus, plus, plus2 = f(-2 * h), f(-h), f(h), f(2 * h)
        near, far = (plus - minus) / (2 * h), (plus2 - minus2) / (4 * h)
        bend_near, bend_far = (plus - 2 * center + minus) / h, (plus2 - 2 * center + minus2) / (2 * h)
        numeric = (4 * near - far) / 3
        noise = 16 * np.finfo(np.float64).eps * max(abs(center), abs(plus2), abs(minus2)) / h
        allowed = noise + 0.1 * tolerance * abs(numeric)
        if not isfinite(numeric):
            return numeric, noise
        if abs(far - near) <= allowed and abs(bend_far - 2 * bend_near) <= 4 * allowed:
            return numeric, noise
    return None
