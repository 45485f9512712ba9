"""Layers: a forward pass with its backward pass right under it. Derivations: docs/derivations.md, section 2.

Who owns which array, once for all layers:

- ``forward`` and ``backward`` never write into what they are given.
- What they return belongs to the layer and lives until its next call of the same method: copy it to keep it. Do not
  write into it either (ReLU, Sigmoid and Tanh need their y again); a Dense is the exception, and ``out=`` of a loss
  gradient may be its y.
- ``backward`` uses what the *last* ``forward`` kept, so one layer object stands in one place of one model.
- Gradients of parameters are overwritten, not added to; there is nothing to reset between steps.

Shapes: B samples are the rows of x (B, n_in) and y (B, n_out); ``dy`` is dL/dy and has the shape of y.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise

from scratchnet.backend import Array, Rng, get_xp, runs_kernels
from scratchnet.kernels import twin
from scratchnet.kernels.cuda import bias_relu as fused
from scratchnet.nn.initializers import Initializer, he_normal, zeros
from scratchnet.nn.params import Params


class Layer(ABC):
    """A function with a hand-written derivative. A layer without parameters needs only the two passes."""

    _buffers: dict[str, Array]  # scratch by name
    _views: dict[str, Array]  # the part of each that was asked for last

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """y = f(x), keeping what the backward pass needs."""

    @abstractmethod
    def backward(self, dy: Array, need_dx: bool = True) -> Array:
        """Write dL/d(parameters) into their gradient views; return dL/dx, or None where ``need_dx`` is false."""

    def declare(self, params: Params, prefix: str) -> None:  # noqa: B027  (most layers have no parameters)
        """Ask ``params`` for this layer's parameters under names that begin with ``prefix``."""

    def bind(self, params: Params, prefix: str) -> None:  # noqa: B027
        """Take this layer's views from ``params`` after allocation."""

    def build(self, rng: Rng | None = None, dtype: str = "float32") -> Params:
        """Parameters for this layer alone: ``params = net.build(rng=Rng(0), dtype="float64")``."""
        params = Params()
        self.declare(params, "")
        params.allocate(rng if rng is not None else Rng(), dtype)
        self.bind(params, "")
        return params

    def _buffer(self, name: str, shape: tuple[int, ...], like: Array) -> Array:
        """Scratch kept between calls: made anew when the batch grows, a view of it for a shorter batch."""
        try:
            view = self._views[name]
        except (AttributeError, KeyError):
            self.__dict__.setdefault("_buffers", {})
            self.__dict__.setdefault("_views", {})
        else:
            if view.shape == shape and view.dtype is like.dtype and type(view) is type(like):
                return view  # every step of a training but the last of an epoch
        buffer = self._buffers.get(name)
        if (
            buffer is None
            or len(buffer) < shape[0]
            or buffer.shape[1:] != shape[1:]
            or buffer.dtype != like.dtype
            or get_xp(buffer) is not get_xp(like)
        ):
            buffer = self._buffers[name] = get_xp(like).empty(shape, dtype=like.dtype)
        view = self._views[name] = buffer[: shape[0]]
        return view

    def __getstate__(self) -> dict[str, object]:
        return {
            k: v for k, v in self.__dict__.items() if k not in ("_buffers", "_views")
        }  # scratch is not worth pickling


def join(prefix: str, name: str | int) -> str:
    """The name of a part: "encoder" and 0 give "encoder.0"; an empty prefix adds nothing."""
    return f"{prefix}.{name}" if prefix else str(name)


