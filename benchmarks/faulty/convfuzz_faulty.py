"""Real converters with a fault put into the ONNX model that they write, which the environment variable
``CONVFUZZ_FAULT`` names. Registered through entry points like any other plugin, for ``benchmarks.models``."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import onnx
from onnx import numpy_helper

from fuzzer.converters.tf2onnx import Tf2Onnx
from fuzzer.converters.torch_onnx_dynamo import TorchOnnxDynamo
from fuzzer.formats import Artifact, Settings
from generators.frontends.base import LoadedModel

VARIABLE = "CONVFUZZ_FAULT"


def stem_pads(graph: onnx.GraphProto) -> None:
    """An attribute: the 7 by 7 convolution of the stem is padded by one too little before and one too much behind."""
    shapes = {item.name: list(item.dims) for item in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Conv" and attribute.name == "pads" and shapes.get(node.input[1], [])[2:] == [7, 7]:
                attribute.ints[:] = [pad + (-1 if place < 2 else 1) for place, pad in enumerate(attribute.ints)]


def depthwise_pads(graph: onnx.GraphProto) -> None:
    """A fusion: padding that went into a depthwise convolution lies one element further up."""
    for node in graph.node:
        values = {attribute.name: attribute for attribute in node.attribute}
        if node.op_type == "Conv" and "group" in values and values["group"].i > 1 and "pads" in values:
            pads = values["pads"].ints
            if list(pads) == [1, 1, 1, 1]:
                pads[:] = [2, 1, 0, 1]


def weight_rows(graph: onnx.GraphProto) -> None:
    """A weight: two rows of the classifier change places."""
    for item in graph.initializer:
        if len(item.dims) == 2 and 1000 in item.dims:
            array = numpy_helper.to_array(item).copy()
            rows = array if item.dims[0] == 1000 else array.T
            rows[[0, 1]] = rows[[1, 0]]
            item.CopyFrom(numpy_helper.from_array(array, item.name))


def weight_element(graph: onnx.GraphProto) -> None:
    """A weight: one element of each matrix of 3072 columns or rows (a transformer's wide layer) is set to one."""
    for item in graph.initializer:
        if len(item.dims) == 2 and sorted(item.dims) == [768, 3072]:
            array = numpy_helper.to_array(item).copy()
            array[3, 5] = 1.0
            item.CopyFrom(numpy_helper.from_array(array, item.name))


def relu_lost(graph: onnx.GraphProto) -> None:
    """A fusion: the rectifier behind an addition is lost."""
    made = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == "Relu" and node.input[0] in made and made[node.input[0]].op_type == "Add":
            node.op_type = "Identity"


def epsilon(graph: onnx.GraphProto) -> None:
    """A fusion: normalisations get another epsilon."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "epsilon":
                attribute.f = 1e-2


def pool_counts(graph: onnx.GraphProto) -> None:
    """An attribute: average pooling counts its padding."""
    for node in graph.node:
        if node.op_type == "AveragePool":
            kept = [attribute for attribute in node.attribute if attribute.name != "count_include_pad"]
            del node.attribute[:]
            node.attribute.extend([*kept, onnx.helper.make_attribute("count_include_pad", 1)])


FAULTS: dict[str, Callable[[onnx.GraphProto], None]] = {
    fault.__name__: fault
    for fault in (stem_pads, depthwise_pads, weight_rows, weight_element, relu_lost, epsilon, pool_counts)
}


def with_fault(artifact: Artifact) -> Artifact:
    """The artifact with the fault in."""
    model = onnx.ModelProto.FromString(artifact.data)
    FAULTS[os.environ[VARIABLE]](model.graph)
    return replace(artifact, data=model.SerializeToString())


class FaultyDynamo(TorchOnnxDynamo):
    """torch.onnx with a fault."""

    name: ClassVar[str] = "faulty.torch.onnx-dynamo"
    default: ClassVar[bool] = False

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        return with_fault(super().convert(model, settings))


class FaultyTf2Onnx(Tf2Onnx):
    """tf2onnx with a fault."""

    name: ClassVar[str] = "faulty.tf2onnx"
    default: ClassVar[bool] = False

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        return with_fault(super().convert(model, settings))
