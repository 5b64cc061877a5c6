"""Faults put into real converters and runtimes while a process runs, and taken out again.

A fault in a converter is a change of its Python source: the text of one function is changed in one place, compiled
again, and the code object of the very function that the converter holds is exchanged. So it works wherever the function
is referred to (registries, handler tables, rules that are built at import). A fault in a runtime is a change of the
ONNX model on its way there: what the runtime computes from the changed model is what a runtime with that defect would
compute from the right one. The witness and every other runtime get the right one.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import CodeType, FunctionType
from typing import Any

import onnx

from fuzzer.formats import Artifact, Settings
from generators.frontends.base import frontend
from generators.graph import Argument, Array, Case, Graph, Input, Node, Ref, Value, type_of

#: Names of the functions that were entered, and types of the nodes that were loaded, since it was last cleared.
REACHED: set[str] = set()


class FaultError(RuntimeError):
    """A fault cannot be put in: the source is not (or not only once) what it was made for."""


@dataclass(frozen=True)
class Proof:
    """A graph in which a fault changes the results: calls one after the other, each a target, its positional arguments
    and, last, a dictionary of the others. ``Ref("x0")`` is the first of the ``feeds``, ``Ref("v0")`` the first result
    of the first call. ``constants`` are the numbers of the feeds that the model holds itself. The outputs are all
    results that no later call takes, or the ``outputs`` named."""

    frontend: str
    feeds: tuple[Array, ...]
    calls: tuple[tuple[Any, ...], ...]
    constants: tuple[int, ...] = ()
    outputs: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def case(self) -> Case:
        """The graph with its feeds. EvaluationError when the framework refuses a call."""
        from generators.graph import Constant

        chosen = frontend(self.frontend)
        named = {f"x{number}": feed for number, feed in enumerate(self.feeds)}
        natives = {name: chosen.to_native(feed) for name, feed in named.items()}
        nodes, used = [], set()
        for target, *given in self.calls:
            kwargs: dict[str, Argument] = given.pop() if given and isinstance(given[-1], dict) else {}
            bare = Node(target, tuple(given), tuple(kwargs.items()), ())
            used |= set(bare.references())
            results, several = chosen.call(bare, natives)
            values = []
            for number, native in enumerate(results):
                name = f"v{len(nodes)}" + (f"_{number}" if number else "")
                natives[name] = native
                values.append(Value(name, type_of(chosen.to_array(native))))
            nodes.append(replace(bare, outputs=tuple(values), unpack=several))
        held = {f"x{number}" for number in self.constants}
        graph = Graph(
            self.frontend,
            tuple(Input(name, type_of(feed)) for name, feed in named.items() if name not in held),
            tuple(Constant(name, feed) for name, feed in named.items() if name in held),
            tuple(nodes),
            self.outputs or tuple(value.name for node in nodes for value in node.outputs if value.name not in used),
        )
        return Case(graph, {name: feed for name, feed in named.items() if name not in held})


@dataclass(frozen=True)
class SourceFault:
    """In the function ``module:qualified.name`` of a converter, ``old`` (which is there once) becomes ``new``."""

    name: str
    function: str
    old: str
    new: str
    proof: Proof

    @property
    def reached(self) -> str:
        """What :data:`REACHED` holds after a conversion that this fault may have changed."""
        return self.function

    @contextmanager
    def active(self) -> Iterator[None]:
        """While inside, the converter has the fault. FaultError when its source has changed."""
        function = function_of(self.function)
        original = function.__code__
        function.__code__ = changed_code(function, self._change)
        try:
            yield
        finally:
            function.__code__ = original

    def _change(self, source: str) -> str:
        if source.count(self.old) != 1:
            raise FaultError(f"{self.function}: {self.old!r} is there {source.count(self.old)} times, not once")
        return source.replace(self.old, self.new)


@dataclass(frozen=True)
class ArtifactFault:
    """ONNX Runtime computes nodes of type ``kind`` as if they were what ``change`` makes of them, in place, given the
    model, too; it says whether it changed anything. ``optimized`` faults are those of its graph optimizer: they are
    there only when it runs."""

    name: str
    kind: str
    change: Callable[[onnx.ModelProto, onnx.NodeProto], bool]
    proof: Proof
    optimized: bool = False

    @property
    def reached(self) -> str:
        """As that of :class:`SourceFault`."""
        return f"node {self.kind}"

    @contextmanager
    def active(self) -> Iterator[None]:
        """While inside, the runtime has the fault."""
        with _sessions(self._faulty):
            yield

    def _faulty(self, artifact: Artifact, settings: Settings) -> Artifact:
        if self.optimized and settings.get("optimization") == "disable_all":
            return artifact
        model = onnx.ModelProto.FromString(artifact.data)
        found = [self.change(model, node) for node in list(_nodes(model.graph)) if node.op_type == self.kind]
        return replace(artifact, data=model.SerializeToString()) if any(found) else artifact


Fault = SourceFault | ArtifactFault


@contextmanager
def recording(functions: Sequence[str]) -> Iterator[None]:
    """While inside, :data:`REACHED` gains the names of those functions that are entered, and of the types of nodes of
    every model that ONNX Runtime loads."""
    originals: list[tuple[FunctionType, CodeType]] = []
    try:
        for name in functions:
            function = function_of(name)
            originals.append((function, function.__code__))
            function.__code__ = changed_code(function, lambda source: source, entered=name)
        with _sessions(_note_nodes):
            yield
    finally:
        for function, code in originals:
            function.__code__ = code


def function_of(path: str) -> FunctionType:
    """The Python function behind ``module:qualified.name``, out of what decorators made of it."""
    module, _, names = path.partition(":")
    found: Any = importlib.import_module(module)
    for name in names.split("."):
        found = vars(found).get(name, getattr(found, name)) if isinstance(found, type) else getattr(found, name)
    while not isinstance(found, FunctionType):
        inner = next((getattr(found, name) for name in ("__func__", "function", "func") if hasattr(found, name)), None)
        if inner is None:
            raise FaultError(f"{path} is a {type(found).__name__}, in which there is no Python function")
        found = inner
    return found


def changed_code(function: FunctionType, change: Callable[[str], str], entered: str = "") -> CodeType:
    """The code of the function after a change of its source, which must need the same variables from around it; with
    ``entered`` it first notes that name in :data:`REACHED`."""
    tree = ast.parse(change(textwrap.dedent(inspect.getsource(function))))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    if entered:
        note = f"__import__({__name__!r}, fromlist=['REACHED']).REACHED.add({entered!r})"
        definition.body[:0] = ast.parse(note).body
    around = function.__code__.co_freevars
    if around:
        outer = ast.parse("def around(): pass").body[0]
        assert isinstance(outer, ast.FunctionDef)
        outer.body = [*ast.parse("\n".join(f"{name} = None" for name in around)).body, definition]
        tree.body = [outer]
    ast.fix_missing_locations(tree)
    code = compile(tree, inspect.getsourcefile(function) or "<fault>", "exec", dont_inherit=True)
    found = _code_named(code, function.__name__)
    if found is None or found.co_freevars != around:
        raise FaultError(f"{function.__qualname__} cannot be compiled by itself")
    return found.replace(co_qualname=function.__code__.co_qualname, co_firstlineno=function.__code__.co_firstlineno)


def _code_named(code: CodeType, name: str) -> CodeType | None:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_name == name:
                return constant
            if (inner := _code_named(constant, name)) is not None:
                return inner
    return None


@contextmanager
def _sessions(see: Callable[[Artifact, Settings], Artifact]) -> Iterator[None]:
    from fuzzer.runtimes import onnxruntime

    original = onnxruntime._session
    onnxruntime._session = lambda artifact, settings: original(see(artifact, settings), settings)
    try:
        yield
    finally:
        onnxruntime._session = original


def _note_nodes(artifact: Artifact, settings: Settings) -> Artifact:
    REACHED.update(f"node {node.op_type}" for node in _nodes(onnx.ModelProto.FromString(artifact.data).graph))
    return artifact


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _nodes(attribute.g)


def normal(*shape: int, scale: float = 1.0, seed: int = 0, dtype: str = "float32") -> Array:
    """Normally distributed numbers."""
    import numpy as np

    array: Array = (np.random.default_rng(seed).standard_normal(shape) * scale).astype(dtype)
    return array


X, Y, Z = Ref("x0"), Ref("x1"), Ref("x2")
