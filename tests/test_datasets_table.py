"""The user's own files: what is read, and the message for each way to be wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scratchnet.backend import get_xp, to_numpy
from scratchnet.datasets import load_table

X = np.array([[1.0, 2.5], [3.0, -4.0], [5e-3, 6.0]])


@pytest.fixture
def write(tmp_path):
    """write(text, name) -> path"""

    def write(text, name="table.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return write


def refused(path, error=ValueError, **arguments):
    with pytest.raises(error) as caught:
        load_table(path, **arguments)
    text = str(caught.value)
    assert str(path) in text
    return text.replace(str(path), "FILE")


# -- NumPy's files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "read"),
    [("f4", "f4"), ("f8", "f8"), ("f2", "f4"), ("i8", "f4"), ("u1", "f4"), ("?", "f4"), (">f8", "f8"), (">f4", "f4")],
)
def test_npy_dtypes(xp, tmp_path, stored, read):
    a = np.array([[0, 1], [1, 0], [1, 1]], dtype=stored)
    np.save(tmp_path / "a.npy", a)
    loaded, y = load_table(str(tmp_path / "a.npy"))
    assert get_xp(loaded) is xp
    assert loaded.dtype == np.dtype(read)
    assert y is None
    np.testing.assert_array_equal(to_numpy(loaded), a.astype(float))


def test_fortran_order_and_upper_case_suffix(tmp_path):
    with open(tmp_path / "a.NPY", "wb") as file:
        np.save(file, np.asfortranarray(X))
    np.testing.assert_array_equal(load_table(tmp_path / "a.NPY")[0], X)


@pytest.mark.parametrize(
    ("arrays", "label"),
    [
        ({"X": X}, None),
        ({"data": X}, None),
        ({"X": X, "y": [1, 2, 3]}, None),
        ({"x": X, "y": [1, 2, 3]}, None),
        ({"data": X, "Label": [1, 2, 3]}, None),
        ({"X": X, "target": [1, 2, 3], "names": ["a", "b"]}, None),
        ({"pixels": X, "digit": [1, 2, 3]}, "digit"),
        ({"X": X, "y": [0, 0, 0], "fine": [1, 2, 3]}, "fine"),
    ],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(xp, tmp_path, arrays, label, save):
    save(tmp_path / "a.npz", **arrays)
    loaded, y = load_table(tmp_path / "a.npz", label=label)
    np.testing.assert_array_equal(to_numpy(loaded), X)
    if label is None and not {"y", "Label", "target"} & set(arrays):
        assert y is None
    else:
        assert get_xp(y) is xp
        assert y.dtype == np.int64
        assert y.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("labels", "dtype"), [([1, 2, 3], "int64"), ([True, False, True], "int64"), ([0.5, 1, 2], "float64")]
)
def test_npz_labels(xp, tmp_path, labels, dtype):
    np.savez(tmp_path / "a.npz", X=X, y=np.array(labels))
    _, y = load_table(tmp_path / "a.npz")
    assert get_xp(y) is xp
    assert str(y.dtype) == dtype
    assert y.tolist() == labels


def test_text_labels_stay_numpy_strings(xp, tmp_path):
    np.savez(tmp_path / "a.npz", X=X, y=np.array(["cat", "dog", "5"]))
    _, y = load_table(tmp_path / "a.npz")
    assert isinstance(y, np.ndarray)
    assert y.tolist() == ["cat", "dog", "5"]


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (np.zeros(3), ValueError, "FILE has a 1-D array of shape (3,), not (n_samples, n_features); save X.reshape(-1"),
        (np.zeros((2, 3, 4)), ValueError, "FILE has a 3-D array of shape (2, 3, 4), not (n_samples"),
        (np.float64(1), ValueError, "FILE has a 0-D array of shape ()"),
        (np.zeros((0, 3)), ValueError, "0 sample(s) (n_samples=0, shape=(0, 3))"),
        (np.zeros((3, 0)), ValueError, "0 feature(s) (shape=(3, 0))"),
        (np.array([[1.0, np.nan]]), ValueError, "FILE contains NaN: 1 entries"),
        (np.array([[1.0], [np.inf]]), ValueError, "FILE contains inf"),
        (np.array([["a", "b"]]), ValueError, "FILE has dtype <U1 and holds something that is not a number"),
        (np.array([[1j]]), ValueError, "Complex data not supported: FILE"),
        (np.zeros((2, 2), dtype=[("a", "f4")]), TypeError, "FILE has dtype [('a', '<f4')], which is not numeric"),
        (np.array([["2020-01-01"]], dtype="M8[D]"), TypeError, "FILE has dtype datetime64[D], which is not numeric"),
    ],
)  # fmt: skip
def test_bad_npy(tmp_path, array, error, message):
    np.save(tmp_path / "a.npy", array)
    assert message in refused(tmp_path / "a.npy", error)


class Boom:
    """Unpickling this creates a file beside the data."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_objects_are_never_unpickled(tmp_path, name):
    a = np.array([[Boom(tmp_path / "proof")]], dtype=object)
    np.save(tmp_path / name, a, allow_pickle=True) if name == "a.npy" else np.savez(tmp_path / name, X=a)
    assert (
        refused(tmp_path / name)
        == "FILE holds Python objects (dtype object), which are never unpickled; save plain numbers"
    )
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "pickle"])
def test_damaged_numpy_files(tmp_path, name, damage):
    path = tmp_path / name
    np.save(path, X) if name == "a.npy" else np.savez(path, X=X)
    content = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"1,2\n3,4\n", "truncated": content[:-30], "pickle": b"\x80\x04N."}[damage])
    assert refused(path).startswith("FILE is damaged, or not a NumPy file (")


