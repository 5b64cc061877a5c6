"""What a frontend is: a vocabulary, an interpreter and a printer."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from generators.frontends.bodies import PLAIN, BodyFunction, BodyRunner, Running, flattened
from generators.frontends.signatures import Optional, optional_of_function, undocumented_none
from generators.graph import (
    DTYPES,
    Argument,
    Array,
    Case,
    Constant,
    DType,
    Graph,
    Node,
    Ref,
    Slice,
    Symbol,
    TensorType,
    all_nodes,
    map_node,
)
from generators.grouping import nested
from generators.operators.registry import Registry

if TYPE_CHECKING:
    from generators.control.registry import ControlFlow
    from generators.draw import Draw
    from generators.handles import Call, Handle

#: Arguments that every framework takes as they are.
_LITERALS = frozenset((int, float, bool, str, type(None)))


class EvaluationError(RuntimeError):
    """The framework refused a node; the message names the node and carries the framework's own words."""


@dataclass(frozen=True)
class LoadedModel:
    """The printed source, executed: what a converter is given.

    ``native`` is the framework's model object (``torch.nn.Module``, ``tf.Module``), ``arguments`` its native example
    inputs in the order of the graph's. ``graph`` and ``source`` are what it was made from.
    """

    graph: Graph
    source: str
    native: Any
    arguments: tuple[Any, ...]

    @property
    def called_with(self) -> tuple[Any, ...]:
        """The example inputs as the model takes them: in tuples and dictionaries where the graph says so."""
        return tuple(nested(self.graph, self.arguments))


