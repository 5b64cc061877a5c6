"""tf2onnx, from functional Keras models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from fuzzer.converters._tf_function import TRACE_KERAS
from fuzzer.converters.tf2onnx import Tf2Onnx
from fuzzer.formats import Format
from oracles.outcome import Stage


class KerasTf2Onnx(Tf2Onnx):
    """As for TensorFlow, from a function that calls the model: ``tf2onnx.convert.from_keras`` knows Keras 2 only."""

    name = "keras.tf2onnx"
    source = Format.KERAS
    requires: ClassVar[tuple[str, ...]] = ("keras>=3.10", *Tf2Onnx.requires)
    trace_script: ClassVar[str] = TRACE_KERAS
    stages: ClassVar[Mapping[str, Stage]] = {**Tf2Onnx.stages, "keras": Stage.LOAD}
