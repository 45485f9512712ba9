"""Every formula against all its twins: on NumPy, and on a GPU or the CPU emulation of its kernels.

``ARGUMENTS`` says with what each is called. A function with a twin and without an entry there fails a test; to add one,
write a maker in the section of its package:

    @arguments("nn.optimizers.adam", updated=(0, 2, 3))
    def adam(B, d, draw):
        return draw(B * d), draw(B * d), ...

It is called for every size and dtype, with ordinary numbers and with extreme ones: ``draw(*shape)`` gives normal
numbers, or some with zeros, +-1000 and +-1e-6 among them, and ``draw.unit(*shape)`` numbers in [0, 1], both as NumPy
arrays. Arguments may be arrays, numbers, and tuples of these.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import numpy as np
import pytest

import scratchnet
import scratchnet as sn
from scratchnet.backend import asarray, to_numpy
from scratchnet.cluster.geometry import Cosine, Euclidean
from scratchnet.cluster.steps import Path, Units
from scratchnet.kernels import twins
from scratchnet.kernels.host import nn as host
from scratchnet.manifold.perplexity import SearchLimits
from scratchnet.manifold.sne import augmented
from scratchnet.testing import no_host_sync

for _module in walk_packages(scratchnet.__path__, "scratchnet."):
    if not _module.name.startswith(("scratchnet.tour", "scratchnet.plots", "scratchnet.__main__")):
        import_module(_module.name)

SIZES = [(1, 1), (2, 3), (3, 33), (37, 129), (130, 20), (257, 300)]  # (B, d); the last is longer than a cache block
TOLERANCE = {"float32": 4e-6, "float64": 1e-13}  # of one entry: a few roundings


@dataclass
class Arguments:
    """How a formula and its twins are called, and what may become of the arguments.

    Attributes
    ----------
    make : (B, d, draw) -> tuple
        The arguments.
    written : positions
        Arguments that the formula itself writes into, as its twins do; compared after the call.
    updated : positions
        Arguments that a twin may update in place and return, where the formula returns a new array.
    sums : bool
        Entries are sums that may cancel: they are compared in units of the largest.
    waits : bool
        The twin on a device may wait for it.
    tolerance : float, optional
        Of the result of a search, which ends when it is near enough, in place of ``TOLERANCE``.
    compare : result -> result
        What of the result has to agree.
    """

    make: Callable[..., tuple[Any, ...]]
    written: tuple[int, ...] = ()
    updated: tuple[int, ...] = ()
    sums: bool = False
    waits: bool = False
    tolerance: float | None = None
    compare: Callable[[Any], Any] = lambda result: result


ARGUMENTS: dict[str, list[Arguments]] = {}


def arguments(name: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enters a maker into the table; a name may have several."""

    def enter(make: Callable[..., Any]) -> Callable[..., Any]:
        ARGUMENTS.setdefault(name, []).append(Arguments(make, **options))
        return make

    return enter


class Draw:
    """Numbers for one call; the same ones for the same size, dtype and kind."""

    def __init__(self, B: int, d: int, dtype: str, extreme: bool) -> None:
        self.rng, self.dtype, self.extreme = np.random.default_rng(1000 * B + d), dtype, extreme

    def __call__(self, *shape: int) -> np.ndarray:
        return self._some(self.rng.standard_normal(shape), [0, 1000, -1000, 1e-6, -1e-6])

    def unit(self, *shape: int) -> np.ndarray:
        return self._some(self.rng.random(shape), [0, 1, 1e-6])

    def _some(self, a: np.ndarray, outliers: list[float]) -> np.ndarray:
        """A third of the entries of ``a`` are outliers, if extreme numbers are wanted."""
        if self.extreme:
            a = np.where(self.rng.random(a.shape) < 1 / 3, self.rng.choice(outliers, a.shape), a)
        return a.astype(self.dtype)


# -- nn ----------------------------------------------------------------------------------------------------------------


@arguments("nn.layers.dense", sums=True)
def dense(B, d, draw):
    return draw(B, d), draw(d, 7), draw(7)


@arguments("nn.layers.dense_backward", written=(3, 4), sums=True)
def dense_backward(B, d, draw):
    return draw(B, 7), draw(B, d), draw(d, 7), draw(d, 7), draw(7), True


@arguments("nn.layers.dense_backward", written=(3, 4), sums=True)
def dense_backward_of_a_first_layer(B, d, draw):
    return draw(B, 7), draw(B, d), draw(d, 7), draw(d, 7), draw(7), False


@arguments("nn.activations.relu_grad")
def relu_grad(B, d, draw):
    return draw(B, d), np.maximum(draw(B, d), 0)


@arguments("nn.activations.softplus")
def softplus(B, d, draw):
    return (draw(B, d),)


@arguments("nn.losses._bce_rows", sums=True)
def bce_rows(B, d, draw):
    return 3 * draw(B, d), draw.unit(B, d)


