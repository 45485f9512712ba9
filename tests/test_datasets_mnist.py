"""MNIST and Fashion-MNIST: the embedded part, and where the full set is looked for (no test here opens a socket)."""

from __future__ import annotations

import gzip
import hashlib
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchnet.backend import get_xp, to_numpy
from scratchnet.datasets import cache_folder, load_fashion_mnist, load_mnist, mnist
from scratchnet.datasets.idx import read_idx

IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


# -- the embedded part ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "split", "n", "first"),
    [
        (load_mnist, "train", 9000, [5, 0, 4, 1, 9]),
        (load_mnist, "test", 1000, [7, 2, 1, 0, 4]),
        (load_fashion_mnist, "test", 1000, [9, 2, 1, 1, 6]),
    ],
)
def test_embedded(xp, load, split, n, first):
    X, y = load(split)
    assert get_xp(X, y) is xp
    assert (X.shape, str(X.dtype)) == ((n, 784), "float32")
    assert (y.shape, str(y.dtype)) == ((n,), "int64")
    X, y = to_numpy(X), to_numpy(y)
    assert y[:5].tolist() == first
    assert set(y) == set(range(10))
    assert (X.min(), X.max()) == (0.0, 1.0)
    np.testing.assert_array_equal(X * np.float32(255), np.rint(X * 255))  # bytes / 255, nothing else


def test_the_first_digit_stands_upright():
    """Row by row: the first training digit, a 5, has an empty border and its ink in the middle rows."""
    image = to_numpy(load_mnist("train")[0])[0].reshape(28, 28)
    assert image[:5].max() == image[25:].max() == 0
    assert image[5, 12:24].tolist() == pytest.approx(
        [v / 255 for v in (3, 18, 18, 18, 126, 136, 175, 26, 166, 255, 247, 127)]
    )


def test_each_call_gives_an_own_array():
    X, _ = load_mnist("test")
    X += 1
    assert load_mnist("test")[0].max() == 1


def test_embedded_are_the_first_of_the_full_set(mnist_root):
    for split, n in (("train", 9000), ("test", 1000)):
        (X, y), (X_full, y_full) = load_mnist(split), load_mnist(split, size="full", root=mnist_root)
        assert len(X) == n
        np.testing.assert_array_equal(X, X_full[:n])
        np.testing.assert_array_equal(y, y_full[:n])


def test_both_loaders_have_one_signature():
    assert inspect.signature(load_mnist) == inspect.signature(load_fashion_mnist)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "validation"}, "split='validation' is unknown; choose one of .*train.*test"),
        ({"size": "medium"}, "size='medium' is unknown; choose one of .*small.*full"),
    ],
)
@pytest.mark.parametrize("load", [load_mnist, load_fashion_mnist])
def test_bad_arguments(load, arguments, message):
    with pytest.raises(ValueError, match=message):
        load(**arguments)


def test_fashion_has_no_small_training_set():
    with pytest.raises(ValueError, match=r"split='train'.*not embedded.*split='test', or size='full'"):
        load_fashion_mnist()


def test_import_is_cheap():
    """Neither the progress bar nor the network is imported before a download."""
    late = ("tqdm", "urllib.request", "http.client")
    code = f"import sys, scratchnet.datasets; print([m for m in {late} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


# -- the original files -----------------------------------------------------------------------------------------------