class Frontend(abc.ABC):
    """Runs graphs eagerly and prints them. Subclasses live in ``generators/frontends/<framework>.py``."""

    name: str
    #: Whether operators take constants; where not, constants are what samplers make them for (the weights of layers).
    constants_are_operands: bool = True

    def stand_in(self, active: bool) -> None:  # noqa: B027  (most frontends have none)
        """From now on, run graphs by what stands in for eager mode where that ends the process, or no longer. Nothing
        happens where nothing does: see :data:`STAND_INS`."""

    @abc.abstractmethod
    def registry(self) -> Registry:
        """The operators with samplers; imports them on first use."""

    def mix_in(self, harvest: str) -> None:
        """From now on :meth:`registry` has the operators of the harvest with that fingerprint, too; without them for
        an empty one. HarvestError when there is no such harvest."""
        if harvest:
            from generators.harvest.records import HarvestError

            raise HarvestError(f"{self.name} has no harvest", "start a campaign without one")

    @abc.abstractmethod
    def version(self) -> str:
        """Version of the framework."""

    @abc.abstractmethod
    def to_native(self, array: Array, layout: tuple[int, ...] = ()) -> Any:
        """A native tensor with the array's elements (copied), its dimensions in memory ordered by ``layout``."""

    @abc.abstractmethod
    def to_array(self, native: Any) -> Array:
        """The elements as NumPy (ml_dtypes for bfloat16 and float8). May share memory with the tensor."""

    @abc.abstractmethod
    def is_tensor(self, value: Any) -> bool:
        """Whether a returned object is a tensor of the framework."""

    @abc.abstractmethod
    def dtype(self, name: str) -> Any:
        """The framework's element type of that name."""

    @abc.abstractmethod
    def resolve(self, target: str) -> Any:
        """The callable behind a target, called as ``resolve(target)(*args, **kwargs)``. EvaluationError if unknown."""

    @abc.abstractmethod
    def symbol(self, path: str) -> Any:
        """The framework object behind a :class:`Symbol`. EvaluationError if unknown."""

    @abc.abstractmethod
    def source(self, graph: Graph, name: str = "Model") -> str:
        """Readable Python that defines class ``name``. Small constants are literals; those with more than
        ``printing.LITERAL_ELEMENTS`` elements are looked up as ``CONSTANTS["name"]`` (name to native tensor), a
        dictionary that the source uses without defining it."""

    @abc.abstractmethod
    def load(self, case: Case) -> LoadedModel:
        """Print the graph, execute the source, make the native inputs."""

    @abc.abstractmethod
    def execute(self, model: LoadedModel) -> list[Array]:
        """Outputs of the loaded model in eager mode, one array per graph output."""

    def again(self, draw: Draw, nodes: Sequence[Node], handles: Sequence[Handle]) -> Call | None:
        """For frontends whose nodes can share something (a layer): another use of what one of ``nodes`` uses. None
        when there is nothing of the kind, without a choice made."""
        return None

    def optional(self, target: str) -> Optional:
        """Positions and keywords of the target's arguments for which None is documented."""
        return optional_of_function(self.resolve(target)) or frozenset()

    def held(self, node: Node) -> tuple[str, ...]:
        """Names of the values that a call takes as constants only."""
        return ()

    def check_arguments(self, graph: Graph) -> None:
        """EvaluationError for a call that passes None where the operator's signature has no place for it, whatever
        eager mode makes of that."""
        for node in all_nodes(graph):
            if place := undocumented_none(node, self.optional(node.target)):
                raise EvaluationError(f"{node.target}: {place} is None, which its signature does not provide for")

    def check_values(self, graph: Graph, values: Mapping[str, Array]) -> None:
        """EvaluationError for a call whose result is documented as undefined, whatever eager mode makes of it.
        ``values`` are those of all the graph's values (:meth:`run`)."""
        registry = self.registry()
        for node in all_nodes(graph):
            domain = registry.domain(node.target)
            # Bodies are held to it each time they run.
            if domain is None or not set(node.references()) <= values.keys():
                continue
            given = [values[item.name] if isinstance(item, Ref) else item for item in node.args]
            if problem := domain(given):
                raise EvaluationError(f"{node.target}: {problem}, which is undefined")

    def excluded(self, node: Node, types: Mapping[str, TensorType], settings: Mapping[str, Any]) -> str:
        """Why a converter with these settings (those that are not its defaults) cannot be given the node, whose inputs
        have these types; empty when it can. Such nodes are not grown."""
        return ""

    @contextmanager
    def double_precision(self) -> Iterator[None]:
        """While active, operators that make tensors without being told a dtype make float64 ones."""
        yield

    def targets(self) -> tuple[str, ...]:
        """All that graphs are made of, sorted: what has a sampler, and what takes bodies."""
        return tuple(sorted((*self.registry().targets(), *self.control_targets())))

    def control_targets(self) -> tuple[str, ...]:
        """The operators that take bodies, sorted."""
        vocabulary = self.control_flow()
        return tuple(sorted(vocabulary.targets)) if vocabulary else ()

    def control_flow(self) -> ControlFlow | None:
        """How graphs with bodies are grown; None for a frontend that has none."""
        return None

    def arranged(self, node: Node, body: Graph, outputs: Sequence[Any]) -> Any:
        """Results of a body as the node's operator wants them returned: a single one as such, several as a tuple."""
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def native_argument(self, argument: Argument, values: Mapping[str, Any]) -> Any:
        """The argument as the framework takes it, with references looked up in ``values`` (native tensors)."""
        if isinstance(argument, Ref):
            return values[argument.name]
        if type(argument) in _LITERALS:
            return argument
        if isinstance(argument, tuple):
            return tuple([self.native_argument(item, values) for item in argument])
        if isinstance(argument, DType):
            return self.dtype(argument.name)
        if isinstance(argument, Slice):
            return slice(
                *(self.native_argument(item, values) for item in (argument.start, argument.stop, argument.step))
            )
        if isinstance(argument, Symbol):
            return self.symbol(argument.path)
        if isinstance(argument, Graph):
            raise EvaluationError(f"{self.name}: a body stands where no operator takes one")
        return argument

    def call(self, node: Node, values: Mapping[str, Any], running: Running = PLAIN) -> tuple[list[Any], bool]:
        """Native outputs of a node given native values, and whether the call returned a sequence of them. ``running``
        says how bodies are run.

        EvaluationError when the framework raises or returns something other than tensors.
        """
        function = self.resolve(node.target)
        args = [self._argument(argument, node, values, running) for argument in node.args]
        kwargs = {key: self._argument(argument, node, values, running) for key, argument in node.kwargs}
        try:
            result = function(*args, **kwargs)
        except EvaluationError:  # of a node in a body
            raise
        except Exception as error:  # frameworks raise every type there is; it becomes one of ours with the cause
            raise EvaluationError(f"{node.target}: {type(error).__name__}: {error}") from error
        several = isinstance(result, (tuple, list))
        outputs = flattened(result) if several and next(node.bodies(), None) is not None else result
        outputs = list(outputs) if several else [result]
        for output in outputs:
            if not self.is_tensor(output):
                raise EvaluationError(f"{node.target} returned {type(output).__name__}, not a tensor")
        return outputs, several

    def outputs(self, node: Node, values: Mapping[str, Any], running: Running) -> list[Any]:
        """Native outputs of a node, its bodies, if it has any, run so."""
        if next(node.bodies(), None) is None:
            return self.call(node, values)[0]
        return self.call(node, values, running)[0]

    def _argument(self, argument: Argument, node: Node, values: Mapping[str, Any], running: Running) -> Any:
        if isinstance(argument, Graph):
            return BodyFunction(self, node, argument, values, running)
        return self.native_argument(argument, values)

    def run(self, graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every value of the graph (inputs and constants included) by name, in eager mode; those of bodies as they
        were when the body ran first. Every body is run, the branch that is not taken and the body of a loop that makes
        no step included: a graph of which a part is invalid is refused.

        EvaluationError when a node fails; KeyError when a feed is missing.
        """
        values: dict[str, Any] = {}
        running = Running(inner={})
        for value in graph.inputs:
            values[value.name] = self.to_native(feeds[value.name], value.layout)
        for constant in graph.constants:
            values[constant.name] = self.to_native(constant.data)
        for node in graph.nodes:
            outputs = self.outputs(node, values, running)
            if len(outputs) != len(node.outputs):
                raise EvaluationError(f"{node.target} returned {len(outputs)} tensors, {len(node.outputs)} expected")
            values.update(zip((output.name for output in node.outputs), outputs, strict=True))
        return {name: self.to_array(native) for name, native in {**(running.inner or {}), **values}.items()}

    def control(self, node: Node, inputs: Mapping[str, Array], run: BodyRunner) -> list[Array]:
        """Outputs of a node of control flow on recorded arrays (what its bodies capture among them), its bodies run by
        ``run``: called with a body and the arrays of its inputs, it gives those of its outputs."""
        values = {name: self.to_native(array) for name, array in inputs.items()}
        return [self.to_array(output) for output in self.call(node, values, Running(runner=run))[0]]

    def evaluate(self, node: Node, inputs: Mapping[str, Array], *, double: bool = False) -> list[Array]:
        """Outputs of one node on recorded arrays.

        With ``double``, the node's element-type arguments are widened (float16, bfloat16, float32 to float64,
        complex64 to complex128) and the framework's default is float64; the caller widens the inputs.
        """
        if double:
            node = widen_node(node)
        values = {name: self.to_native(array) for name, array in inputs.items()}
        if double:
            with self.double_precision():
                return [self.to_array(output) for output in self.call(node, values)[0]]
        return [self.to_array(output) for output in self.call(node, values)[0]]


WIDER = {"float16": "float64", "bfloat16": "float64", "float32": "float64", "complex64": "complex128"}


def widen_node(node: Node) -> Node:
    """The node with its element-type arguments widened to double precision."""

    def widen(argument: Argument) -> Argument:
        if isinstance(argument, DType):
            return DType(WIDER.get(argument.name, argument.name))
        if isinstance(argument, tuple):
            return tuple(widen(item) for item in argument)
        if isinstance(argument, Graph):
            constants = tuple(_widen_constant(constant) for constant in argument.constants)
            return replace(argument, constants=constants, nodes=tuple(widen_node(inner) for inner in argument.nodes))
        return argument

    node = map_node(node, Ref)
    return Node(
        node.target,
        tuple(widen(argument) for argument in node.args),
        tuple((key, widen(argument)) for key, argument in node.kwargs),
        node.outputs,
        node.unpack,
    )


def _widen_constant(constant: Constant) -> Constant:
    name = constant.type.dtype
    return replace(constant, data=constant.data.astype(DTYPES[WIDER[name]])) if name in WIDER else constant


_FRONTENDS: dict[str, Frontend] = {}
#: Frontends whose eager mode is a subject as well, so that what ends it is a finding, and that can do without it.
STAND_INS = frozenset({"onnx"})


def frontend(name: str) -> Frontend:
    """The frontend of that name, found through the entry points ``convfuzz.frontends``; made once per process.

    KeyError, with the names there are, when no installed package provides it.
    """
    if name not in _FRONTENDS:
        from importlib.metadata import entry_points

        found = {entry.name: entry for entry in entry_points(group="convfuzz.frontends")}
        if name not in found:
            raise KeyError(f"no frontend {name!r}; installed: {', '.join(sorted(found)) or 'none'}")
        _FRONTENDS[name] = found[name].load()()
    return _FRONTENDS[name]


def feeds_of(case: Case) -> Sequence[Array]:
    """The arrays of a case in the order of the graph's inputs."""
    return [case.feeds[value.name] for value in case.graph.inputs]
