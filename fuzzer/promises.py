"""At which sizes a converted model must run: those that its own declaration of its inputs admits.

A converter may make a dimension static that was marked (torch.export, where the graph needs it), or find that two are
equal. What it says of it stands in the model, and is its own affair; a model is held to what it promises.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence

from fuzzer.formats import Artifact
from generators.graph import Array

_OPERATORS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}


def takes(artifact: Artifact, first: int, feeds: Sequence[Array]) -> bool:
    """Whether the model declares to take feeds of these shapes for its inputs from number ``first`` on. Of what is not
    known, it is supposed; of a formula that cannot be computed, it is not."""
    bound: dict[str, int] = {}
    formulas: list[tuple[str, int]] = []
    for declared, feed in zip(artifact.extents[first : first + len(feeds)], feeds, strict=False):
        # Complex numbers as pairs of reals have a dimension more.
        for extent, actual in zip(declared or (), feed.shape, strict=False):
            if isinstance(extent, int):
                if extent != actual:
                    return False
            elif extent is not None and not extent.isidentifier():
                formulas.append((extent, actual))
            elif extent is not None:
                low, high = artifact.ranges.get(extent, (0, None))
                if bound.setdefault(extent, actual) != actual or actual < low or (high is not None and actual > high):
                    return False
    return all(_value(formula, bound) == actual for formula, actual in formulas)


def _value(formula: str, bound: Mapping[str, int]) -> int | None:
    """The value of a sum or product of symbols, such as ``2*s0 + 1``; None for anything else."""
    try:
        tree = ast.parse(formula, mode="eval").body
    except SyntaxError:
        return None
    return _node_value(tree, bound)


def _node_value(node: ast.expr, bound: Mapping[str, int]) -> int | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.Name):
        return bound.get(node.id)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _node_value(node.left, bound), _node_value(node.right, bound)
        if left is None or right is None or (isinstance(node.op, ast.FloorDiv) and not right):
            return None
        return _OPERATORS[type(node.op)](left, right)
    return None
