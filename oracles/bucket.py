"""Which findings are one defect: the bucket of a minimized case, and its title.

A bucket key is made of the signature and of the minimized case in a form that forgets what two findings of one defect
may differ in. What is kept was chosen by what merges best without merging different defects:

* For everything: stage, component, kind and detail, and the guilty operators as a sorted set. Two operators with the
  same complaint mostly are two entries missing in a table, and are fixed one by one.
* For exceptions, refusals of a validator and other failures before there is a model that runs, nothing more: the
  normalised message and the subject's own innermost frame already say where the defect is, while arguments, element
  types and ranks vary with the road that led there. Element types in the message count by kind, and not at all where a
  schema does not admit one: the converter forgot a cast. What cannot even be traced does not count by operator. An
  exception without a frame and message is kept apart by the structure below.
* For mismatches and for the end of the process, where the detail is empty or says next to nothing, also: which keywords
  and how many arguments are given (after minimization only needed ones are), each argument's class (sign of a number,
  uniform or mixed tuple; never its size, which axes and shapes make arbitrary), how the operators are connected, the
  *kind* of the element types (float, half, integer, unsigned, boolean, complex) and whether special values are needed.
  Exact types and ranks stay out: most defects hold for several, and which one a minimization ends with depends on the
  graph it began with. Half precision is a kind of its own, since converters widen it on purpose.
"""

from __future__ import annotations

import json
import re

from generators.argument_classes import Form, dtype_kind, node_form
from generators.frontends.printing import argument as argument_text
from generators.graph import Argument, Case, Graph, Input, Node, digest_of
from generators.sizes import is_dynamic
from generators.transforms import canonical
from oracles.minimize import needs_special
from oracles.outcome import DEADLY, MISMATCH, Kind, Observation, Signature, Stage

__all__ = ["bucket_key", "needs_special", "structure", "title"]

#: The sizes in the message of a mismatch.
_SIZES = re.compile(r"\(at ([^();]*?)(?:, not at [^();]*)?(?:; [^()]*)?\)$")
#: Element types in messages: NumPy's names, and ONNX's own for two of them.
_TYPE = re.compile(r"\b(?:bfloat16|u?int(?:8|16|32|64)|float(?:16|32|64)?|double|complex(?:64|128)|bool)\b")
_NAMES = {"float": "float32", "double": "float64"}
#: What nodes of TFLite's operators hold besides their options.
_OF_THE_FILE = frozenset(("version", "options", "operands", "results", "state", "intermediates"))
#: How a schema complains of a type.
_SCHEMA = "has unsupported type"


def bucket_key(signature: Signature, case: Case) -> str:
    """Identity of the defect that a minimized case shows: 32 hexadecimal digits."""
    detail = signature.detail
    # Any type that a schema does not admit is one that the converter forgot to cast.
    detail = _TYPE.sub("type", detail) if _SCHEMA in detail else detail
    # What cannot even be traced is a matter of the tracer: the operator is where it happened to be.
    traced = signature.stage is Stage.LOAD and signature.kind is Kind.EXCEPTION and bool(detail)
    form: dict[str, Form] = {
        "stage": str(signature.stage),
        "component": signature.component,
        "kind": str(signature.kind),
        "detail": _TYPE.sub(lambda match: dtype_kind(_NAMES.get(match[0], match[0])), detail),
        "operators": [] if traced else list[Form](sorted(set(case.graph.operators()))),
    }
    if signature.kind in MISMATCH | DEADLY or not signature.detail:
        form["structure"] = structure(case)
        form["special"] = needs_special(case)
    if is_dynamic(case.graph):
        # What is left of a marking is needed for the failure.
        form["dynamic"] = True
    return digest_of(json.dumps(form, sort_keys=True).encode())


def structure(case: Case) -> Form:
    """The canonical form of a case without sizes, ranks and data: operators, argument classes, connections and kinds of
    element types."""
    graph = canonical(case).graph
    kinds = {name: dtype_kind(value.dtype) for name, value in graph.types().items()}
    roles = {value.name: "input" for value in graph.inputs} | {item.name: "constant" for item in graph.constants}
    producers = graph.producers()
    names = {
        name: f"{roles[name]} {kinds[name]}" if name in roles else f"node {producers[name]} {kinds[name]}"
        for name in kinds
    }
    return [node_form(node, names) for node in graph.nodes]


def title(case: Case, observation: Observation) -> str:
    """One line such as ``unfold(x0, kernel_size=2, dilation=(2, 1)) float32[1,1,3,2]: expected 2.0, got 1.5``.

    Nested calls for a few nodes, a chain of operator names for more. The end is what the observation says, without the
    output's number and type, at most 160 characters.
    """
    graph = case.graph
    types = {name: str(kind) for name, kind in graph.types().items()}
    types |= {value.name: _marked(value) for value in graph.inputs if value.dynamic}
    first = next((types[name] for node in graph.nodes for name in node.references() if name in types), None)
    head = f"{_calls(graph)} {first}" if first else _calls(graph)
    seen = " ".join(observation.message.split())
    if observation.signature.kind in MISMATCH:
        _, found, tail = seen.partition("expected ")
        sizes = _SIZES.search(tail)
        seen = found + tail.partition(" (")[0] + (f" at {sizes[1]}" if sizes else "") if found else seen
    elif observation.signature.kind is not Kind.EXCEPTION and not seen.startswith(str(observation.signature.kind)):
        seen = f"{observation.signature.kind}: {seen}" if seen else str(observation.signature.kind)
    seen = seen if len(seen) <= 160 else seen[:159] + "…"
    return f"{head}: {seen}" if seen else head


def _marked(value: Input) -> str:
    """The type of an input with its symbols, such as ``float32[s0,3]``."""
    extents = (str(symbol or extent) for symbol, extent in zip(value.dynamic, value.type.shape, strict=True))
    return f"{value.type.dtype}[{','.join(extents)}]"


def _calls(graph: Graph) -> str:
    if len(graph.nodes) > 3:
        return " → ".join(_short(node.target) for node in graph.nodes[:8]) + (" → …" if len(graph.nodes) > 8 else "")
    return "; ".join(_call(node) for node in graph.nodes)


def _call(node: Node) -> str:
    def text(value: Argument) -> str:
        if isinstance(value, Graph):
            return f"{{{' → '.join(_short(target) for target in value.operators()[:4])}}}"
        return argument_text(value, lambda name: name, lambda name: name)

    untold = _OF_THE_FILE if node.target.startswith("tflite.") else frozenset()
    told = [(key, value) for key, value in node.kwargs if key not in untold]
    parts = [*(text(value) for value in node.args), *(f"{key}={text(value)}" for key, value in told)]
    made = f"{', '.join(value.name for value in node.outputs)} = " if len(node.outputs) > 1 else ""
    return f"{made}{_short(node.target)}({', '.join(parts)})"


def _short(target: str) -> str:
    """``unfold`` of ``torch.nn.functional.unfold``; the overload of an aten operator stays with its name."""
    if target.startswith("aten."):
        return target.removeprefix("aten.")
    return target.rpartition(".")[2]
