"""The TFLite converter of TensorFlow, from functional Keras models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from fuzzer.converters.tflite import TFLite
from fuzzer.formats import Format, Settings
from generators.frontends.base import LoadedModel
from oracles.outcome import Stage


class KerasTFLite(TFLite):
    """TFLiteConverter.from_keras_model, the way that people take: a SavedModel from Keras's own export, then as for
    TensorFlow. From a concrete function and the model, TensorFlow 2.21 leaves the variables of Keras 3 unfrozen."""

    name = "keras.tflite"
    source = Format.KERAS
    requires: ClassVar[tuple[str, ...]] = ("keras>=3.10", "tensorflow>=2.20")
    stages: ClassVar[Mapping[str, Stage]] = {**TFLite.stages, "keras": Stage.LOAD}

    def prepared(self, model: LoadedModel, settings: Settings) -> Callable[[], Any]:
        import tensorflow as tf

        return lambda: tf.lite.TFLiteConverter.from_keras_model(model.native)

    def prepared_script(self, settings: Settings) -> str:
        return "converter = tf.lite.TFLiteConverter.from_keras_model(model)\n"
