"""The array layer: which library an array belongs to, and where new arrays are born.

Arrays decide. A function that is handed arrays asks ``xp = get_xp(x)`` and computes with that module, whatever the
switch says. The switch (:func:`use`, :func:`using`, the variable ``SCRATCHNET_BACKEND``) only says where *new* arrays
are born, and is read in three places: data loading, parameter allocation (through :class:`Rng`) and the edge of an
estimator's ``fit``. This is the only file of the package that imports CuPy.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

__all__ = [
    "Array",
    "BackendError",
    "Module",
    "NoiseStream",
    "RandomState",
    "Rng",
    "asarray",
    "backend_module",
    "current_backend",
    "get_xp",
    "raw_kernel",
    "resolve_backend",
    "runs_kernels",
    "to_numpy",
    "use",
    "using",
]

Array: TypeAlias = Any
"""A NumPy or CuPy array; there is no common base class to name."""

Module: TypeAlias = Any
"""``numpy``, ``cupy``, or the strict double of :mod:`scratchnet.testing`."""

RandomState: TypeAlias = "int | np.random.Generator | np.random.RandomState | None"


class BackendError(RuntimeError):
    """A backend was asked for that cannot work here; the message says what is missing and what to install."""


# ---------------------------------------------------------------------------------------------------------------------
# Arrays decide
# ---------------------------------------------------------------------------------------------------------------------

_MODULES: dict[type, Module] = {np.ndarray: np}  # array type -> its module; others join when first seen


def get_xp(*arrays: Array) -> Module:
    """The one array module (``numpy`` or ``cupy``) that all ``arrays`` belong to.

    Raises
    ------
    TypeError
        If an argument is not an array, or if arrays of two libraries are mixed.
    """
    xp = _MODULES.get(type(arrays[0])) or _find_module(arrays[0])
    for a in arrays[1:]:
        if (_MODULES.get(type(a)) or _find_module(a)) is not xp:
            raise TypeError(
                f"mixed array libraries: got {' and '.join(_describe(b) for b in arrays)}. Convert one side: "
                "scratchnet.backend.to_numpy(x) brings an array to NumPy, scratchnet.backend.asarray(x) moves it to "
                f"the current backend ({current_backend()})"
            )
    return xp


def _describe(a: Array) -> str:
    return f"{type(a).__module__.partition('.')[0]}.{type(a).__name__}"


def _find_module(a: Array) -> Module:
    if isinstance(a, np.ndarray):  # np.memmap and other subclasses
        return _MODULES.setdefault(type(a), np)
    if type(a).__module__.partition(".")[0] == "cupy":
        return _MODULES.setdefault(type(a), sys.modules["cupy"])  # whoever holds a CuPy array has imported CuPy
    raise TypeError(f"not a NumPy or CuPy array: {_describe(a)}. Convert it with scratchnet.backend.asarray(x)")


def asarray(x: Any, dtype: Any = None, xp: Module | None = None) -> Array:
    """``x`` as an array of the current backend, or of ``xp`` where given; copied only if it has to move or change.

    Parameters
    ----------
    x : array_like
        A NumPy or CuPy array, or anything ``numpy.asarray`` takes.
    dtype : dtype, optional
        The wanted type; by default float32 and float64 stay what they are, as does everything else.
    """
    xp = xp if xp is not None else backend_module()
    if _is_array(x) and get_xp(x) is not xp and xp is np:
        x = to_numpy(x)
    return xp.asarray(x if _is_array(x) else np.asarray(x), dtype=dtype)


def to_numpy(x: Any) -> np.ndarray:
    """``x`` as a NumPy array on the host; a NumPy array comes back unchanged, anything else is converted."""
    if _is_array(x) and get_xp(x) is not np:
        return x.get()
    return np.asarray(x)


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray) or type(x) in _MODULES or type(x).__module__.partition(".")[0] == "cupy"


# ---------------------------------------------------------------------------------------------------------------------
# The switch says where arrays are born
# ---------------------------------------------------------------------------------------------------------------------


def _load_cupy() -> Module:
    """CuPy, if it is installed, finds a driver, and finds a GPU that answers; else the error that says which."""
    try:
        import cupy
    except ImportError as error:
        raise BackendError(
            f"CuPy is not installed ({error}). Install it for your CUDA version: pip install 'scratchnet[gpu-cuda12]' "
            "or pip install 'scratchnet[gpu-cuda13]'; or use the backend 'numpy'"
        ) from error
    runtime, reason = cupy.cuda.runtime, "it lists none"
    try:
        if runtime.driverGetVersion() == 0:
            raise BackendError(
                f"CuPy {cupy.__version__} is installed, but no NVIDIA driver was found. Install the driver for your "
                "GPU (nvidia-smi shows whether one is there); in a container, start it with GPU access; or use the "
                "backend 'numpy'"
            )
        if runtime.getDeviceCount() > 0:
            cupy.zeros(1).sum().item()  # a GPU that is listed but computes nothing is no GPU
            return cupy
    except BackendError:
        raise
    except Exception as error:  # CUDA's own errors, or a part of the toolkit that CuPy misses when it compiles
        reason = f"{type(error).__name__}: {error}"
    raise BackendError(
        f"CuPy and an NVIDIA driver are installed, but no GPU answers: {reason}. Check nvidia-smi and "
        "CUDA_VISIBLE_DEVICES, that the driver is new enough for CuPy's CUDA, and that the CUDA toolkit is there (pip "
        "install 'cupy-cuda12x[ctk]' brings it along); or use the backend 'numpy'"
    )


_LOADERS: dict[str, Callable[[], Module]] = {"numpy": lambda: np, "cupy": _load_cupy}
_loaded: dict[str, Module] = {}

_process_wide: str | None = None  # set by use()
_in_this_context: ContextVar[str | None] = ContextVar("scratchnet_backend", default=None)  # set by using()


def resolve_backend(name: str) -> str:
    """``name`` checked and ready: "numpy", "cupy", or "auto", which is CuPy where a GPU really answers, else NumPy.

    Raises
    ------
    ValueError
        If there is no such backend.
    BackendError
        If it cannot work on this machine.
    """
    if name == "auto":
        try:
            return resolve_backend("cupy")
        except BackendError:
            return "numpy"
    if name not in _LOADERS:
        raise ValueError(f"backend={name!r} is unknown; choose one of {sorted([*_LOADERS, 'auto'])}")
    if name not in _loaded:
        _loaded[name] = _LOADERS[name]()
    return name


def use(name: str) -> None:
    """Choose the backend of this process: "numpy", "cupy" or "auto" (CuPy where a GPU answers, else NumPy)."""
    global _process_wide
    _process_wide = resolve_backend(name)


@contextmanager
def using(name: str) -> Iterator[str]:
    """``with using("cupy"):`` chooses the backend inside the block, for this thread of execution."""
    token = _in_this_context.set(resolve_backend(name))
    try:
        yield current_backend()
    finally:
        _in_this_context.reset(token)


def current_backend() -> str:
    """The name of the backend where new arrays are born: ``using``, else ``use``, else ``SCRATCHNET_BACKEND``, else
    "numpy"."""
    global _process_wide
    chosen = _in_this_context.get() or _process_wide
    if chosen is None:
        name = os.environ.get("SCRATCHNET_BACKEND") or "numpy"
        try:
            chosen = _process_wide = resolve_backend(name)
        except ValueError as error:
            raise ValueError(f"environment variable SCRATCHNET_BACKEND: {error}") from None
    return chosen


def backend_module(name: str | None = None) -> Module:
    """The array module of the backend ``name``, by default the current one."""
    return _loaded[resolve_backend(name if name is not None else current_backend())]


# ---------------------------------------------------------------------------------------------------------------------
# Kernels
# ---------------------------------------------------------------------------------------------------------------------


def runs_kernels(a: Array) -> bool:
    """Whether the kernels of :mod:`scratchnet.kernels.cuda` run on ``a``: on CuPy arrays, not on doubles of them."""
    return type(a) is not np.ndarray and hasattr(get_xp(a), "RawKernel")


@cache
def raw_kernel(xp: Module, source: str, name: str, options: tuple[str, ...]) -> Callable[..., None]:
    """The function ``name`` of a CUDA ``source``: ``kernel(grid, block, args)``. Compiled when it is first launched;
    CuPy keeps what it has compiled on disk."""
    return xp.RawKernel(source, name, options)


# ---------------------------------------------------------------------------------------------------------------------
# Random numbers
# ---------------------------------------------------------------------------------------------------------------------


class Rng:
    """Two streams from one seed.

    ``host`` is a ``numpy.random.Generator`` for everything whose result must not depend on the backend: weights,
    shuffles, k-means++. :meth:`standard_normal` and :meth:`random` draw noise where the arrays live; they are called as
    those of a NumPy generator. Nothing in scratchnet touches a global generator.

    Parameters
    ----------
    seed : int, numpy.random.Generator, numpy.random.RandomState or None
        None takes fresh entropy from the operating system; a generator is drawn from once.
    xp : module, optional
        Where the noise and the parameters built with this object are born; by default the current backend.

    Examples
    --------
    >>> Rng(0, np).standard_normal((2, 3), dtype="float32").shape
    (2, 3)
    """

    def __init__(self, seed: RandomState | np.random.SeedSequence = None, xp: Module | None = None) -> None:
        self.xp = xp if xp is not None else backend_module()
        self._seed = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(_entropy(seed))
        host, self._device_seed = self._seed.spawn(2)
        self.host = np.random.default_rng(host)

    @cached_property
    def device(self) -> Any:
        """The generator of noise, made when it is first wanted: CuPy's sets up a quarter of a million states."""
        return self.xp.random.default_rng(int(self._device_seed.generate_state(1, np.uint64)[0]))

    def spawn(self) -> Rng:
        """Two more streams, independent of these: what is drawn from one never moves the other."""
        return Rng(self._seed.spawn(1)[0], self.xp)

    def noise_stream(self) -> NoiseStream:
        """Noise by address, independent of all other streams."""
        low, high = self._seed.spawn(1)[0].generate_state(2, np.uint64)
        return NoiseStream(int(low) + (int(high) << 64), self.xp)

    def standard_normal(self, size: tuple[int, ...], dtype: DTypeLike = "float64") -> Array:
        """Draws from N(0, 1)."""
        return self.device.standard_normal(size=size, dtype=np.dtype(dtype))

    def random(self, size: tuple[int, ...], dtype: DTypeLike = "float64") -> Array:
        """Draws from the uniform distribution on [0, 1)."""
        return self.device.random(size=size, dtype=np.dtype(dtype))

    def fill_normal(self, out: Array) -> Array:
        """Fill the C-contiguous float array ``out`` with draws from N(0, 1) and return it."""
        self.device.standard_normal(size=out.shape, dtype=out.dtype, out=out)  # without size CuPy draws one number
        return out

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"xp": self.xp.__name__}  # modules do not pickle

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, xp=backend_module(state["xp"]))


