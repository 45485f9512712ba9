"""Write scratchnet/testing/cupy_names.txt: the names that CuPy shares with NumPy. Needs CuPy installed, but no GPU.

python tests/references/make_cupy_names.py
"""

import textwrap
from pathlib import Path

import cupy
import numpy as np

OUT = Path(__file__).parents[2] / "scratchnet" / "testing" / "cupy_names.txt"
# submodules, files and printing: nothing that computing code may use
SKIP = frozenset(
    {"random", "linalg", "fft", "testing", "exceptions", "lib", "emath", "show_config", "save", "savez", "load"}
)
SKIP |= {"savez_compressed", "loadtxt", "genfromtxt", "fromfile", "savetxt", "typing", "polynomial", "char", "core"}


def shared(ours: object, theirs: object, skip: frozenset[str] = frozenset()) -> list[str]:
    return sorted(n for n in dir(ours) if not n.startswith("_") and hasattr(theirs, n) and n not in skip)


sections = {
    "module": shared(cupy, np, SKIP),
    "ndarray": shared(cupy.ndarray, np.ndarray),
    "linalg": shared(cupy.linalg, np.linalg),
    "generator": shared(cupy.random.Generator, np.random.Generator),
}
head = f"# Names that CuPy {cupy.__version__} shares with NumPy; written by tests/references/{Path(__file__).name}\n"
body = "".join(f"[{name}]\n{textwrap.fill(' '.join(names), 118)}\n" for name, names in sections.items())
OUT.write_text(head + body)
