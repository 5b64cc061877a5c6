"""TensorFlow: public functions of the ``tf`` namespace on CPU tensors, executed eagerly.

Targets: ``tf.<...>`` (any public function; ``tf.raw_ops.*`` take keyword arguments only) and ``operator.getitem``
(printed as ``x[...]``). ``tf.cond``, ``tf.while_loop`` and ``tf.map_fn`` take bodies. Eager execution is the
reference: ``tf.function`` runs Grappler, which is a subject itself.
TensorFlow has no default element type that could be switched to float64, so samplers of operators that make tensors
always name one; Python numbers take the element type of the other operand.

By default TensorFlow wraps an eager operator into a function of one node and sends it through its graph passes, 300 µs
and more for every new combination of attributes and dtypes. The kernel alone takes 10 µs to make and computes the
same; operators of the registry are executed so, but for those in :data:`AS_FUNCTIONS`
(docs/decisions/008-tensorflow-kernels-without-functions.md).
"""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

# Read once, when the library is loaded: without it every import prints a dozen lines about the machine.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from tensorflow.python import pywrap_tfe

from generators.control.registry import ControlFlow
from generators.frontends.base import EvaluationError, Frontend, LoadedModel, feeds_of
from generators.frontends.bodies import PLAIN, Running, flattened
from generators.frontends.tensorflow_control import COND, ROLES, WHILE
from generators.frontends.tensorflow_source import dtype_text, print_module
from generators.graph import DTYPES, Array, Case, Graph, Node, all_constants, all_nodes, dtype_name
from generators.grouping import collected
from generators.operators.registry import Registry

#: Operators that have another kernel outside of a function than inside one: oneDNN's is used in functions only.
#: The other softmax rounds differently, the other max-pooling makes -65504 of -inf in float16 and is wrong in three
#: dimensions for some strides larger than the window.
AS_FUNCTIONS = frozenset(
    ("tf.nn.softmax", "tf.nn.max_pool1d", "tf.nn.max_pool2d", "tf.nn.max_pool3d", "tf.nn.max_pool", "tf.nn.pool")
)


#: Documented ranks of first operands that eager mode does not insist on.
_RANKS = {"tf.nn.conv1d_transpose": 3, "tf.nn.conv2d_transpose": 4, "tf.nn.conv3d_transpose": 5}