def test_damage_inside_an_npz(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, X=np.arange(1000.0).reshape(100, 10))
    content = bytearray(path.read_bytes())
    content[4000] ^= 0xFF
    path.write_bytes(content)
    assert refused(path).startswith("FILE is damaged, or not a NumPy file (Bad CRC")


def test_an_npy_under_the_name_npz_is_read_for_what_it_is(tmp_path):
    with open(tmp_path / "a.npz", "wb") as file:
        np.save(file, X)
    np.testing.assert_array_equal(load_table(tmp_path / "a.npz")[0], X)


@pytest.mark.parametrize(
    ("arrays", "arguments", "message"),
    [
        ({"a": X, "b": X}, {}, "FILE has 'a', 'b', and no array called X; save with np.savez(path, X=X, y=y)"),
        ({"y": [1, 2]}, {}, "FILE has 'y', and no array called X"),
        ({}, {}, "FILE has no names, and no array called X"),
        ({f"a{i}": X for i in range(12)}, {}, "'a9' and 2 more, and no array called X"),
        ({"X": X, "y": [1, 2]}, {}, "FILE has labels of shape (2,), but X has 3 rows; labels must be (3,)"),
        ({"X": X, "y": [[1], [2], [3]]}, {}, "FILE has labels of shape (3, 1), but X has 3 rows"),
        ({"X": X, "y": [1, 2, 3], "label": [1, 2, 3]}, {}, "FILE has 'y', 'label', each of which could be the label"),
        ({"X": X, "y": [1, 2, 3]}, {"label": "z"}, "label='z': FILE has no column or array of that name; it has 'X'"),
    ],
)  # fmt: skip
def test_bad_npz(tmp_path, arrays, arguments, message):
    np.savez(tmp_path / "a.npz", **arrays)
    assert message in refused(tmp_path / "a.npz", **arguments)


def test_bad_label_dtype(tmp_path):
    np.savez(tmp_path / "a.npz", X=X, y=np.array([1j, 2, 3]))
    assert "FILE has labels of dtype complex128; save numbers or strings" in refused(tmp_path / "a.npz", TypeError)


def test_a_label_for_an_npy(tmp_path):
    np.save(tmp_path / "a.npy", X)
    assert "label='y': FILE holds one array without names" in refused(tmp_path / "a.npy", label="y")


# -- the file itself --------------------------------------------------------------------------------------------------


def test_no_file_folder_suffix(tmp_path, write):
    assert refused(tmp_path / "no.csv", FileNotFoundError).startswith("there is no file FILE (current folder: ")
    assert refused(tmp_path, IsADirectoryError).startswith("FILE is a folder; name a file: .npy")
    path = write("{}", "a.json")
    assert refused(path) == "FILE has the suffix '.json'; scratchnet reads .npy, .npz, .csv, .tsv and .txt"
    assert "the suffix ''" in refused(write("1", "plain"))


# -- text -------------------------------------------------------------------------------------------------------------

