"""Make the small image sets that the package embeds: the first images of the original files, as gzipped IDX.

    python tests/references/make_embedded.py MNIST_FOLDER FASHION_MNIST_FOLDER [--out scratchnet/datasets/embedded]

Each folder holds the four original files (for example train-images-idx3-ubyte.gz), checked here against the MD5s that
the loader knows. Running it again gives the same bytes after unpacking; the packed bytes depend on the zlib version.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
from pathlib import Path

import numpy as np

from scratchnet.datasets.idx import gunzip, parse_idx
from scratchnet.datasets.mnist import FILES, MD5

COUNTS = {("mnist", "train"): 9000, ("mnist", "test"): 1000, ("fashion-mnist", "test"): 1000}


def idx_bytes(array: np.ndarray) -> bytes:
    """A uint8 array as the bytes of an IDX file."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mnist", type=Path)
    parser.add_argument("fashion_mnist", type=Path)
    parser.add_argument("--out", type=Path, default=Path("scratchnet/datasets/embedded"))
    args = parser.parse_args()
    sources = {"mnist": args.mnist, "fashion-mnist": args.fashion_mnist}
    for (dataset, split), count in COUNTS.items():
        for file in FILES[split]:
            source = sources[dataset] / f"{file}.gz"
            data = gunzip(source.read_bytes(), str(source))
            if hashlib.md5(data).hexdigest() != MD5[dataset][file]:
                raise SystemExit(f"{source} is not the original {file} of {dataset}: its MD5 is wrong")
            target = args.out / dataset / f"{file}.gz"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(gzip.compress(idx_bytes(parse_idx(data, str(source))[:count]), 9, mtime=0))
            print(f"{target}: {count} items, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
