"""The one graph: an immutable SSA structure that every other part is a function over.

A :class:`Graph` belongs to a frontend (the vocabulary its targets are taken from). Values are named; every
name is defined once, by an input, a constant or a node, and defined before it is used. Names are arbitrary
non-empty strings: printers map them to identifiers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

_EXTENDED = (
    "bfloat16",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e4m3b11fnuz",
    "float8_e8m0fnu",
    "int4",
    "uint4",
    "float4_e2m1fn",
)
_NATIVE = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]

#: Every element type a value may have, by name, as the NumPy (or ml_dtypes) type that holds it.
DTYPES: Mapping[str, np.dtype[Any]] = {
    **{name: np.dtype(name) for name in _NATIVE},
    **{name: np.dtype(getattr(ml_dtypes, name)) for name in _EXTENDED},
}
_NAMES: Mapping[np.dtype[Any], str] = {dtype: name for name, dtype in DTYPES.items()}

FLOATING = ("float16", "bfloat16", "float32", "float64")
SIGNED = ("int8", "int16", "int32", "int64")
INTEGRAL = (*SIGNED, "uint8")
COMPLEX = ("complex64",)


class GraphError(ValueError):
    """A graph is malformed; the message names the place (node, value) and the fault."""


def dtype_name(dtype: np.dtype[Any] | type) -> str:
    """The name in :data:`DTYPES` of a NumPy element type. Raises GraphError for one that no value can have."""
    try:
        return _NAMES[np.dtype(dtype)]
    except (KeyError, TypeError) as error:
        raise GraphError(f"no graph value can hold elements of type {dtype!r}") from error


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type (a name in :data:`DTYPES`) and static shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements; 1 for a scalar."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


def type_of(array: Array) -> TensorType:
    """The TensorType of an array. Raises GraphError for an element type that no value can have."""
    return TensorType(dtype_name(array.dtype), array.shape)


@dataclass(frozen=True, slots=True)
class Ref:
    """A use of the value of that name."""

    name: str


@dataclass(frozen=True, slots=True)
class DType:
    """An element type as an argument, such as the target of a cast; a name in :data:`DTYPES`."""

    name: str


@dataclass(frozen=True, slots=True)
class Symbol:
    """An object of the framework named by its qualified path (``torch.channels_last``, an enum member)."""

    path: str


@dataclass(frozen=True, slots=True)
class Slice:
    """``start:stop:step`` inside a subscript."""

    start: Argument = None
    stop: Argument = None
    step: Argument = None


Argument: TypeAlias = (
    "bool | int | float | complex | str | EllipsisType | Ref | DType | Symbol | Slice | Graph"
    " | tuple[Argument, ...] | None"
)


@dataclass(frozen=True, slots=True)
class Value:
    """A named result with its type."""

    name: str
    type: TensorType


#: A name, then keys of dictionaries, numbers in tuples, and numbers in lists, each in a tuple by itself.
Path: TypeAlias = tuple[str | int | tuple[int], ...]


@dataclass(frozen=True, slots=True)
class Input:
    """A graph input.

    ``layout`` is the order of the dimensions in memory, outermost first: ``()`` is the dense row-major layout, and
    ``(0, 2, 3, 1)`` on a rank-4 input is what frameworks call channels last. A frontend that cannot hold a
    layout feeds a dense tensor.

    ``dynamic`` marks dimensions whose extent may be another when the model runs: a symbol for each of them, None for
    the others; ``()`` when there is none. Dimensions with one symbol have the same extent at any time. ``type`` has
    the extents that the model is converted with.

    ``path`` says where in an argument of the model it is that holds several tensors: the name of that argument, then
    for each level a key (of a dictionary), a number (of a tuple) or a number in a tuple by itself (of a list); ``()``
    when it is an argument by itself. See :mod:`generators.grouping`.
    """

    name: str
    type: TensorType
    layout: tuple[int, ...] = ()
    dynamic: tuple[str | None, ...] = ()
    path: Path = ()


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A tensor held by the model. ``trainable`` makes it a parameter (a variable) instead of a buffer."""

    name: str
    data: Array
    trainable: bool = False

    @property
    def type(self) -> TensorType:
        return type_of(self.data)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Constant)
            and (self.name, self.trainable, self.type) == (other.name, other.trainable, other.type)
            and self.data.tobytes() == other.data.tobytes()
        )

    def __hash__(self) -> int:
        return hash((self.name, self.trainable, self.type))


@dataclass(frozen=True, slots=True)
class Node:
    """A call of ``target``.

    ``args`` and ``kwargs`` hold literals and references, nested in tuples; a nested :class:`Graph` is a body of
    control flow. ``outputs`` are the tensors that the call returns, flattened in order. ``unpack`` says that the
    call returns a sequence (also one of length one) instead of a tensor.
    """

    target: str
    args: tuple[Argument, ...]
    kwargs: tuple[tuple[str, Argument], ...]
    outputs: tuple[Value, ...]
    unpack: bool = False

    def references(self) -> Iterator[str]:
        """Names of the values that the call uses, in order, repeated ones repeated; those captured by bodies too."""
        for argument in self.args:
            yield from references(argument)
        for _, argument in self.kwargs:
            yield from references(argument)

    def bodies(self) -> Iterator[Graph]:
        """Graphs among the arguments, at any depth of tuples."""
        for argument in self.args:
            if isinstance(argument, (tuple, Graph)):
                yield from _bodies(argument)
        for _, argument in self.kwargs:
            if isinstance(argument, (tuple, Graph)):
                yield from _bodies(argument)