class TensorFlowFrontend(Frontend):
    """The frontend ``tensorflow``. Eager mode, no gradients, one thread unless the process has started TensorFlow's
    thread pools before."""

    name = "tensorflow"

    def __init__(self) -> None:
        _use_one_thread()

    def registry(self) -> Registry:
        from generators.operators.tensorflow import REGISTRY

        return REGISTRY

    def version(self) -> str:
        return str(tf.__version__)

    def to_native(self, array: Array, layout: tuple[int, ...] = ()) -> Any:
        """A dense row-major tensor: TensorFlow has no strides, so ``layout`` has no effect."""
        # tf.constant may alias an aligned NumPy buffer, hence the copy.
        return tf.constant(np.array(array, copy=True, order="C"))

    def to_array(self, native: Any) -> Array:
        array = np.asarray(native.numpy())
        dtype_name(array.dtype)
        return array

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, tf.Tensor)

    def dtype(self, name: str) -> Any:
        return _tf_dtype(name)

    def resolve(self, target: str) -> Any:
        return _resolve(target)

    def check_arguments(self, graph: Graph) -> None:
        super().check_arguments(graph)
        types = graph.types()
        for node in all_nodes(graph):
            if node.target == "tf.quantization.fake_quant_with_min_max_args" and _symmetric(node):
                raise EvaluationError(f"{node.target}: the zero point of a symmetric range is a tie")
            wanted = _RANKS.get(node.target)
            first = next(node.references(), None)
            if wanted is not None and first in types and types[first].rank != wanted:
                raise EvaluationError(f"{node.target}: an operand of rank {types[first].rank}; documented is {wanted}")

    def control_flow(self) -> ControlFlow | None:
        from generators.control.tensorflow import TensorFlowControl

        return TensorFlowControl()

    def arranged(self, node: Node, body: Graph, outputs: Sequence[Any]) -> Any:
        if node.target == WHILE and body is not next(node.bodies()):
            return tuple(outputs)
        return super().arranged(node, body, outputs)

    def symbol(self, path: str) -> Any:
        return _resolve(path)

    def source(self, graph: Graph, name: str = "Model") -> str:
        return print_module(graph, name)

    def load(self, case: Case) -> LoadedModel:
        """Print the graph, execute the source, make the native inputs.

        ``native`` is the ``tf.Module``. A converter traces it with the types in ``LoadedModel.graph``:
        ``tf.function(model.native.__call__, input_signature=[tf.TensorSpec(...), ...], autograph=False)``; there is
        no control flow to convert, and AutoGraph warns about source that is in no file.
        """
        text = self.source(case.graph)
        constants = {constant.name: self.to_native(constant.data) for constant in all_constants(case.graph)}
        namespace: dict[str, Any] = {"tf": tf, "CONSTANTS": constants}
        # The source is printed from a graph by our own printer; it is the text that reproducers carry.
        exec(compile(text, "<printed graph>", "exec"), namespace)
        arguments = tuple(self.to_native(feed) for feed in feeds_of(case))
        with _without_functions():  # a variable's operators have its shape among their attributes
            model = namespace["Model"]()
        return LoadedModel(case.graph, text, model, arguments)

    def call(self, node: Node, values: Mapping[str, Any], running: Running = PLAIN) -> tuple[list[Any], bool]:
        _forget_numbers()
        if node.target in ROLES:
            return self._controlled(node, values, running)
        if node.target in AS_FUNCTIONS or node.target not in self.registry():
            return super().call(node, values, running)
        with _without_functions():
            return super().call(node, values, running)

    def _controlled(self, node: Node, values: Mapping[str, Any], running: Running) -> tuple[list[Any], bool]:
        """Eager TensorFlow runs the branch that is taken, and the body of a loop as often as it makes a step."""
        # Functions are called as they are: AutoGraph would look for the source of those that come from no file.
        outputs, several = tf.autograph.experimental.do_not_convert(super().call)(node, values, running)
        if running.inner is None:
            return outputs, several
        # As a graph, it is held to what eager mode lets pass.
        bodies = [self._argument(body, node, values, running) for body in node.bodies()]
        if node.target == COND:
            taken = 0 if _condition(self.native_argument(node.args[0], values)) else 1
            if _kinds(_called(bodies[1 - taken])) != _kinds(outputs):
                raise EvaluationError(f"{node.target}: the branches return different types")
        elif node.target == WHILE:
            carried = self.native_argument(node.args[2], values)
            results = outputs if _condition(_called(bodies[0], *carried)) else _called(bodies[1], *carried)
            if _kinds(results) != _kinds(carried):
                raise EvaluationError(f"{node.target}: a carried value changes its type")
        return outputs, several

    def execute(self, model: LoadedModel) -> list[Array]:
        _forget_numbers()
        registry = self.registry()
        called = tf.autograph.experimental.do_not_convert(model.native.__call__)
        if all(target in registry or target in ROLES for target in model.graph.operators()):
            # The same kernels as in ``call``: while it runs, the source sees operators that switch functions on.
            namespace = type(model.native).__call__.__globals__
            namespace["tf"] = _tensorflow_with_switches()
            try:
                with _without_functions():
                    outputs = called(*model.called_with)
            finally:
                namespace["tf"] = tf
        else:
            outputs = called(*model.called_with)
        return [np.array(self.to_array(output), copy=True) for output in collected(model.graph, outputs)]


def _forget_numbers() -> None:
    """Drop the tensors that eager TensorFlow has made of Python numbers. It looks them up by the number, to which 0.0
    and -0.0 are the same: without that the sign of a zero is that of the first one which the process has ever used, be
    it in another graph."""
    pywrap_tfe.TFE_ClearScalarCache()


def _kinds(tensors: Any) -> list[Any]:
    return [(tensor.dtype, tuple(tensor.shape)) for tensor in flattened(tensors)]


