"""Converters that compute something else wherever operators follow each other in a certain chain, for
``benchmarks.minimizer``. The chain is a setting, such as ``torch.transpose torch.sort``: of a call of the last operator
that uses a result of a call of the one before, and so on, the first result is off by one (a truth value: inverted).

``planted.chain.torch`` and ``planted.chain.tensorflow`` write graphs of ours, which takes any operator; the others are
real converters, given the graph with the fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from fuzzer.converters.base import Converter
from fuzzer.converters.identity import TensorFlowIdentity, TorchIdentity
from fuzzer.converters.tflite import TFLite
from fuzzer.converters.torch_onnx_torchscript import TorchOnnxTorchScript
from fuzzer.formats import Artifact, Settings
from generators.frontends.base import LoadedModel, frontend
from generators.graph import Case, Graph, Node, Ref, Value

#: The setting.
CHAIN = "chain"
#: By frontend, what is called to add one, and to invert truth values.
CHANGES = {
    "torch": ("torch.add", "torch.logical_not"),
    "tensorflow": ("tf.math.add", "tf.math.logical_not"),
}
#: Element types of results that are changed.
CHANGED = frozenset({"bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8"})


def guilty_nodes(graph: Graph, chain: Sequence[str]) -> list[int]:
    """Indices of the nodes that end the chain, those of bodies not looked at."""
    producers = graph.producers()
    met: list[set[int]] = [set() for _ in chain]
    for index, node in enumerate(graph.nodes):
        before = {producers[name] for name in node.references() if name in producers}
        for place, target in enumerate(chain):
            if node.target == target and (place == 0 or before & met[place - 1]):
                met[place].add(index)
    return [index for index in sorted(met[-1]) if graph.nodes[index].outputs[0].type.dtype in CHANGED]


def miscompiled(graph: Graph, chain: Sequence[str]) -> Graph:
    """The graph with the first results of all guilty nodes changed; the graph itself when there are none."""
    guilty = set(guilty_nodes(graph, chain))
    if not guilty:
        return graph
    add, invert = CHANGES[graph.frontend]
    nodes: list[Node] = []
    for index, node in enumerate(graph.nodes):
        if index not in guilty:
            nodes.append(node)
            continue
        result, *others = node.outputs
        right = Value(f"{result.name}_right", result.type)
        nodes.append(replace(node, outputs=(right, *others)))
        boolean = result.type.dtype == "bool"
        operands = (Ref(right.name),) if boolean else (Ref(right.name), 1)
        nodes.append(Node(invert if boolean else add, operands, (), (result,)))
    return replace(graph, nodes=tuple(nodes))


class Chained(Converter):
    """Mixed into a converter: it gets the graph with the fault."""

    default: ClassVar[bool] = False
    dynamic: ClassVar[bool] = False

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        graph = miscompiled(model.graph, str(settings[CHAIN]).split())
        if graph is model.graph:
            return super().convert(model, settings)  # type: ignore[safe-super]  # the real one is behind it
        ours = frontend(graph.frontend)
        given = zip(graph.inputs, model.arguments, strict=True)
        feeds = {value.name: ours.to_array(argument) for value, argument in given}
        return super().convert(ours.load(Case(graph, feeds)), settings)  # type: ignore[safe-super]


class TorchChain(Chained, TorchIdentity):
    name = "planted.chain.torch"


class TensorFlowChain(Chained, TensorFlowIdentity):
    name = "planted.chain.tensorflow"


class TorchScriptChain(Chained, TorchOnnxTorchScript):
    name = "planted.chain.torch.onnx-torchscript"


class TFLiteChain(Chained, TFLite):
    name = "planted.chain.tflite"