@arguments("nn.losses._bce_grad")
def bce_grad(B, d, draw):
    return 3 * draw(B, d), draw.unit(B, d)


@arguments("nn.gaussian.reparameterize")
def reparameterize(B, d, draw):
    return draw(B, 2 * d).clip(-60, 60), draw(B, d)


@arguments("nn.gaussian.reparameterize_grad")
def reparameterize_grad(B, d, draw):
    return draw(B, d), draw(B, 2 * d), draw(B, d), draw(B, d) ** 2, 0.7


@arguments("nn.gaussian.reparameterize_grad")
def a_weight_for_each_latent(B, d, draw):
    """Free bits switch the KL's share off latent by latent."""
    return draw(B, d), draw(B, 2 * d), draw(B, d), draw(B, d) ** 2, draw.unit(d).round()


@arguments("nn.optimizers.momentum", updated=(0, 2))
def momentum(B, d, draw):
    return draw(B * d), draw(B * d), draw(B * d), 0.9, 1e-2


@arguments("nn.optimizers.adam", updated=(0, 2, 3))
def adam(B, d, draw):
    return draw(B * d), draw(B * d), draw(B * d), draw(B * d) ** 2, 0.9, 0.999, 1e-2, 1e-8


# -- cluster -----------------------------------------------------------------------------------------------------------


