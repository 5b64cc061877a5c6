"""What the ONNX operator schemas and ONNX Runtime's list of kernels say of operators and nodes.

Targets are ``onnx.<operator>`` of the domain ``ai.onnx``; a node is written as the newest schema that ONNX Runtime
knows (:data:`NEWEST`) has it. :func:`lowest_opset` tells from the older schemas since when the same node means the same.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx import TensorProto, defs

from generators.graph import DTYPES, DType, Node, Ref, TensorType, dtype_name

#: The newest opset that is used: what ONNX Runtime 1.31 loads. Operators of later ones have no runtime yet.
NEWEST = 26
#: The oldest opset that models are built for.
OLDEST = 13
#: Opsets since which an operator, written the same, means something else (operators.md and changelog.md of ONNX).
_CHANGED: Mapping[str, int] = {
    "Attention": 24,
    "DFT": 20,
    "GridSample": 20,
    "GroupNormalization": 21,
    "RoiAlign": 16,
    # Since then it is the last axis of a window that may start in the padding, ceil_mode or not.
    "LpPool": 18,
}
#: Opsets since which a string is among the values of an attribute.
_VALUES: Mapping[tuple[str, str, str], int] = {
    ("Pad", "mode", "wrap"): 19,
    ("Resize", "coordinate_transformation_mode", "half_pixel_symmetric"): 19,
    ("ScatterElements", "reduction", "max"): 18,
    ("ScatterElements", "reduction", "min"): 18,
    ("ScatterND", "reduction", "max"): 18,
    ("ScatterND", "reduction", "min"): 18,
}
#: With ceil_mode, the count of windows changed: a last one that starts in the padding is ignored since 22.
_POOLS = frozenset(("AveragePool", "LpPool", "MaxPool"))

#: Element types by the name that schemas give them.
_BY_SCHEMA: Mapping[str, str] = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float8e4m3fn)": "float8_e4m3fn",
    "tensor(float8e5m2)": "float8_e5m2",
    **{
        f"tensor({name})": name
        for name in "float16 bfloat16 bool int8 int16 int32 int64 uint8 uint16 uint32 uint64".split()  # noqa: SIM905
    },
}
_TO_SCHEMA = {name: text for text, name in _BY_SCHEMA.items()}


def element_type(name: str) -> int:
    """The number of an element type in ``TensorProto.DataType``. KeyError for one that ONNX does not have."""
    return int(onnx.helper.np_dtype_to_tensor_dtype(DTYPES[name]))


def element_text(name: str) -> str:
    """Its name as source text: ``onnx.TensorProto.FLOAT``."""
    return f"onnx.TensorProto.{TensorProto.DataType.Name(element_type(name))}"


def dtype_of(number: int) -> str:
    """The name in :data:`~generators.graph.DTYPES` of an element type."""
    return dtype_name(onnx.helper.tensor_dtype_to_np_dtype(number))


@functools.cache
def _versions() -> Mapping[str, list[Any]]:
    """Schemas of each operator up to NEWEST, the newest first."""
    found: dict[str, list[Any]] = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "" and schema.since_version <= NEWEST:
            found.setdefault(schema.name, []).append(schema)
    for schemas in found.values():
        schemas.sort(key=lambda schema: -schema.since_version)
    return found


def schema(operator: str) -> Any:
    """The newest schema up to NEWEST. KeyError for an operator that has none."""
    return _versions()[operator][0]


def operators() -> tuple[str, ...]:
    """Every operator that the installed onnx has, later ones than NEWEST included, sorted."""
    return tuple(sorted({schema.name for schema in defs.get_all_schemas() if schema.domain == ""}))


@functools.cache
def allowed(operator: str, parameter: str) -> tuple[str, ...]:
    """Element types that the schema allows for a type parameter (``T``) or for an input with a type of its own, as far
    as graph values can have them."""
    for constraint in schema(operator).type_constraints:
        if constraint.type_param_str == parameter:
            return tuple(_BY_SCHEMA[text] for text in constraint.allowed_type_strs if text in _BY_SCHEMA)
    raise KeyError(f"{operator} has no type parameter {parameter}")


@functools.cache
def _kernels() -> Mapping[str, list[Mapping[str, Sequence[str]]]]:
    """Type constraints of the CPU kernels of ONNX Runtime that serve NEWEST, by operator."""
    from onnxruntime.capi import _pybind_state

    found: dict[str, list[Mapping[str, Sequence[str]]]] = {}
    for kernel in _pybind_state.get_all_opkernel_def():
        first, last = kernel.version_range
        if kernel.domain == "" and kernel.provider == "CPUExecutionProvider" and first <= NEWEST <= last:
            found.setdefault(kernel.op_name, []).append(kernel.type_constraints)
    return found


@functools.cache
def types(operator: str, parameter: str = "T") -> tuple[str, ...]:
    """Element types of the schema for which ONNX Runtime has a kernel on the CPU, in the schema's order.

    float16 counts as having one where float32 has: ONNX Runtime casts to and fro. All of the schema's where it has no
    kernel at all, be it that the operator is defined as a function of others or that nothing computes it.
    """
    wanted = allowed(operator, parameter)
    kernels = [kernel[parameter] for kernel in _kernels().get(operator, ()) if parameter in kernel]
    if not kernels:
        return wanted
    there = {_BY_SCHEMA[text] for kernel in kernels for text in kernel if text in _BY_SCHEMA}
    if "float32" in there:
        there.add("float16")
    return tuple(name for name in wanted if name in there) or wanted


def has_kernel(operator: str) -> bool:
    """Whether ONNX Runtime has a kernel on the CPU, of any types, or ONNX defines the operator by others."""
    newest = schema(operator)
    return operator in _kernels() or bool(newest.has_function or newest.has_context_dependent_function)


def lowest_opset(node: Node, inputs: Mapping[str, TensorType]) -> int:
    """The lowest opset from OLDEST on in which the node is valid and means what it means in NEWEST.

    ``inputs`` are the types of the values that it refers to.
    """
    operator = node.target.removeprefix("onnx.")
    attributes = {key: value for key, value in node.kwargs if key != "outputs"}
    floor = max(OLDEST, _CHANGED.get(operator, 0))
    floor = max([floor, *(_VALUES.get((operator, key, value), 0) for key, value in _strings(attributes))])
    if operator in _POOLS and attributes.get("ceil_mode"):
        floor = max(floor, 22)
    lowest = NEWEST
    for version in _versions()[operator]:
        if not _fits(version, node, attributes, inputs):
            break
        lowest = version.since_version
        if lowest <= floor:
            break
    return max(lowest, floor)


def _strings(attributes: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key, value) for key, value in attributes.items() if isinstance(value, str)]


def _fits(version: Any, node: Node, attributes: Mapping[str, Any], inputs: Mapping[str, TensorType]) -> bool:
    if version.deprecated or not version.min_input <= len(node.args) <= version.max_input:
        return False
    if not attributes.keys() <= version.attributes.keys():
        return False
    if any(each.required and name not in attributes for name, each in version.attributes.items()):
        return False
    constraints = {each.type_param_str: each.allowed_type_strs for each in version.type_constraints}
    formals = list(version.inputs)
    for position, argument in enumerate(node.args):
        formal = formals[min(position, len(formals) - 1)]
        if not isinstance(argument, Ref):
            if formal.option is not defs.OpSchema.FormalParameterOption.Optional:
                return False
            continue
        text = _TO_SCHEMA.get(inputs[argument.name].dtype, "")
        if text not in constraints.get(formal.type_str, (formal.type_str,)):
            return False
    return all(_type_exists(version, constraints, value) for value in attributes.values())


def _type_exists(version: Any, constraints: Mapping[str, Sequence[str]], value: Any) -> bool:
    """Whether an element type that an attribute names is one that some output of this version may have."""
    if isinstance(value, tuple) and value and isinstance(value[0], DType):
        value = value[0]
    if not isinstance(value, DType):
        return True
    return any(
        _TO_SCHEMA.get(value.name, "") in constraints.get(formal.type_str, (formal.type_str,))
        for formal in version.outputs
    )
