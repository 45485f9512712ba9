"""MNIST and Fashion-MNIST: a small embedded part of each, and the full sets from disk or from public mirrors.

MNIST: Y. LeCun, C. Cortes, C. Burges, CC BY-SA 3.0. Fashion-MNIST: H. Xiao, K. Rasul, R. Vollgraf (Zalando SE), MIT,
arXiv:1708.07747. Both use the same file names, so a file is identified by the MD5 of its unpacked content.
"""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from scratchnet.backend import Array, asarray
from scratchnet.datasets.download import DownloadError, download
from scratchnet.datasets.idx import gunzip, parse_idx
from scratchnet.validation import check_choice

__all__ = ["cache_folder", "load_fashion_mnist", "load_mnist"]

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

MD5 = {  # of the unpacked files: mirrors compress them differently
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}

MIRRORS = {  # tried in this order; the file's name and .gz are appended
    "mnist": [
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ],
    "fashion-mnist": [
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ],
}

FOLDERS = {  # subfolders of a data folder to search, "." being the folder itself; MNIST/raw is torchvision's layout
    "mnist": ["mnist", "MNIST/raw", "."],
    "fashion-mnist": ["fashion-mnist", "fashion_mnist", "FashionMNIST/raw", "."],
}


def load_mnist(
    split: str = "train", size: str = "small", root: str | os.PathLike[str] | None = None
) -> tuple[Array, Array]:
    """The MNIST digits: grey images of 28 x 28 pixels, each of one handwritten digit 0..9.

    Parameters
    ----------
    split : "train" or "test"
    size : "small" or "full"
        "small" is embedded in the package: the first 9,000 training and the first 1,000 test digits. "full" is all
        60,000 and 10,000. The IDX files of the full set, plain or gzipped, are searched for in ``root``, then in the
        folder named by the environment variable ``SCRATCHNET_DATA``, then in the user cache (:func:`cache_folder`),
        each time in the subfolders ``mnist`` and ``MNIST/raw`` and in the folder itself. If they are in none of these,
        they are downloaded into the user cache.
    root : path, optional
        A folder of your own, for ``size="full"``.

    Returns
    -------
    X : array (n, 784), float32
        Pixels in [0, 1], from black (0) to white (1), row by row, on the current backend.
    y : array (n,), int64
        The digits, on the current backend.

    Raises
    ------
    ValueError
        If ``split`` or ``size`` is unknown.
    FileNotFoundError
        If a file of the full set cannot be found or downloaded; the message lists each place and the problem there.

    Warns
    -----
    UserWarning
        If a file found first is damaged and another one is used.

    Notes
    -----
    Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits". Licence: CC BY-SA 3.0.

    Examples
    --------
    >>> from scratchnet.datasets import load_mnist
    >>> X, y = load_mnist("test")
    >>> X.shape, X.dtype.name, y[:5].tolist()
    ((1000, 784), 'float32', [7, 2, 1, 0, 4])
    """
    return _load("mnist", split, size, root)


def load_fashion_mnist(
    split: str = "train", size: str = "small", root: str | os.PathLike[str] | None = None
) -> tuple[Array, Array]:
    """Fashion-MNIST: pictures of clothes in MNIST's format, often used as out-of-distribution data for digits.

    Parameters, results and errors are those of :func:`load_mnist`, with two differences: the small set has only test
    images, the first 1,000, and the subfolders are ``fashion-mnist``, ``fashion_mnist`` and ``FashionMNIST/raw``. The
    classes: 0 T-shirt, 1 trouser, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker, 8 bag, 9 ankle boot.

    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms", arXiv:1708.07747. Licence: MIT (Zalando SE).

    Raises
    ------
    ValueError
        For ``split="train"`` with ``size="small"``.

    Examples
    --------
    >>> from scratchnet.datasets import load_fashion_mnist
    >>> X, y = load_fashion_mnist("test")
    >>> X.shape, y[:5].tolist()
    ((1000, 784), [9, 2, 1, 1, 6])
    """
    if size == "small" and split == "train":
        raise ValueError(
            "split='train' of Fashion-MNIST is not embedded in the package, only its first 1,000 test images are; "
            "pass split='test', or size='full'"
        )
    return _load("fashion-mnist", split, size, root)


