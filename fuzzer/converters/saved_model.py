"""TensorFlow's own SavedModel: what Grappler optimizes when it is loaded, and what XLA compiles."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from fuzzer.converters._tf_function import TRACE, signature_outputs, trace
from fuzzer.converters.base import Converter
from fuzzer.formats import Artifact, Format, Settings
from fuzzer.onnx_artifacts import input_names
from generators.frontends.base import LoadedModel
from oracles.outcome import Stage


class SavedModel(Converter):
    """tf.saved_model.save of a traced function."""

    name = "tf.saved_model"
    source = Format.TENSORFLOW
    target = Format.SAVED_MODEL
    requires: ClassVar[tuple[str, ...]] = ("tensorflow>=2.20",)
    stages: ClassVar[Mapping[str, Stage]] = {"tensorflow": Stage.LOAD, "tensorflow.python.saved_model": Stage.EXPORT}
    pack = 16
    #: Asked for by name: no converter to another format.
    default = False

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        import tensorflow as tf

        function, _ = trace(model, signed=True)
        with tempfile.TemporaryDirectory(prefix="convfuzz-") as directory:
            signature = {"serving_default": function.get_concrete_function()}
            tf.saved_model.save(model.native, directory, signatures=signature)
            data = zipped(Path(directory))
        return Artifact(self.target, data, tuple(input_names(model.graph)), tuple(signature_outputs(model.graph)))

    def script(self, settings: Settings) -> str:
        return (
            "import tempfile\n"
            "\n"
            f"{TRACE}"
            "artifact = tempfile.mkdtemp()\n"
            "tf.saved_model.save(model, artifact, signatures={'serving_default': function.get_concrete_function()})\n"
        )


def zipped(directory: Path) -> bytes:
    """The files of the directory as a zip archive, uncompressed, the same for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                archive.writestr(zipfile.ZipInfo(str(path.relative_to(directory))), path.read_bytes())
    return buffer.getvalue()
