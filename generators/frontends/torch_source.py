"""Printing a graph as a ``torch.nn.Module``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from generators.frontends.printing import LITERAL_ELEMENTS, Identifiers, argument, elements, subscript
from generators.frontends.torch_control import ROLES, parameters, results, returned
from generators.frontends.torch_modules import PARAMETRIZATION, STATE, data_names, is_module, state_names, state_of
from generators.graph import Argument, Constant, Graph, GraphError, Node, Value, all_constants, all_nodes
from generators.grouping import returning_text, unpacked

#: Operators of Python by target, as they are written.
UNARY_SYMBOLS: Mapping[str, str] = {"operator.neg": "-", "operator.invert": "~", "operator.abs": "abs"}
BINARY_SYMBOLS: Mapping[str, str] = {
    "operator.add": "+",
    "operator.sub": "-",
    "operator.mul": "*",
    "operator.truediv": "/",
    "operator.floordiv": "//",
    "operator.mod": "%",
    "operator.pow": "**",
    "operator.matmul": "@",
    "operator.and_": "&",
    "operator.or_": "|",
    "operator.xor": "^",
    "operator.lshift": "<<",
    "operator.rshift": ">>",
    "operator.lt": "<",
    "operator.le": "<=",
    "operator.gt": ">",
    "operator.ge": ">=",
    "operator.eq": "==",
    "operator.ne": "!=",
}


def writes(target: str) -> bool:
    """Whether a target writes into its first argument: ``operator.setitem`` and methods whose names end so."""
    method = target.removeprefix("torch.Tensor.")
    return target == "operator.setitem" or (method != target and method.endswith("_") and not method.endswith("__"))


def print_module(graph: Graph, name: str) -> str:
    """Source of a module class whose ``forward`` takes the graph's inputs and returns its outputs as a tuple (a
    single output as such). Constants become parameters (float, ``trainable``) or buffers."""
    names = Identifiers(("self", "torch", "operator", "CONSTANTS", "numpy", name))
    for value in graph.inputs:
        names(value.name)
    held = {constant.name: constant for constant in all_constants(graph)}
    constants = {constant: names(constant) for constant in held}

    def reference(value: str) -> str:
        return f"self.{constants[value]}" if value in constants else names(value)

    nodes = list(all_nodes(graph))
    modules = {node.outputs: names(f"module_{index}") for index, node in enumerate(nodes) if is_module(node.target)}
    # What is only in modules is given to them and not held beside them.
    states = {name for node in nodes if node.outputs in modules for name in state_names(node)}
    states -= {name for node in nodes for name in data_names(node)} | set(graph.outputs)
    lines = [f"class {name}(torch.nn.Module):"]
    if held or modules:
        lines += ["    def __init__(self):", "        super().__init__()"]
        lines += [
            f"        {_constant(constant, constants[constant.name])}"
            for constant in held.values()
            if constant.name not in states
        ]
        for node in nodes:
            if node.outputs in modules:
                lines += [f"        {line}" for line in _module(node, modules[node.outputs], held)]
        lines.append("")
    given, unpacking = unpacked(graph, names, names.fresh)
    lines.append(f"    def forward({', '.join(['self', *given])}):")
    lines += [f"        {line}" for line in unpacking]
    lines += [f"        {line}" if line else "" for line in _Statements(names, reference, modules).of(graph.nodes)]
    returned = returning_text(graph, lambda index: reference(graph.outputs[index]))
    lines.append(f"        return {returned}")
    return "\n".join(lines) + "\n"


class _Statements:
    """Lines of the statements for nodes, bodies as functions before the calls that take them."""

    def __init__(
        self, names: Identifiers, reference: Callable[[str], str], modules: Mapping[tuple[Value, ...], str]
    ) -> None:
        self._names = names
        self._reference = reference
        self._modules = modules

    def of(self, nodes: Iterable[Node]) -> list[str]:
        return [line for node in nodes for line in self._statements(node)]

    def _statements(self, node: Node) -> list[str]:
        if node.outputs in self._modules:
            inputs = ", ".join(argument(value, self._reference, _dtype) for value in node.args)
            return [f"{_results(node, self._names)} = self.{self._modules[node.outputs]}({inputs})"]
        bodies = list(node.bodies())
        roles = ROLES.get(node.target, ())
        if not bodies:
            targets = ", ".join(self._names(value.name) for value in node.outputs)
            if node.unpack and len(node.outputs) == 1:
                targets += ","
            prefix = f"{targets} = " if node.outputs else ""
            if writes(node.target) and len(node.outputs) == 1:
                return self._written(node, targets)
            return [f"{prefix}{_call(node, self._reference)}"]
        lines, functions = [""], dict[int, str]()
        for position, body in enumerate(bodies):
            role = roles[position] if position < len(roles) else "body"
            functions[id(body)] = self._names.fresh(role)
            lines += [*self._function(node, position, body, functions[id(body)]), ""]
        targets = results(node, [self._names(value.name) for value in node.outputs])
        prefix = f"{targets} = " if node.outputs else ""
        return [*lines, f"{prefix}{_call(node, self._reference, functions)}"]

    def _written(self, node: Node, target: str) -> list[str]:
        """What is written into is a copy, so that a name stands for one value."""
        first, *rest = (argument(value, self._reference, _dtype) for value in node.args)
        copied = f"{target} = {first}.clone()"
        if node.target == "operator.setitem":
            return [copied, f"{target}[{subscript(node.args[1], self._reference, _dtype)}] = {rest[1]}"]
        rest += [f"{key}={argument(value, self._reference, _dtype)}" for key, value in node.kwargs]
        return [copied, f"{target}.{node.target.rpartition('.')[2]}({', '.join(rest)})"]

    def _function(self, node: Node, position: int, body: Graph, name: str) -> list[str]:
        given, unpacked = parameters(node, body, [self._names(value.name) for value in body.inputs])
        outputs = [self._reference(output) for output in body.outputs]
        inside = [*unpacked, *self.of(body.nodes), f"return {returned(node, position, outputs)}"]
        return [f"def {name}({', '.join(given)}):", *(f"    {line}" if line else "" for line in inside)]


def _module(node: Node, attribute: str, held: Mapping[str, Constant]) -> list[str]:
    """Statements that make the module of a node and give it its parameters."""
    constructor = [
        f"{key}={argument(value, lambda value: value, _dtype)}"
        for key, value in node.kwargs
        if key not in (STATE, PARAMETRIZATION)
    ]
    made = f"{node.target}({', '.join(constructor)})"
    if parametrization := dict(node.kwargs).get(PARAMETRIZATION):
        made = f"torch.nn.utils.parametrizations.{parametrization}({made})"
    lines = [f"self.{attribute} = {made}"]
    pairs = state_of(node)
    if pairs:
        lines.append(f"self.{attribute}.load_state_dict({{")
        for key, name in pairs:
            if name not in held:
                raise GraphError(f"{node.target}: {name!r} is a parameter of a module, but no constant")
            lines.append(f"    {key!r}: {tensor_text(name, held[name])},")
        # Assigned, so that they keep their element type.
        lines.append("}, assign=True)")
    return lines


def _results(node: Node, names: Identifiers) -> str:
    """What the results of a module are unpacked to."""
    found = [names(value.name) for value in node.outputs]
    if node.target == "torch.nn.LSTM" and len(found) == 3:
        return f"{found[0]}, ({found[1]}, {found[2]})"
    if node.target == "torch.nn.MultiheadAttention" and len(found) == 1:
        return f"{found[0]}, _"  # no weights are asked for
    return ", ".join(found) + ("," if node.unpack and len(found) == 1 else "")


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


def _call(node: Node, reference: Callable[[str], str], functions: Mapping[int, str] | None = None) -> str:
    """``functions`` are the names of the functions that bodies have become, by the identities of these."""

    def text(value: Argument) -> str:
        return functions[id(value)] if functions and isinstance(value, Graph) else argument(value, reference, _dtype)

    args = [text(value) for value in node.args]
    kwargs = [f"{key}={text(value)}" for key, value in node.kwargs]
    if node.target == "operator.getitem":
        return f"{args[0]}[{subscript(node.args[1], reference, _dtype)}]"
    if node.target in UNARY_SYMBOLS:
        return f"{UNARY_SYMBOLS[node.target]}({args[0]})"
    if node.target in BINARY_SYMBOLS:
        # Numbers may be negative.
        left, right = (f"({item})" if item.startswith("-") else item for item in args)
        return f"{left} {BINARY_SYMBOLS[node.target]} {right}"
    if node.target.startswith("torch.Tensor."):
        method = node.target.removeprefix("torch.Tensor.")
        return f"{args[0]}.{method}({', '.join([*args[1:], *kwargs])})"
    function = f"torch.ops.{node.target}" if node.target.startswith("aten.") else node.target
    return f"{function}({', '.join([*args, *kwargs])})"
