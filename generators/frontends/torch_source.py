"""Printing a graph as a ``torch.nn.Module``."""

from __future__ import annotations

from collections.abc import Callable

from generators.frontends.printing import LITERAL_ELEMENTS, Identifiers, argument, elements, subscript
from generators.graph import Constant, Graph, Node


def print_module(graph: Graph, name: str) -> str:
    """Source of a module class whose ``forward`` takes the graph's inputs and returns its outputs as a tuple (a
    single output as such). Constants become parameters (float, ``trainable``) or buffers."""
    names = Identifiers(("self", "torch", "operator", "CONSTANTS", "numpy", name))
    for value in graph.inputs:
        names(value.name)
    constants = {constant.name: names(constant.name) for constant in graph.constants}

    def reference(value: str) -> str:
        return f"self.{constants[value]}" if value in constants else names(value)

    lines = [f"class {name}(torch.nn.Module):"]
    if graph.constants:
        lines += ["    def __init__(self):", "        super().__init__()"]
        lines += [f"        {_constant(constant, constants[constant.name])}" for constant in graph.constants]
        lines.append("")
    parameters = ", ".join(["self", *(names(value.name) for value in graph.inputs)])
    lines.append(f"    def forward({parameters}):")
    for node in graph.nodes:
        targets = ", ".join(names(value.name) for value in node.outputs)
        if node.unpack and len(node.outputs) == 1:
            targets += ","
        prefix = f"{targets} = " if node.outputs else ""
        lines.append(f"        {prefix}{_call(node, reference)}")
    outputs = ", ".join(reference(output) for output in graph.outputs)
    lines.append(f"        return {outputs or '()'}")
    return "\n".join(lines) + "\n"


def tensor_text(constant_name: str, constant: Constant) -> str:
    """An expression for a constant's tensor: a literal when small, else a look-up in CONSTANTS."""
    data = constant.data
    if data.size > LITERAL_ELEMENTS:
        return f"CONSTANTS[{constant_name!r}]"
    text = f"torch.tensor({elements(data)}, dtype=torch.{constant.type.dtype})"
    if data.size == 0 and data.ndim > 1:
        text = f"torch.zeros({data.shape!r}, dtype=torch.{constant.type.dtype})"
    return text


def _constant(constant: Constant, attribute: str) -> str:
    text = tensor_text(constant.name, constant)
    if constant.trainable:
        return f"self.{attribute} = torch.nn.Parameter({text}, requires_grad=False)"
    return f"self.register_buffer({attribute!r}, {text})"


def _dtype(name: str) -> str:
    return f"torch.{name}"


def _call(node: Node, reference: Callable[[str], str]) -> str:
    args = [argument(value, reference, _dtype) for value in node.args]
    kwargs = [f"{key}={argument(value, reference, _dtype)}" for key, value in node.kwargs]
    if node.target == "operator.getitem":
        return f"{args[0]}[{subscript(node.args[1], reference, _dtype)}]"
    if node.target.startswith("torch.Tensor."):
        method = node.target.removeprefix("torch.Tensor.")
        return f"{args[0]}.{method}({', '.join([*args[1:], *kwargs])})"
    function = f"torch.ops.{node.target}" if node.target.startswith("aten.") else node.target
    return f"{function}({', '.join([*args, *kwargs])})"