def cache_folder() -> Path:
    """The folder for downloads: ``scratchnet`` in $XDG_CACHE_HOME if set, else in the platform's cache folder."""
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        base = Path(chosen)
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path.home() / ".cache"
    return base / "scratchnet"


def _load(dataset: str, split: str, size: str, root: str | os.PathLike[str] | None) -> tuple[Array, Array]:
    check_choice(split, "split", FILES)
    check_choice(size, "size", ("small", "full"))
    arrays = []
    for file in FILES[split]:
        data = _embedded(dataset, file) if size == "small" else _full(dataset, file, root)
        arrays.append(parse_idx(data, f"{file} of {dataset}"))
    images, labels = arrays
    X = asarray(images.reshape(len(images), -1)).astype("float32")  # moved to the device as bytes, a quarter of float32
    X /= 255
    return X, asarray(labels).astype("int64")


def _embedded(dataset: str, file: str) -> bytes:
    resource = files("scratchnet.datasets").joinpath("embedded", dataset, f"{file}.gz")
    return gunzip(resource.read_bytes(), f"embedded {file}")


def _full(dataset: str, file: str, root: str | os.PathLike[str] | None) -> bytes:
    """The unpacked content of one original file, from the first place where it is found."""
    md5 = MD5[dataset][file]
    answers: list[str] = []
    damaged: list[str] = []
    for place, folder in _places(root):
        if folder is None or not folder.is_dir():
            answers.append(f"{place}: {'not given' if folder is None else f'there is no folder {folder}'}")
            continue
        problems = []
        for path in _candidates(folder, dataset, file):
            try:
                data = _verified(path.read_bytes(), str(path), md5)
            except (OSError, ValueError) as error:
                problems.append(str(error))
                continue
            _warn_if(damaged, path)
            return data
        damaged += problems
        looked = " or ".join(f"{sub}/{file}[.gz]".removeprefix("./") for sub in FOLDERS[dataset])
        answers.append(f"{place}: {'; '.join(problems) or f'{folder} has no {looked}'}")

    target = cache_folder() / dataset / f"{file}.gz"
    try:
        packed = download(
            [f"{mirror}{file}.gz" for mirror in MIRRORS[dataset]],
            target,
            check=lambda content, url: _verified(content, url, md5),
        )
        _warn_if(damaged, target)
        return gunzip(packed, str(target))
    except DownloadError as error:
        answers += error.answers
    raise FileNotFoundError(
        f"{file} of {dataset} was not found:\n"
        + "".join(f"  - {answer}\n" for answer in answers)
        + f"Download {file}.gz yourself and put it into {target.parent}, or into a folder that you pass as root or "
        "set in SCRATCHNET_DATA; size='small' needs no files"
    )


def _warn_if(damaged: list[str], used: Path) -> None:
    if damaged:
        warnings.warn(f"{'; '.join(damaged)}; using {used} instead", stacklevel=5)  # at the call of load_mnist


def _places(root: str | os.PathLike[str] | None) -> Iterator[tuple[str, Path | None]]:
    named = os.environ.get("SCRATCHNET_DATA")
    yield "root", Path(root) if root is not None else None
    yield "$SCRATCHNET_DATA", Path(named) if named else None
    yield "user cache", cache_folder()


def _candidates(folder: Path, dataset: str, file: str) -> Iterator[Path]:
    for sub in FOLDERS[dataset]:
        for name in (file, f"{file}.gz"):
            if (path := folder / sub / name).is_file():
                yield path


def _verified(content: bytes, name: str, md5: str) -> bytes:
    """``content`` unpacked, if that has the MD5 ``md5``; else ValueError."""
    data = gunzip(content, name)
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != md5:
        raise ValueError(f"{name} is damaged or another file: the MD5 of its content is {found}, not {md5}")
    return data
