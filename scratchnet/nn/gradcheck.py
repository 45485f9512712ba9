"""Is a hand-written gradient the gradient of its loss? Finite differences of the loss tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf, isfinite, prod
from typing import NamedTuple

import numpy as np

from scratchnet.backend import Array, get_xp, to_numpy
from scratchnet.nn.params import Params

__all__ = ["TOLERANCE", "GradientReport", "GradientRow", "check_gradient"]

TOLERANCE = 1e-7
_STEPS = (1e-3, 1e-4, 1e-5, 1e-6)  # the longest first: long ones round less, short ones cross fewer kinks
_DIRECTIONS = 3  # the next one is tried where every step crosses a kink


class GradientRow(NamedTuple):
    """The derivative of the loss along one direction, by differences and by the backward pass.

    Attributes
    ----------
    name : str
        The parameter, or the entry of it: "0.W", "0.W[2, 3]".
    numeric, analytic : float
        By central differences; grad . direction.
    error : float
        Their relative difference, as :func:`check_gradient` defines it.
    """

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
        What could not be checked: the loss is not differentiable at this very point (a ReLU at exactly 0).
    tolerance : float
    """

    rows: list[GradientRow]
    kinks: list[str]
    tolerance: float

    @property
    def max_error(self) -> float:
        """The largest error (NaN counts as infinite); 0 if there are no rows."""
        return max((row.error if row.error == row.error else inf for row in self.rows), default=0.0)

    @property
    def ok(self) -> bool:
        """Everything could be checked, and every error is below ``tolerance``."""
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

    For every named parameter one random direction r is drawn, with entries of either sign and of size 0.5 to 1.5: every
    entry counts, and no simple error is orthogonal to it (balanced +-1s would cancel the same constant added to every
    entry). The derivative along it, grad . r, is compared with a central difference of fourth order,

        f'(0) = [8 (f(h) - f(-h)) - (f(2h) - f(-2h))] / 12h + O(h^4),    f(t) = loss at theta + t r.

    So the report names the parameter whose gradient is wrong. Where there is a kink between these points (first and
    second differences at h and 2h disagree), the step shrinks, then another direction is drawn; where the point itself
    is a kink, the report says so. Kinks are found from the loss alone: a wrong gradient cannot pass for one.

    Parameters
    ----------
    loss : callable
        The loss at the current ``params.theta``, the same number at every call: noise must be fixed outside.
    params : Params
        Its ``grad`` must hold the gradient at the current ``theta``: run the backward pass first. float64.
    per_entry : bool
        Check every entry by itself instead (4 losses per entry), to see *where* in a matrix the gradient is wrong.
    tolerance : float
        Relative error below which a derivative counts as right.
    seed : int
        Of the directions.

    Returns
    -------
    GradientReport
        ``error`` is |numeric - analytic| / max(|numeric|, |analytic|), or over the rounding noise of the loss divided
        by ``tolerance`` where both derivatives are smaller than that.

    Raises
    ------
    ValueError
        If the parameters are not float64, or two calls of ``loss()`` differ.

    Examples
    --------
    >>> import numpy as np
    >>> params = Params.of(w=np.array([1.0, -2.0]))
    >>> w, dw = params.views["w"]
    >>> dw[...] = 2 * w
    >>> check_gradient(lambda: (w**2).sum(), params).ok
    True
    >>> dw[...] = 3 * w
    >>> check_gradient(lambda: (w**2).sum(), params).ok
    False
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
    """f'(0) and the rounding noise in it, or None if f has a kink at 0, or nearer to 0 than the smallest step.

    For a smooth f first differences D(h), D(2h) differ by O(h^2), second differences S(h) = [f(h) - 2 f(0) + f(-h)] / h
    and S(2h) / 2 by O(h^3). A kink between -2h and 2h makes at least one of the two larger.
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
