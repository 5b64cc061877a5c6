"""The operators of a graph or of an artifact, and which of them consume what others make."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fuzzer.formats import Artifact, Format
from generators.graph import Graph, Node

#: Sequences of more than this many operators are not counted.
LONGEST = 5
#: Sequences counted of one length, per operator; in a graph with more of them they end at the length before. Randomly
#: wired graphs have two or three; a subject that wires everything to everything must not stop a campaign.
_MOST = 64

#: Characters of a name: an artifact may call a custom operator anything, and databases do not index everything.
_LONGEST_NAME = 200


@dataclass
class Flow:
    """Operators in an order of execution; for each the indices of the ones before it whose results it consumes. The
    operators of a body consume what the body captures."""

    operators: list[str] = field(default_factory=list)
    sources: list[Collection[int]] = field(default_factory=list)

    def add(self, operator: str, uses: Iterable[str], made: Mapping[str, int]) -> int:
        """Append an operator that uses values by name; ``made`` tells which operator made them. Its index."""
        self.operators.append(operator.replace(" ", "_")[:_LONGEST_NAME] or "(nameless)")
        self.sources.append({made[name] for name in uses if name in made})
        return len(self.operators) - 1

    def sequences(self) -> Iterator[list[str]]:
        """All sequences of one to LONGEST operators in which each consumes a result of the one before, as often as they
        occur; names are joined by spaces. In lists, those of one length that end at the same operator together."""
        most = _MOST * len(self.operators)
        ending = [[operator] for operator in self.operators]
        for _ in range(LONGEST):
            yield from ending
            ending = [
                [f"{sequence} {operator}" for source in sources for sequence in ending[source]]
                for operator, sources in zip(self.operators, self.sources, strict=True)
            ]
            if sum(map(len, ending)) > most:
                return


def flow_of(graph: Graph) -> Flow:
    """The flow of a source graph, bodies included."""
    flow = Flow()

    def walk(nodes: Iterable[Node], made: dict[str, int]) -> None:
        for node in nodes:
            index = flow.add(node.target, node.references(), made)
            for body in node.bodies():
                walk(body.nodes, dict(made))
            made.update((value.name, index) for value in node.outputs)

    walk(graph.nodes, {})
    return flow


def flows_of(artifact: Artifact) -> list[Flow]:
    """The flows of an artifact, one for each part of it that is connected by more than calls. None for a format without
    operators of its own."""
    reader = _READERS.get(artifact.format)
    return reader(artifact.data) if reader else []


def _onnx(data: bytes) -> list[Flow]:
    """Subgraphs belong to the flow of the graph around them, each function of the model has one of its own. Operators
    of other domains than the main one are written ``domain::name``."""
    import onnx

    flows: list[Flow] = []

    def walk(flow: Flow, nodes: Iterable[Any], made: dict[str, int]) -> None:
        for node in nodes:
            domain = node.domain
            name = node.op_type if domain in ("", "ai.onnx") else f"{domain}::{node.op_type}"
            index = flow.add(name, node.input, made)
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    walk(flow, attribute.g.node, dict(made))
                elif attribute.type == onnx.AttributeProto.GRAPHS:
                    for body in attribute.graphs:
                        walk(flow, body.node, dict(made))
            made.update((output, index) for output in node.output if output)

    model = onnx.ModelProto.FromString(data)
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        flows.append(Flow())
        walk(flows[-1], nodes, {})
    return flows


def _tflite(data: bytes) -> list[Flow]:
    """A flow for each subgraph, as bodies of control flow capture nothing. Custom operators go by their own names."""
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError:
        from tensorflow.lite.python import schema_py_generated as schema

    model = schema.Model.GetRootAs(data, 0)
    codes = tflite_codes(model)
    flows: list[Flow] = []
    for number in range(model.SubgraphsLength()):
        subgraph = model.Subgraphs(number)
        flow, made = Flow(), dict[str, int]()
        for index in range(subgraph.OperatorsLength()):
            operator = subgraph.Operators(index)
            uses = [str(operator.Inputs(place)) for place in range(operator.InputsLength())]
            place = flow.add(codes[operator.OpcodeIndex()], uses, made)
            made.update((str(operator.Outputs(output)), place) for output in range(operator.OutputsLength()))
        flows.append(flow)
    return flows


def tflite_codes(model: Any) -> list[str]:
    """The names of the operator codes of a TFLite model (an object of the schema's ``Model``), in their order."""
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError:
        from tensorflow.lite.python import schema_py_generated as schema

    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    codes: list[str] = []
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        # Numbers that fit into a byte are in the field of old; newer ones have 127 there.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        custom = code.CustomCode()
        codes.append(custom.decode(errors="replace") if custom else names.get(number, str(number)))
    return codes


_READERS: Mapping[Format, Callable[[bytes], list[Flow]]] = {Format.ONNX: _onnx, Format.TFLITE: _tflite}
