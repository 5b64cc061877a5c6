"""SavedModels in TensorFlow: as graphs, which Grappler optimizes, and compiled by XLA."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from fuzzer.failures import Refusal, recognising
from fuzzer.formats import Artifact, Format, Settings
from fuzzer.runtimes.base import Runtime
from generators.frontends.base import frontend
from generators.graph import Array

REFUSALS = (
    Refusal(r"Detected unsupported operations .*?: ([\w, ]+?)(?: \(No registered|\.|\n)", r"\1"),
    Refusal(r"No registered '(\w+)' OpKernel for XLA", r"\1"),
    Refusal(r"([^\n]*must be a compile-time constant)", r"\1", scrub=True),
    Refusal(
        r"(?:^|\n)([^\n]*\b(?:is|are) (?:not (?:yet |currently )?(?:supported|implemented)|unsupported|unimplemented)\b"
        r"[^\n]*)",
        r"\1",
        "InvalidArgumentError",
        scrub=True,
    ),
    Refusal(r"", "not implemented", "UnimplementedError"),
)


class TensorFlowGraph(Runtime):
    """``tf.saved_model.load``, its signature called: a graph, optimized by Grappler unless told otherwise."""

    name = "tensorflow"
    format = Format.SAVED_MODEL
    requires = ("tensorflow>=2.20",)
    packages = ("tensorflow",)
    variants: ClassVar[Mapping[str, Settings]] = {"grappler": {}}
    _compiled = False

    def load(self, artifact: Artifact, settings: Settings) -> Any:
        import tensorflow as tf

        with tempfile.TemporaryDirectory(prefix="convfuzz-") as directory:
            # We wrote the archive ourselves, and extractall keeps its members below the directory.
            zipfile.ZipFile(io.BytesIO(artifact.data)).extractall(directory)
            loaded = tf.saved_model.load(directory)
        signature = loaded.signatures["serving_default"]
        if self._compiled:
            return loaded, tf.function(lambda **inputs: signature(**inputs), jit_compile=True, autograph=False)
        return loaded, signature

    def run(self, session: Any, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        tensorflow = frontend("tensorflow")
        _, function = session
        named = {
            name: tensorflow.to_native(feed)
            for name, feed in zip(artifact.inputs, feeds, strict=True)
            if name is not None
        }
        with recognising(REFUSALS):
            results = function(**named)
        return [tensorflow.to_array(results[name]).copy() for name in artifact.outputs]

    def script(self, settings: Settings, dtypes: Collection[str] = (), *, quantized: bool = False) -> str:
        called = (
            "tf.function(lambda **inputs: signature(**inputs), jit_compile=True)" if self._compiled else "signature"
        )
        return (
            "loaded = tf.saved_model.load(artifact)\n"
            "signature = loaded.signatures['serving_default']\n"
            f"results = {called}(**{{f'input_{{index}}': tensor for index, tensor in enumerate(inputs)}})\n"
            "actual = [results[f'output_{index}'].numpy() for index in range(len(results))]\n"
        )


class Xla(TensorFlowGraph):
    """The same function compiled by XLA (``jit_compile=True``) for the CPU."""

    name = "xla"
    variants: ClassVar[Mapping[str, Settings]] = {"cpu": {}}
    share = 0.2
    _compiled = True