PLAIN = [[1.0, 2.5], [3.0, -4.0]]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1,2.5\n3,-4\n", PLAIN),
        ("1,2.5\n3,-4", PLAIN),
        ("1,2.5\r\n3,-4\r\n", PLAIN),
        ("1;2.5\n3;-4\n", PLAIN),
        ("1\t2.5\n3\t-4\n", PLAIN),
        ("1 2.5\n3   -4\n", PLAIN),
        ("  1 2.5\n  3 -4  \n", PLAIN),
        (" 1 , 2.5\n3,  -4\n", PLAIN),
        ("\ufeff1,2.5\n3,-4\n", PLAIN),
        ("\n1,2.5\n\n3,-4\n\n", PLAIN),
        ('"1","2.5"\n"3","-4"\n', PLAIN),
        ("a,b\n1,2.5\n3,-4\n", PLAIN),
        ("\ufeffa,b\n1,2.5\n3,-4\n", PLAIN),
        ("\n\na,b\n\n1,2.5\n3,-4\n", PLAIN),
        ("# a,b\n1,2.5\n3,-4\n", PLAIN),
        ("a b\n1 2.5\n3 -4\n", PLAIN),
        ('"width, cm";"height, cm"\n1;2.5\n3;-4\n', PLAIN),
        ('"width, cm","height, cm"\n1,2.5\n3,-4\n', PLAIN),
        ("body mass,wing length\n1,2.5\n3,-4\n", PLAIN),
        ("Größe,Höhe\n1,2.5\n3,-4\n", PLAIN),
        (",a,b\n0,1,2.5\n1,3,-4\n", PLAIN),  # pandas' index
        ('"","a","b"\n"Mazda RX4",1,2.5\n"Fiat, 128",3,-4\n', PLAIN),  # R's row names
        ("x,y\n1,2.5\n3,-4\n", PLAIN),  # coordinates
        ("7\n8\n", [[7.0], [8.0]]),
        ("body mass\n7\n8\n", [[7.0], [8.0]]),
        ("1,2,3\n", [[1.0, 2.0, 3.0]]),
        ("1e-3,+2E5\n.5,6.\n", [[1e-3, 2e5], [0.5, 6.0]]),
        ("0.1,12345678901234567\n1,1\n", [[0.1, 12345678901234567.0], [1.0, 1.0]]),
    ],
)
def test_text_without_labels(write, text, rows):
    loaded, y = load_table(write(text))
    assert loaded.dtype == np.float64
    assert y is None
    assert loaded.tolist() == rows


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".CSV"])
def test_text_suffixes(write, suffix):
    assert load_table(write("1,2\n3,4\n", f"a{suffix}"))[0].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("text", "label", "labels"),
    [
        ("a,label,b\n1,7,2.5\n3,8,-4\n", None, [7, 8]),
        ("label,a,b\n7,1,2.5\n8,3,-4\n", None, [7, 8]),
        ("a,b,y\n1,2.5,7\n3,-4,8\n", None, [7, 8]),
        ("a,b,Target\n1,2.5,7\n3,-4,8\n", None, [7, 8]),
        ("a,b,label\n1,2.5,7.0\n3,-4,8.0\n", None, [7, 8]),
        ("a,b,label\n1,2.5,7.5\n3,-4,8\n", None, [7.5, 8.0]),
        ("a,b,label\n1,2.5, cat \n3,-4,dog\n", None, ["cat", "dog"]),
        ("a,b,label\n1,2.5,7\n3,-4,dog\n", None, ["7", "dog"]),
        ('a,b,label\n1,2.5,"a ""cat"", sitting"\n3,-4,#2\n', None, ['a "cat", sitting', "#2"]),
        ("a;b;label\n1;2.5;Käse\n3;-4;Öl\n", None, ["Käse", "Öl"]),
        ("a b label\n1 2.5 cat\n3 -4 dog\n", None, ["cat", "dog"]),
        (",a,b,label\n0,1,2.5,cat\n1,3,-4,dog\n", None, ["cat", "dog"]),
        ("0,1,label\n1,2.5,cat\n3,-4,dog\n", None, ["cat", "dog"]),  # pandas names nameless columns 0, 1
        ("a,b,species\n1,2.5,cat\n3,-4,dog\n", "species", ["cat", "dog"]),
        ("x,b,y\n1,2.5,7\n3,-4,8\n", "y", [7, 8]),
    ],
)  # fmt: skip
def test_text_with_labels(xp, write, text, label, labels):
    loaded, y = load_table(write(text), label=label)
    assert get_xp(loaded) is xp
    assert to_numpy(loaded).tolist() == PLAIN
    assert y.tolist() == labels
    if isinstance(labels[0], str):
        assert isinstance(y, np.ndarray)
    else:
        assert get_xp(y) is xp
        assert y.dtype == (np.int64 if isinstance(labels[0], int) else np.float64)