class Dense(Layer):
    """y = x W + b.   x (B, n_in), W (n_in, n_out), b (n_out,), y (B, n_out).

    ``init(generator, shape)`` draws the first W, by default He's for ReLU; b starts at 0.
    """

    W: Array = None

    def __init__(self, n_in: int, n_out: int, init: Initializer = he_normal) -> None:
        if n_in < 1 or n_out < 1:
            raise ValueError(f"Dense({n_in}, {n_out}): both widths must be at least 1")
        self.n_in, self.n_out, self.init = n_in, n_out, init

    def declare(self, params: Params, prefix: str) -> None:
        params.declare(join(prefix, "W"), (self.n_in, self.n_out), self.init)
        params.declare(join(prefix, "b"), (self.n_out,), zeros)

    def bind(self, params: Params, prefix: str) -> None:
        self.W, self.dW = params.views[join(prefix, "W")]
        self.b, self.db = params.views[join(prefix, "b")]

    def forward(self, x: Array) -> Array:
        y = self.product(x)
        y += self.b
        return y

    def product(self, x: Array) -> Array:
        """x W, for a forward pass that adds b itself."""
        xp = get_xp(x)
        if self.W is None or x.ndim != 2 or x.shape[1] != self.n_in or x.dtype != self.W.dtype:
            self._complain(x)
        self.x = x
        return xp.dot(x, self.W, out=self._buffer("y", (len(x), self.n_out), x))  # half of matmul's overhead

    def backward(self, dy: Array, need_dx: bool = True) -> Array:  # (2.1) dW = x'dy, db = sum_B dy, dx = dy W'
        xp = get_xp(dy)
        xp.dot(self.x.T, dy, out=self.dW)
        dy.sum(axis=0, out=self.db)
        if not need_dx:  # the first layer of a network: nobody asks, a third of the work
            return None
        return xp.dot(dy, self.W.T, out=self._buffer("dx", self.x.shape, dy))

    def _complain(self, x: Array) -> None:
        if self.W is None:
            raise RuntimeError(f"{self!r} has no parameters yet; call build() on the network it stands in")
        if x.ndim != 2 or x.shape[1] != self.n_in:
            raise ValueError(f"{self!r} takes x of shape (B, {self.n_in}), got {tuple(x.shape)}")
        raise TypeError(
            f"{self!r} holds {self.W.dtype} parameters but x is {x.dtype}; convert with x.astype('{self.W.dtype}') or "
            "build the network with that dtype"
        )

    def __repr__(self) -> str:
        return f"Dense({self.n_in}, {self.n_out})"


class Activation(Layer):
    """A layer without parameters; y and dx have the shape of x."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ReLU(Activation):
    """y = max(x, 0)."""

    def forward(self, x: Array) -> Array:
        self.y = get_xp(x).maximum(x, 0, out=self._buffer("y", x.shape, x))
        return self.y

    def backward(self, dy: Array, need_dx: bool = True) -> Array:  # (2.2) dx = dy where y > 0, else 0
        return relu_grad(dy, self.y, self._buffer("dx", dy.shape, dy)) if need_dx else None


class LeakyReLU(Activation):
    """y = x where x > 0, else slope x, with 0 <= slope < 1."""

    def __init__(self, slope: float = 0.01) -> None:
        if not 0 <= slope < 1:
            raise ValueError(f"slope={slope} must be at least 0 and below 1")
        self.slope = slope

    def forward(self, x: Array) -> Array:
        xp = get_xp(x)
        self.y = xp.multiply(x, self.slope, out=self._buffer("y", x.shape, x))
        return xp.maximum(x, self.y, out=self.y)  # slope < 1: the larger of x and slope x

    def backward(self, dy: Array, need_dx: bool = True) -> Array:  # (2.2) dx = dy where y > 0, else slope dy
        if not need_dx:
            return None
        dx = get_xp(dy).greater(self.y, 0, out=self._buffer("dx", dy.shape, dy))
        dx *= 1 - self.slope
        dx += self.slope
        dx *= dy
        return dx

    def __repr__(self) -> str:
        return f"LeakyReLU({self.slope})"


class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x)), computed as (1 + tanh(x / 2)) / 2: no overflow, no branch."""

    def forward(self, x: Array) -> Array:
        self.y = sigmoid(x, out=self._buffer("y", x.shape, x))
        return self.y

    def backward(self, dy: Array, need_dx: bool = True) -> Array:  # (2.3) dx = dy y (1 - y)
        if not need_dx:
            return None
        dx = get_xp(dy).subtract(1, self.y, out=self._buffer("dx", dy.shape, dy))
        dx *= self.y
        dx *= dy
        return dx


class Tanh(Activation):
    """y = tanh(x)."""

    def forward(self, x: Array) -> Array:
        self.y = get_xp(x).tanh(x, out=self._buffer("y", x.shape, x))
        return self.y

    def backward(self, dy: Array, need_dx: bool = True) -> Array:  # (2.4) dx = dy (1 - y^2)
        if not need_dx:
            return None
        xp = get_xp(dy)
        dx = xp.multiply(self.y, self.y, out=self._buffer("dx", dy.shape, dy))
        xp.subtract(1, dx, out=dx)
        dx *= dy
        return dx


class Softplus(Activation):
    """y = log(1 + exp(x)), computed as max(x, 0) + log1p(exp(-|x|)): no overflow."""

    def forward(self, x: Array) -> Array:
        self.x = x
        return softplus(x, out=self._buffer("y", x.shape, x), scratch=self._buffer("dx", x.shape, x))

    def backward(self, dy: Array, need_dx: bool = True) -> Array:  # (2.5) dx = dy sigmoid(x)
        if not need_dx:
            return None
        dx = sigmoid(self.x, out=self._buffer("dx", dy.shape, dy))
        dx *= dy
        return dx