def _condition(value: Any) -> bool:
    if value.dtype != tf.bool or value.shape.rank:
        raise EvaluationError(f"a condition is one truth value, not {value.dtype.name} of shape {value.shape}")
    return bool(value)


def _called(body: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return body(*arguments)
    except ValueError as error:
        raise EvaluationError(str(error)) from error


@contextmanager
def _without_functions() -> Iterator[None]:
    """While active, eager operators are executed as kernels, not as functions of one node. Has no effect in releases
    of TensorFlow without that switch, which is not public: they are slower, their results the same."""
    switch = _function_switch()
    if switch is None:
        yield
        return
    switch(False)
    try:
        yield
    finally:
        switch(True)


@contextmanager
def keras_kernels() -> Iterator[None]:
    """As for the operators of the registry, while Keras calls them: kernels alone, but for AS_FUNCTIONS. What Keras
    itself makes a ``tf.function`` of (grouped convolutions are compiled by XLA, anew for each shape) is run eagerly."""
    from keras.src.backend.tensorflow import nn

    before, eagerly = nn.tf, tf.config.functions_run_eagerly()
    nn.tf = _tensorflow_with_switches()
    tf.config.run_functions_eagerly(True)
    try:
        with _without_functions():
            yield
    finally:
        nn.tf = before
        tf.config.run_functions_eagerly(eagerly)


class _Substitute:
    """A module with some of its attributes replaced."""

    def __init__(self, module: Any, replaced: Mapping[str, Any]) -> None:
        self._module = module
        vars(self).update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


@functools.cache
def _tensorflow_with_switches() -> Any:
    """The ``tf`` namespace in which the operators of AS_FUNCTIONS, all of them in ``tf.nn``, are executed as
    functions."""
    names = [target.removeprefix("tf.nn.") for target in AS_FUNCTIONS]
    return _Substitute(tf, {"nn": _Substitute(tf.nn, {name: _as_function(getattr(tf.nn, name)) for name in names})})


def _as_function(operator: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(operator)
    def switched(*args: Any, **kwargs: Any) -> Any:
        switch = _function_switch()
        if switch is None:
            return operator(*args, **kwargs)
        switch(True)
        try:
            return operator(*args, **kwargs)
        finally:
            switch(False)

    return switched


@functools.cache
def _function_switch() -> Callable[[bool], None] | None:
    try:
        from tensorflow.python import pywrap_tfe
        from tensorflow.python.eager import context

        if not context.run_eager_op_as_function_enabled():
            return None
        set_functions = pywrap_tfe.TFE_ContextSetRunEagerOpAsFunction
    except (ImportError, AttributeError):
        return None
    context.ensure_initialized()
    handle = context.context()._handle
    return lambda wanted: set_functions(handle, wanted)


def _symmetric(node: Node) -> bool:
    """Whether the range, by default -6 to 6, is as long on both sides of zero: then the zero point lies half way
    between two steps, and float32 and double round it differently."""
    given = dict(zip(("inputs", "min", "max"), node.args, strict=False)) | dict(node.kwargs)
    low, high = given.get("min", -6), given.get("max", 6)
    return isinstance(low, (int, float)) and isinstance(high, (int, float)) and low == -high


@functools.cache
def _use_one_thread() -> None:
    """Graphs are small, and the threads of several workers would fight over the cores. TensorFlow refuses the
    setting once it has executed something; then the process keeps what its owner has chosen."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return


@functools.cache
def _tf_dtype(name: str) -> Any:
    if name in DTYPES:
        try:
            return _resolve(dtype_text(name))
        except EvaluationError:
            pass
    raise EvaluationError(f"tensorflow has no element type {name!r}")


@functools.cache
def _resolve(target: str) -> Any:
    if target == "operator.getitem":
        return operator.getitem
    first, _, rest = target.partition(".")
    if first != "tf" or not rest:
        raise EvaluationError(f"tensorflow has no operator {target!r}: targets start with tf. or are operator.getitem")
    found: Any = tf
    for part in rest.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise EvaluationError(f"tensorflow has no operator {target!r}: no attribute {part!r}") from error
    return found
