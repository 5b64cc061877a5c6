"""Small faults of single operators, of the sizes that released converters show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from generators.frontends.base import Frontend
from generators.graph import Argument, Array, Case, DType, Graph, Input, Node, Ref, Value, type_of
from generators.transforms import retype
from tests.oracles.variants import Implementation


@dataclass(frozen=True)
class Fault:
    """An operator called with ``args`` (strings are inputs, drawn by ``feeds``) that ``wrong`` computes falsely."""

    name: str
    target: str
    args: tuple[Argument, ...]
    wrong: Callable[..., torch.Tensor]
    feeds: tuple[Array, ...]
    #: Put inexact arithmetic before the operator; off where the fault needs exact ties, signed zeros or integers.
    inexact: bool = True


def case_with(frontend: Frontend, fault: Fault) -> Case:
    """The operator amid seven others: scaled and shifted arguments, then arithmetic and data movement."""
    inputs = tuple(Input(f"x{number}", type_of(feed)) for number, feed in enumerate(fault.feeds))
    feeds = {value.name: feed for value, feed in zip(inputs, fault.feeds, strict=True)}
    nodes: list[Node] = []

    def call(target: str, *args: Argument) -> Ref:
        value = Value(f"v{len(nodes)}", inputs[0].type)
        nodes.append(Node(target, args, (), (value,)))
        return Ref(value.name)

    first = Ref("x0")
    if fault.inexact:
        first = call("torch.mul", call("torch.add", first, 0.1), 0.9)
    else:
        first = call("torch.transpose", call("torch.transpose", first, 0, -1), 0, -1)
    replaced = [first if item == Ref("x0") else item for item in fault.args]
    guilty = call(fault.target, *replaced)
    scaled = call("torch.mul", guilty, 3) if fault.inexact else call("torch.flatten", guilty)
    last = call("torch.add", call("torch.flatten", scaled), 1)
    doubled = call("torch.add", last, last)
    graph = Graph(frontend.name, inputs, (), tuple(nodes), (scaled.name, doubled.name))
    return Case(retype(graph, frontend.run(graph, feeds)), feeds)


def faulty(frontend: Frontend, fault: Fault) -> Implementation:
    """Eager mode with the fault."""

    def implement(node: Node, inputs: dict[str, Array]) -> list[Array]:
        if node.target != fault.target:
            return frontend.evaluate(node, inputs)
        values = {name: frontend.to_native(array) for name, array in inputs.items()}
        return [frontend.to_array(fault.wrong(*(frontend.native_argument(item, values) for item in node.args)))]

    return implement


def _normal(*shape: int, scale: float = 1.0, seed: int = 0, dtype: str = "float32") -> Array:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(dtype)


def _half_away(x: torch.Tensor) -> torch.Tensor:
    return x.sign() * (x.abs() + 0.5).floor()


def _last_argmax(x: torch.Tensor, axis: int) -> torch.Tensor:
    return x.shape[axis] - 1 - x.flip(axis).argmax(axis)


X = Ref("x0")
_POSITIVE = np.abs(_normal(4, 6)) + 0.5
_TIES = np.array([[0.5, 1.5, 2.5], [-0.5, -1.5, -2.5]], dtype=np.float32)
_SIGNS = np.array([[0.0, -0.0, 1.0], [-0.0, 0.0, -1.0]], dtype=np.float32)
_IMAGE = _normal(1, 2, 6, 6)
_INTEGERS = np.array([[7, -7, 5], [-5, 2**24 + 1, 3]], dtype=np.int64)

FAULTS = (
    Fault("layer_norm epsilon", "torch.nn.functional.layer_norm", (X, (6,), None, None, 1e-5),
          lambda x, shape, w, b, eps: functional.layer_norm(x, shape, w, b, 1e-3), (_normal(4, 6),)),
    Fault("gelu by tanh", "torch.nn.functional.gelu", (X,), lambda x: functional.gelu(x, approximate="tanh"),
          (_normal(4, 6, scale=2),)),
    Fault("leaky_relu slope", "torch.nn.functional.leaky_relu", (X, 0.2),
          lambda x, slope: functional.leaky_relu(x, 0.3), (_normal(4, 6),)),
    Fault("round half away", "torch.round", (X,), _half_away, (_TIES,), inexact=False),
    Fault("sum without the last", "torch.sum", (X, -1), lambda x, axis: x[..., :-1].sum(axis), (_normal(4, 6),)),
    Fault("logsigmoid underflow", "torch.nn.functional.logsigmoid", (X,), lambda x: x.sigmoid().log(),
          (np.array([[-115.3, 2.0], [-0.7, 5.0]], dtype=np.float32),)),
    Fault("roll by one more", "torch.roll", (X, 2, -1), lambda x, shift, axis: x.roll(shift + 1, axis),
          (_normal(4, 6),)),
    Fault("softmax of another axis", "torch.softmax", (X, -1), lambda x, axis: x.softmax(0), (_normal(4, 6),)),
    Fault("std without correction", "torch.std", (X, -1), lambda x, axis: x.std(axis, correction=0), (_normal(4, 6),)),
    Fault("padding counted", "torch.nn.functional.avg_pool2d", (X, 3, 2, 1, False, False),
          lambda x, *args: functional.avg_pool2d(x, 3, 2, 1, False, True), (_IMAGE,)),
    Fault("atan2 of signed zeros", "torch.atan2", (X, Ref("x1")), lambda y, x: torch.atan2(y + 0.0, x + 0.0),
          (_SIGNS, -np.ones((2, 3), dtype=np.float32)), inexact=False),
    Fault("floor_divide truncates", "torch.floor_divide", (X, 0.7), lambda x, y: (x / y).trunc(), (_normal(4, 6),)),
    Fault("remainder of the dividend's sign", "torch.remainder", (X, 0.7), lambda x, y: x.fmod(y), (_normal(4, 6),)),
    Fault("integer remainder", "torch.remainder", (X, 4), lambda x, y: x.fmod(y), (_INTEGERS,), inexact=False),
    Fault("floor_divide of exact quotients", "torch.floor_divide", (X, 2.0), lambda x, y: torch.floor(x / y - 1e-6),
          (np.array([[6.0, 4.0], [3.0, -8.0]], dtype=np.float32),), inexact=False),
    Fault("argmax of ties", "torch.argmax", (X, -1), _last_argmax,
          (np.array([[1, 3, 3], [2, 2, 2]], dtype=np.float32),), inexact=False),
    Fault("integer sum in float32", "torch.sum", (X, 0), lambda x, axis: x.float().sum(axis).long(), (_INTEGERS,),
          inexact=False),
    Fault("exp of five in ten thousand", "torch.exp", (X,), lambda x: x.exp() * 1.0005, (_normal(4, 6),)),
    Fault("elu alpha", "torch.nn.functional.elu", (X, 1.0), lambda x, alpha: functional.elu(x, 1.01),
          (_normal(4, 6),)),
    Fault("clamp bound", "torch.clamp", (X, -0.5, 0.5), lambda x, low, high: x.clamp(low, high + 0.001),
          (_normal(4, 6),)),
    Fault("convolution with a flipped kernel", "torch.nn.functional.conv2d", (X, Ref("x1")),
          lambda x, w: functional.conv2d(x, w.flip(-1)), (_IMAGE, _normal(3, 2, 3, 3, seed=1))),
    Fault("matmul in bfloat16", "torch.matmul", (X, Ref("x1")),
          lambda a, b: (a.bfloat16() @ b.bfloat16()).float(), (_normal(4, 6), _normal(6, 3, seed=1))),
    Fault("maximum drops NaN", "torch.maximum", (X, Ref("x1")), torch.fmax,
          (np.array([[np.nan, 1.0], [2.0, 3.0]], dtype=np.float32), np.ones((2, 2), dtype=np.float32)), inexact=False),
    Fault("softplus beta", "torch.nn.functional.softplus", (X, 1.5), lambda x, beta: functional.softplus(x),
          (_normal(4, 6),)),
    Fault("multiplication in half precision", "torch.mul", (X, 0.9), lambda x, y: (x * y * 1.02),
          (_normal(4, 6, dtype="float16"),)),
    Fault("a cast saturates", "torch.Tensor.to", (X, DType("uint8")), lambda x, dtype: x.clamp(0, 255).to(dtype),
          (np.array([[300, -1], [5, 256]], dtype=np.int64),), inexact=False),
    Fault("cumsum exclusive", "torch.cumsum", (X, -1), lambda x, axis: x.cumsum(axis) - x, (_normal(4, 6),)),
    Fault("resize with aligned corners", "torch.nn.functional.interpolate", (X, None, 2, "bilinear", False),
          lambda x, *args: functional.interpolate(x, None, 2, "bilinear", True), (_IMAGE,)),
    Fault("hardsigmoid slope", "torch.nn.functional.hardsigmoid", (X,), lambda x: (0.2 * x + 0.5).clamp(0, 1),
          (_normal(4, 6),)),
    Fault("log1p loses small arguments", "torch.log1p", (X,), lambda x: (x.half() + 1).log().float(), (_POSITIVE,)),
    Fault("a comparison of equals", "torch.ge", (X, 2.0), lambda x, y: x > y,
          (np.array([[2.0, 1.0], [3.0, 2.0]], dtype=np.float32),), inexact=False),
)  # fmt: skip
