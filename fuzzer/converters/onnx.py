"""ONNX to ONNX: the model that the printed source builds, so that runtimes are tested with no exporter in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fuzzer.converters.base import Converter
from fuzzer.formats import Artifact, Format, Option, Settings
from fuzzer.onnx_artifacts import named_artifact, validate_onnx
from fuzzer.onnx_slices import slices
from generators.frontends.base import LoadedModel
from oracles.outcome import Stage


class Onnx(Converter):
    """Builds the model and hands it on. What every variant of the runtime refuses is unsupported, not a finding."""

    name = "onnx"
    source = Format.ONNX
    target = Format.ONNX
    requires: ClassVar[tuple[str, ...]] = ("onnx>=1.20", "onnxruntime>=1.23")
    options: ClassVar[tuple[Option, ...]] = (
        # Many fusions look for older versions of operators only. A model gets a later opset where a node needs it.
        Option("opset", (26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 15, 13), (1, 1, 1, 1, 2, 3, 2, 1, 3, 2, 1, 1)),
        Option("symbolic", (False, True), (2, 1), "dimensions of inputs are symbols, those of outputs unknown"),
    )
    stages: ClassVar[Mapping[str, Stage]] = {"onnx": Stage.EXPORT}
    sliceable = True
    dynamic = True
    pack = 16

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        proto = model.native.proto(**_arguments(settings))
        names = [f"input_{index}" for index in range(len(model.graph.inputs))]
        outputs = [f"output_{index}" for index in range(len(model.graph.outputs))]
        return named_artifact(proto, model.graph, names, outputs)

    def validate(self, artifact: Artifact, model: LoadedModel) -> None:
        validate_onnx(artifact, model.graph)

    def slices(self, artifact: Artifact, counts: Sequence[tuple[int, int]]) -> list[Artifact] | None:
        return slices(artifact, counts)

    def script(self, settings: Settings) -> str:
        given = ", ".join(f"{key}={value!r}" for key, value in _arguments(settings).items())
        return f"artifact = model.proto({given}).SerializeToString()\n"


def _arguments(settings: Settings) -> dict[str, Any]:
    return {"opset": int(settings.get("opset", 26)), "symbolic": bool(settings.get("symbolic", False))}
