"""Twins: faster versions of formulas, in :mod:`.host` (NumPy, in place, in blocks that stay in the cache) and
:mod:`.cuda` (kernels).

The library states every step of every algorithm once, as the formula that you would write on paper. ``@twin(...)``
above it names what computes the same faster, where that is measured to pay on a whole step. Formula and twins take the
same arguments and return the same values; tests/test_twins.py runs every formula against all its twins.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from scratchnet.backend import runs_kernels

__all__ = ["twin", "twins"]

Function = TypeVar("Function", bound=Callable[..., Any])

twins: dict[str, Any] = {}
"""Every function that has a twin, by module and name: what tests/test_twins.py goes through."""


def twin(
    *, host: Callable[..., Any] | None = None, cuda: Callable[..., Any] | None = None
) -> Callable[[Function], Function]:
    """The decorated function states the formula; on NumPy arrays ``host`` takes its place, on a GPU ``cuda``.

    The type of the first argument decides, or of its first entry if it is a tuple, as a block of rows may be. All three
    stay accessible as ``.formula``, ``.host`` and ``.cuda``. A twin may return one of its arguments, updated in place,
    where the formula returns a new array.
    """

    def decorate(formula: Function) -> Function:
        on_host = host or formula

        @wraps(formula)
        def fastest(*args: Any) -> Any:  # runs in every step: keep it cheap
            first = args[0][0] if type(args[0]) is tuple else args[0]
            if type(first) is np.ndarray:
                return on_host(*args)
            if cuda is not None and runs_kernels(first):
                return cuda(*args)
            return formula(*args)

        fastest.formula, fastest.host, fastest.cuda = formula, host, cuda  # type: ignore[attr-defined]
        twins[f"{formula.__module__.removeprefix('scratchnet.')}.{formula.__name__}"] = fastest
        return fastest  # type: ignore[return-value]

    return decorate
