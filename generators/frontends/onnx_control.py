"""If, Loop and Scan, run as ONNX defines them: their bodies node by node, too.

Unlike the runtime, which is told the types of everything, this runs whatever it is given: what the specification asks
of a call is checked here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from generators.frontends.base import EvaluationError, Frontend
from generators.frontends.bodies import BodyFunction, Running
from generators.frontends.onnx_nodes import IF, LOOP, SCAN, arguments, attributes_of, operator_of, output_count
from generators.graph import Array, Graph, Node, type_of

#: Attributes that a call must have.
_REQUIRED = {IF: ("then_branch", "else_branch"), LOOP: ("body",), SCAN: ("body", "num_scan_inputs")}


def controlled(
    frontend: Frontend, node: Node, values: Mapping[str, Any], running: Running, meaning: Callable[..., Any]
) -> list[Array]:
    """Outputs of a node; ``meaning`` is ``control_flow`` of :mod:`generators.frontends.onnx_eager`. EvaluationError
    where a body fails, and for a call that is not valid."""
    attributes, inputs = attributes_of(node), arguments(node, values)
    bodies = {
        key: BodyFunction(frontend, node, body, values, running)
        for key, body in attributes.items()
        if isinstance(body, Graph)
    }
    _check(node, attributes, inputs)
    results: dict[str, list[Array]] = {}

    def run(name: str, given: Sequence[Array | None]) -> list[Array]:
        outputs: list[Array] = bodies[name](*given)
        _check_results(node, given, outputs)
        results[name] = outputs
        return outputs

    try:
        outputs = [np.asarray(output) for output in meaning(operator_of(node.target), attributes, inputs, run)]
        if running.inner is not None:
            for name in bodies.keys() - results.keys():
                run(name, () if node.target == IF else (np.array(0), np.array(True), *inputs[2:]))
    except EvaluationError:
        raise
    except Exception as error:  # of what does not fit together
        raise EvaluationError(f"{node.target}: {type(error).__name__}: {error}") from error
    if len(outputs) != output_count(node):
        raise EvaluationError(f"{node.target}: {len(outputs)} results, {output_count(node)} expected")
    if node.target == IF and len({tuple(map(type_of, made)) for made in results.values()}) > 1:
        raise EvaluationError(f"{node.target}: the branches return different types")
    return outputs


def _check(node: Node, attributes: Mapping[str, Any], inputs: Sequence[Array | None]) -> None:
    for name in _REQUIRED[node.target]:
        if name not in attributes:
            raise EvaluationError(f"{node.target}: attribute {name} is missing")
    wanted = {IF: (np.bool_,), LOOP: (np.int64, np.bool_), SCAN: ()}[node.target]
    if len(inputs) < max(len(wanted), 1) or (node.target != LOOP and any(given is None for given in inputs)):
        raise EvaluationError(f"{node.target}: an input is missing")
    for given, kind in zip(inputs, wanted, strict=False):
        if given is not None and (given.dtype != kind or given.size != 1):
            raise EvaluationError(f"{node.target}: {type_of(given)} where one {kind.__name__} belongs")


def _check_results(node: Node, given: Sequence[Array | None], outputs: Sequence[Array]) -> None:
    """What is carried on keeps its type, and a condition is one truth value."""
    if node.target == IF:
        return
    carried = list(given)
    if node.target == LOOP:
        carried = carried[2:]
        if not outputs or outputs[0].dtype != np.bool_ or outputs[0].size != 1:
            raise EvaluationError(f"{node.target}: the first result of its body is no condition")
        outputs = outputs[1:]
    else:
        count = dict(node.kwargs).get("num_scan_inputs")
        carried = carried[: len(carried) - count] if isinstance(count, int) else carried
    if len(outputs) < len(carried):
        raise EvaluationError(f"{node.target}: its body does not return all that is carried on")
    for before, after in zip(carried, outputs, strict=False):
        if before is None or type_of(before) != type_of(after):
            raise EvaluationError(f"{node.target}: a carried value changes its type")
