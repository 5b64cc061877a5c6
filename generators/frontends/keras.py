"""Keras 3 on TensorFlow: functional models of layers.

A node is a layer and its call in one. Its target is the layer's class (``keras.layers.Conv2D``); ``args`` are what the
layer is called on, tensors, or tuples of them for the layers that take a list; ``kwargs`` are, by name,

* arguments of the call, those in :data:`CALL_ARGUMENTS` (``initial_state``, ``mask``, ``use_causal_mask`` …),
* ``weights``, a tuple of references to constants in the order of the layer's ``weights``: what ``set_weights`` takes,
* all others arguments of the constructor. A layer among them (that of a wrapper, the cell of an RNN) is a tuple of its
  class as a :class:`Symbol` and of its own arguments as pairs.

Nodes of the same class, constructor arguments and weights (if there are any) are calls of one shared layer. Constants
are weights and nothing else, as in a functional model, which has no place for them as operands.

The reference is the eager call, layer by layer, never a ``tf.function``. Masks that layers attach to their results
unasked (``Masking``, ``mask_zero``) are no values of a graph; a node that makes one is refused.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

# Read once, when the library is loaded.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np

from generators.frontends.base import EvaluationError, LoadedModel, feeds_of
from generators.frontends.bodies import PLAIN, Running
from generators.frontends.keras_source import CALL_ARGUMENTS, WEIGHTS, layer_key, layer_parts, print_function
from generators.frontends.signatures import Optional, described
from generators.frontends.tensorflow import TensorFlowFrontend, keras_kernels
from generators.graph import DTYPES, FLOATING, Argument, Array, Case, DType, Graph, Node, references
from generators.grouping import collected
from generators.operators.registry import Registry

if TYPE_CHECKING:
    from generators.draw import Draw
    from generators.handles import Call, Handle

import keras

#: Layers that are kept built, by class, constructor arguments and types of the operands. Building one takes
#: milliseconds, and judging calls the same one dozens of times.
_KEPT = 256


class KerasFrontend(TensorFlowFrontend):
    """The frontend ``keras``. Eager mode, inference, the TensorFlow backend."""

    name = "keras"
    constants_are_operands = False

    def __init__(self) -> None:
        super().__init__()
        if keras.backend.backend() != "tensorflow":
            raise RuntimeError("keras was imported with another backend: set KERAS_BACKEND=tensorflow")
        # Progress bars and notices would go to standard output, where they would be taken for the subject's.
        keras.config.disable_interactive_logging()
        self._layers: OrderedDict[str, Any] = OrderedDict()

    def registry(self) -> Registry:
        from generators.operators.keras import REGISTRY

        return REGISTRY

    def version(self) -> str:
        return str(keras.__version__)

    def dtype(self, name: str) -> Any:
        """Keras takes element types by their names."""
        if name not in DTYPES:
            raise EvaluationError(f"keras has no element type {name!r}")
        return name

    def resolve(self, target: str) -> Any:
        return _resolve(target)

    def symbol(self, path: str) -> Any:
        return _resolve(path)

    def optional(self, target: str) -> Optional:
        """Constructor arguments whose default is None or of which the docstring says so, and those of the call."""
        return _optional(self.resolve(target))

    def check_arguments(self, graph: Graph) -> None:
        super().check_arguments(graph)
        constants = {constant.name for constant in graph.constants}
        for node in graph.nodes:
            given = dict(node.kwargs)
            dtype = given.get("dtype")
            if isinstance(dtype, DType) and dtype.name not in FLOATING:
                raise EvaluationError(f"{node.target}: layers compute in floating types, {dtype.name} is none")
            weights = set(references(given.pop(WEIGHTS, ())))
            operands = {name for value in (*node.args, *given.values()) for name in references(value)}
            if not weights <= constants:
                raise EvaluationError(f"{node.target}: weights are constants, {sorted(weights - constants)} are not")
            if operands & constants:
                raise EvaluationError(f"{node.target}: constants are weights, {sorted(operands & constants)} operands")
        if constants & set(graph.outputs):
            raise EvaluationError("a constant is no output of a functional model")

    def control_flow(self) -> None:
        """None: functional models are made of layers."""
        return

    def source(self, graph: Graph, name: str = "Model") -> str:
        return print_function(graph, name)

    def load(self, case: Case) -> LoadedModel:
        """Print the graph, execute the source, make the native inputs. ``native`` is a functional ``keras.Model``
        that takes a list and returns one, or its only output."""
        text = self.source(case.graph)
        constants = {constant.name: constant.data for constant in case.graph.constants}
        namespace: dict[str, Any] = {"keras": keras, "np": np, "CONSTANTS": constants}
        # The source is printed from a graph by our own printer; it is the text that reproducers carry.
        exec(compile(text, "<printed graph>", "exec"), namespace)
        arguments = tuple(self.to_native(feed) for feed in feeds_of(case))
        with keras_kernels(), _without_drawing():
            model = namespace["Model"]()
        return LoadedModel(case.graph, text, model, arguments)

    def execute(self, model: LoadedModel) -> list[Array]:
        with keras_kernels():
            # Told, since the layers for images that are in training unless told otherwise pass that on to the others.
            outputs = model.native(list(model.called_with), training=False)
        return [np.array(self.to_array(output), copy=True) for output in collected(model.graph, outputs)]

    @contextlib.contextmanager
    def double_precision(self) -> Iterator[None]:
        """While active, layers that name no dtype compute in float64."""
        before, policy = keras.config.floatx(), keras.config.dtype_policy()
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")  # which does not follow the former once it has been asked for
        try:
            yield
        finally:
            keras.config.set_floatx(before)
            keras.config.set_dtype_policy(policy)

    def native_argument(self, argument: Argument, values: Mapping[str, Any]) -> Any:
        if isinstance(argument, tuple):
            if parts := layer_parts(argument):
                path, pairs = parts
                return self.resolve(path)(**{key: self.native_argument(value, values) for key, value in pairs})
            items = [self.native_argument(item, values) for item in argument]
            # Keras takes lists of tensors and of layers, and tuples of numbers.
            return items if any(self.is_tensor(item) or isinstance(item, keras.Layer) for item in items) else (*items,)
        return super().native_argument(argument, values)

    def call(self, node: Node, values: Mapping[str, Any], running: Running = PLAIN) -> tuple[list[Any], bool]:
        """As :meth:`Frontend.call`; a layer is built when none like it is at hand, and its weights are set."""
        args = [self.native_argument(argument, values) for argument in node.args]
        kwargs = {key: self.native_argument(argument, values) for key, argument in node.kwargs if key in CALL_ARGUMENTS}
        weights = [values[name] for name in references(dict(node.kwargs).get(WEIGHTS, ()))]
        try:
            with keras_kernels():
                layer = self.layer(node, args, kwargs)
                _set(layer, weights)
                result = layer(*args, **kwargs)
        except EvaluationError:
            raise
        except Exception as error:  # frameworks raise every type there is; it becomes one of ours with the cause
            raise EvaluationError(f"{node.target}: {type(error).__name__}: {error}") from error
        several = isinstance(result, (tuple, list))
        outputs = list(result) if several else [result]
        for output in outputs:
            if not self.is_tensor(output):
                raise EvaluationError(f"{node.target} returned {type(output).__name__}, not a tensor")
            if getattr(output, "_keras_mask", None) is not None:
                raise EvaluationError(f"{node.target} attaches a mask to its result, which is no value of the graph")
        return outputs, several

    def layer(self, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The node's layer, built for these native operands; its weights are whatever they were. Raises whatever
        Keras raises."""
        shapes = keras.tree.map_structure(_spec, [list(args), dict(kwargs)])
        key = f"{layer_key(node)} {shapes} {keras.config.dtype_policy().name}"
        layer = self._layers.pop(key, None)
        if layer is None:
            made = {
                name: self.native_argument(value, {})
                for name, value in node.kwargs
                if name not in CALL_ARGUMENTS and name != WEIGHTS
            }
            with _without_drawing():
                layer = self.resolve(node.target)(**made)
                _build(layer, args, kwargs)
        self._layers[key] = layer
        if len(self._layers) > _KEPT:
            self._layers.popitem(last=False)
        return layer

    def weights(self, node: Node, values: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...], str]]:
        """Path, shape and element type of each weight that the node's layer has, given its native operands.
        EvaluationError when it cannot be built."""
        args = [self.native_argument(argument, values) for argument in node.args]
        kwargs = {key: self.native_argument(argument, values) for key, argument in node.kwargs if key in CALL_ARGUMENTS}
        try:
            with keras_kernels():
                layer = self.layer(node, args, kwargs)
            return [(variable.path, tuple(variable.shape), variable.dtype) for variable in layer.weights]
        except EvaluationError:
            raise
        except Exception as error:  # as for calls
            raise EvaluationError(f"{node.target}: {type(error).__name__}: {error}") from error

    def again(self, draw: Draw, nodes: Sequence[Node], handles: Sequence[Handle]) -> Call | None:
        """Another call of a layer with weights that the graph has: a shared layer. None when there is none."""
        from generators.operators.keras.common import another_call

        return another_call(draw, nodes, handles)