class NoiseStream:
    """Noise by address: what is drawn at (epoch, step, block) does not depend on who draws it, or on what was drawn
    before.

    On the host a counter-based generator, Philox (Salmon et al. 2011, "Parallel random numbers"), is moved to the
    address: the seed is its key, (0, block, step, epoch) its counter. That takes 4 microseconds; making a generator
    takes 20.

    On a device making a generator costs more than a training step and none can be moved. There an epoch has one
    generator, drawn from in the order of the calls: of steps, and within a step of blocks.

    Parameters
    ----------
    key : int
        The seed, below 2^128.
    xp : module
        Where the noise is born.

    Examples
    --------
    >>> stream = NoiseStream(7)
    >>> first = stream.at(epoch=1, step=5).standard_normal((3,))
    >>> bool((NoiseStream(7).at(epoch=1, step=5).standard_normal((3,)) == first).all())
    True
    """

    def __init__(self, key: int, xp: Module = np) -> None:
        self.key, self.xp = key, xp
        self.sequential = xp is not np
        self._address = (0, 0, 0)
        self._moved, self._epoch = True, -1
        self._current: Any = None

    def at(self, epoch: int, step: int = 0, block: int = 0) -> NoiseStream:
        """This stream, moved to an address."""
        self._address, self._moved = (epoch, step, block), True
        return self

    def fork(self) -> NoiseStream:
        """The same numbers for another thread; on a device this very stream, since there is one order of draws."""
        return self if self.sequential else type(self)(self.key, self.xp)

    def standard_normal(self, size: tuple[int, ...], dtype: DTypeLike = "float64") -> Array:
        """Draws from N(0, 1)."""
        return self._generator().standard_normal(size=size, dtype=np.dtype(dtype))

    def random(self, size: tuple[int, ...], dtype: DTypeLike = "float64") -> Array:
        """Draws from the uniform distribution on [0, 1)."""
        return self._generator().random(size=size, dtype=np.dtype(dtype))

    def _generator(self) -> Any:
        if not self._moved:
            return self._current
        self._moved, (epoch, step, block) = False, self._address
        if self.sequential:
            if epoch != self._epoch:
                seed = np.random.SeedSequence([self.key, epoch]).generate_state(1, np.uint64)[0]
                self._epoch, self._current = epoch, self.xp.random.default_rng(int(seed))
            return self._current
        if self._epoch < 0:  # the first draw
            self._bits = np.random.Philox(key=self.key)
            self._state: Any = self._bits.state
            self._epoch, self._current = 0, np.random.Generator(self._bits)
        self._state["state"]["counter"][:] = 0, block, step, epoch
        self._bits.state = self._state
        return self._current

    def __reduce__(self) -> tuple[Any, ...]:
        if self.sequential:
            raise TypeError("the noise of a device has one order of draws and cannot be sent elsewhere")
        return type(self), (self.key,)


def _entropy(seed: RandomState) -> int | None:
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**63))
    if isinstance(seed, np.random.RandomState):
        return int(seed.randint(2**31 - 1))
    if seed is None or (isinstance(seed, (int, np.integer)) and seed >= 0):
        return None if seed is None else int(seed)
    raise ValueError(f"random_state={seed!r} is no seed; pass a non-negative integer, a NumPy generator, or None")
