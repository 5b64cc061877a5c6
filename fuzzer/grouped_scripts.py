"""Reproducers of models whose arguments hold several tensors.

The scripts of converters and runtimes are about the flat list ``inputs``. For such a model a reproducer has a function
``arranged`` that makes the tuple of arguments of any list with something for each input; here the scripts come to use
it where the model's arguments are meant.
"""

from __future__ import annotations

from generators.graph import Graph
from generators.grouping import arguments_of, in_order

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
        "names = {x: f'{kind}_{index}' for kind, end in zip(('input', 'output'), ends) "
        "for index, x in enumerate(end)}\n",
        "names = dict(zip(ends[0], [spec.name for spec in tf.nest.flatten(signature)]))\n"
        "names.update((x, f'output_{index}') for index, x in enumerate(ends[1]))\n",
    ),
    ("model(list(inputs), training=False)", "model(list(arranged(inputs)), training=False)"),
)


def grouped_script(script: str, graph: Graph) -> str:
    """The script of a converter or runtime for this graph, of which an argument holds several tensors."""
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
