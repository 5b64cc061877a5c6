"""Calls of torch as cases of one node."""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from generators.frontends.base import EvaluationError, Frontend
from generators.graph import Argument, Array, Case, DType, Graph, Input, Node, Ref, Slice, Symbol, Value, type_of

#: Elements of a sample's tensors, all together, and of its results.
MAX_ELEMENTS = 3000

#: Where public functions live; the first that has a function names it.
_NAMESPACES = (
    "torch.nn.functional",
    "torch.linalg",
    "torch.fft",
    "torch.special",
    "torch.signal.windows",
    "torch.masked",
    "torch",
)
_DTYPES = {value: name for name, value in vars(torch).items() if isinstance(value, torch.dtype)}


class Unusable(Exception):
    """A sample is of no use; the message says why, in words that many samples share."""


@functools.cache
def _paths() -> dict[int, str]:
    """The public name of each function by its identity."""
    found: dict[int, str] = {}
    for path in _NAMESPACES:
        module: Any = functools.reduce(getattr, path.split(".")[1:], torch)
        for name, value in sorted(vars(module).items()):
            if not name.startswith("_") and callable(value) and not isinstance(value, type):
                found.setdefault(id(value), f"{path}.{name}")
    return found


def path_of(function: Any) -> Symbol:
    """A function as an argument, by its public name. Unusable when it has none."""
    path = _paths().get(id(function))
    if path is None:
        raise Unusable("takes a function")
    return Symbol(path)


def target_names(function: Any, name: str) -> list[str]:
    """Targets that may be the function of an entry, the likeliest first. Functions without a public name are wrapped
    in functions of the test suite; the entry's name tells what they wrap."""
    path = _paths().get(id(function))
    if path:
        return [path]
    found = [f"torch.{name}", f"torch.Tensor.{name}"]
    return [target for target in found if _callable(target)]


def _callable(target: str) -> bool:
    found: Any = torch
    for part in target.split(".")[1:]:
        found = getattr(found, part, None)
    return callable(found) and not isinstance(found, (type, types.ModuleType))


class _Converter:
    """Arguments of one call; the tensors among them become inputs ``x0``, ``x1`` …, the same tensor the same one."""

    def __init__(self, frontend: Frontend) -> None:
        self.frontend = frontend
        self.arrays: dict[str, Array] = {}
        self._known: dict[int, str] = {}

    def argument(self, value: Any) -> Argument:
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if value is None or isinstance(value, (bool, str, Symbol)) or value is Ellipsis:
            literal: Argument = value
            return literal
        if isinstance(value, (int, float, complex)):
            # Subclasses (symbolic numbers, enumerations) become plain numbers.
            return (
                int(value) if isinstance(value, int) else float(value) if isinstance(value, float) else complex(value)
            )
        if isinstance(value, np.generic):
            return self.argument(value.item())
        if isinstance(value, torch.dtype):
            return DType(_dtype_name(value))
        if isinstance(value, torch.layout) and value is not torch.strided:
            raise Unusable("takes or makes tensors that are not dense")
        if isinstance(value, (torch.memory_format, torch.layout)):
            return Symbol(str(value))
        if isinstance(value, torch.device):
            return str(value)
        if isinstance(value, slice):
            return Slice(*(self.argument(item) for item in (value.start, value.stop, value.step)))
        if isinstance(value, (tuple, list)):
            return tuple(self.argument(item) for item in value)
        raise Unusable(f"has an argument that is a {type(value).__name__}")

    def _tensor(self, tensor: torch.Tensor) -> Ref:
        if id(tensor) in self._known:
            return Ref(self._known[id(tensor)])
        if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
            raise Unusable("has a tensor of a class of its own")
        if tensor.is_nested or tensor.is_quantized or tensor.layout is not torch.strided:
            raise Unusable("takes or makes tensors that are not dense")
        if sum(array.size for array in self.arrays.values()) + tensor.numel() > MAX_ELEMENTS:
            raise Unusable(f"has more than {MAX_ELEMENTS} elements")
        _dtype_name(tensor.dtype)
        name = f"x{len(self.arrays)}"
        self.arrays[name] = np.array(self.frontend.to_array(tensor), copy=True)
        self._known[id(tensor)] = name
        return Ref(name)


def _dtype_name(dtype: torch.dtype) -> str:
    from generators.graph import DTYPES

    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise Unusable("has an element type that no graph value can hold")
    return name


def to_case(
    frontend: Frontend, target: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Node, dict[str, Array]]:
    """The call as a node without outputs, and its tensors by name. Unusable for what a graph cannot hold."""
    converter = _Converter(frontend)
    try:
        converted = tuple(converter.argument(value) for value in args)
        named = tuple((key, converter.argument(value)) for key, value in kwargs.items())
    except EvaluationError as error:
        raise Unusable(str(error)) from error
    return Node(target, converted, named, ()), converter.arrays


def as_case(node: Node, arrays: Mapping[str, Array], outputs: list[Array], unpack: bool) -> Case:
    """The case of the node, all of its tensors inputs and all of its results outputs."""
    values = tuple(Value(f"v{index}", type_of(array)) for index, array in enumerate(outputs))
    node = Node(node.target, node.args, node.kwargs, values, unpack)
    inputs = tuple(Input(name, type_of(array)) for name, array in arrays.items())
    return Case(Graph("torch", inputs, (), (node,), tuple(value.name for value in values)), dict(arrays))
