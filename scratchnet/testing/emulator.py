"""CUDA kernels on the CPU: the sources in :mod:`scratchnet.kernels.cuda`, compiled with g++, on strict arrays.

``with kernels_on_cpu():`` adds a ``RawKernel`` like CuPy's to the strict backend. Code that launches a kernel on CuPy
arrays then launches it on strict arrays too. This tests the source, the launch with its arguments, and the use of the
results. It does not test the GPU's compiler, its rounding of ``exp``, or its order of additions.

A launch raises an error where a GPU's behaviour would be undefined:

- an argument of another type than the parameter, or an array that is not C-contiguous;
- a write outside of an array (a read outside returns NaN);
- a thread that waits for other threads that never arrive.

Blocks and threads run in ascending order, or, inside ``kernels_on_cpu(descending=True)``, in descending order: results
that differ by more than rounding show that a ``__syncthreads`` is missing.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.resources import files
from itertools import product
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import numpy as np

from scratchnet.kernels import cuda as kernels
from scratchnet.testing.strict import StrictArray, strict

__all__ = ["EmulatedKernel", "every_variant", "kernels_on_cpu", "namespaces", "translation_unit"]

Variant = tuple[str, str, tuple[str, ...]]
"""(source, name, options) of one compiled kernel."""

_GUARD = 256  # bytes before and after every array, all bits 1: NaN if read as a float


def every_variant() -> list[Variant]:
    """All variants of all kernels that the package launches."""
    found = []
    for info in iter_modules(kernels.__path__):
        module = import_module(f"{kernels.__name__}.{info.name}")
        for kernel in (k for k in vars(module).values() if isinstance(k, kernels.CudaKernel)):
            for real, macros in product(("float", "double"), getattr(module, "VARIANTS", ({},))):
                options = (f"-DREAL={real}", *(f"-D{name}={value}" for name, value in macros.items()))
                found.append((kernel.source, kernel.name, options))
    return found


def translation_unit(variants: Sequence[Variant]) -> str:
    """One C++ file with all variants, each source with its options in its own namespace; see :func:`namespaces`."""
    parts = []
    for (source, options), name in namespaces(variants).items():
        macros = [option.removeprefix("-D").partition("=") for option in options]
        parts += [f"#define {macro} {value}" for macro, _, value in macros]
        parts += [f"namespace {name} {{", source.replace('extern "C"', ""), "}"]  # C names must be unique
        own = re.findall(r"^#define (\w+)", source, flags=re.MULTILINE)
        parts += [f"#undef {macro}" for macro in [*own, *(macro for macro, _, _ in macros)]]
    return "\n".join(parts) + "\n"


def namespaces(variants: Sequence[Variant]) -> dict[tuple[str, tuple[str, ...]], str]:
    """The namespace of each (source, options) among the variants."""
    return {key: f"variant_{i}" for i, key in enumerate(dict.fromkeys((s, options) for s, _, options in variants))}


class EmulatedKernel:
    """A replacement for ``cupy.RawKernel`` that runs the kernel on the CPU."""

    descending = False

    def __init__(self, source: str, name: str, options: tuple[str, ...]) -> None:
        variants = every_variant()
        if (source, name, options) not in variants:  # not one of the package's kernels
            variants = [(source, found, options) for found in re.findall(r'extern "C" __global__ void (\w+)', source)]
        library, i = _library(tuple(variants)), variants.index((source, name, options))
        self._launch = getattr(library, f"launch_{i}")
        self._launch.restype = ctypes.c_char_p
        signature = getattr(library, f"signature_{i}")
        signature.restype = ctypes.c_char_p
        self.name, self.parameters = name, signature().decode().split()

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
        (blocks,), (threads,) = grid, block
        if not (0 < blocks < 2**31 and 0 < threads <= 1024 and threads % 32 == 0):
            raise ValueError(f"{self.name}: {blocks} blocks of {threads} threads cannot be launched")
        if (kinds := [_kind(a) for a in args]) != self.parameters:
            raise TypeError(f"{self.name} takes parameters {self.parameters}, got {kinds}")
        memory = _Guarded([a._a for a in args if isinstance(a, StrictArray)])
        values = [
            ctypes.c_uint64(memory.address(a._a)) if isinstance(a, StrictArray) else _bytes(a.tobytes()) for a in args
        ]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
        error = self._launch(ctypes.c_uint(blocks), ctypes.c_uint(threads), pointers, ctypes.c_bool(self.descending))
        if error:
            raise RuntimeError(f"{self.name}: {error.decode()}")
        memory.bring_back(self.name)


def _bytes(value: bytes) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(value, len(value))


def _kind(a: Any) -> str:
    """The kind of an argument, as the header names it. Python numbers have none: CuPy would always pass 8 bytes."""
    if isinstance(a, StrictArray) or a is kernels.NULL:
        return "p8"
    return f"{a.dtype.kind}{a.nbytes}" if isinstance(a, np.generic) else type(a).__name__


class _Guarded:
    """Copies of arrays between guard bytes; arguments that are the same array share one copy."""

    def __init__(self, arrays: list[np.ndarray]) -> None:
        self.copies: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        for a in arrays:
            if not a.flags.c_contiguous:
                raise ValueError(f"kernels ignore strides, and an array of shape {a.shape} is not C-contiguous")
            if self._key(a) in self.copies:
                continue
            if any(np.may_share_memory(a, other) for other, _ in self.copies.values()):
                raise ValueError("two arguments overlap, but are not the same array")
            copy = np.full(a.nbytes + 2 * _GUARD, 255, dtype=np.uint8)
            copy[_GUARD : _GUARD + a.nbytes] = a.reshape(-1).view(np.uint8)
            self.copies[self._key(a)] = a, copy

    @staticmethod
    def _key(a: np.ndarray) -> tuple[int, int]:
        return a.ctypes.data, a.nbytes

    def address(self, a: np.ndarray) -> int:
        return self.copies[self._key(a)][1].ctypes.data + _GUARD

    def bring_back(self, name: str) -> None:
        for a, copy in self.copies.values():
            if (copy[:_GUARD] != 255).any() or (copy[_GUARD + a.nbytes :] != 255).any():
                raise RuntimeError(f"{name} wrote outside of an array of shape {a.shape}")
            if a.flags.writeable:
                a.reshape(-1).view(np.uint8)[...] = copy[_GUARD : _GUARD + a.nbytes]
            elif (a.reshape(-1).view(np.uint8) != copy[_GUARD : _GUARD + a.nbytes]).any():
                raise RuntimeError(f"{name} wrote into a read-only array of shape {a.shape}")


@contextmanager
def kernels_on_cpu(descending: bool = False) -> Iterator[None]:
    """Inside the block the strict backend runs the CUDA kernels, as CuPy does, on the CPU.

    Parameters
    ----------
    descending : bool
        Run blocks and threads in descending order.

    Raises
    ------
    RuntimeError
        At the first launch, if g++ is not installed or rejects a kernel; at any launch whose behaviour on a GPU would
        be undefined (TypeError for arguments of the wrong type, ValueError for arrays that are strided or overlap).
    """
    before = strict.__dict__.get("RawKernel"), EmulatedKernel.descending
    strict.__dict__["RawKernel"], EmulatedKernel.descending = EmulatedKernel, descending
    try:
        yield
    finally:
        kernel, EmulatedKernel.descending = before
        if kernel is None:
            del strict.__dict__["RawKernel"]


@cache
def _library(variants: tuple[Variant, ...]) -> ctypes.CDLL:
    """All variants compiled and loaded: launch_i and signature_i belong to the i-th."""
    compiler = shutil.which("g++")
    if compiler is None:
        raise RuntimeError("kernels_on_cpu needs g++, which was not found; install it")
    where = namespaces(variants)
    launchers = "\n".join(
        f"""extern "C" const char* launch_{i}(unsigned blocks, unsigned threads, void** arguments, bool descending) {{
    return emulator::launch({where[source, options]}::{name}, blocks, threads, arguments, descending);
}}
extern "C" const char* signature_{i}() {{
    static std::string s = emulator::signature({where[source, options]}::{name});
    return s.c_str();
}}"""
        for i, (source, name, options) in enumerate(variants)
    )
    header = files("scratchnet.testing").joinpath("cuda_on_cpu.h").read_text()
    code = header.replace("#pragma once", "") + translation_unit(variants) + launchers
    folder = Path(tempfile.mkdtemp(prefix="scratchnet-"))
    source, library = folder / "kernels.cpp", folder / f"{hashlib.sha1(code.encode()).hexdigest()}.so"
    source.write_text(code)
    options = ("-std=c++20", "-Og", "-ffp-contract=off", "-fPIC", "-shared", "-Wall", "-Werror", "-Wno-unknown-pragmas")
    done = subprocess.run([compiler, *options, source, "-o", library], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"g++ rejects a kernel:\n{done.stderr}")
    loaded = ctypes.CDLL(str(library))
    shutil.rmtree(folder)  # the loaded library no longer needs its file
    return loaded