def clusters(B, d, draw, geometry):
    """A block of rows with its weights, some of the rows as centres, the units of its sums. Rows repeat: many ties."""
    x = draw(B, d)[draw.rng.integers(0, B, B)]
    if geometry is Cosine:  # at most 1000 long, or directions of float32 are all that is left
        x = np.where(np.abs(x) < 1e-3, 0, x)
    geometry = geometry(np.zeros(d, draw.dtype), shifted=False)
    centers, w = geometry.local(x[: 1 + min(B, 80) // 2]), draw.unit(B)
    units = Units.of(w @ np.abs(geometry.local(x).astype("float64")), float(w.sum()) or 1.0)
    return (x, w, 0), None, centers, geometry, units


def sums_counts_labels(result):
    (sums, counts), (labels, _) = result
    return sums, counts, labels


@arguments("cluster.steps.assign", compare=sums_counts_labels, waits=True)
def assign(B, d, draw):
    arguments = clusters(B, d, draw, Euclidean)
    k = len(arguments[2])
    return *arguments, Path(np.zeros(k), np.zeros(()))


@arguments("cluster.steps.assign_by_angle", compare=sums_counts_labels)
def assign_by_angle(B, d, draw):
    return clusters(B, d, draw, Cosine)


# -- decomposition, manifold -------------------------------------------------------------------------------------------


@arguments("decomposition.scatter.moments", sums=True)
def moments(B, d, draw):
    return draw(B, d), draw(d)


@arguments("manifold.perplexity.calibrate", waits=True, tolerance=3e-5)
def calibrate(B, d, draw):
    distances = draw.rng.standard_normal((B, d + 3)) ** 2  # ties and far points: tests/test_affinities.py
    return distances, 1 + 0.3 * d, d + 3, np.dtype(draw.dtype), SearchLimits()


def numbers(result):
    """The arrays as they are, single numbers in float64: a twin may return them as plain floats."""
    return tuple(v if getattr(v, "ndim", 0) else np.float64(to_numpy(v)) for v in result if v is not None)


def tile(B, d, draw, diagonal, *dof):
    """A tile of P with the points of its rows and its columns; points far out: tests/test_tiles.py."""
    points = augmented(0.5 * draw(B + d, 1 + d % 3).clip(-2, 2))
    P = draw.unit(B, B if diagonal else d)
    if diagonal:
        np.fill_diagonal(P, 0)
    return P, points[:B], points[:B] if diagonal else points[B:], diagonal, *dof


@arguments("manifold.sne.student_forces", sums=True, compare=numbers)
@arguments("manifold.sne.student_cost", sums=True, compare=numbers)
def a_tile_of_tsne(B, d, draw):
    return tile(B, d, draw, False, (1.0, 2.0, 0.5)[B % 3])


@arguments("manifold.sne.student_forces", sums=True, compare=numbers)
@arguments("manifold.sne.student_cost", sums=True, compare=numbers)
def a_tile_of_tsne_on_the_diagonal(B, d, draw):
    return tile(B + 1, d, draw, True, (1.0, 2.0, 0.5)[B % 3])


@arguments("manifold.sne.gaussian_forces", sums=True, compare=numbers)
def a_tile_of_symmetric_sne(B, d, draw):
    return tile(B, d, draw, False)


@arguments("manifold.sne.gaussian_forces", sums=True, compare=numbers)
def a_tile_of_symmetric_sne_on_the_diagonal(B, d, draw):
    return tile(B + 1, d, draw, True)


# -- the tests ---------------------------------------------------------------------------------------------------------


def test_every_twin_is_in_the_table():
    assert sorted(ARGUMENTS) == sorted(twins), "add what is missing to the sections above"


@pytest.mark.parametrize("name", twins)
def test_formula_and_twins_take_the_same_arguments(name):
    formula, *others = (f for f in (twins[name].formula, twins[name].host, twins[name].cuda) if f is not None)
    assert others, "a twin without a twin"
    for other in others:
        expected, got = inspect.signature(formula).parameters, inspect.signature(other).parameters
        assert list(got) == list(expected)
        assert [p.default for p in got.values()] == [p.default for p in expected.values()]


def calls(which):
    """All entries of the table whose function has that twin."""
    cases = [(name, case) for name in ARGUMENTS for case in ARGUMENTS[name] if getattr(twins.get(name), which, None)]
    return pytest.mark.parametrize(
        ("name", "case"), [pytest.param(*c, id=f"{c[0]}-{c[1].make.__name__}") for c in cases]
    )


kinds = pytest.mark.parametrize("extreme", [False, True], ids=["ordinary", "extreme"])
sizes = pytest.mark.parametrize(("B", "d"), SIZES)


@kinds
@sizes
@calls("host")
def test_host(name, case, B, d, extreme, dtype):
    check(twins[name], case, B, d, Draw(B, d, dtype, extreme), np.copy)


@kinds
@sizes
@calls("cuda")
def test_cuda(device, name, case, B, d, extreme, dtype):
    quietly = nullcontext() if case.waits else no_host_sync()
    check(twins[name], case, B, d, Draw(B, d, dtype, extreme), asarray, quietly)


@calls("formula")
def test_formulas_run_on_cupy(name, case, dtype):
    """On its strict double, that is, without kernels."""
    with sn.using("strict"):
        check(twins[name], case, 37, 129, Draw(37, 129, dtype, False), asarray)


def check(function, case, B, d, draw, move, context=None):
    """``function`` on arrays as ``move`` makes them, run in ``context``, beside its formula on NumPy arrays."""
    args = case.make(B, d, draw)
    plain, moved = each(args, np.copy), each(args, move)
    for a in arrays([a for i, a in enumerate(moved) if i not in case.written + case.updated]):
        freeze(a)
    with np.errstate(all="ignore"):
        expected = function.formula(*plain)
        with context or nullcontext():
            returned = function(*moved)

    same(case.compare(returned), case.compare(expected), case.tolerance or TOLERANCE[draw.dtype], case.sums)
    for i, (before, after) in enumerate(zip(args, moved, strict=True)):
        if i in case.written:
            same(after, plain[i], case.tolerance or TOLERANCE[draw.dtype], case.sums)
        elif i not in case.updated or not any(after is a for a in arrays(returned)):
            for a, b in zip(arrays(before), arrays(after), strict=True):
                np.testing.assert_array_equal(a, to_numpy(b), err_msg=f"argument {i} was written to")
        if i not in case.written:
            for a, b in zip(arrays(before), arrays(plain[i]), strict=True):
                np.testing.assert_array_equal(a, b, err_msg=f"the formula wrote into argument {i}")


def same(got, expected, tolerance, sums):
    got, expected = arrays(got), arrays(expected)
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        a = to_numpy(a)
        if b.dtype.kind != "f":
            np.testing.assert_array_equal(a, b)
            continue
        size = max(1, np.abs(b).max(initial=0)) if sums else 1
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * size)


def each(value, f):
    """``value`` with ``f`` of every array in it."""
    if isinstance(value, Euclidean):
        return type(value)(f(value.origin), value.shifted)
    if isinstance(value, tuple):
        entries = [each(v, f) for v in value]
        return type(value)(*entries) if hasattr(value, "_fields") else tuple(entries)
    return f(value) if isinstance(value, np.ndarray) else value


def arrays(value):
    """The arrays in nested tuples and lists."""
    if isinstance(value, tuple | list):
        return [a for v in value for a in arrays(v)]
    return [value] if hasattr(value, "dtype") and hasattr(value, "shape") else []


def freeze(a):
    """Writing into ``a`` raises; the emulator of kernels sees to it for the double. (CuPy has no such flag.)"""
    inner = getattr(a, "_a", a)
    if isinstance(inner, np.ndarray):
        inner.flags.writeable = False


def test_softplus_is_precise_where_it_is_tiny(dtype):
    """log1p(e) and not log(1 + e), which is 0 for x < -17 in float32."""
    x = np.linspace(-80, 20, 100_001).astype(dtype)
    expected = np.logaddexp(0, x.astype("longdouble"))
    error = np.abs(host.softplus(x) / expected - 1).max()
    assert error < 4 * np.finfo(dtype).eps
    np.testing.assert_array_equal(host.softplus(np.array([-np.inf, np.inf, np.nan])), [0, np.inf, np.nan])