class TopK(Activation):
    """y = x where x is among the k largest of its row, else 0; of equals those in front are kept.

    The sparse code of a k-sparse autoencoder (Makhzani and Frey 2014). ``k`` may be changed between steps.
    """

    def __init__(self, k: int) -> None:
        if k < 1:
            raise ValueError(f"k={k} must be at least 1")
        self.k = k

    def forward(self, x: Array) -> Array:
        order = get_xp(x).argsort(-x, axis=1, kind="stable")
        self.kept = order.argsort(axis=1) < self.k  # the place of each entry in its row, by size
        return get_xp(x).multiply(x, self.kept, out=self._buffer("y", x.shape, x))

    def backward(self, dy: Array, need_dx: bool = True) -> Array:  # (2.7) dx = dy where kept, else 0
        return get_xp(dy).multiply(dy, self.kept, out=self._buffer("dx", dy.shape, dy)) if need_dx else None

    def __repr__(self) -> str:
        return f"TopK({self.k})"


class Sequential(Layer):
    """Layers one after the other; parameters are named by position: ``0.W``, ``0.b``, ``2.W``, ... (activations
    count)."""

    def __init__(self, *layers: Layer) -> None:
        if not layers:
            raise ValueError("Sequential needs at least one layer")
        leaves = [id(leaf) for layer in layers for leaf in _leaves(layer)]
        if len(set(leaves)) < len(leaves):
            raise ValueError("the same layer object stands twice in this Sequential; make one object for each place")
        for i, j in pairwise(i for i, layer in enumerate(layers) if not isinstance(layer, Activation)):
            a, b = layers[i], layers[j]
            if isinstance(a, Dense) and isinstance(b, Dense) and a.n_out != b.n_in:
                raise ValueError(f"{a!r} at {i} is followed by {b!r} at {j}: the widths {a.n_out} and {b.n_in} differ")
        self.layers = list(layers)
        self._forward = _join_dense_and_relu(self.layers)

    def declare(self, params: Params, prefix: str) -> None:
        for i, layer in enumerate(self.layers):
            layer.declare(params, join(prefix, i))

    def bind(self, params: Params, prefix: str) -> None:
        for i, layer in enumerate(self.layers):
            layer.bind(params, join(prefix, i))

    def forward(self, x: Array) -> Array:  # f_n(... f_1(x))
        for layer in self._forward if runs_kernels(x) else self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy: Array, need_dx: bool = True) -> Array:  # (2.6) the chain rule, last layer first
        for layer in self.layers[:0:-1]:
            dy = layer.backward(dy)
        return self.layers[0].backward(dy, need_dx)

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"


def _leaves(layer: Layer) -> list[Layer]:
    """The layers inside nested Sequentials."""
    return [leaf for part in layer.layers for leaf in _leaves(part)] if isinstance(layer, Sequential) else [layer]


class _DenseReLU:
    """The forward pass of a Dense and the ReLU behind it, with bias and maximum in one; each goes back by itself."""

    def __init__(self, dense: Dense, relu: ReLU) -> None:
        self.dense, self.relu = dense, relu

    def forward(self, x: Array) -> Array:
        x = self.dense.product(x)
        self.relu.y = bias_relu(x, self.dense.b, self.relu._buffer("y", x.shape, x))
        return self.relu.y


def _join_dense_and_relu(layers: list[Layer]) -> list[Layer | _DenseReLU]:
    joined: list[Layer | _DenseReLU] = []
    for layer in layers:
        before = joined[-1] if joined else None
        if type(layer) is ReLU and type(before) is Dense:
            joined[-1] = _DenseReLU(before, layer)
        else:
            joined.append(layer)
    return joined


@twin(cuda=fused.forward)
def bias_relu(x: Array, b: Array, out: Array) -> Array:
    """max(x + b, 0) into ``out``."""
    xp = get_xp(x)
    xp.add(x, b, out=out)
    return xp.maximum(out, 0, out=out)


@twin(cuda=fused.backward)
def relu_grad(dy: Array, y: Array, out: Array) -> Array:
    """(2.2)  dy where y > 0, else 0, into ``out``."""
    get_xp(dy).greater(y, 0, out=out)  # 1 or 0: no array of booleans between
    out *= dy
    return out


def sigmoid(x: Array, out: Array | None = None) -> Array:
    """1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2, for x of any size."""
    xp = get_xp(x)
    y = xp.multiply(x, 0.5, out=out)
    xp.tanh(y, out=y)
    y += 1
    y *= 0.5
    return y


def softplus(x: Array, out: Array | None = None, scratch: Array | None = None) -> Array:
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)), for x of any size; max(x, 0) goes into ``scratch`` if given."""
    xp = get_xp(x)
    y = xp.abs(x, out=out)
    xp.negative(y, out=y)
    xp.exp(y, out=y)
    xp.log1p(y, out=y)
    y += xp.maximum(x, 0, out=scratch)
    return y
