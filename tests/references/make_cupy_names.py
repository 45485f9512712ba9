"""Write scratchnet/testing/cupy_names.txt: the names that CuPy shares with NumPy, and the keyword arguments that these
lack in CuPy. Needs CuPy installed, but no GPU.

python tests/references/make_cupy_names.py
"""

import inspect
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


def keywords(function: object) -> frozenset[str] | None:
    """None where the signature is not known, or open to any."""
    try:
        parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    if any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in parameters):
        return None
    return frozenset(p.name for p in parameters)


def lacks(ours: object, theirs: object, names: list[str]) -> list[str]:
    """name:argument,argument for functions; ufuncs and types are left to the double."""
    found = []
    for name in names:
        here, there = getattr(ours, name), getattr(theirs, name)
        if callable(here) and not isinstance(here, type) and not isinstance(there, np.ufunc | type):
            mine, other = keywords(here), keywords(there)
            if mine is not None and other is not None and other - mine:
                found.append(f"{name}:{','.join(sorted(other - mine))}")
    return found


sections = {
    "module": shared(cupy, np, SKIP),
    "ndarray": shared(cupy.ndarray, np.ndarray),
    "linalg": shared(cupy.linalg, np.linalg),
    "generator": shared(cupy.random.Generator, np.random.Generator),
}
sections["lacks"] = sorted({*lacks(cupy, np, sections["module"]), *lacks(cupy.linalg, np.linalg, sections["linalg"])})
head = f"# Names that CuPy {cupy.__version__} shares with NumPy; written by tests/references/{Path(__file__).name}\n"
body = "".join(f"[{name}]\n{textwrap.fill(' '.join(names), 118)}\n" for name, names in sections.items())
OUT.write_text(head + body)
