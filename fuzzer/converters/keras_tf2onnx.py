"""tf2onnx, from functional Keras models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from fuzzer.converters._tf_function import TRACE_KERAS, TRACE_KERAS_DYNAMIC
from fuzzer.converters.tf2onnx import Tf2Onnx
from fuzzer.formats import Artifact, Format, Option, Settings
from generators.frontends.base import LoadedModel
from oracles.outcome import Stage


class KerasTf2Onnx(Tf2Onnx):
    """As for TensorFlow, from a function that calls the model: ``tf2onnx.convert.from_keras`` knows Keras 2 only.

    Always ``from_function``. Freezing the function first, as the ``tensorflow`` routes mostly do, would lower the loops
    of recurrent layers to what tf2onnx was not made for, and the fault would be ours.
    """

    name = "keras.tf2onnx"
    source = Format.KERAS
    requires: ClassVar[tuple[str, ...]] = ("keras>=3.10", *Tf2Onnx.requires)
    options: ClassVar[tuple[Option, ...]] = tuple(option for option in Tf2Onnx.options if option.name != "api")
    trace_script: ClassVar[str] = TRACE_KERAS
    dynamic_trace_script: ClassVar[str] = TRACE_KERAS_DYNAMIC
    stages: ClassVar[Mapping[str, Stage]] = {**Tf2Onnx.stages, "keras": Stage.LOAD}

    def convert(self, model: LoadedModel, settings: Settings) -> Artifact:
        return super().convert(model, {**settings, "api": "from_function"})

    def script(self, settings: Settings) -> str:
        return super().script({**settings, "api": "from_function"})
