"""ONNX's own evaluator in NumPy: a witness, not a subject.

It is slow and wrong itself in places, so it never accuses anybody. But where it computes from a model what the source
framework computes, the model is right, whatever a runtime makes of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from fuzzer.failures import Refusal, recognising
from fuzzer.formats import Artifact, Format, Settings
from fuzzer.onnx_artifacts import complete
from fuzzer.runtimes.base import Runtime
from generators.graph import Array

REFUSALS = (Refusal(r"No registered implementation for operator '(\w+)'", r"\1", "RuntimeImplementationError"),)


class OnnxReference(Runtime):
    """``onnx.reference.ReferenceEvaluator``."""

    name = "onnx.reference"
    format = Format.ONNX
    requires = ("onnx>=1.20",)
    packages = ("onnx",)
    variants = {"python": {}}  # noqa: RUF012

    def load(self, artifact: Artifact, settings: Settings) -> Any:
        from onnx.reference import ReferenceEvaluator

        with recognising(REFUSALS):
            return ReferenceEvaluator(complete(artifact))

    def run(self, session: Any, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        named = {name: feed for name, feed in zip(artifact.inputs, feeds, strict=True) if name is not None}
        with np.errstate(all="ignore"):
            outputs = [np.asarray(output) for output in session.run(list(artifact.outputs), named)]
        if artifact.complex_outputs:
            raise ValueError("complex numbers as pairs are not put together here")
        return outputs

    def script(self, settings: Settings, dtypes: Collection[str] = (), *, quantized: bool = False) -> str:
        feeding = "{value.name: feeds[int(value.name.removeprefix('input_'))] for value in model.graph.input}"
        return (
            "import onnx\nfrom onnx.reference import ReferenceEvaluator\n\n"
            "model = onnx.load(artifact) if isinstance(artifact, str) else onnx.load_from_string(artifact)\n"
            f"actual = ReferenceEvaluator(model).run(None, {feeding})\n"
        )
