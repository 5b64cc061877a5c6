"""The TFLite converter of TensorFlow, from functional Keras models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from fuzzer.converters._tf_function import TRACE_KERAS
from fuzzer.converters.tflite import FROM_FUNCTION, TFLite
from fuzzer.formats import Format, Option, Settings
from generators.frontends.base import LoadedModel
from oracles.outcome import Stage


class KerasTFLite(TFLite):
    """TFLiteConverter.from_keras_model, the way that most people take: a SavedModel from Keras's own export, then as
    for TensorFlow. Or from a concrete function, for models whose call is wrapped."""

    name = "keras.tflite"
    source = Format.KERAS
    requires: ClassVar[tuple[str, ...]] = ("keras>=3.10", "tensorflow>=2.20")
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "api",
            ("from_keras_model", "from_concrete_functions"),
            (4, 1),
            "method of tf.lite.TFLiteConverter that is called",
        ),
        *TFLite.options,
    )
    stages: ClassVar[Mapping[str, Stage]] = {**TFLite.stages, "keras": Stage.LOAD}

    def prepared(self, model: LoadedModel, settings: Settings) -> Callable[[], Any]:
        if settings.get("api") == "from_concrete_functions":
            return super().prepared(model, settings)
        import tensorflow as tf

        return lambda: tf.lite.TFLiteConverter.from_keras_model(model.native)

    def prepared_script(self, settings: Settings) -> str:
        if settings.get("api") == "from_concrete_functions":
            return TRACE_KERAS + FROM_FUNCTION
        return "converter = tf.lite.TFLiteConverter.from_keras_model(model)\n"
