"""All parameters of a model in one vector, all gradients in another."""

from __future__ import annotations

from math import prod

from numpy.typing import DTypeLike

from scratchnet.backend import Array, Rng, get_xp
from scratchnet.nn.initializers import Initializer, zeros
from scratchnet.validation import check_dtype

__all__ = ["Params", "put"]


class Params:
    """All parameters in one vector ``theta``, their gradient in one vector ``grad``; layers hold named views of both.

    So an optimizer is a formula on two vectors, a checkpoint a list of named slices, and a gradient check moves
    ``theta[s]``. Layers :meth:`declare` what they need, :meth:`allocate` makes the vectors once, and layers take their
    views from :attr:`views`. :meth:`Layer.build <scratchnet.nn.Layer.build>` does all three.

    Attributes
    ----------
    theta, grad : array (n,)
        Values and gradient. Backward passes overwrite ``grad``; there is nothing to reset between steps.
    views : dict of name -> (weight, gradient)
        Views of ``theta`` and ``grad`` in the parameter's shape, e.g. ``views["encoder.0.W"]``.
    slices : dict of name -> slice
        Where a parameter stands in the two vectors.

    Examples
    --------
    >>> import numpy as np
    >>> params = Params.of(w=np.array([[1.0, 2.0]]), b=np.array([3.0]))
    >>> params.theta
    array([1., 2., 3.])
    >>> weight, gradient = params.views["w"]
    >>> gradient[...] = 2 * weight
    >>> params.grad
    array([2., 4., 0.])
    """

    theta: Array
    grad: Array

    def __init__(self) -> None:
        self.views: dict[str, tuple[Array, Array]] = {}
        self.slices: dict[str, slice] = {}
        self._declared: dict[str, tuple[tuple[int, ...], Initializer]] = {}

    def declare(self, name: str, shape: tuple[int, ...], init: Initializer) -> None:
        """Ask for a parameter; ``init(generator, shape)`` draws its first value.

        Raises
        ------
        ValueError
            If the name is taken.
        """
        if name in self._declared:
            raise ValueError(f"parameter {name!r} is declared twice; a layer object may appear only once in a model")
        self._declared[name] = shape, init

    def allocate(self, rng: Rng, dtype: DTypeLike = "float32") -> None:
        """Make ``theta`` and ``grad`` on the backend of ``rng`` and draw the initial values from ``rng.host``.

        Raises
        ------
        ValueError
            If ``dtype`` is neither "float32" nor "float64".
        """
        dtype = check_dtype(dtype)
        self.share(rng.xp.zeros(sum(prod(shape) for shape, _ in self._declared.values()), dtype=dtype))
        for name, (shape, init) in self._declared.items():
            self.views[name][0][...] = rng.xp.asarray(init(rng.host, shape), dtype=dtype)

    def share(self, theta: Array) -> None:
        """Use ``theta`` (n,), which holds the declared parameters in their order, as it is: what trains it elsewhere is
        seen here. ``grad`` is new."""
        self.theta, self.grad = theta, get_xp(theta).zeros_like(theta)
        start = 0
        for name, (shape, _) in self._declared.items():
            s = self.slices[name] = slice(start, start := start + prod(shape))
            self.views[name] = self.theta[s].reshape(shape), self.grad[s].reshape(shape)

    @classmethod
    def of(cls, **arrays: Array) -> Params:
        """Copies of named arrays as parameters, to check the gradient of a loss with respect to its *inputs*.

        ``p = Params.of(x=x)``; the loss reads ``p.views["x"][0]``, the gradient is put into ``p.views["x"][1]``.
        """
        xp = get_xp(*arrays.values())
        params = cls()
        for name, a in arrays.items():
            params.declare(name, tuple(a.shape), zeros)
        params.allocate(Rng(0, xp), str(next(iter(arrays.values())).dtype))
        for name, a in arrays.items():
            params.views[name][0][...] = a
        return params

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the declared parameters, known before anything is allocated."""
        return {name: shape for name, (shape, _) in self._declared.items()}

    def names(self) -> list[str]:
        """The parameters' names in the order they stand in ``theta``."""
        return list(self._declared)

    def __repr__(self) -> str:
        rows = [f"  {name:<16} {'x'.join(map(str, shape))}" for name, (shape, _) in self._declared.items()]
        total = sum(prod(shape) for shape, _ in self._declared.values())
        return "\n".join([f"Params({total:,} values", *rows, ")"])


def put(value: Array, out: Array | None) -> Array:
    """``value``, written into ``out`` where that is given and another array; returns the one that holds it."""
    if out is None or value is out:
        return value
    out[...] = value
    return out