def test_a_coordinate_may_be_chosen_as_the_label(write):
    path = write("x,y\n1,2\n3,4\n")
    loaded, y = load_table(path, label="y")
    assert (loaded.tolist(), y.tolist()) == ([[1.0], [3.0]], [2, 4])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "FILE is empty"),
        ("\n\n", "FILE is empty"),
        ("a,b\n", "FILE has a header and no rows"),
        ("1,2\n3,4\n5\n", "FILE, line 3: 1 cells, but line 1 has 2"),
        ("1,2\n3,4,5\n", "FILE, line 2: 3 cells, but line 1 has 2"),
        ("a,b\n1,2\n\n\n3,4,5\n", "FILE, line 5: 3 cells, but line 1 has 2"),
        ("a,b,label\n1,2\n3,4\n", "FILE, line 2: 2 cells, but line 1 has 3"),
        ("a,b\n1,2,3\n4,5,6\n", "FILE, line 2: 3 cells, but line 1 has 2"),
        ("a,b,c\n1,2\n3,4\n", "FILE, line 2: 2 cells, but line 1 has 3"),
        ("a b\n1 2\n3 4 5\n", "FILE, line 3: 3 cells, but line 1 has 2"),
        ("a,b\n1,2\n3,four\n", "FILE, line 3, column 2 ('b'): 'four' is not a number; a column of labels"),
        ("1,2\n3,four\n", "FILE, line 2, column 2: 'four' is not a number; a column of labels needs a header"),
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "FILE, line 1, column 3: 'setosa' is not a number; a column of labels"),
        ("a,b\n1,2\n3,\n", "FILE, line 3, column 2 ('b'): the cell is empty; fill it or remove the row"),
        ("1,,3\n4,5,6\n", "FILE, line 1, column 2: the cell is empty"),
        ("1,2,\n3,4,\n", "FILE, line 1, column 3: the cell is empty"),
        ("a,label\n1,x\n2,\n", "FILE, line 3, column 2 ('label'): the label is missing"),
        ("a;b\n1,5;2\n3;4\n", "FILE, line 2, column 1 ('a'): '1,5' is not a number; write decimals with a point"),
        ("a,b\n1_000,2\n", "'1_000' is not a number"),
        ("a,b\n1,0x1A\n", "'0x1A' is not a number"),
        ("a,b\n1,nan\n", "FILE contains NaN: 1 entries are NaN or infinity, the first (NaN) at (0, 1)"),
        ("a,b\n1,inf\n", "FILE contains inf"),
        (
            "y,label,a\n1,2,3\n",
            "FILE has 'y', 'label', each of which could be the label; choose one with label= or --label",
        ),
        ("label\n1\n2\n", "0 feature(s) (shape=(2, 0))"),
        ("a,b\n1,2\n3,\xe9\n".encode("latin-1"), "FILE is not UTF-8 text"),
        ("a,b\n1,2\n".encode("utf-16"), "FILE is not UTF-8 text"),
        (b"1,2\n" * 20000 + b"3,\xff\n", "FILE is not UTF-8 text"),
        (b"\x00\x01\x02,\x00\n1,2\n", "FILE is a binary file, not delimited text"),
    ],
)  # fmt: skip
def test_bad_text(write, text, message):
    assert message in refused(write(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "label='z': FILE has no column or array of that name; it has 'a', 'b'"),
        ("1,2\n3,4\n", "label='z': FILE has no column or array of that name; it has no names"),
    ],
)
def test_a_label_that_is_not_there(write, text, message):
    assert message in refused(write(text), label="z")


def test_a_wrong_cell_far_down_is_found(write):
    rows = ["1,2"] * 100_000
    rows[77_776] = "1,two"
    assert "FILE, line 77777, column 2: 'two' is not a number" in refused(write("\n".join(rows)))


def test_what_other_programs_write(tmp_path):
    import pandas as pd

    frame = pd.DataFrame({"width": [1.5, 2.0], "height": [3, 4], "label": ["a", "b"]})
    expected = [[1.5, 3.0], [2.0, 4.0]]
    frame.to_csv(tmp_path / "with_index.csv")
    frame.to_csv(tmp_path / "without.csv", index=False)
    frame.to_csv(tmp_path / "tabs.tsv", index=False, sep="\t")
    for name in ("with_index.csv", "without.csv", "tabs.tsv"):
        loaded, y = load_table(tmp_path / name)
        assert (loaded.tolist(), y.tolist()) == (expected, ["a", "b"]), name
    np.savetxt(tmp_path / "numpy.txt", expected, header="width height")
    np.savetxt(tmp_path / "numpy.csv", expected, delimiter=",")
    for name in ("numpy.txt", "numpy.csv"):
        assert load_table(tmp_path / name)[0].tolist() == expected, name


def test_numbers_survive_the_round_trip(tmp_path, rng):
    a = rng.standard_normal((500, 7)) * 10.0 ** rng.integers(-300, 300, (500, 7))
    (tmp_path / "a.csv").write_text("\n".join(",".join(map(repr, row)) for row in json.loads(json.dumps(a.tolist()))))
    np.testing.assert_array_equal(load_table(tmp_path / "a.csv")[0], a)
