"""Printing a graph as a ``tf.Module``. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from generators.frontends.printing import LITERAL_ELEMENTS, Identifiers, argument, elements, subscript
from generators.frontends.tensorflow_control import MAP, ROLES, WHILE
from generators.graph import Argument, Constant, Graph, Node, all_constants
from generators.grouping import returning_text, unpacked

#: What ``tf.Module`` defines: an attribute of that name would break it.
_MODULE_ATTRIBUTES = (
    "name",
    "name_scope",
    "non_trainable_variables",
    "submodules",
    "trainable_variables",
    "variables",
    "with_name_scope",
)
_PLAIN = frozenset(
    (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("bfloat16", "float16", "float32", "float64", "complex64", "complex128"),
    )
)
#: Types that TensorFlow makes no tensor of from Python numbers, but casts to from float32.
_CASTABLE = frozenset(("float8_e4m3fn", "float8_e5m2"))


def print_module(graph: Graph, name: str) -> str:
    """Source of a ``tf.Module`` whose ``__call__`` takes the graph's inputs and returns its outputs as a tuple (a
    single output as such). Constants become variables (``trainable``) or constant tensors. Besides ``tf`` the
    source uses ``CONSTANTS`` (name to native tensor) where a constant is too large to be a literal."""
    names = Identifiers(("self", "tf", "CONSTANTS", name, *_MODULE_ATTRIBUTES))
    for value in graph.inputs:
        names(value.name)
    held = {constant.name: constant for constant in all_constants(graph)}
    constants = _attributes(list(held), names)

    def reference(value: str) -> str:
        return f"self.{constants[value]}" if value in constants else names(value)

    lines = [f"class {name}(tf.Module):"]
    if held:
        lines += ["    def __init__(self):", "        super().__init__()"]
        lines += [f"        self.{constants[item.name]} = {_constant(item)}" for item in held.values()]
        lines.append("")
    parameters, unpacking = unpacked(graph, names, names.fresh)
    lines.append(f"    def __call__({', '.join(['self', *parameters])}):")
    lines += [f"        {line}" for line in unpacking]
    lines += [f"        {line}" if line else "" for line in _statements(graph.nodes, names, reference)]
    returned = returning_text(graph, lambda index: reference(graph.outputs[index]))
    lines.append(f"        return {returned}")
    return "\n".join(lines) + "\n"


def _statements(nodes: Iterable[Node], names: Identifiers, reference: Callable[[str], str]) -> list[str]:
    """A statement for each node, bodies as functions before the calls that take them."""
    lines: list[str] = []
    for node in nodes:
        functions: dict[int, str] = {}
        for position, body in enumerate(node.bodies()):
            roles = ROLES.get(node.target, ())
            functions[id(body)] = names.fresh(roles[position] if position < len(roles) else "body")
            lines += ["", *_function(node, position, body, functions[id(body)], names, reference)]
        lines += [""] if functions else []
        targets = ", ".join(names(value.name) for value in node.outputs)
        if node.unpack and len(node.outputs) == 1:
            targets += ","
        prefix = f"{targets} = " if node.outputs else ""
        lines.append(f"{prefix}{_call(node, reference, functions)}")
    return lines


def _function(
    node: Node, position: int, body: Graph, name: str, names: Identifiers, reference: Callable[[str], str]
) -> list[str]:
    given, unpacked = [names(value.name) for value in body.inputs], list[str]()
    if node.target == MAP and isinstance(node.args[1], tuple):
        # What maps over several tensors is called with a tuple.
        unpacked = [f"{', '.join(given)}{',' if len(given) == 1 else ''} = row"]
        given = ["row"]
    outputs = ", ".join(reference(output) for output in body.outputs)
    # A loop's variables are a tuple, also if there is one.
    outputs += "," if node.target == WHILE and position == 1 and len(body.outputs) == 1 else ""
    inside = [*unpacked, *_statements(body.nodes, names, reference), f"return {outputs or '()'}"]
    return [f"def {name}({', '.join(given)}):", *(f"    {line}" if line else "" for line in inside)]


def dtype_text(name: str) -> str:
    """The path of an element type; those that TensorFlow has not made public at the top are experimental."""
    return f"tf.{name}" if name in _PLAIN else f"tf.dtypes.experimental.{name}"


def tensor_text(constant: Constant) -> str:
    """An expression for a constant's tensor: a literal when small, else a look-up in CONSTANTS."""
    data, name = constant.data, constant.type.dtype
    if data.size > LITERAL_ELEMENTS or name not in _PLAIN | _CASTABLE:
        return f"CONSTANTS[{constant.name!r}]"
    if name in _CASTABLE:
        return f"tf.cast(tf.constant({elements(data)}, shape={data.shape!r}, dtype=tf.float32), {dtype_text(name)})"
    if data.ndim == 0 and data.dtype.kind == "f" and data == 0 and np.signbit(data):
        # Of a number by itself eager TensorFlow keeps the tensor, and gives that of 0.0 for -0.0, or the other way.
        return f"tf.constant([{elements(data)}], shape=(), dtype={dtype_text(name)})"
    if data.size == 0:
        return f"tf.zeros({data.shape!r}, dtype={dtype_text(name)})"
    return f"tf.constant({elements(data)}, dtype={dtype_text(name)})"


def _attributes(constants: Sequence[str], names: Callable[[str], str]) -> dict[str, str]:
    """A distinct attribute for each constant, none with a leading underscore: tf.Module keeps its own state there."""
    found: dict[str, str] = {}
    for constant in constants:
        attribute = names(constant)
        if attribute.startswith("_"):
            attribute = f"c{attribute}"
        while attribute in found.values():
            attribute += "_"
        found[constant] = attribute
    return found


def _constant(constant: Constant) -> str:
    text = tensor_text(constant)
    return f"tf.Variable({text})" if constant.trainable else text


def _call(node: Node, reference: Callable[[str], str], functions: Mapping[int, str]) -> str:
    """``functions`` are the names of the functions that bodies have become, by the identities of these."""

    def text(value: Argument) -> str:
        return functions[id(value)] if isinstance(value, Graph) else argument(value, reference, dtype_text)

    args = [text(value) for value in node.args]
    kwargs = [f"{key}={text(value)}" for key, value in node.kwargs]
    if node.target == "operator.getitem":
        return f"{args[0]}[{subscript(node.args[1], reference, dtype_text)}]"
    return f"{node.target}({', '.join([*args, *kwargs])})"