@dataclass(frozen=True, slots=True)
class Graph:
    """Inputs, constants, nodes in an order of execution, and the names of the outputs (repetition allowed).

    ``places`` are those of outputs in results of the model that hold several tensors, by name, as ``path`` is of an
    input; an output that is repeated has its place the first time. One of a name that is no output says nothing.
    """

    frontend: str
    inputs: tuple[Input, ...]
    constants: tuple[Constant, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    places: tuple[tuple[str, Path], ...] = ()

    def types(self) -> dict[str, TensorType]:
        """Type of every value by name."""
        found = {value.name: value.type for value in self.inputs}
        found.update((constant.name, constant.type) for constant in self.constants)
        found.update((value.name, value.type) for node in self.nodes for value in node.outputs)
        return found

    def producers(self) -> dict[str, int]:
        """For each value that a node makes, the index of that node."""
        return {value.name: index for index, node in enumerate(self.nodes) for value in node.outputs}

    def operators(self) -> tuple[str, ...]:
        """The targets in order of execution, those of bodies after their node's."""
        return tuple([node.target for node in all_nodes(self)])


@dataclass(frozen=True, slots=True)
class Case:
    """A graph with the data to run it on.

    ``feeds`` holds one array per graph input. ``profiles`` tells, for inputs and constants, which value profile
    the data was drawn from; it informs severity and has no effect on execution. ``further`` are feeds of other
    values, or at other sizes of the graph's dynamic dimensions, with which it runs, too.
    """

    graph: Graph
    feeds: Mapping[str, Array]
    profiles: Mapping[str, str] = field(default_factory=dict)
    further: tuple[Mapping[str, Array], ...] = ()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What Hypothesis (and IPython) show of an example: not its arrays, which fill pages."""
        kinds = ", ".join(f"{value.name}: {value.type}" for value in self.graph.inputs)
        printer.text(f"<case of {self.graph.frontend}: {' → '.join(self.graph.operators())} ({kinds})>")


def all_nodes(graph: Graph) -> Iterator[Node]:
    """The nodes of the graph in order, those of bodies after their node."""
    for node in graph.nodes:
        yield node
        for body in node.bodies():
            yield from all_nodes(body)


def node_count(graph: Graph) -> int:
    """How many nodes there are, those of bodies included."""
    return len(graph.operators())


def all_constants(graph: Graph) -> Iterator[Constant]:
    """The constants of the graph, then those of its bodies."""
    yield from graph.constants
    for node in graph.nodes:
        for body in node.bodies():
            yield from all_constants(body)


def all_types(graph: Graph) -> dict[str, TensorType]:
    """Type of every value by name, those of bodies included."""
    found = graph.types()
    for node in graph.nodes:
        for body in node.bodies():
            found.update(all_types(body))
    return found


def references(argument: Argument) -> Iterator[str]:
    """Names of the values that an argument uses; for a body, those it captures from outside."""
    if isinstance(argument, Ref):
        yield argument.name
    elif isinstance(argument, tuple):
        for item in argument:
            yield from references(item)
    elif isinstance(argument, Slice):
        for item in (argument.start, argument.stop, argument.step):
            yield from references(item)
    elif isinstance(argument, Graph):
        yield from captured(argument)


def captured(body: Graph) -> Iterator[str]:
    """Names that a body uses without defining them."""
    defined = set(body.types())
    for node in body.nodes:
        yield from (name for name in node.references() if name not in defined)
    yield from (name for name in body.outputs if name not in defined)


def map_references(argument: Argument, change: Callable[[str], Argument]) -> Argument:
    """The argument with every reference replaced by what ``change`` makes of its name, in bodies too.

    A body's captured names can only become references; GraphError otherwise.
    """
    if isinstance(argument, Ref):
        return change(argument.name)
    if isinstance(argument, tuple):
        return tuple(map_references(item, change) for item in argument)
    if isinstance(argument, Slice):
        return Slice(*(map_references(item, change) for item in (argument.start, argument.stop, argument.step)))
    if isinstance(argument, Graph):
        return _map_captured(argument, change)
    return argument


def map_node(node: Node, change: Callable[[str], Argument]) -> Node:
    """The node with its references changed as by :func:`map_references`; outputs stay."""
    return Node(
        node.target,
        tuple(map_references(argument, change) for argument in node.args),
        tuple((key, map_references(argument, change)) for key, argument in node.kwargs),
        node.outputs,
        node.unpack,
    )


def _map_captured(body: Graph, change: Callable[[str], Argument]) -> Graph:
    defined = set(body.types())

    def rename(name: str) -> Argument:
        return Ref(name) if name in defined else change(name)

    outputs = []
    for name in body.outputs:
        new = rename(name)
        if not isinstance(new, Ref):
            raise GraphError(f"body output {name!r} can only be replaced by another value")
        outputs.append(new.name)
    return Graph(
        body.frontend, body.inputs, body.constants, tuple(map_node(node, rename) for node in body.nodes), tuple(outputs)
    )


def _bodies(argument: Argument) -> Iterator[Graph]:
    if isinstance(argument, Graph):
        yield argument
    elif isinstance(argument, tuple):
        for item in argument:
            yield from _bodies(item)


def digest_of(data: bytes) -> str:
    """Content address: the first 32 hexadecimal digits of SHA-256."""
    return hashlib.sha256(data).hexdigest()[:32]
