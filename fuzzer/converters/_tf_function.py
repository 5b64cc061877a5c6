"""Tracing the models of the tensorflow and keras frontends, for the converters that start from a function."""

from __future__ import annotations

from typing import Any

from fuzzer.failures import explain_exception, normalise
from fuzzer.formats import Unsupported
from fuzzer.onnx_artifacts import input_names
from generators.frontends.base import LoadedModel
from generators.graph import Graph
from generators.grouping import nested, output_order, results_of, returns_grouped
from generators.sizes import marking_of

#: The same as source text, for reproducers.
TRACE = (
    "signature = [tf.TensorSpec(x.shape, x.dtype, name=f'input_{index}') for index, x in enumerate(inputs)]\n"
    "function = tf.function(model.__call__, input_signature=signature, autograph=False)\n"
)
#: For a graph with dynamic dimensions.
TRACE_DYNAMIC = TRACE.replace(
    "signature = [tf.TensorSpec(x.shape, x.dtype, name=f'input_{index}') for index, x in enumerate(inputs)]\n",
    "marked = list(zip(inputs, dynamic_shapes))\n"
    "shapes = [[None if axis in axes else n for axis, n in enumerate(x.shape)] for x, axes in marked]\n"
    "specs = enumerate(zip(shapes, inputs))\n"
    "signature = [tf.TensorSpec(shape, x.dtype, name=f'input_{index}') for index, (shape, x) in specs]\n",
)
#: For a functional Keras model, which takes a list.
_CALL = ("model.__call__", "lambda *inputs: model(list(inputs), training=False)")
TRACE_KERAS = TRACE.replace(*_CALL)
TRACE_KERAS_DYNAMIC = TRACE_DYNAMIC.replace(*_CALL)


def signature_outputs(graph: Graph) -> list[str]:
    """What the signature of a traced function calls each output of the graph: a dictionary of tensors that is all that
    the model returns keeps its keys, everything else is numbered, dictionaries in the order of their sorted keys."""
    if keys := _keys(graph):
        return keys
    held = sorted(zip(output_order(graph, by_key=True), range(len(graph.outputs)), strict=True))
    return [f"output_{number}" for _, number in held]


def _keys(graph: Graph) -> list[str]:
    """The key of each output in the dictionary of tensors that is all that the model returns; empty when it is not."""
    trees = results_of(graph)
    if len(trees) != 1 or not isinstance(trees[0], dict):
        return []
    names = {index: key for key, index in trees[0].items() if isinstance(index, int)}
    return [names[index] for index in range(len(graph.outputs))] if len(names) == len(graph.outputs) else []


def takes_apart(graph: Graph) -> bool:
    """Whether the function that is traced for a signature gives a flat list of what the model returns: a signature
    takes a tensor, a tuple of tensors, or a dictionary of tensors."""
    return returns_grouped(graph) and not _keys(graph)


def trace(model: LoadedModel, *, signed: bool = False) -> tuple[Any, list[Any]]:
    """A traced ``tf.function`` of the model with its input signature, in tuples and dictionaries where the model takes
    such (a Keras model is called by a function of single tensors); inputs are named by position. Unsupported when
    TensorFlow itself cannot trace the model. A function that is ``signed`` returns what a signature takes
    (:func:`takes_apart`).

    AutoGraph is off: the printed source has no Python control flow to translate.
    """
    import tensorflow as tf

    specs = [
        tf.TensorSpec(
            [None if axis in axes else extent for axis, extent in enumerate(argument.shape)], argument.dtype, name=name
        )
        for argument, name, axes in zip(model.arguments, input_names(model.graph), marking_of(model.graph), strict=True)
    ]
    native, graph = model.native, model.graph
    if graph.frontend == "keras":
        signature, called = specs, lambda *inputs: native(nested(graph, inputs), training=False)
    else:
        signature, called = nested(graph, specs), native.__call__
        if signed and takes_apart(graph):
            called = lambda *arguments: tf.nest.flatten(native(*arguments))  # noqa: E731
    function = tf.function(called, input_signature=signature, autograph=False)
    try:
        function.get_concrete_function()
    except Exception as error:
        # TensorFlow refuses as a graph what it takes in eager mode: no converter is to blame, or could do anything.
        what = f"tf.function: {type(error).__name__}: {normalise(str(error))}"
        raise Unsupported(what, explain_exception(error)) from error
    return function, signature