def _spec(value: Any) -> Any:
    return f"{value.dtype.name}{tuple(value.shape)}" if hasattr(value, "shape") else repr(value)


def _set(layer: Any, weights: Sequence[Any]) -> None:
    """``layer.set_weights``, without its detour through NumPy."""
    variables = layer.weights
    if len(variables) != len(weights):
        raise EvaluationError(f"{type(layer).__name__} has {len(variables)} weights, {len(weights)} are given")
    for variable, weight in zip(variables, weights, strict=True):
        if tuple(variable.shape) != tuple(weight.shape):
            raise EvaluationError(f"a weight {variable.path} is {variable.shape}, {tuple(weight.shape)} is given")
        if variable.dtype != weight.dtype.name and not (variable.dtype.startswith("float") or "bf" in variable.dtype):
            raise EvaluationError(f"a weight {variable.path} is {variable.dtype}, {weight.dtype.name} is given")
        variable.assign(weight)


def _build(layer: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Make the layer's variables, without computing anything where the layer's ``build`` allows it; the first call
    does it otherwise."""
    if layer.built or not args or keras.src.utils.python_utils.is_default(type(layer).build):
        return
    names = [name for name in inspect.signature(type(layer).build).parameters if name != "self"]
    if len(names) == 1:
        first = args[0]
        shape = [tuple(item.shape) for item in first] if isinstance(first, list) else tuple(first.shape)
        layer.build(shape)
    else:
        layer(*args, **kwargs)


def _zeros(self: Any, shape: Any, dtype: Any = None, *rest: Any, **more: Any) -> Any:
    return np.zeros(shape, "float32" if dtype is None else keras.backend.standardize_dtype(dtype))


@contextlib.contextmanager
def _without_drawing() -> Iterator[None]:
    """While active, initializers that draw random numbers give zeros: the recorded weights replace them at once, and
    drawing takes most of the time in which a layer is made."""
    found = keras.src.initializers.random_initializers
    kinds = [kind for kind in vars(found).values() if inspect.isclass(kind) and "__call__" in vars(kind)]
    kinds = [kind for kind in kinds if issubclass(kind, found.RandomInitializer)]
    before = [kind.__call__ for kind in kinds]
    for kind in kinds:
        kind.__call__ = _zeros  # type: ignore[method-assign]
    try:
        yield
    finally:
        for kind, call in zip(kinds, before, strict=True):
            kind.__call__ = call  # type: ignore[method-assign]


@functools.cache
def _optional(kind: Callable[..., Any]) -> Optional:
    found: set[int | str] = set(CALL_ARGUMENTS)
    for owner in kind.__mro__ if inspect.isclass(kind) else ():
        made = vars(owner).get("__init__")
        for parameter in inspect.signature(made).parameters.values() if made else ():
            if parameter.default is None or "None" in described(kind.__doc__ or "", parameter.name):
                found.add(parameter.name)
    return frozenset(found)


@functools.cache
def _resolve(target: str) -> Any:
    first, _, rest = target.partition(".")
    if first != "keras" or not rest:
        raise EvaluationError(f"keras has no layer {target!r}: targets start with keras.")
    found: Any = keras
    for part in rest.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise EvaluationError(f"keras has no layer {target!r}: no attribute {part!r}") from error
    return found
