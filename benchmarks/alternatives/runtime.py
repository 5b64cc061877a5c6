"""The runtime that interprets a graph of ours and computes everything correctly, but not as the framework does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from benchmarks.alternatives.calls import DIFFERENCES, PRODUCTS, SUMS, Compute, functional, ordered
from benchmarks.alternatives.orders import Order
from fuzzer.formats import Artifact, Settings
from fuzzer.runtimes.interpreter import Interpreter
from generators.frontends.base import EvaluationError, Frontend, frontend
from generators.graph import DTYPES, Array, Graph, Node, Ref
from tests.oracles.variants import Implementation, double_then_rounded, perturbed

#: From a node, the arrays it refers to and the nodes that made them (with what they were made of) to its results.
Made = dict[str, tuple[Node, dict[str, Array]]]
Step = Callable[[Node, dict[str, Array], Made], list[Array]]


class Alternative(Interpreter):
    """Variants: each operator in float64 and rounded; other orders of summation; fused multiply-add; other formulas;
    functions off by up to 4 ulp, at random and all to one side; chains of sums and products associated otherwise."""

    name = "alternative"
    packages: ClassVar[tuple[str, ...]] = ("benchmarks",)
    variants: ClassVar[Mapping[str, Settings]] = {
        name: {"way": name}
        for name in (
            "double",
            *(order.value for order in Order),
            "formulas",
            "ulps",
            "biased",
            "reassociated",
        )
    }

    def load(self, artifact: Artifact, settings: Settings) -> Any:
        return Session(super().load(artifact, settings), str(settings["way"]))

    def run(self, session: Any, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        assert isinstance(session, Session)
        return session.run(feeds)


class Session:
    """A graph and the way that it is computed."""

    def __init__(self, graph: Graph, way: str) -> None:
        self.graph = graph
        self.frontend = frontend(graph.frontend)
        self.step = step_of(self.frontend, way)

    def run(self, feeds: Sequence[Array]) -> list[Array]:
        """Outputs in order, given feeds in order of the inputs."""
        values = {value.name: feed for value, feed in zip(self.graph.inputs, feeds, strict=True)}
        return [np.array(array) for array in self._body(self.graph, values, {})]

    def _body(self, graph: Graph, values: dict[str, Array], made: Made) -> list[Array]:
        values.update((constant.name, constant.data) for constant in graph.constants)
        for node in graph.nodes:
            given = {name: values[name] for name in set(node.references())}
            if next(node.bodies(), None) is not None:

                def run(body: Graph, arrays: Sequence[Array]) -> list[Array]:
                    inner = {value.name: array for value, array in zip(body.inputs, arrays, strict=True)}
                    return self._body(body, {**values, **inner}, dict(made))

                outputs = self.frontend.control(node, given, run)
            else:
                outputs = self.step(node, given, made)
            for value, array in zip(node.outputs, outputs, strict=True):
                values[value.name] = np.array(array)
                made[value.name] = node, given
        return [values[name] for name in graph.outputs]


def step_of(chosen: Frontend, way: str) -> Step:
    """How single nodes are computed that way. ValueError for a way that there is none."""
    if way == "double":
        return _where_possible(chosen, double_then_rounded(chosen))
    if way in ("ulps", "biased"):
        # Seeded by the way alone: what is run again gives the same.
        return _where_possible(chosen, perturbed(chosen, 7, biased=way == "biased"))
    if way == "reassociated":
        return lambda node, given, made: _chained(chosen, node, given, made) or chosen.evaluate(node, given)
    if way == "formulas":
        calls = functional(chosen.name)
    elif way in {order.value for order in Order}:
        calls = ordered(chosen.name, Order(way))
    else:
        raise ValueError(f"there is no way {way!r}")
    if chosen.name == "keras":
        return lambda node, given, made: _patched(chosen, node, given, calls)
    fuses = way == Order.FUSED.value

    def step(node: Node, given: dict[str, Array], made: Made) -> list[Array]:
        found = _fused(node, given, made) if fuses else None
        if found is None and node.target in calls:
            found = _called(calls[node.target], node, given)
        return chosen.evaluate(node, given) if found is None else found

    return step


def _where_possible(chosen: Frontend, implement: Implementation) -> Step:
    """As ``implement`` computes, but where the framework has no kernel for float64, or one that gives other types or
    shapes (``onnx.reference``, of pooling with dilations)."""

    def step(node: Node, given: dict[str, Array], made: Made) -> list[Array]:
        plain = chosen.evaluate(node, given)
        try:
            results = implement(node, given)
        except EvaluationError:
            return plain
        alike = [(array.dtype, array.shape) for array in results] == [(array.dtype, array.shape) for array in plain]
        return results if alike else plain

    return step


def _literal(argument: Any, given: Mapping[str, Array]) -> Any:
    return given[argument.name] if isinstance(argument, Ref) else argument


def _called(compute: Compute, node: Node, given: Mapping[str, Array]) -> list[Array] | None:
    """Results of the other way, if there is one for these arguments and they are of the types of the node's own."""
    if any(isinstance(argument, tuple) and any(isinstance(item, Ref) for item in argument) for argument in node.args):
        return None
    try:
        result = compute(
            *(_literal(item, given) for item in node.args), **{key: _literal(item, given) for key, item in node.kwargs}
        )
    except TypeError:
        return None  # arguments of which it does not know
    kind = node.outputs[0].type
    if result is None or len(node.outputs) != 1 or result.dtype != DTYPES[kind.dtype] or result.ndim != kind.rank:
        return None
    return [result]


