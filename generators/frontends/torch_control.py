"""Control flow of torch: what each operator means, and how a call of it is printed.

In eager mode the operators of ``torch._higher_order_ops`` compile their functions by ``torch.compile``, which takes
a fifth of a second each time and gives up after eight different calls in a process. Here they are what their
documentation says that they are equivalent to. ``torch.export`` gets the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils import _pytree

from generators.graph import Argument, Graph, Node, Ref

COND = "torch.cond"
WHILE = "torch._higher_order_ops.while_loop"
SCAN = "torch._higher_order_ops.scan"
MAP = "torch._higher_order_ops.map"


def cond(pred: torch.Tensor, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: Any = ()) -> Any:
    _check_condition(pred)
    taken, other = (true_fn, false_fn) if bool(pred) else (false_fn, true_fn)
    result = taken(*operands)
    if getattr(other, "always", False) and _kinds(other(*operands)) != _kinds(result):
        raise RuntimeError("the branches return different types")
    return result


def while_loop(cond_fn: Callable[..., Any], body_fn: Callable[..., Any], carried_inputs: Any) -> tuple[Any, ...]:
    values = tuple(carried_inputs)
    going = bool(_check_condition(cond_fn(*values)))
    if not going:
        if getattr(body_fn, "always", False):
            _check_carried(values, body_fn(*values))
        return tuple(value.clone() for value in values)
    while going:
        values = _check_carried(values, body_fn(*values))
        going = bool(_check_condition(cond_fn(*values)))
    return values


def _kinds(values: Any) -> list[Any]:
    return [(value.dtype, value.shape) for value in _pytree.tree_leaves(values)]


def _check_condition(value: torch.Tensor) -> torch.Tensor:
    if value.dtype is not torch.bool or value.numel() != 1:
        raise RuntimeError(f"a condition is one truth value, not {value.dtype} of shape {tuple(value.shape)}")
    return value


def _check_carried(before: Any, after: Any) -> tuple[Any, ...]:
    if _kinds(after) != _kinds(before):
        raise RuntimeError("a carried value changes its type")
    return tuple(_pytree.tree_leaves(after))


def scan(combine_fn: Callable[..., Any], init: Any, xs: Any, *, dim: int = 0, reverse: bool = False) -> Any:
    carry, structure = _pytree.tree_flatten(init)
    leaves, slices = _pytree.tree_flatten(xs)
    dim = dim % leaves[0].ndim
    leaves = [torch.movedim(leaf, dim, 0) if dim else leaf for leaf in leaves]
    leaves = [torch.flip(leaf, [0]) for leaf in leaves] if reverse else leaves
    if len({leaf.shape[0] for leaf in leaves}) != 1 or not leaves[0].shape[0]:
        raise RuntimeError("there is nothing to scan over, or not as much of each")
    steps: list[list[torch.Tensor]] = []
    for index in range(leaves[0].shape[0]):
        given = _pytree.tree_unflatten([leaf.select(0, index) for leaf in leaves], slices)
        after, made = combine_fn(_pytree.tree_unflatten(carry, structure), given)
        carry = list(_check_carried(carry, after))
        steps.append(_pytree.tree_leaves(made))
    stacked = [torch.stack(parts) for parts in zip(*steps, strict=True)]
    stacked = [part.flip([0]) for part in stacked] if reverse else stacked
    stacked = [torch.movedim(part, 0, dim) if dim and dim < part.ndim else part for part in stacked]
    return _pytree.tree_unflatten(carry, structure), _pytree.tree_unflatten(stacked, _pytree.tree_structure(made))


def map_(f: Callable[..., Any], xs: Any, *args: torch.Tensor) -> Any:
    leaves, structure = _pytree.tree_flatten(xs)
    if len({leaf.shape[0] for leaf in leaves}) != 1 or not leaves[0].shape[0]:
        raise RuntimeError("there is nothing to map over, or not as much of each")
    steps = [
        f(_pytree.tree_unflatten([leaf.select(0, index) for leaf in leaves], structure), *args)
        for index in range(leaves[0].shape[0])
    ]
    flat = [_pytree.tree_leaves(step) for step in steps]
    stacked = [torch.stack(parts) for parts in zip(*flat, strict=True)]
    return _pytree.tree_unflatten(stacked, _pytree.tree_structure(steps[0]))


#: What each operator means.
MEANINGS: Mapping[str, Callable[..., Any]] = {COND: cond, WHILE: while_loop, SCAN: scan, MAP: map_}


class Plain:
    """The ``torch`` namespace in which control flow is what it means and is not compiled."""

    cond = staticmethod(cond)
    _higher_order_ops = SimpleNamespace(while_loop=while_loop, scan=scan, map=map_)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


#: Names of the functions that bodies become, in the order of a call's bodies.
ROLES: Mapping[str, tuple[str, ...]] = {
    COND: ("true", "false"),
    WHILE: ("condition", "body"),
    SCAN: ("step",),
    MAP: ("each",),
}


def leading(node: Node) -> int:
    """How many results of a scan's body are carried on."""
    return _count(node.args[1]) if node.target == SCAN and len(node.args) > 1 else 0


def _count(argument: Argument) -> int:
    return len(argument) if isinstance(argument, tuple) else 1


def parameters(node: Node, body: Graph, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The parameters of a body's function, given the names of its inputs, and statements that unpack them: a scan gives
    two structures, a map one."""
    if node.target == SCAN:
        parts = [(names[: leading(node)], node.args[1], "carry"), (names[leading(node) :], node.args[2], "x")]
    elif node.target == MAP:
        parts = [(names, node.args[1], "x")]
    else:
        return list(names), []
    found, statements = list[str](), list[str]()
    for part, argument, name in parts:
        if isinstance(argument, Ref):
            found += part
            continue
        found.append(name)
        statements.append(f"{', '.join(part)}{',' if len(part) == 1 else ''} = {name}")
    return found, statements


def returned(node: Node, position: int, outputs: Sequence[str]) -> str:
    """What a body's function returns."""
    if node.target == SCAN:
        count = leading(node)
        first = _tuple(outputs[:count]) if isinstance(node.args[1], tuple) else outputs[0]
        rest = outputs[count:]
        return f"{first}, {rest[0] if len(rest) == 1 else _tuple(rest)}"
    if node.target == WHILE and position == 1 and len(outputs) == 1:
        return f"{outputs[0]},"
    return ", ".join(outputs) or "()"


def results(node: Node, names: Sequence[str]) -> str:
    """What the results of a call are unpacked to."""
    if node.target == SCAN:
        return returned(node, 0, names)
    return ", ".join(names) + ("," if node.unpack and len(names) == 1 else "")


def _tuple(items: Sequence[str]) -> str:
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
