"""Small ``.tflite`` models, made by TensorFlow's converter."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

#: How the converter is asked to store numbers.
KINDS = ("float", "dynamic", "half", "int8")


@functools.cache
def model(kind: str) -> bytes:
    """A convolution, an addition of two branches, pooling, a layer and a softmax; of batches of any size."""
    import tensorflow as tf

    rng = np.random.default_rng(3)

    def weights(*shape: int) -> Any:
        return tf.constant(rng.standard_normal(shape) / np.sqrt(np.prod(shape[:-1])), tf.float32)

    kernel, point, dense = weights(3, 3, 3, 8), weights(1, 1, 8, 8), weights(128, 32)

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, name="image")], autograph=False)  # type: ignore[untyped-decorator]
    def function(image: Any) -> Any:
        x = tf.nn.relu6(tf.nn.conv2d(image, kernel, 1, "SAME"))
        x = x + tf.nn.conv2d(x, point, 1, "VALID")
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        return tf.nn.softmax(tf.reshape(x, [-1, 128]) @ dense)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    if kind != "float":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "half":
        converter.target_spec.supported_types = [tf.float16]
    if kind == "int8":
        converter.representative_dataset = _samples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def _samples() -> Iterator[list[Any]]:
    rng = np.random.default_rng(4)
    for _ in range(8):
        yield [rng.standard_normal((1, 8, 8, 3)).astype(np.float32)]
