"""The converter that changes nothing: it hands the graph itself on, for testing the harness against itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from fuzzer.converters.base import Converter
from fuzzer.formats import Artifact, Format, Settings
from generators.frontends.base import LoadedModel
from generators.graph import DTYPES, Case
from generators.serial import dumps
from oracles.outcome import Stage


class Identity(Converter):
    """Serialises the graph. With the runtime ``interpreter``, every finding is a defect of convfuzz."""

    target = Format.GRAPH
    dynamic = True
    default = False
    requires: ClassVar[tuple[str, ...]] = ("safetensors",)
    stages: ClassVar[Mapping[str, Stage]] = {"generators": Stage.EXPORT}
    pack = 32

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        graph = model.graph
        # A serialised case needs feeds; the runtime brings its own.
        feeds = {value.name: np.zeros(value.type.shape, DTYPES[value.type.dtype]) for value in graph.inputs}
        names = tuple(value.name for value in graph.inputs)
        return Artifact(Format.GRAPH, dumps(Case(graph, feeds)), names, graph.outputs)

    def script(self, settings: Settings) -> str:
        return "artifact = b''  # the identity route hands the model on\n"


class TorchIdentity(Identity):
    """The identity of torch graphs."""

    name = "identity.torch"
    source = Format.TORCH


class TensorFlowIdentity(Identity):
    """The identity of TensorFlow graphs."""

    name = "identity.tensorflow"
    source = Format.TENSORFLOW


class OnnxIdentity(Identity):
    """The identity of ONNX graphs."""

    name = "identity.onnx"
    source = Format.ONNX


class KerasIdentity(Identity):
    """The identity of Keras graphs."""

    name = "identity.keras"
    source = Format.KERAS
