"""``model.export(format="onnx")`` of Keras."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import onnx

from fuzzer.converters.base import Converter
from fuzzer.converters.tf2onnx import HEAD, REFUSALS, Tf2Onnx, raising_what_is_logged
from fuzzer.failures import recognising
from fuzzer.formats import Artifact, Format, Option, Settings, Unsupported
from fuzzer.onnx_artifacts import by_output, input_names, named_artifact, validate_onnx
from fuzzer.onnx_slices import slices
from generators.frontends.base import LoadedModel
from oracles.outcome import Stage


class KerasOnnx(Converter):
    """Keras's own export: tf2onnx.convert.from_function with two of its functions replaced."""

    name = "keras.onnx"
    source = Format.KERAS
    target = Format.ONNX
    sliceable = True
    dynamic = True
    requires = ("keras>=3.10", "tf2onnx>=1.16", "tensorflow>=2.20", "onnx>=1.20")
    pack = 4
    built_on = "tf2onnx"
    options: ClassVar[tuple[Option, ...]] = (
        Option("opset", (0, 15, 17, 18, 13), (8, 2, 2, 2, 1), "opset_version; 0 leaves it out"),
    )
    stages: ClassVar[Mapping[str, Stage]] = {
        **Tf2Onnx.stages,
        "keras": Stage.LOAD,
        "keras.src.export.tf2onnx_lib": Stage.CONVERT,
    }

    def warm_up(self) -> None:
        import keras  # noqa: F401
        import tf2onnx.convert  # noqa: F401

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        opset = int(settings.get("opset", 0)) or None
        if not getattr(model.native, "_called", False):
            # Keras exports no model that has not been called.
            model.native(list(model.called_with), training=False)
        with tempfile.TemporaryDirectory(prefix="convfuzz-") as directory:
            path = Path(directory) / "model.onnx"
            with recognising(REFUSALS), _tf2onnx_restored(), raising_what_is_logged() as unsupported:
                model.native.export(str(path), format="onnx", verbose=False, opset_version=opset)
            if unsupported:
                raise Unsupported(
                    ", ".join(sorted(unsupported)), "tf2onnx has no handler, says so in its log and goes on"
                )
            proto = onnx.load(path)
        outputs = by_output(model.graph, [value.name for value in proto.graph.output], by_key=True)
        return named_artifact(proto, model.graph, input_names(model.graph), outputs)

    def validate(self, artifact: Artifact, model: LoadedModel) -> None:
        validate_onnx(artifact, model.graph)

    def slices(self, artifact: Artifact, counts: Sequence[tuple[int, int]]) -> list[Artifact] | None:
        return slices(artifact, counts)

    def script(self, settings: Settings) -> str:
        opset = int(settings.get("opset", 0))
        asked = f", opset_version={opset}" if opset else ""
        return (
            f"{HEAD}"
            f"model.export('model.onnx', format='onnx', verbose=False{asked})\n"
            "artifact = open('model.onnx', 'rb').read()\n"
        )


@contextmanager
def _tf2onnx_restored() -> Iterator[None]:
    """Keras replaces functions of tf2onnx, once and for good; while inactive, tf2onnx is what it was, for the other
    converter that uses it in this process."""
    from keras.src.export.tf2onnx_lib import patch_tf2onnx
    from tf2onnx import tfonnx
    from tf2onnx.graph import Node

    places: tuple[tuple[Any, str], ...] = ((tfonnx, "rewrite_constant_fold"), (Node, "get_value_attr"))
    before = [getattr(owner, name) for owner, name in places]
    patch_tf2onnx.cache_clear()
    try:
        yield
    finally:
        for (owner, name), value in zip(places, before, strict=True):
            setattr(owner, name, value)
