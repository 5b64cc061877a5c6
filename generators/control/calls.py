"""How calls of control flow are laid out, for those who change them. Imports no framework.

Bodies of most operators return what the call does. The condition of a loop does not, nor does the first result of the
body of ONNX's Loop. A loop carries on its operands: each is an input of the bodies, and a result in the same place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from generators.graph import Argument, Graph, Node, Ref, map_node
from generators.naming import map_bodies

#: Last parts of the targets of loops whose first body is a condition.
_CONDITIONED = "while_loop"


@dataclass(frozen=True)
class Operands:
    """Those that bodies get as inputs from number ``first`` on: their values, whether they are carried on, and how a
    call looks with others."""

    names: tuple[str, ...]
    first: int
    carried: bool
    change: Callable[[tuple[Argument, ...]], Node]


def operands(node: Node) -> Operands | None:
    """The operands that bodies are given as they are, slices of others aside; None for an operator without any."""
    kind = node.target.rpartition(".")[2]
    args = node.args
    if kind == "cond" and len(args) > 3:
        return _listed(node, 3, carried=False)
    if kind == _CONDITIONED:
        return _listed(node, 2, carried=True)
    if kind == "scan":
        return _listed(node, 1, carried=True)
    if kind == "Loop":
        return Operands(_names(args[2:]), 2, True, lambda left: replace(node, args=(*args[:2], *left)))
    if kind == "Scan":
        count = len(args) - _scanned(node)
        return Operands(_names(args[:count]), 0, True, lambda left: replace(node, args=(*left, *args[count:])))
    return None


def carried(node: Node) -> int:
    """How many of the results are carried on from step to step; the first ones."""
    found = operands(node)
    return len(found.names) if found and found.carried else 0


def without_operand(node: Node, place: int) -> Node | None:
    """The call whose bodies capture an operand instead of being given it; one that is carried on stays what it was, and
    is no result any more. None where it is the last one that there has to be."""
    found = operands(node)
    if found is None or place >= len(found.names) or (found.carried and len(node.outputs) < 2):
        return None
    name = found.names[place]
    left = tuple(Ref(other) for at, other in enumerate(found.names) if at != place)
    if not left and node.target.rpartition(".")[2] == "scan":
        return None
    count = len(node.outputs)
    conditions = [next(node.bodies())] if node.target.rpartition(".")[2] == _CONDITIONED else []

    def change(body: Graph) -> Graph:
        given = body.inputs[found.first + place].name
        outputs = tuple(name if output == given else output for output in body.outputs)
        if found.carried and not any(body is condition for condition in conditions):
            at = len(outputs) - count + place
            outputs = (*outputs[:at], *outputs[at + 1 :])
        return replace(
            body,
            inputs=tuple(value for value in body.inputs if value.name != given),
            nodes=tuple(map_node(inner, lambda used: Ref(name if used == given else used)) for inner in body.nodes),
            outputs=outputs,
        )

    changed = map_bodies(found.change(left), change)
    if not found.carried:
        return changed
    kwargs = tuple((key, count - 1 if key == "outputs" else value) for key, value in changed.kwargs)
    outputs = tuple(value for at, value in enumerate(node.outputs) if at != place)
    return replace(changed, kwargs=kwargs, outputs=outputs)


def without_result(node: Node, place: int) -> Node | None:
    """The call, and its bodies, without a result that is not carried on; None for one that is, or the only one."""
    count, first = len(node.outputs), carried(node)
    if count < 2 or place < first:
        return None
    kwargs: list[tuple[str, Argument]] = []
    for key, value in node.kwargs:
        if key == "outputs":
            value = count - 1
        elif key.startswith("scan_output") and isinstance(value, tuple):
            value = (*value[: place - first], *value[place - first + 1 :])
        elif key == "fn_output_signature" and isinstance(value, tuple):
            left = (*value[:place], *value[place + 1 :])
            value = left[0] if len(left) == 1 else left
        kwargs.append((key, value))

    def change(body: Graph) -> Graph:
        at = len(body.outputs) - count + place
        return replace(body, outputs=(*body.outputs[:at], *body.outputs[at + 1 :]))

    outputs = (*node.outputs[:place], *node.outputs[place + 1 :])
    shorter = replace(node, kwargs=tuple(kwargs), outputs=outputs, unpack=node.unpack and len(outputs) > 1)
    return map_bodies(shorter, change)


def _listed(node: Node, position: int, *, carried: bool) -> Operands:
    given = node.args[position]
    names = _names(given if isinstance(given, tuple) else (given,))

    def change(left: tuple[Argument, ...]) -> Node:
        return replace(node, args=(*node.args[:position], left, *node.args[position + 1 :]))

    return Operands(names, 0, carried, change)


def _scanned(node: Node) -> int:
    count = dict(node.kwargs).get("num_scan_inputs")
    return count if isinstance(count, int) else 0


def _names(arguments: tuple[Argument, ...]) -> tuple[str, ...]:
    return tuple(item.name for item in arguments if isinstance(item, Ref))
