"""Tracing the tensorflow frontend's models, for the converters that start from a function."""

from __future__ import annotations

from typing import Any

from fuzzer.onnx_artifacts import input_names
from generators.frontends.base import LoadedModel

#: The same as source text, for reproducers.
TRACE = (
    "signature = [tf.TensorSpec(x.shape, x.dtype, name=f'input_{index}') for index, x in enumerate(inputs)]\n"
    "function = tf.function(model.__call__, input_signature=signature, autograph=False)\n"
)


def trace(model: LoadedModel) -> tuple[Any, list[Any]]:
    """A ``tf.function`` of the model with its input signature; inputs are named by position.

    AutoGraph is off: the printed source has no Python control flow to translate.
    """
    import tensorflow as tf

    signature = [
        tf.TensorSpec(argument.shape, argument.dtype, name=name)
        for argument, name in zip(model.arguments, input_names(model.graph), strict=True)
    ]
    return tf.function(model.native.__call__, input_signature=signature, autograph=False), signature
