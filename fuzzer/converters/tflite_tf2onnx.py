"""tf2onnx, from a ``.tflite`` file of a user's own."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from fuzzer.converters.tf2onnx import REFUSALS, Tf2Onnx, raising_what_is_logged
from fuzzer.converters.tflite_model import OfTflite
from fuzzer.failures import Refusal, recognising
from fuzzer.formats import Artifact, Format, Option, Settings, Unsupported
from fuzzer.onnx_artifacts import named_artifact, validate_onnx
from fuzzer.onnx_slices import slices
from generators.frontends.base import LoadedModel
from generators.frontends.tflite_source import names_of
from oracles.outcome import Stage


class TfliteTf2Onnx(OfTflite):
    """``tf2onnx.convert.from_tflite``: a handler per builtin operator, quantized ones between QuantizeLinear and
    DequantizeLinear."""

    name = "tflite.tf2onnx"
    target = Format.ONNX
    sliceable = True
    requires: ClassVar[tuple[str, ...]] = Tf2Onnx.requires
    built_on = "tf2onnx"
    options: ClassVar[tuple[Option, ...]] = (Option("opset", (18, 17, 16, 15, 14, 13), (), "ONNX opset asked for"),)
    stages: ClassVar[Mapping[str, Stage]] = {
        "tf2onnx": Stage.CONVERT,
        "tf2onnx.tflite_utils": Stage.LOAD,
        "tf2onnx.optimizer": Stage.OPTIMIZE,
        "tf2onnx.graph:make_model": Stage.EXPORT,
    }

    def warm_up(self) -> None:
        import tf2onnx.convert  # noqa: F401

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        import tf2onnx

        names = names_of(model.graph)
        inputs = [names(value.name) for value in model.graph.inputs]
        outputs = [names(value) for value in model.graph.outputs]
        if len(set(outputs)) < len(outputs) or set(outputs) & set(inputs):
            raise Unsupported(
                "an output twice, or an input as an output", "tf2onnx keeps the names of the model's tensors"
            )
        with tempfile.TemporaryDirectory(prefix="convfuzz-") as directory:
            path = Path(directory) / "model.tflite"
            path.write_bytes(model.native.flatbuffer())
            with recognising(TFLITE_REFUSALS), raising_what_is_logged() as unsupported:
                proto, _ = tf2onnx.convert.from_tflite(str(path), opset=_opset(settings))
        if unsupported:
            raise Unsupported(", ".join(sorted(unsupported)), "tf2onnx has no handler, says so in its log and goes on")
        return named_artifact(proto, model.graph, inputs, outputs)

    def validate(self, artifact: Artifact, model: LoadedModel) -> None:
        validate_onnx(artifact, model.graph)

    def slices(self, artifact: Artifact, counts: Sequence[tuple[int, int]]) -> list[Artifact] | None:
        return slices(artifact, counts)

    def script(self, settings: Settings) -> str:
        return SCRIPT.replace("OPSET", str(_opset(settings)))


TFLITE_REFUSALS = (*REFUSALS, Refusal(r"^Could not find type for (\S+)", r"type of \1", "ValueError"))


def _opset(settings: Settings) -> int:
    return int(settings.get("opset", TfliteTf2Onnx.options[0].values[0]))


SCRIPT = """\
import tf2onnx

def throw(*_, **__):  # tf2onnx logs what its handlers raise, and returns a broken model
    raise sys.exc_info()[1] or RuntimeError('tf2onnx logs an error')

tf2onnx.tfonnx.logger.error = throw
open('model.tflite', 'wb').write(model.flatbuffer())
proto, _ = tf2onnx.convert.from_tflite('model.tflite', opset=OPSET)
artifact = proto.SerializeToString()
"""
