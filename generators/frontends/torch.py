"""PyTorch: torch functions, tensor methods and ``torch.ops.aten`` overloads on CPU tensors.

Targets: ``torch.<...>`` (any public function), ``torch.Tensor.<method>`` (printed as ``x.method(...)``),
``operator.getitem`` (printed as ``x[...]``) and Python's other operators on tensors (``operator.add`` as ``x + y``),
``aten.<name>.<overload>`` (``torch.ops.aten...``), ``torch.nn.<Class>`` (a module with its parameters, see
:mod:`generators.frontends.torch_modules`), and the control flow of :mod:`generators.frontends.torch_control`. Methods
that write into their tensor and ``operator.setitem`` (``x[...] = y``) write into a copy of it, which is their result.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from generators.control.registry import ControlFlow
from generators.frontends.base import EvaluationError, Frontend, LoadedModel, feeds_of
from generators.frontends.signatures import Optional, merged, optional_of_function
from generators.frontends.torch_control import MEANINGS, SCAN, WHILE, Plain, leading
from generators.frontends.torch_modules import is_module, module_call, optional_of_module, state_names
from generators.frontends.torch_source import BINARY_SYMBOLS, UNARY_SYMBOLS, print_module, writes
from generators.graph import DTYPES, Argument, Array, Case, Graph, Node, all_constants, all_nodes
from generators.grouping import collected, nested
from generators.operators.registry import Registry

_TORCH_DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, name) for name in DTYPES if isinstance(getattr(torch, name, None), torch.dtype)
}
_NAMES = {dtype: name for name, dtype in _TORCH_DTYPES.items()}
#: NumPy types that torch.from_numpy does not know travel as integers of the same width.
_CARRIERS = {2: (np.int16, torch.int16), 1: (np.uint8, torch.uint8)}


class TorchFrontend(Frontend):
    """The frontend ``torch``. Eager mode, no gradients, one thread."""

    name = "torch"

    def __init__(self) -> None:
        # oneDNN compiles a kernel for every new shape of a convolution, and crashes on some of them in half precision
        # (a kernel of extent 1 with a dilation). The reference is torch's own arithmetic, which is plainer.
        torch.backends.mkldnn.enabled = False
        torch.set_num_threads(1)
        self._registry: Registry | None = None
        #: Registries by the fingerprint of the harvest that is in them.
        self._mixed: dict[str, Registry] = {}

    def registry(self) -> Registry:
        if self._registry is None:
            from generators.operators.torch import REGISTRY

            self._registry = REGISTRY
        return self._registry

    def mix_in(self, harvest: str) -> None:
        from generators.harvest.building import mixed_registry
        from generators.operators.torch import REGISTRY

        if harvest and harvest not in self._mixed:
            self._mixed[harvest] = mixed_registry(REGISTRY, harvest)
        self._registry = self._mixed.get(harvest, REGISTRY)

    def version(self) -> str:
        return str(torch.__version__)

    def to_native(self, array: Array, layout: tuple[int, ...] = ()) -> torch.Tensor:
        # Copied, since operators may write into their arguments.
        array = np.array(array, copy=True, order="C")
        if array.dtype in _SHARED:
            tensor = torch.from_numpy(array)
        else:
            carrier, carried = _CARRIERS[array.dtype.itemsize]
            tensor = torch.from_numpy(array.view(carrier)).view(carried).view(_torch_dtype(array.dtype.name))
        if layout:
            inverse = sorted(range(len(layout)), key=layout.__getitem__)
            tensor = tensor.permute(layout).contiguous().permute(inverse)
        return tensor

    def to_array(self, native: torch.Tensor) -> Array:
        tensor = native.detach() if native.requires_grad else native
        if tensor.is_conj() or tensor.is_neg():
            tensor = tensor.resolve_conj().resolve_neg()
        name = _NAMES.get(tensor.dtype)
        if name is None:
            raise EvaluationError(f"torch returned {tensor.dtype}, which no graph value can hold")
        if tensor.layout is not torch.strided:
            raise EvaluationError(f"torch returned a tensor of layout {tensor.layout}; only strided ones are used")
        if name in _FROM_NUMPY:
            array: Array = tensor.numpy()
            return array
        _, carried = _CARRIERS[tensor.element_size()]
        return np.asarray(tensor.contiguous().view(carried).numpy().view(DTYPES[name]))

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, torch.Tensor)

    def dtype(self, name: str) -> torch.dtype:
        return _torch_dtype(name)

    def resolve(self, target: str) -> Any:
        return _resolve(target)

    def optional(self, target: str) -> Optional:
        return _optional(target)

    def held(self, node: Node) -> tuple[str, ...]:
        return state_names(node)

    def check_arguments(self, graph: Graph) -> None:
        super().check_arguments(graph)
        constants = {constant.name for constant in all_constants(graph)}
        for node in all_nodes(graph):
            for name in state_names(node):
                if name not in constants:
                    raise EvaluationError(f"{node.target}: {name!r} is a parameter of a module, but no constant")
            lengths = _lengths(node.target)
            given: list[tuple[int | str, Argument]] = [*enumerate(node.args), *node.kwargs]
            for place, value in given:
                wanted = lengths.get(place)
                if wanted and isinstance(value, tuple) and len(value) != wanted:
                    raise EvaluationError(
                        f"{node.target}: argument {place!r} has {len(value)} items; documented is a number or {wanted}"
                    )

    def control_flow(self) -> ControlFlow:
        from generators.control.torch import TorchControl

        return TorchControl()

    def arranged(self, node: Node, body: Graph, outputs: Sequence[Any]) -> Any:
        if node.target == SCAN:
            return tuple(outputs[: leading(node)]), tuple(outputs[leading(node) :])
        if node.target == WHILE and body is not next(node.bodies()):
            return tuple(outputs)
        return super().arranged(node, body, outputs)

    def symbol(self, path: str) -> Any:
        return _resolve(path)

    def source(self, graph: Graph, name: str = "Model") -> str:
        return print_module(graph, name)

    def load(self, case: Case) -> LoadedModel:
        text = self.source(case.graph)
        constants = {constant.name: self.to_native(constant.data) for constant in all_constants(case.graph)}
        namespace: dict[str, Any] = {"torch": torch, "operator": operator, "CONSTANTS": constants}
        # The source is printed from a graph by our own printer; it is the text that reproducers carry.
        exec(compile(text, "<printed graph>", "exec"), namespace)
        module = namespace["Model"]().eval()
        arguments = tuple(
            self.to_native(feed, value.layout) for value, feed in zip(case.graph.inputs, feeds_of(case), strict=True)
        )
        return LoadedModel(case.graph, text, module, arguments)

    def execute(self, model: LoadedModel) -> list[Array]:
        # Cloned arguments: an in-place operator must not change what the next run is fed.
        namespace = type(model.native).forward.__globals__
        namespace["torch"] = _PLAIN
        try:
            with torch.no_grad():
                arguments = [argument.clone() for argument in model.arguments]
                outputs = model.native(*nested(model.graph, arguments))
        finally:
            namespace["torch"] = torch
        return [np.array(self.to_array(output), copy=True) for output in collected(model.graph, outputs)]

    @contextmanager
    def double_precision(self) -> Iterator[None]:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


_PLAIN = Plain()

_FROM_NUMPY = frozenset(
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128".split()  # noqa: SIM905
)

_SHARED = frozenset(DTYPES[name] for name in _FROM_NUMPY)


def _torch_dtype(name: str) -> torch.dtype:
    try:
        return _TORCH_DTYPES[name]
    except KeyError as error:
        raise EvaluationError(f"torch has no element type {name!r}") from error


@functools.cache
def _schemas(target: str) -> list[Any]:
    """The schemas of an operator in C++: torch.special.logit is aten::special_logit, torch.nn.functional.conv2d is
    aten::conv2d."""
    first, *rest = target.split(".")
    names = rest[:1] if first == "aten" else [rest[-1], "_".join(rest[-2:])]
    return [schema for name in names for schema in torch._C._jit_get_schemas_for_operator(f"aten::{name}")]


#: Arguments of torch.nn.functional's functions in Python that are a number or one for each spatial dimension.
_SPATIAL = frozenset({"dilation", "kernel_size", "output_padding", "output_size", "padding", "stride"})


def _spatial(target: str) -> dict[int | str, int] | None:
    """As :func:`_lengths`, for functions of torch.nn.functional written in Python, whose names say how many dimensions
    are spatial; None for all others."""
    name = target.removeprefix("torch.nn.functional.")
    count = {"fold": 2, "unfold": 2}.get(name) or (int(name[-2]) if name[-2:] in ("1d", "2d", "3d") else 0)
    if name == target or count < 2:
        return None
    try:
        parameters = list(inspect.signature(_resolve(target)).parameters)
    except (TypeError, ValueError):
        return None
    found = {place: count for index, key in enumerate(parameters) if key in _SPATIAL for place in (index, key)}
    return found or None


@functools.cache
def _lengths(target: str) -> dict[int | str, int]:
    """How many items lists of integers have, by position and keyword, where all schemas of the operator that take a
    list there want the same number (``int[2] padding``). Eager mode also takes one item for all."""
    if (spatial := _spatial(target)) is not None:
        return spatial
    found: dict[int | str, set[int]] = {}
    for schema in _schemas(target) if not target.startswith("operator.") else ():
        for position, argument in enumerate(schema.arguments):
            if str(argument.type) in ("List[int]", "Optional[List[int]]"):
                for place in (position, argument.name):
                    found.setdefault(place, set()).add(argument.N or 0)
    return {place: next(iter(sizes)) for place, sizes in found.items() if len(sizes) == 1 and max(sizes) > 1}


@functools.cache
def _optional(target: str) -> Optional:
    """From the signature of a function in Python, from the operator's schemas for one in C++. A subscript takes None
    anywhere (a new axis)."""
    if target in ("operator.getitem", "operator.setitem"):
        return frozenset((1,))
    if is_module(target):
        return optional_of_module(_attribute(target))
    found = optional_of_function(_resolve(target)) if not target.startswith("aten.") else None
    if found is not None:
        return found
    return merged(
        frozenset(
            place
            for position, argument in enumerate(schema.arguments)
            if str(argument.type).startswith("Optional")
            for place in (position, argument.name)
        )
        for schema in _schemas(target)
    )


@functools.cache
def _resolve(target: str) -> Any:
    if target == "operator.setitem":
        return _set_item
    if target.startswith("operator."):
        if target in BINARY_SYMBOLS or target in UNARY_SYMBOLS or target == "operator.getitem":
            return getattr(operator, target.removeprefix("operator."))
        raise EvaluationError(f"{target} is no operator on tensors")
    if target in MEANINGS:
        return MEANINGS[target]
    found = _attribute(target)
    if writes(target):
        return _on_copy(found)
    return module_call(found) if is_module(target) else found


def _set_item(x: torch.Tensor, index: Any, value: Any) -> torch.Tensor:
    result = x.clone()
    result[index] = value
    return result


def _on_copy(method: Any) -> Any:
    """The method on a copy of its tensor: the graph's values do not change."""

    def function(x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return method(x.clone(), *args, **kwargs)

    return function


def _attribute(target: str) -> Any:
    first, _, rest = target.partition(".")
    found: Any = {"torch": torch, "aten": torch.ops.aten}.get(first)
    if found is None:
        raise EvaluationError(
            f"torch has no operator {target!r}: targets start with torch., aten. or are operator.getitem"
        )
    for part in rest.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise EvaluationError(f"torch has no operator {target!r}: no attribute {part!r}") from error
    return found
