"""Types of a graph's values: taken from executed values, or widened to double precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from generators.frontends.base import WIDER
from generators.graph import (
    DTYPES,
    Argument,
    Array,
    Case,
    DType,
    Graph,
    Input,
    Node,
    TensorType,
    Value,
    type_of,
)
from generators.naming import map_arguments, map_bodies


def retype(graph: Graph, values: Mapping[str, Array]) -> Graph:
    """The graph with the types of inputs and of nodes' outputs taken from executed values.

    So are those of bodies, from what was recorded when they ran first. Values that were not recorded keep their types.
    A layout that does not fit the new rank is dropped.
    """
    inputs = tuple([_retype_input(value, values) for value in graph.inputs])
    nodes = tuple([retype_node(node, values) for node in graph.nodes])
    return Graph(graph.frontend, inputs, graph.constants, nodes, graph.outputs, graph.places)


def in_double(case: Case) -> Case:
    """The case in double precision: feeds, constants, types and element-type arguments of float16, bfloat16 and
    float32 become float64, those of complex64 complex128 (:data:`generators.frontends.base.WIDER`).

    Types of results are widened likewise, which is a guess until executed values correct them (:func:`retype`).
    """
    feeds, *further = ({name: widen(array) for name, array in given.items()} for given in (case.feeds, *case.further))
    return Case(_double(case.graph), feeds, dict(case.profiles), tuple(further))


def widen(array: Array) -> Array:
    """The array in double precision, exactly; itself when its element type is not widened."""
    name = type_of(array).dtype
    return array.astype(DTYPES[WIDER[name]]) if name in WIDER else array


def _double(graph: Graph) -> Graph:
    def wider(kind: TensorType) -> TensorType:
        return TensorType(WIDER.get(kind.dtype, kind.dtype), kind.shape)

    def argument(item: Argument) -> Argument:
        if isinstance(item, DType):
            return DType(WIDER.get(item.name, item.name))
        if isinstance(item, Graph):
            return _double(item)
        return item

    return Graph(
        graph.frontend,
        tuple(replace(value, type=wider(value.type)) for value in graph.inputs),
        tuple(replace(constant, data=widen(constant.data)) for constant in graph.constants),
        tuple(
            replace(
                map_arguments(node, argument),
                outputs=tuple(Value(value.name, wider(value.type)) for value in node.outputs),
            )
            for node in graph.nodes
        ),
        graph.outputs,
        graph.places,
    )


def _retype_input(value: Input, values: Mapping[str, Array]) -> Input:
    array = values.get(value.name)
    if array is None:
        return value
    dynamic = value.dynamic if len(value.dynamic) == array.ndim else ()
    return Input(value.name, type_of(array), valid_layout(value.layout, array.ndim), dynamic, value.path)


def retype_node(node: Node, values: Mapping[str, Array]) -> Node:
    """The node with the types of its outputs, and those in its bodies, taken from executed values."""
    if next(node.bodies(), None) is not None:
        node = map_bodies(node, lambda body: retype(body, values))
    for value in node.outputs:
        if value.name in values and type_of(values[value.name]) != value.type:
            break
    else:
        return node
    outputs = tuple(
        Value(value.name, type_of(values[value.name])) if value.name in values else value for value in node.outputs
    )
    return replace(node, outputs=outputs)


def valid_layout(layout: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """The layout if a tensor of that rank can have it, else the dense one."""
    return layout if sorted(layout) == list(range(rank)) else ()
