"""The part of an ONNX model that computes some of its outputs, as a model of its own.

A pack is the disjoint union of graphs. When a validator or a runtime refuses its artifact, the parts that belong to the
graphs are cut out of it and judged one by one: nothing has to be converted again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx

from fuzzer.formats import Artifact


def slices(artifact: Artifact, counts: Sequence[tuple[int, int]]) -> list[Artifact] | None:
    """One artifact for each graph of a union, given the numbers of its inputs and outputs in order. None when the
    artifact does not have as many outputs as the graphs together."""
    if len(artifact.inputs) != sum(count for count, _ in counts):
        return None
    if len(artifact.outputs) != sum(count for _, count in counts):
        return None
    model = onnx.ModelProto.FromString(artifact.data)
    makers = {name: index for index, node in enumerate(model.graph.node) for name in node.output if name}
    bare = _bare(model)
    found: list[Artifact] = []
    first_input = first_output = 0
    for inputs, outputs in counts:
        given = artifact.inputs[first_input : first_input + inputs]
        wanted = artifact.outputs[first_output : first_output + outputs]
        pairs = tuple(
            index - first_output for index in artifact.complex_outputs if first_output <= index < first_output + outputs
        )
        part = _part(model, bare, makers, wanted, [name for name in given if name is not None])
        extents = artifact.extents[first_input : first_input + inputs]
        data = part.SerializeToString()
        found.append(Artifact(artifact.format, data, given, wanted, pairs, artifact.files, extents, artifact.ranges))
        first_input += inputs
        first_output += outputs
    return found


#: Fields of a graph of which a part has some entries.
_NAMED = ("input", "initializer", "value_info")


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with nothing of what its parts have some of each: weights of a large one are copied once, not with
    every part."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for field in ("node", "sparse_initializer", "output", *_NAMED):
        del getattr(bare.graph, field)[:]
    return bare


def _part(
    model: onnx.ModelProto,
    bare: onnx.ModelProto,
    makers: dict[str, int],
    outputs: Sequence[str],
    inputs: Sequence[str],
) -> onnx.ModelProto:
    """The model with only what the outputs depend on. Inputs stay whether they are used or not."""
    graph = model.graph
    needed, nodes, waiting = set(inputs), set[int](), list(outputs)
    while waiting:
        name = waiting.pop()
        if name in needed and name not in makers:
            continue
        needed.add(name)
        index = makers.get(name)
        if index is None or index in nodes:
            continue
        nodes.add(index)
        waiting.extend(uses(graph.node[index]))
    made = {name for index in nodes for name in graph.node[index].output}
    kept = needed | made
    part = onnx.ModelProto()
    part.CopyFrom(bare)
    part.graph.node.extend(graph.node[index] for index in sorted(nodes))
    for field in _NAMED:
        getattr(part.graph, field).extend(entry for entry in getattr(graph, field) if entry.name in kept)
    part.graph.sparse_initializer.extend(entry for entry in graph.sparse_initializer if entry.values.name in kept)
    by_name = {value.name: value for value in graph.output}
    part.graph.output.extend(by_name[name] for name in dict.fromkeys(outputs) if name in by_name)
    return part


def uses(node: onnx.NodeProto) -> Iterator[str]:
    """Names that a node uses, those that its bodies capture or define included: names are unique in a model."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            for inner in body.node:
                yield from uses(inner)
            yield from (value.name for value in body.output)
