"""ONNX to ONNX: the model that the printed source builds, so that runtimes are tested with no exporter in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import onnx

from fuzzer.converters.base import Converter
from fuzzer.formats import Artifact, Format, Option, Settings
from fuzzer.onnx_artifacts import named_artifact, saving, validate_onnx
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
        Option("external_data", (False, True), (5, 1), "tensors of over a kilobyte in a file beside the model"),
    )
    stages: ClassVar[Mapping[str, Stage]] = {"onnx": Stage.EXPORT}
    sliceable = True
    pack = 16

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        proto = model.native.proto(**_arguments(settings))
        names = [f"input_{index}" for index in range(len(model.graph.inputs))]
        outputs = [f"output_{index}" for index in range(len(model.graph.outputs))]
        if settings.get("external_data", False):
            return _saved(proto, model, names, outputs)
        return named_artifact(proto, model.graph, names, outputs)

    def validate(self, artifact: Artifact, model: LoadedModel) -> None:
        validate_onnx(artifact, model.graph)

    def slices(self, artifact: Artifact, counts: Sequence[tuple[int, int]]) -> list[Artifact] | None:
        return slices(artifact, counts)

    def script(self, settings: Settings) -> str:
        given = ", ".join(f"{key}={value!r}" for key, value in _arguments(settings).items() if value is not False)
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
