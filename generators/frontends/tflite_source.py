"""Printing a graph of TFLite operators as Python that builds the FlatBuffer."""

from __future__ import annotations

from collections.abc import Callable

from generators.frontends.printing import LITERAL_ELEMENTS, elements, number
from generators.frontends.tflite_nodes import Parts, Quantization, parts_of, quantizations
from generators.graph import DTYPES, Argument, Constant, Graph, Node, TensorType


def print_module(graph: Graph, name: str) -> str:
    """Source of a class whose ``flatbuffer`` gives the bytes of the model, and whose call with arrays a list of arrays.

    Inputs are called ``input_0`` and so on, outputs ``output_0``. Besides ``np`` the source uses ``tensor``,
    ``operator``, ``build`` and ``run_operators`` (:mod:`generators.frontends.tflite_eager`), and ``CONSTANTS`` (name to
    array) where a constant is too large to be a literal. EvaluationError for nodes that no model can have.
    """
    names = names_of(graph)
    types, quantized = graph.types(), quantizations(graph)
    constants = {constant.name: constant for constant in graph.constants}
    listed: list[str] = []
    for value, kind in types.items():
        data = _constant(constants[value]) if value in constants else ""
        listed.append(f'"{names(value)}": {_tensor(kind, quantized.get(value), data)}')
    operators: list[str] = []
    for index, node in enumerate(graph.nodes):
        parts = parts_of(node)
        own: dict[int, str] = {}
        for place, (kind, quantization) in parts.state.items():
            own[place] = names(f"state_{index}_{place}")
            listed.append(f'"{own[place]}": {_tensor(kind, quantization, variable=True)}')
        inside = [names(f"inside_{index}_{place}") for place in range(len(parts.intermediates))]
        for inner, (dtype, quantization) in zip(inside, parts.intermediates, strict=True):
            listed.append(f'"{inner}": {_tensor(TensorType(dtype, ()), quantization)}')
        operators.append(_operator(node, parts, names, own, inside))
    inputs = [f"{names(value.name)}" for value in graph.inputs]
    outputs = [names(value) for value in graph.outputs]
    lines = [
        f"class {name}:",
        "    def parts(self):",
        "        tensors = {",
        *(f"            {item}," for item in listed),
        "        }",
        "        operators = [",
        *(f"            {item}," for item in operators),
        "        ]",
        f"        return tensors, operators, {_strings(inputs)}, {_strings(outputs)}",
        "",
        "    def flatbuffer(self):",
        "        return build(*self.parts())",
        "",
        "    def __call__(self, *inputs):",
        "        return run_operators(*self.parts(), inputs)",
    ]
    return "\n".join(lines) + "\n"


def names_of(graph: Graph) -> Callable[[str], str]:
    """The name in the model of each value: plain letters, distinct, those of inputs and outputs told by their place."""
    found = {value.name: f"input_{index}" for index, value in enumerate(graph.inputs)}
    for index, name in enumerate(graph.outputs):
        found.setdefault(name, f"output_{index}")
    taken = set(found.values())

    def names(value: str) -> str:
        if value not in found:
            plain = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in value)[-60:] or "_"
            candidate, count = plain, 1
            while candidate in taken:
                count += 1
                candidate = f"{plain}_{count}"
            taken.add(candidate)
            found[value] = candidate
        return found[value]

    return names


def _operator(node: Node, parts: Parts, names: Callable[[str], str], own: dict[int, str], inside: list[str]) -> str:
    operands = [
        repr(own[place]) if place in own else "None" if name is None else f'"{names(name)}"'
        for place, name in enumerate(parts.operands)
    ]
    results = [f'"{names(value.name)}"' for value in node.outputs]
    text = f'operator("{parts.kind}", [{", ".join(operands)}], [{", ".join(results)}]'
    text += f", version={parts.version}" if parts.version != 1 else ""
    text += f', options="{parts.options}"' if parts.options else ""
    text += f", intermediates={_strings(inside)}" if inside else ""
    return text + "".join(f", {key}={_literal(value)}" for key, value in parts.values.items()) + ")"


def _literal(value: Argument) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    return number(value) if isinstance(value, (bool, int, float)) else repr(value)


def _strings(items: list[str]) -> str:
    return "[" + ", ".join(f'"{item}"' for item in items) + "]"


def _tensor(kind: TensorType, quantization: Quantization | None, data: str = "", *, variable: bool = False) -> str:
    text = f'tensor("{kind.dtype}", {list(kind.shape)}'
    if quantization is not None:
        scales, zeros, axis = quantization
        text += f", {_literal(scales)}" + (f", {_literal(zeros)}" if zeros else "") + (f", axis={axis}" if axis else "")
    return text + (f", data={data}" if data else "") + (", variable=True" if variable else "") + ")"


def _constant(constant: Constant) -> str:
    data, dtype = constant.data, constant.type.dtype
    module = "np" if DTYPES[dtype].isbuiltin == 1 else "ml_dtypes"
    kind = "np.bool_" if dtype == "bool" else f"{module}.{dtype}"
    if data.size > LITERAL_ELEMENTS:
        return f"CONSTANTS[{constant.name!r}]"
    if data.size == 0:
        return f"np.zeros({data.shape!r}, {kind})"
    return f"np.array({elements(data)}, {kind})"
