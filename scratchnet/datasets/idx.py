"""A reader for IDX, the format of the MNIST files, plain or gzipped. Every field is checked.

A file has two zero bytes, one byte for the type, one for the number of dimensions, the dimensions as big-endian uint32,
then the entries in C order, big-endian, and nothing after them.
Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np

__all__ = ["gunzip", "parse_idx", "read_idx"]

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """The array in an IDX file, plain or gzipped, as a NumPy array in this machine's byte order.

    The dtype is the file's: uint8 for MNIST's images, (n, 28, 28), and labels, (n,); or int8, int16, int32, float32,
    float64.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not an IDX file, or is damaged; the message names the file and what is wrong with it.
    """
    return parse_idx(gunzip(Path(path).read_bytes(), str(path)), str(path))


def gunzip(data: bytes, name: str) -> bytes:
    """``data`` decompressed if its first two bytes are gzip's, else unchanged; ``name`` is for error messages."""
    if not data.startswith(_GZIP_MAGIC):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{name} is a damaged gzip file ({error}); download it again") from None


def parse_idx(data: bytes, name: str) -> np.ndarray:
    """The array in the bytes of an IDX file: a read-only view where the byte order allows; see :func:`read_idx`."""
    if len(data) < 4:
        raise ValueError(f"{name} is not an IDX file: it has {len(data)} bytes, and the magic number alone takes 4")
    zeros, code, ndim = data[:2], data[2], data[3]
    if zeros != b"\0\0":
        raise ValueError(f"{name} is not an IDX file: it starts with the bytes {data[:4].hex(' ')}, not with 00 00")
    if code not in _TYPES:
        known = ", ".join(f"{c:02x}" for c in _TYPES)
        raise ValueError(f"{name} has the unknown IDX type {code:02x} in its third byte; known types are {known}")
    start = 4 + 4 * ndim
    if ndim == 0 or len(data) < start:
        problem = "no dimensions" if ndim == 0 else f"{ndim} dimensions, but ends before their sizes"
        raise ValueError(f"{name} is a damaged IDX file: its header says {problem}")
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", ndim, offset=4))
    dtype = np.dtype(_TYPES[code])
    expected, found = math.prod(shape) * dtype.itemsize, len(data) - start
    if found < expected:
        raise ValueError(f"{name} is truncated: shape {shape} needs {expected} bytes after the header, it has {found}")
    if found > expected:
        raise ValueError(f"{name} has {found - expected} bytes too many after the {expected} that shape {shape} needs")
    array = np.frombuffer(data, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)
