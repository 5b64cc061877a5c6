"""ONNX to ONNX: the model that the printed source builds, so that runtimes are tested with no exporter in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import onnx

from fuzzer.converters._onnx_quantization import (
    PER_CHANNEL,
    QUANTIZATION,
    quantization,
    quantization_script,
    quantized,
)
from fuzzer.converters.base import Converter
from fuzzer.formats import Artifact, Format, Option, Setting, Settings
from fuzzer.onnx_artifacts import named_artifact, saving, validate_onnx
from fuzzer.onnx_slices import slices
from fuzzer.quantized_onnx import error_bounds
from generators.frontends.base import LoadedModel
from generators.graph import Array
from oracles.outcome import Stage
from oracles.quantization import ErrorBounds


class Onnx(Converter):
    """Builds the model and hands it on, or quantizes it. What every variant of the runtime refuses is unsupported, not
    a finding, unless it was quantized."""

    name = "onnx"
    source = Format.ONNX
    target = Format.ONNX
    requires: ClassVar[tuple[str, ...]] = ("onnx>=1.20", "onnxruntime>=1.23")
    options: ClassVar[tuple[Option, ...]] = (
        # Many fusions look for older versions of operators only. A model gets a later opset where a node needs it.
        Option("opset", (26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 15, 13), (1, 1, 1, 1, 2, 3, 2, 1, 3, 2, 1, 1)),
        Option("symbolic", (False, True), (2, 1), "dimensions of inputs are symbols, those of outputs unknown"),
        Option("external_data", (False, True), (5, 1), "tensors of over a kilobyte in a file beside the model"),
        QUANTIZATION,
        PER_CHANNEL,
    )
    parts: ClassVar[Mapping[str, tuple[Setting, str]]] = {"quantization": ("none", "onnxruntime.quantization")}
    stages: ClassVar[Mapping[str, Stage]] = {"onnx": Stage.EXPORT, "onnxruntime.quantization": Stage.CONVERT}
    sliceable = True
    dynamic = True
    pack = 16

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        proto = model.native.proto(**_arguments(settings))
        names = [f"input_{index}" for index in range(len(model.graph.inputs))]
        outputs = [f"output_{index}" for index in range(len(model.graph.outputs))]
        if self.quantizes(settings):
            proto = quantized(proto, model, settings)
        if settings.get("external_data", False):
            return _saved(proto, model, names, outputs)
        return named_artifact(proto, model.graph, names, outputs)

    def validate(self, artifact: Artifact, model: LoadedModel) -> None:
        validate_onnx(artifact, model.graph)

    def slices(self, artifact: Artifact, counts: Sequence[tuple[int, int]]) -> list[Artifact] | None:
        return slices(artifact, counts)

    def quantizes(self, settings: Settings) -> bool:
        return quantization(settings) != "none"

    def error_bounds(self, artifact: Artifact, feeds: Sequence[Array], settings: Settings) -> ErrorBounds | None:
        return error_bounds(artifact, feeds) if self.quantizes(settings) else None

    def script(self, settings: Settings) -> str:
        given = ", ".join(f"{key}={value!r}" for key, value in _arguments(settings).items() if value is not False)
        if self.quantizes(settings):
            lines = quantization_script(settings, f"model.proto({given})")
            if settings.get("external_data", False):
                lines += f"artifact = 'model.onnx'\nonnx.save(onnx.load('quantized.onnx'), artifact, {_SAVING})\n"
            return lines
        if settings.get("external_data", False):
            return f"artifact = 'model.onnx'\nonnx.save(model.proto({given}), artifact, {_SAVING})\n"
        return f"artifact = model.proto({given}).SerializeToString()\n"


_SAVING = "save_as_external_data=True, location='model.data', size_threshold=1024"


def _saved(proto: onnx.ModelProto, model: LoadedModel, names: Sequence[str], outputs: Sequence[str]) -> Artifact:
    """The artifact as ``onnx.save`` writes it, with the file beside it."""
    with saving() as (path, files):
        onnx.save(proto, path, save_as_external_data=True, location="model.data", size_threshold=1024)
    written = onnx.ModelProto.FromString(files.pop(path.name))
    return named_artifact(written, model.graph, names, outputs, files=files)


def _arguments(settings: Settings) -> dict[str, Any]:
    return {"opset": int(settings.get("opset", 26)), "symbolic": bool(settings.get("symbolic", False))}
