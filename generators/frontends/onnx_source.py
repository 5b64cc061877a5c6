"""Printing a graph as Python that builds the model with ``onnx.helper``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from generators.frontends.onnx_nodes import (
    CONTROL_FLOW,
    attributes_of,
    is_tensor,
    operator_of,
    output_count,
    tensor_parts,
)
from generators.frontends.onnx_schema import NEWEST, OLDEST, element_text, has_kernel, opsets
from generators.frontends.printing import LITERAL_ELEMENTS, argument, elements, number
from generators.graph import DTYPES, Argument, Constant, Graph, Input, Node, Ref, TensorType, all_nodes, all_types
from generators.sizes import is_dynamic


def print_module(graph: Graph, name: str) -> str:
    """Source of a class whose ``proto`` builds the ``onnx.ModelProto`` for an opset (or the lowest later one that
    there can be), its dimensions symbolic if wanted, and whose call with arrays gives a list of arrays.

    Inputs are called ``input_0`` and so on, outputs ``output_0``; constants become initializers. Besides ``onnx`` and
    ``np`` the source uses ``run_nodes`` (:mod:`generators.frontends.onnx_eager`), and ``CONSTANTS`` (name to array)
    where a constant is too large to be a literal.
    """
    names, aliases = _names(graph)
    types = all_types(graph)
    spans = {id(node): opsets(node, types) for node in all_nodes(graph)}
    least = max([lowest for lowest, _ in spans.values()], default=OLDEST)
    others: dict[int | str, int] = {}
    top = {id(node): index for index, node in enumerate(graph.nodes)}
    for node in all_nodes(graph):
        _, highest = spans[id(node)]
        there = has_kernel(operator_of(node.target))
        if node.target not in CONTROL_FLOW and (highest != NEWEST or not there):
            key = top.get(id(node))
            others[names(node.outputs[0].name) if key is None else key] = highest if there else 0
    unknown = is_dynamic(graph)
    bodies = _Bodies(names, types, unknown)
    nodes = [bodies.node(node, index) for index, node in enumerate(graph.nodes)]
    nodes += [f'onnx.helper.make_node("Identity", [{names(of)!r}], [{output!r}])' for of, output in aliases]
    inputs = [_input(f"input_{index}", value) for index, value in enumerate(graph.inputs)]
    outputs = [_output(f"output_{index}", types[value], unknown) for index, value in enumerate(graph.outputs)]
    constants = [_constant(constant, names(constant.name)) for constant in graph.constants]
    lines = [
        f"class {name}:",
        f"    def proto(self, opset={least}, symbolic=False):",
        *bodies.lines,
        *_listed("nodes", nodes),
        *_listed("inputs", inputs),
        *_listed("outputs", outputs),
        *_listed("initializers", constants),
        '        graph = onnx.helper.make_graph(nodes, "graph", inputs, outputs, initializers)',
        f'        imports = [onnx.helper.make_opsetid("", max(opset, {least}))]  # the nodes exist since {least}',
        "        version = onnx.helper.find_min_ir_version_for(imports)",
        "        return onnx.helper.make_model(graph, opset_imports=imports, ir_version=version)",
        "",
        "    def __call__(self, *inputs):",
        f"        return run_nodes(self.proto(), inputs, {NEWEST}, {others})",
    ]
    return "\n".join(lines) + "\n"


class _Bodies:
    """Expressions for nodes; ``lines`` are the statements that make the bodies they have, innermost first. Shapes of
    what is in bodies are ``unknown`` where dimensions are dynamic."""

    def __init__(self, names: Callable[[str], str], types: Mapping[str, TensorType], unknown: bool) -> None:
        self._unknown = unknown
        self.lines: list[str] = []
        self._names = names
        self._types = types
        self._count = 0

    def node(self, node: Node, index: int) -> str:
        inputs = [self._names(item.name) if isinstance(item, Ref) else "" for item in node.args]
        outputs = [self._names(value.name) for value in node.outputs] or [f"unused_{index}"] * output_count(node)
        parts = [f'"{operator_of(node.target)}"', repr(inputs), repr(outputs)]
        for key, value in attributes_of(node).items():
            parts.append(f"{key}={self._body(key, value) if isinstance(value, Graph) else _attribute(key, value)}")
        return f"onnx.helper.make_node({', '.join(parts)})"

    def _body(self, role: str, body: Graph) -> str:
        """The variable that holds a body."""
        made = set(body.producers())
        nodes = [self.node(node, index) for index, node in enumerate(body.nodes)]
        variable = f"{role}_{self._count}"
        self._count += 1
        outputs: list[str] = []
        for name in body.outputs:
            output = self._names(name)
            if name not in made or output in outputs:
                # A body's output is made by a node of its own, and by each only once.
                output = self._names(f"{name} as output of {variable} {len(outputs)}")
                nodes.append(f'onnx.helper.make_node("Identity", [{self._names(name)!r}], [{output!r}])')
            outputs.append(output)
        types = [self._types[name] for name in body.outputs]
        parts = {
            "nodes": nodes,
            "inputs": [_output(self._names(value.name), value.type, self._unknown) for value in body.inputs],
            "outputs": [_output(name, kind, self._unknown) for name, kind in zip(outputs, types, strict=True)],
            "initializers": [_constant(constant, self._names(constant.name)) for constant in body.constants],
        }
        listed = [line for key, items in parts.items() for line in _listed(f"{variable}_{key}", items)]
        arguments = ", ".join(f"{variable}_{key}" for key in ("inputs", "outputs", "initializers"))
        self.lines += [
            *listed,
            f'        {variable} = onnx.helper.make_graph({variable}_nodes, "{variable}", {arguments})',
        ]
        return variable


def _listed(variable: str, items: Sequence[str]) -> list[str]:
    if not items:
        return [f"        {variable} = []"]
    return [f"        {variable} = [", *(f"            {item}," for item in items), "        ]"]


def _names(graph: Graph) -> tuple[Callable[[str], str], list[tuple[str, str]]]:
    """The name in the model of each value, and which outputs are copies of which values: a value that is an output
    twice, or that no node makes, reaches an output through an Identity."""
    found = {value.name: f"input_{index}" for index, value in enumerate(graph.inputs)}
    aliases: list[tuple[str, str]] = []
    made = graph.producers()
    for index, name in enumerate(graph.outputs):
        if name in made and name not in found:
            found[name] = f"output_{index}"
        else:
            aliases.append((name, f"output_{index}"))
    taken = {*found.values(), *(output for _, output in aliases)}

    def names(value: str) -> str:
        if value not in found:
            candidate, count = value, 1
            while candidate in taken:
                count += 1
                candidate = f"{value}_{count}"
            taken.add(candidate)
            found[value] = candidate
        return found[value]

    return names, aliases


def _attribute(key: str, value: Argument) -> str:
    if is_tensor(value):
        dtype, shape, items = tensor_parts(value)
        numbers = ", ".join(number(item) for item in items)
        return f'onnx.helper.make_tensor("{key}", {element_text(dtype.name)}, {list(shape)}, [{numbers}])'
    if isinstance(value, tuple):
        return "[" + ", ".join(_attribute(key, item) for item in value) + "]"
    return argument(value, repr, element_text)


def _input(name: str, value: Input) -> str:
    kind, marking = value.type, value.dynamic or (None,) * value.type.rank
    dims = [symbol or f"{name}_{axis}" for axis, symbol in enumerate(marking)]
    extents = [symbol or extent for symbol, extent in zip(marking, kind.shape, strict=True)]
    shape = f"{dims} if symbolic else {extents}" if dims else "[]"
    return f'onnx.helper.make_tensor_value_info("{name}", {element_text(kind.dtype)}, {shape})'


def _output(name: str, kind: TensorType, unknown: bool) -> str:
    shape = f"[None] * {kind.rank} if symbolic else {list(kind.shape)}" if kind.rank else "[]"
    if unknown and kind.rank:
        shape = f"[None] * {kind.rank}"
    return f'onnx.helper.make_tensor_value_info("{name}", {element_text(kind.dtype)}, {shape})'


def _constant(constant: Constant, name: str) -> str:
    data, dtype = constant.data, constant.type.dtype
    module = "np" if DTYPES[dtype].isbuiltin == 1 else "ml_dtypes"
    kind = "np.bool_" if dtype == "bool" else f"{module}.{dtype}"
    if data.size > LITERAL_ELEMENTS:
        text = f"CONSTANTS[{constant.name!r}]"
    elif data.size == 0:
        text = f"np.zeros({data.shape!r}, {kind})"
    else:
        text = f"np.array({elements(data)}, {kind})"
    return f"onnx.numpy_helper.from_array({text}, {name!r})"
