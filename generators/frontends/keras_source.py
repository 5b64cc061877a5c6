"""Printing a graph as a function that makes a functional Keras model. Imports no Keras."""

from __future__ import annotations

from collections.abc import Callable

from generators.frontends.printing import LITERAL_ELEMENTS, Identifiers, argument, elements
from generators.graph import Argument, Constant, DType, Graph, Node, Symbol, references
from generators.grouping import arguments_of, results_of, returning_text, returns_grouped, text_of
from generators.sizes import marking_of

#: Keyword of a node for the layer's weights.
WEIGHTS = "weights"
#: Keywords of a node that are arguments of the layer's call. No constructor has an argument of these names.
CALL_ARGUMENTS = frozenset(
    (
        *("initial_state", "mask", "attention_mask", "query_mask", "value_mask", "key_mask"),
        *("use_causal_mask", "return_attention_scores", "count_weights", "reverse", "key"),
    )
)


def layer_parts(value: Argument) -> tuple[str, list[tuple[str, Argument]]] | None:
    """Class and constructor arguments of an argument that stands for a layer to be made: a Symbol and a tuple of named
    arguments. None for any other."""
    if not isinstance(value, tuple) or len(value) != 2:
        return None
    kind, named = value
    if not isinstance(kind, Symbol) or not isinstance(named, tuple):
        return None
    pairs: list[tuple[str, Argument]] = []
    for pair in named:
        if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            return None
        pairs.append((pair[0], pair[1]))
    return kind.path, pairs


def layer_key(node: Node) -> str:
    """What layer a node calls, but for its weights: class and constructor arguments. Text, since 1 and True are equal
    as numbers."""
    made = sorted((key, repr(value)) for key, value in node.kwargs if key not in CALL_ARGUMENTS and key != WEIGHTS)
    return f"{node.target} {made}"


def print_function(graph: Graph, name: str) -> str:
    """Source of a function ``name`` that returns a functional ``keras.Model``, the weights of its layers set, from the
    list of the graph's inputs to the list of its outputs (Keras makes the output itself of a single one). Besides
    ``keras`` and ``np`` the source uses ``CONSTANTS`` (name to NumPy array) where a weight is too large for a literal.
    """
    names = Identifiers(("keras", "np", "model", "CONSTANTS", name))
    constants, values = {constant.name: constant for constant in graph.constants}, graph.types()
    for value in graph.inputs:
        names(value.name)
    lines = [f"def {name}():"]
    for index, (value, axes) in enumerate(zip(graph.inputs, marking_of(graph), strict=True)):
        kind = value.type
        shape = tuple(None if axis in axes else extent for axis, extent in enumerate(kind.shape))
        lines.append(
            f"    {names(value.name)} = keras.Input(batch_shape={shape!r}, dtype={kind.dtype!r}, name='input_{index}')"
        )
    layers: dict[str, str] = {}
    setting: list[str] = []
    for node in graph.nodes:
        given = dict(node.kwargs)
        weights = tuple(references(given.get(WEIGHTS, ())))
        key = f"{layer_key(node)} {weights}"
        if not weights or key not in layers:
            made = _call(node.target, [(k, v) for k, v in node.kwargs if k not in CALL_ARGUMENTS and k != WEIGHTS])
            if weights:
                wanted = f"{node.target.rpartition('.')[2].lower()}_{len(layers)}"
                while wanted in values:
                    wanted += "_"
                layer = layers[key] = names(wanted)
                lines.append(f"    {layer} = {made}")
                arrays = [_weight(constants[weight]) for weight in weights]
                text = f"    {layer}.set_weights([{', '.join(arrays)}])"
                if len(text) > 116:
                    joined = "".join(f"\n        {array}," for array in arrays)
                    text = f"    {layer}.set_weights([{joined}\n    ])"
                setting.append(text)
        layer = layers[key] if weights else made
        targets = ", ".join(names(value.name) for value in node.outputs)
        if node.unpack and len(node.outputs) == 1:
            targets += ","
        args = [_text(value, names) for value in node.args]
        args += [f"{key}={_text(value, names)}" for key, value in node.kwargs if key in CALL_ARGUMENTS]
        lines.append(f"    {targets} = {layer}({', '.join(args)})")
    inputs = model_argument(graph, lambda index: names(graph.inputs[index].name))
    outputs = returning_text(graph, lambda index: names(graph.outputs[index]))
    # A single result is a list of one, unless it holds several: Keras gives the output itself then, too.
    outputs = outputs if len(results_of(graph)) == 1 and returns_grouped(graph) else f"[{outputs}]"
    if setting:
        return "\n".join([*lines, f"    model = keras.Model({inputs}, {outputs})", *setting, "    return model", ""])
    return "\n".join([*lines, f"    return keras.Model({inputs}, {outputs})", ""])


def model_argument(graph: Graph, leaf: Callable[[int], str]) -> str:
    """Source text of what the model is called with, ``leaf`` that of each input: always a list, since of a dictionary
    by itself Keras wants the keys to be the names of the inputs."""
    return f"[{', '.join(text_of(tree, leaf) for tree in arguments_of(graph))}]"


def _text(value: Argument, names: Callable[[str], str]) -> str:
    """An argument as source text: layers made, element types by name, what is called on several tensors a list."""
    if parts := layer_parts(value):
        return _call(*parts)
    if isinstance(value, DType):
        return repr(value.name)
    if isinstance(value, tuple):
        items = ", ".join(_text(item, names) for item in value)
        if any(layer_parts(item) for item in value) or next(references(value), None) is not None:
            return f"[{items}]"
        return f"({items},)" if len(value) == 1 else f"({items})"
    return argument(value, names, repr)


def _call(path: str, pairs: list[tuple[str, Argument]]) -> str:
    def no_values(name: str) -> str:
        raise TypeError(f"{path}: a layer is made without tensors, {name} is one")

    return f"{path}({', '.join(f'{key}={_text(value, no_values)}' for key, value in pairs)})"


def _weight(constant: Constant) -> str:
    """An expression for a weight as a NumPy array; the name of an element type that ml_dtypes adds is one too."""
    data, name = constant.data, constant.type.dtype
    if data.size > LITERAL_ELEMENTS:
        return f"CONSTANTS[{constant.name!r}]"
    if data.size == 0:
        return f"np.zeros({data.shape!r}, {name!r})"
    return f"np.array({elements(data)}, {name!r})"