def test_full_set(mnist_root):
    X, y = load_mnist("test", size="full", root=mnist_root)
    assert X.shape == (10000, 784)
    assert X.dtype == np.float32
    assert np.bincount(y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]  # the published counts
    X, y = load_mnist("train", size="full", root=mnist_root)
    assert X.shape == (60000, 784)
    assert np.bincount(y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert X.mean(dtype=np.float64) == pytest.approx(0.1306605, abs=1e-6)  # the usual normalisation constant


# -- where files are looked for ---------------------------------------------------------------------------------------


def idx(array):
    array = np.asarray(array, np.uint8)
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A set of three 2 x 2 images in place of the originals, no mirrors, no variable, an empty cache."""
    content = {IMAGES: idx(np.arange(12).reshape(3, 2, 2)), LABELS: idx([7, 8, 9])}
    for dataset in ("mnist", "fashion-mnist"):
        monkeypatch.setitem(mnist.MD5, dataset, {f: hashlib.md5(c).hexdigest() for f, c in content.items()})
        monkeypatch.setitem(mnist.MIRRORS, dataset, [])
    monkeypatch.delenv("SCRATCHNET_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return content


def put(folder, content, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data) if packed else data)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
@pytest.mark.parametrize(
    ("load", "sub"),
    [
        (load_mnist, "."),
        (load_mnist, "mnist"),
        (load_mnist, "MNIST/raw"),
        (load_fashion_mnist, "."),
        (load_fashion_mnist, "fashion-mnist"),
        (load_fashion_mnist, "fashion_mnist"),
        (load_fashion_mnist, "FashionMNIST/raw"),
    ],
)
def test_layouts_of_a_data_folder(tiny, tmp_path, load, sub, packed):
    put(tmp_path / "data" / sub, tiny, packed)
    for root in (tmp_path / "data", str(tmp_path / "data")):
        X, y = load("test", size="full", root=root)
        np.testing.assert_array_equal(X, np.arange(12, dtype=np.float32).reshape(3, 4) / np.float32(255))
        assert y.tolist() == [7, 8, 9]


def test_the_order_is_root_then_variable_then_cache(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path / "variable"))
    read = []
    original = mnist.Path.read_bytes
    monkeypatch.setattr(mnist.Path, "read_bytes", lambda self: read.append(self) or original(self))
    places = {"cache": cache_folder(), "variable": tmp_path / "variable", "root": tmp_path / "root"}
    for folder in places.values():  # each new place comes before the ones filled so far
        put(folder / "mnist", tiny)
        read.clear()
        load_mnist("test", size="full", root=tmp_path / "root")
        assert {path.parent.parent for path in read} == {folder}


def test_nowhere_lists_every_place(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path / "gone"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError) as error:
        load_mnist("test", size="full", root=tmp_path / "empty")
    text = str(error.value)
    assert f"{IMAGES} of mnist was not found" in text
    assert f"root: {tmp_path / 'empty'} has no mnist/{IMAGES}[.gz] or MNIST/raw/{IMAGES}[.gz] or {IMAGES}[.gz]" in text
    assert f"$SCRATCHNET_DATA: there is no folder {tmp_path / 'gone'}" in text
    assert f"user cache: there is no folder {tmp_path / 'cache' / 'scratchnet'}" in text
    assert f"put it into {tmp_path / 'cache' / 'scratchnet' / 'mnist'}" in text
    assert "size='small' needs no files" in text


def test_unset_places_are_named_as_such(tiny):
    with pytest.raises(FileNotFoundError, match=r"root: not given\n.*\$SCRATCHNET_DATA: not given\n"):
        load_fashion_mnist("test", size="full")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx([1, 2]), "is damaged or another file: the MD5 of its content is"),
        (gzip.compress(bytes(100), mtime=0)[:-9], "is a damaged gzip file"),
    ],
)
def test_a_damaged_file_is_skipped_with_a_warning(tiny, tmp_path, content, message):
    put(tmp_path / "mnist", tiny)
    put(cache_folder() / "mnist", tiny)
    (tmp_path / "mnist" / LABELS).write_bytes(content)
    with pytest.warns(UserWarning, match=message) as caught:
        _, y = load_mnist("test", size="full", root=tmp_path)
    assert y.tolist() == [7, 8, 9]
    assert str(tmp_path / "mnist" / LABELS) in str(caught[0].message)
    assert caught[0].filename == __file__
    (cache_folder() / "mnist" / LABELS).unlink()
    with pytest.raises(FileNotFoundError, match=message):
        load_mnist("test", size="full", root=tmp_path)


def test_digits_are_never_taken_for_fashion(tiny, tmp_path, monkeypatch):
    """Both sets use the same file names; the checksum tells them apart."""
    put(tmp_path, tiny)
    monkeypatch.setitem(mnist.MD5, "fashion-mnist", {IMAGES: "0" * 32, LABELS: "1" * 32})
    with pytest.raises(FileNotFoundError, match="damaged or another file"):
        load_fashion_mnist("test", size="full", root=tmp_path)


def test_an_unreadable_file_is_reported(tiny, tmp_path, monkeypatch):
    put(tmp_path, tiny)

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(mnist.Path, "read_bytes", refuse)
    with pytest.raises(FileNotFoundError, match="Permission denied"):
        load_mnist("test", size="full", root=tmp_path)


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/c"}, "/c/scratchnet"),
        ("linux", {}, "/home/u/.cache/scratchnet"),
        ("darwin", {}, "/home/u/Library/Caches/scratchnet"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/scratchnet"),
        ("win32", {}, "/home/u/AppData/Local/scratchnet"),
    ],
)
def test_cache_folder(monkeypatch, platform, variables, expected):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(mnist.sys, "platform", platform)
    monkeypatch.setattr(mnist.Path, "home", lambda: mnist.Path("/home/u"))
    assert cache_folder().as_posix() == expected


def test_original_files_have_the_md5_that_the_loader_knows(mnist_root):
    for file, md5 in mnist.MD5["mnist"].items():
        path = Path(mnist_root) / "mnist" / f"{file}.gz"
        if not path.exists():
            pytest.skip("the folder has another layout")
        assert hashlib.md5(gzip.decompress(path.read_bytes())).hexdigest() == md5
        assert len(read_idx(path)) in (60000, 10000)
