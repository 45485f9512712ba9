"""The IDX parser: every field of the header by hand, every way to be damaged."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from scratchnet.datasets.idx import parse_idx, read_idx

TWO_BY_THREE = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255])
PACKED = gzip.compress(TWO_BY_THREE, mtime=0)  # no time stamp: the names of the tests are the same in every process


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
@pytest.mark.parametrize("name", ["a-idx2-ubyte", "a.gz"])  # recognised by content, not by name
def test_reads_plain_and_gzipped(tmp_path, pack, name):
    (tmp_path / name).write_bytes(pack(TWO_BY_THREE))
    a = read_idx(tmp_path / name)
    assert a.dtype == np.uint8
    np.testing.assert_array_equal(a, [[1, 2, 3], [4, 5, 255]])
    np.testing.assert_array_equal(read_idx(str(tmp_path / name)), a)


@pytest.mark.parametrize(
    ("code", "body", "dtype", "value"),
    [
        (0x08, "ff", np.uint8, 255),
        (0x09, "ff", np.int8, -1),
        (0x0B, "fffe", np.int16, -2),
        (0x0C, "00010000", np.int32, 65536),
        (0x0D, "3fc00000", np.float32, 1.5),
        (0x0E, "c004000000000000", np.float64, -2.5),
    ],
)
def test_every_type_in_native_byte_order(code, body, dtype, value):
    a = parse_idx(bytes([0, 0, code, 1, 0, 0, 0, 1]) + bytes.fromhex(body), "f")
    assert a.dtype == dtype
    assert a.dtype.isnative
    assert a.tolist() == [value]


def test_an_empty_set_has_its_shape():
    assert parse_idx(bytes([0, 0, 8, 2, 0, 0, 0, 0, 0, 0, 0, 3]), "f").shape == (0, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an IDX file: it has 0 bytes, and"),
        (b"\0\0\x08", "not an IDX file: it has 3 bytes, and"),
        (b"PK\3\4" + bytes(20), "starts with the bytes 50 4b 03 04, not with 00 00"),
        (b"\0\1\x08\1" + bytes(8), "starts with the bytes 00 01 08 01"),
        (b"\0\0\x0a\1" + bytes(8), "unknown IDX type 0a .*known types are 08, 09, 0b, 0c, 0d, 0e"),
        (b"\0\0\x08\0\1", "its header says no dimensions"),
        (b"\0\0\x08\2\0\0\0\2", "its header says 2 dimensions, but ends before their sizes"),
        (TWO_BY_THREE[:-1], r"truncated: shape \(2, 3\) needs 6 bytes after the header, it has 5"),
        (TWO_BY_THREE + b"\0\0", r"2 bytes too many after the 6 that shape \(2, 3\) needs"),
        (bytes([0, 0, 14, 3] + [255] * 12), r"truncated: shape \(4294967295, 4294967295, 4294967295\)"),
        (PACKED[:-9], "damaged gzip file .*download it again"),
        (PACKED + b"x", "damaged gzip file"),
        (b"\x1f\x8b" + bytes(30), "damaged gzip file"),
        (PACKED[:12] + b"\xff\xff" + PACKED[14:], "damaged gzip file"),
    ],
)
def test_each_damage_has_its_message_and_the_name(tmp_path, data, message):
    path = tmp_path / "images"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        read_idx(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nothing")
