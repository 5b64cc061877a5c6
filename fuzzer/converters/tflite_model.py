"""``.tflite`` models of users' own, handed on as they are, so that kernels and delegates are tested by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from fuzzer.converters.base import Converter
from fuzzer.formats import Artifact, Format, Settings
from fuzzer.tflite_bounds import bounds_of
from generators.frontends.base import LoadedModel
from generators.frontends.tflite_nodes import quantizations
from generators.graph import Array, Graph
from oracles.outcome import Stage
from oracles.quantization import ErrorBounds


class OfTflite(Converter):
    """What begins with the FlatBuffer that the printed source builds."""

    source = Format.TFLITE
    default = False
    own_models = True
    pack = 16

    def blurs(self, graph: Graph) -> bool:
        return bool(quantizations(graph))

    def model_bounds(self, graph: Graph, feeds: Sequence[Array]) -> ErrorBounds | None:
        return bounds_of(graph, feeds)


class TfliteModel(OfTflite):
    """Builds the FlatBuffer and hands it on. What every variant of LiteRT refuses is unsupported, not a finding."""

    name = "tflite.model"
    target = Format.TFLITE
    hands_on = True
    requires: ClassVar[tuple[str, ...]] = ("ai-edge-litert>=2.0",)
    stages: ClassVar[Mapping[str, Stage]] = {"flatbuffers": Stage.EXPORT}

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        inputs = tuple(f"input_{index}" for index in range(len(model.graph.inputs)))
        outputs = tuple(f"output_{index}" for index in range(len(model.graph.outputs)))
        return Artifact(Format.TFLITE, model.native.flatbuffer(), inputs, outputs, stored=True)

    def script(self, settings: Settings) -> str:
        return "artifact = model.flatbuffer()\n"
