"""Reproducers of models of which arguments or results hold several tensors.

The scripts of converters and runtimes are about the flat list ``inputs``. For such a model a reproducer has a function
``arranged`` that makes the tuple of arguments of any list with something for each input; here the scripts come to use
it where the model's arguments are meant. Outputs are compared in the order in which results hold them, which is that of
what is converted; scripts that ask for outputs by name come to know the names.
"""

from __future__ import annotations

from fuzzer.converters._tf_function import signature_outputs, takes_apart
from generators.graph import Graph
from generators.grouping import arguments_of, in_order, is_grouped, output_order, returns_grouped

#: What stands for the arguments, and what does where they are arranged.
_ARGUMENTS = (
    # torch: of dynamic shapes, of an exported program, of its module.
    ("for axes in dynamic_shapes)\nprogram", "for axes in dynamic_shapes)\nshapes = arranged(shapes)\nprogram"),
    ("(model, tuple(inputs), strict", "(model, arranged(inputs), strict"),
    ("(*inputs)", "(*arranged(inputs))"),
    # TensorFlow: of a signature, which is flattened with the keys of dictionaries sorted; of a functional Keras model.
    (
        "function = tf.function(model.__call__, input_signature=signature",
        "signature = arranged(signature)\nfunction = tf.function(model.__call__, input_signature=signature",
    ),
    (
        "function = tf.function(lambda *x: tf.nest.flatten(model(*x)), input_signature=signature",
        "signature = arranged(signature)\n"
        "function = tf.function(lambda *x: tf.nest.flatten(model(*x)), input_signature=signature",
    ),
    (
        "names = {x: f'{kind}_{index}' for kind, end in zip(('input', 'output'), ends) "
        "for index, x in enumerate(end)}\n",
        "names = dict(zip(ends[0], [spec.name for spec in tf.nest.flatten(signature)]))\n"
        "names.update((x, f'output_{index}') for index, x in enumerate(ends[1]))\n",
    ),
    ("model(list(inputs), training=False)", "model(list(arranged(inputs)), training=False)"),
)
#: What takes the outputs for a tuple, or by numbered names.
_RESULTS = (
    ("outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]", "outputs = returned(outputs)"),
    ("results[f'output_{index}'].numpy() for index in range(len(results))", "results[name].numpy() for name in NAMES"),
    (
        "output_indices[f'output_{number}']) for number in range(len(output_indices))",
        "output_indices[name]) for name in NAMES",
    ),
    (
        "for number in range(len(outputs)):\n    detail = outputs[f'output_{number}']",
        "for name in NAMES:\n    detail = outputs[name]",
    ),
)


def grouped_script(script: str, graph: Graph) -> str:
    """The script of a converter or runtime for this graph, of which an argument or a result holds several tensors."""
    return _arguments(_results(script, graph) if returns_grouped(graph) else script, graph)


def _results(script: str, graph: Graph) -> str:
    named = signature_outputs(graph)
    names = repr([named[index] for index in output_order(graph, by_key=True)])
    for flat, structured in _RESULTS:
        script = script.replace(flat, structured.replace("NAMES", names))
    if takes_apart(graph) and ("tf.lite" in script or "tf.saved_model" in script):
        called = "lambda *x: tf.nest.flatten(model(*x))"
        script = script.replace("tf.function(model.__call__, ", f"tf.function({called}, ")
    return script


def _arguments(script: str, graph: Graph) -> str:
    if not is_grouped(graph):
        return script
    for flat, arranged in _ARGUMENTS:
        script = script.replace(flat, arranged)
    # torch.onnx.export takes a dictionary that comes last for keyword arguments, unless another follows.
    last = ", {}" if isinstance(arguments_of(graph)[-1], dict) else ""
    script = script.replace(
        "model, tuple(inputs)", f"model, (*arranged(inputs){last})" if last else "model, arranged(inputs)"
    )
    order = in_order(graph, range(len(graph.inputs)))
    if order != sorted(order):
        script = script.replace(
            "[f'input_{index}' for index in range(len(inputs))]", f"[f'input_{{index}}' for index in {order!r}]"
        )
    return script
