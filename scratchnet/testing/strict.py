"""A test double of CuPy: it computes with NumPy and behaves like CuPy.

Where releases of CuPy differ, the double does as the strictest of them. As in CuPy,

- arrays from the host are copied; results are always arrays, never Python or NumPy scalars, even that of ``allclose``;
- results of elementwise operations are in C order, matrices from ``linalg`` in Fortran order;
- float32 numbers below 1.2e-38 are 0, because CuPy compiles all kernels with ``-ftz=true``. (The double sets them to 0
  in arrays from the host and in the results of ``exp``, powers and ``astype``.)

It refuses

- implicit conversion to NumPy (``np.asarray(a)``, ``np.exp(a)``), and NumPy arrays or lists as operands;
- names, methods and keyword arguments that CuPy does not have;
- ``matmul(out=)`` into an array that is not C-contiguous or not of the exact dtype; ``a[i] = v`` with repeated ``i``,
  which is undefined in CuPy; random draws into ``out=`` without ``size=``, which CuPy fills with one repeated number;
- inside :func:`no_host_sync`, every operation that makes the host wait for the device: ``float(a)``, ``if a:``,
  ``a.get()``, boolean masks, ``nonzero``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.random import Generator

from scratchnet import backend

__all__ = ["HostSyncError", "StrictArray", "count_host_syncs", "no_host_sync", "strict"]


class HostSyncError(RuntimeError):
    """The host would have waited for the device inside :func:`no_host_sync`."""


class _Syncs:
    forbidden = False
    seen: list[str] = []  # noqa: RUF012  (one list for the whole process, on purpose)


@contextmanager
def no_host_sync() -> Iterator[None]:
    """Inside the block every host synchronisation of a strict array raises :class:`HostSyncError`."""
    before, _Syncs.forbidden = _Syncs.forbidden, True
    try:
        yield
    finally:
        _Syncs.forbidden = before


@contextmanager
def count_host_syncs() -> Iterator[list[str]]:
    """Yields a list, to which every operation in the block that waits for the device appends its name."""
    before, _Syncs.seen = _Syncs.seen, []
    try:
        yield _Syncs.seen
    finally:
        _Syncs.seen = before


def _sync(what: str) -> None:
    if _Syncs.forbidden:
        raise HostSyncError(f"{what} makes the host wait for the device, which no_host_sync() forbids")
    _Syncs.seen.append(what)


# ---------------------------------------------------------------------------------------------------------------------
# What CuPy has and what it lacks
# ---------------------------------------------------------------------------------------------------------------------


_HEAD, _, _TEXT = files("scratchnet.testing").joinpath("cupy_names.txt").read_text().partition("[")
_NAMES = {s.partition("]")[0]: frozenset(s.partition("]")[2].split()) for s in _TEXT.split("[")}
_LACKS = {name: frozenset(words.split(",")) for name, _, words in (w.partition(":") for w in _NAMES["lacks"])}
_UFUNC_LACKS = frozenset({"where", "order", "subok", "signature", "sig", "axes", "axis", "keepdims"})
_WAITS = frozenset({"nonzero", "argwhere", "flatnonzero", "unique", "extract", "bincount", "argpartition", "partition"})
_WAITS |= {"digitize", "histogram", "delete", "setdiff1d", "union1d", "intersect1d", "place", "ravel_multi_index"}
_TRUTH = frozenset({"allclose", "array_equal", "array_equiv"})  # return 0-d arrays
_FORTRAN = frozenset({"eigh", "qr", "solve", "svd"})  # from linalg
_C_ORDER = frozenset({"where", "clip", "round", "around", "isclose", "nan_to_num"})  # as do all ufuncs
_UNDERFLOWS = frozenset({"exp", "exp2", "power", "square", "astype"})  # can return tiny numbers
_SMALLEST = np.finfo(np.float32).tiny
_NOTHING: frozenset[str] = frozenset()
_FROM_HOST = frozenset({"array", "asarray", "ascontiguousarray"})  # the explicit ways to move an array to the device


def _to_device(value: Any) -> Any:
    """A NumPy result as strict arrays, never NumPy scalars."""
    if isinstance(value, np.ndarray | np.generic):
        return StrictArray._wrap(np.asarray(value))
    if isinstance(value, tuple):
        return tuple(_to_device(v) for v in value)
    if isinstance(value, list):
        return [_to_device(v) for v in value]
    return value


def _to_inside(value: Any, what: str) -> Any:
    """An argument for NumPy, with strict arrays unwrapped; NumPy arrays are refused, as CuPy does."""
    if isinstance(value, StrictArray):
        return value._a
    if isinstance(value, np.ndarray):
        raise TypeError(f"{what}: Unsupported type numpy.ndarray; mixing needs an explicit asarray() or to_numpy()")
    if isinstance(value, tuple):
        return tuple(_to_inside(v, what) for v in value)
    if isinstance(value, list):
        return [_to_inside(v, what) for v in value]
    return value


def _as_kernels_leave_it(a: np.ndarray) -> np.ndarray:
    """Set tiny float32 entries of ``a`` to 0, in place."""
    if a.dtype == np.float32:
        a[np.abs(a) < _SMALLEST] = 0
    return a


def _call(function: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    lacks = _UFUNC_LACKS if isinstance(function, np.ufunc) else _LACKS.get(name, _NOTHING)
    if refused := lacks.intersection(kwargs):
        raise TypeError(f"{name}: CuPy has no keyword argument {sorted(refused)}")
    if name in _WAITS or (name == "where" and len(args) == 1):
        _sync(name)
    if isinstance(function, np.ufunc) and any(isinstance(a, list | tuple) for a in args):
        raise TypeError(f"{name}: Unsupported type list; CuPy's ufuncs take arrays and scalars")
    out = kwargs.get("out")
    if out is not None and kwargs.get("size") is None and isinstance(getattr(function, "__self__", None), Generator):
        raise TypeError(f"{name}: without size CuPy draws one number and fills out with it; pass size=out.shape")
    inner = tuple(_to_inside(a, name) for a in args), {k: _to_inside(v, name) for k, v in kwargs.items()}
    if out is not None and name in ("matmul", "dot"):
        exact = np.result_type(*inner[0])
        if not out.flags.c_contiguous or out.dtype != exact:
            raise ValueError(f"{name}: out must be C-contiguous and of dtype {exact}, got {out.dtype}")
    result = function(*inner[0], **inner[1])
    if name in _UNDERFLOWS:
        result = _as_kernels_leave_it(np.asarray(result))
    if out is not None:
        return out
    if name in _TRUTH or ((name in _C_ORDER or isinstance(function, np.ufunc)) and not isinstance(result, tuple)):
        result = np.asarray(result, order="C")
    elif name in _FORTRAN:
        parts = tuple(np.asarray(r, order="F") for r in (result if isinstance(result, tuple) else (result,)))
        result = parts if isinstance(result, tuple) else parts[0]
    return _to_device(result)


# ---------------------------------------------------------------------------------------------------------------------
# The array
# ---------------------------------------------------------------------------------------------------------------------


class StrictArray:
    """A NumPy array that behaves like a device array; ``strict.asarray`` makes one, ``.get()`` copies it to NumPy."""

    _a: np.ndarray
    __array_ufunc__ = None  # NumPy's operators and ufuncs then raise instead of converting
    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        raise TypeError("make a StrictArray with scratchnet.testing.strict.asarray(x)")

    @classmethod
    def _wrap(cls, a: np.ndarray) -> StrictArray:
        self = object.__new__(cls)
        self._a = a
        return self

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` (to_numpy)")

    def get(self) -> np.ndarray:
        """A copy on the host."""
        _sync("get")
        return self._a.copy()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in _NAMES["ndarray"]:
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        if name in ("item", "tolist", "nonzero"):
            _sync(name)
            return getattr(self._a, name)
        if name == "flags":
            flags = self._a.flags
            return SimpleNamespace(**{n: getattr(flags, n) for n in ("c_contiguous", "f_contiguous", "owndata")})
        value = getattr(self._a, name)
        if callable(value):
            return lambda *args, **kwargs: _call(value, name, args, kwargs)
        return _to_device(value) if isinstance(value, np.ndarray) else value

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "_a":
            raise AttributeError(f"cannot set {name!r} of a device array")
        object.__setattr__(self, name, value)

    def __getstate__(self) -> np.ndarray:
        return self._a

    def __setstate__(self, a: np.ndarray) -> None:
        self._a = a

    def __deepcopy__(self, memo: Any) -> StrictArray:
        return StrictArray._wrap(self._a.copy())

    def __len__(self) -> int:
        return len(self._a)

    def __iter__(self) -> Iterator[StrictArray]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"strict({self._a!r})"

    # -- these wait for the device ------------------------------------------------------------------------------------

    def __float__(self) -> float:
        _sync("float()")
        return float(self._a)

    def __int__(self) -> int:
        _sync("int()")
        return int(self._a)

    def __index__(self) -> int:
        _sync("index()")
        return operator.index(self._a)

    def __bool__(self) -> bool:
        _sync("bool()")
        return bool(self._a)

    # -- indexing -----------------------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> StrictArray:
        inner = self._key(key)
        value = self._a[inner]
        if not isinstance(value, np.ndarray):  # a 0-d view, where NumPy gives a scalar
            value = self._a[(*inner, ...) if isinstance(inner, tuple) else (inner, ...)]
        return StrictArray._wrap(value)

    def __setitem__(self, key: Any, value: Any) -> None:
        inner = self._key(key, assign=True)
        if isinstance(inner, np.ndarray) and inner.dtype.kind in "iu" and len(np.unique(inner)) < inner.size:
            raise ValueError("a[i] = v with repeated i is undefined in CuPy")
        self._a[inner] = _to_inside(value, "assignment")

    @staticmethod
    def _key(key: Any, assign: bool = False) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        for part in parts:
            if isinstance(part, list):
                raise TypeError("index with an array of this backend, not with a list")
            if isinstance(part, StrictArray) and part.dtype == bool and not assign:
                _sync("boolean mask")
        return _to_inside(key, "indexing")


def _operator(name: str, inplace: bool) -> Callable[..., Any]:
    function = getattr(operator, name)

    def forward(self: StrictArray, other: Any) -> Any:
        value = function(self._a, _to_inside(_operand(other, name), name))
        return self if inplace else _to_device(np.asarray(value, order="C"))

    return forward


def _reflected(name: str) -> Callable[..., Any]:
    function = getattr(operator, name)
    return lambda self, other: _to_device(
        np.asarray(function(_to_inside(_operand(other, name), name), self._a), order="C")
    )


def _unary(name: str) -> Callable[..., Any]:
    function = getattr(operator, name)
    return lambda self: _to_device(np.asarray(function(self._a), order="C"))


def _operand(value: Any, name: str) -> Any:
    if isinstance(value, list | tuple):
        raise TypeError(f"{name}: Unsupported type {type(value).__name__}")
    return value


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor"):
    _dunder = _name.rstrip("_")
    setattr(StrictArray, f"__{_dunder}__", _operator(_name, False))
    setattr(StrictArray, f"__r{_dunder}__", _reflected(_name))
    setattr(StrictArray, f"__i{_dunder}__", _operator(f"i{_dunder}", True))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(StrictArray, f"__{_name}__", _operator(_name, False))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(StrictArray, f"__{_name}__", _unary(_name))


# ---------------------------------------------------------------------------------------------------------------------
# The module
# ---------------------------------------------------------------------------------------------------------------------


class _Namespace:
    """A NumPy namespace restricted to the names that CuPy has."""

    def __init__(self, name: str, module: Any, section: str, **parts: Any) -> None:
        self.__name__, self._module, self._section = name, module, section
        self.__dict__.update(parts)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in _NAMES[self._section]:
            raise AttributeError(f"module 'cupy' has no attribute {name!r} (tested by {self.__name__})")
        value = getattr(self._module, name)
        if isinstance(value, type) or not callable(value):
            return value
        if name in _FROM_HOST:
            return lambda x, *args, **kwargs: _from_host(value, x, args, kwargs)
        return lambda *args, **kwargs: _call(value, name, args, kwargs)

    def __repr__(self) -> str:
        return f"<test double of cupy: {self.__name__}>"


def _from_host(function: Callable[..., Any], x: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> StrictArray:
    if isinstance(x, StrictArray):
        return _to_device(function(x._a, *args, **kwargs))
    found = function(_nested(x), *args, **kwargs)
    return _to_device(_as_kernels_leave_it(found.copy(order="K") if isinstance(x, np.ndarray) else found))


def _nested(x: Any) -> Any:
    return [_nested(v) for v in x] if isinstance(x, list | tuple) else x._a if isinstance(x, StrictArray) else x


class _Random:
    @staticmethod
    def default_rng(seed: int) -> _Namespace:
        """A generator of the same numbers as NumPy's."""
        return _Namespace("strict.random.Generator", np.random.default_rng(seed), "generator")


strict = _Namespace(
    "strict",
    np,
    "module",
    __version__=_HEAD.split()[4],
    ndarray=StrictArray,
    linalg=_Namespace("strict.linalg", np.linalg, "linalg"),
    random=_Random(),
)

backend._LOADERS["strict"] = lambda: strict
backend._MODULES[StrictArray] = strict