def _patched(chosen: Frontend, node: Node, given: dict[str, Array], calls: Mapping[str, Compute]) -> list[Array]:
    """Results of a layer of Keras while TensorFlow's functions compute otherwise."""
    with _instead(calls):
        return chosen.evaluate(node, given)


@contextmanager
def _instead(calls: Mapping[str, Compute]) -> Iterator[None]:
    import tensorflow as tf

    originals: list[tuple[Any, str, Any]] = []

    def wrapped(original: Any, compute: Compute) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            tensors = [item for item in (*args, *kwargs.values()) if tf.is_tensor(item)]
            if not tensors or not all(hasattr(item, "numpy") for item in tensors):
                return original(*args, **kwargs)  # inside of a traced function
            arrays = [item.numpy() if hasattr(item, "numpy") else item for item in args]
            named = {key: item.numpy() if hasattr(item, "numpy") else item for key, item in kwargs.items()}
            try:
                result = compute(*arrays, **named)
            except TypeError:
                result = None
            return original(*args, **kwargs) if result is None else tf.constant(result)

        return call

    for path, compute in calls.items():
        *modules, name = path.split(".")[1:]
        module: Any = tf
        for part in modules:
            module = getattr(module, part)
        if (original := getattr(module, name, None)) is not None:
            originals.append((module, name, original))
            setattr(module, name, wrapped(original, compute))
    try:
        yield
    finally:
        for module, name, original in originals:
            setattr(module, name, original)


def _operands(node: Node, targets: frozenset[str]) -> tuple[Any, Any] | None:
    """The two operands of a plain call of one of these targets."""
    if node.target not in targets or len(node.args) != 2 or node.kwargs:
        return None
    return node.args[0], node.args[1]


def _typed(argument: Any, given: Mapping[str, Array], kind: str) -> Array | None:
    """The operand as an array of that type; None for an array of another."""
    if isinstance(argument, Ref):
        array = given[argument.name]
        return array if array.dtype == DTYPES[kind] else None
    is_number = isinstance(argument, (int, float)) and not isinstance(argument, bool)
    return np.asarray(argument, DTYPES[kind]) if is_number else None


def _fused(node: Node, given: Mapping[str, Array], made: Made) -> list[Array] | None:
    """A sum one operand of which is a product, rounded once: in float64, where that product is exact."""
    operands = _operands(node, SUMS)
    if operands is None or node.outputs[0].type.dtype != "float32":
        return None
    for one, other in (operands, operands[::-1]):
        if not isinstance(one, Ref) or one.name not in made:
            continue
        before, its = made[one.name]
        factors = _operands(before, PRODUCTS)
        if factors is None or given[one.name].dtype != np.float32:
            continue
        left, right = (_typed(item, its, "float32") for item in factors)
        term = _typed(other, given, "float32")
        if left is None or right is None or term is None:
            continue
        with np.errstate(all="ignore"):
            exact = left.astype(np.float64) * right.astype(np.float64) + term.astype(np.float64)
            return [np.asarray(exact.astype(np.float32))]
    return None


def _chained(chosen: Frontend, node: Node, given: Mapping[str, Array], made: Made) -> list[Array] | None:
    """``(a + b) + c`` as ``a + (b + c)``, ``(a b) c`` as ``a (b c)`` and ``(a - b) - c`` as ``a - (b + c)``, where
    nothing overflows or underflows on the way that would not otherwise."""
    kind = node.outputs[0].type.dtype
    if kind not in ("float32", "float64", "float16"):
        return None
    for targets, inner, outer in (
        (SUMS, np.add, np.add),
        (PRODUCTS, np.multiply, np.multiply),
        (DIFFERENCES, np.add, np.subtract),
    ):
        operands = _operands(node, targets)
        if operands is None or not isinstance(operands[0], Ref) or operands[0].name not in made:
            continue
        before, its = made[operands[0].name]
        parts = _operands(before, targets)
        if parts is None:
            continue
        a, b = (_typed(item, its, kind) for item in parts)
        c = _typed(operands[1], given, kind)
        if a is None or b is None or c is None:
            return None
        with np.errstate(all="ignore"):
            between = inner(b, c)
            result = outer(a, between)
        tiny = np.finfo(DTYPES[kind]).tiny
        plain = np.isfinite(between) & ((np.abs(between) > tiny) | (targets is not PRODUCTS))
        shape = tuple(node.outputs[0].type.shape)
        if not plain.all() or result.shape != shape or result.dtype != DTYPES[kind]:
            return None
        return [np.asarray(result)]
    return None
