"""What the ONNX operator schemas and ONNX Runtime's list of kernels say of operators and nodes.

Targets are ``onnx.<operator>`` of the domain ``ai.onnx``; a node is written as the newest schema has it that ONNX
Runtime knows (:data:`NEWEST`). :func:`lowest_opset` tells from the older schemas since when the same node means the
same.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Formal:
    """What a schema asks of the arguments of nodes: a copy, since asking a schema itself makes everything anew."""

    since_version: int
    deprecated: bool
    least: int
    most: int
    attributes: frozenset[str]
    required: frozenset[str]
    #: The name of the type and whether it may be left out, of each input; names of types of outputs; types by name.
    inputs: tuple[tuple[str, bool], ...]
    outputs: tuple[str, ...]
    constraints: Mapping[str, frozenset[str]]

    def allows(self, name: str, dtype: str) -> bool:
        """Whether what has this name of a type may have this element type."""
        return _TO_SCHEMA.get(dtype, "") in self.constraints.get(name, (name,))


@functools.cache
def _formals(operator: str) -> tuple[_Formal, ...]:
    """Those of the operator's schemas, the newest first."""
    optional = defs.OpSchema.FormalParameterOption.Optional
    return tuple(
        _Formal(
            version.since_version,
            version.deprecated,
            version.min_input,
            version.max_input,
            frozenset(version.attributes),
            frozenset(name for name, each in version.attributes.items() if each.required),
            tuple((formal.type_str, formal.option is optional) for formal in version.inputs),
            tuple(formal.type_str for formal in version.outputs),
            {each.type_param_str: frozenset(each.allowed_type_strs) for each in version.type_constraints},
        )
        for version in _versions()[operator]
    )


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
def _kernels() -> Mapping[str, list[tuple[int, int, Mapping[str, tuple[str, ...]]]]]:
    """The CPU kernels of ONNX Runtime by operator: first and last version, element types by type parameter."""
    from onnxruntime.capi import _pybind_state

    found: dict[str, list[tuple[int, int, Mapping[str, tuple[str, ...]]]]] = {}
    for kernel in _pybind_state.get_all_opkernel_def():
        if kernel.domain == "" and kernel.provider == "CPUExecutionProvider":
            first, last = kernel.version_range
            constraints = {
                key: tuple(_BY_SCHEMA[text] for text in texts if text in _BY_SCHEMA)
                for key, texts in kernel.type_constraints.items()
            }
            found.setdefault(kernel.op_name, []).append((first, last, constraints))
    return found


#: The last version of a kernel that serves its own version only, as ONNX Runtime says it.
_OPEN = 2**31 - 1


@functools.cache
def _kernels_at(operator: str, opset: int) -> list[Mapping[str, tuple[str, ...]]]:
    """Type constraints of the kernels that ONNX Runtime takes for the operator in that opset: those whose range of
    versions starts with the schema's, and those that start before and say where they end."""
    version = next((each.since_version for each in _versions()[operator] if each.since_version <= opset), 0)
    return [
        constraints
        for first, last, constraints in _kernels().get(operator, ())
        if first == version or (first < version <= last and last != _OPEN)
    ]


#: Element types that the kernels in the definition of an operator by others mostly have.
_COMPOSED = frozenset(("float32", "float64", "float16", "int32", "int64", "bool", "uint8", "int8"))


@functools.cache
def types(operator: str, parameter: str = "T") -> tuple[str, ...]:
    """Element types of the schema for which ONNX Runtime has a kernel on the CPU, in the schema's order: one of the
    newest opset in which it has any.

    float16 counts as having one where float32 has: ONNX Runtime casts to and fro. All of the schema's where it has no
    kernel at all, the rare ones apart: the operator may be defined by others.
    """
    wanted = allowed(operator, parameter)
    for version in _versions()[operator]:
        opset = NEWEST if version is _versions()[operator][0] else version.since_version
        kernels = [kernel[parameter] for kernel in _kernels_at(operator, opset) if parameter in kernel]
        if kernels:
            there = {name for kernel in kernels for name in kernel}
            if "float32" in there:
                there.add("float16")
            return tuple(name for name in wanted if name in there) or wanted
        if version.has_function:
            break
    return tuple(name for name in wanted if name in _COMPOSED) or wanted


#: Opsets since which ONNX Runtime 1.31 neither has a kernel nor takes the definition by other operators: what it is
#: made of has no kernel there.
_WITHOUT: Mapping[str, int] = {"Bernoulli": 22, "Swish": 24}


def has_kernel(operator: str) -> bool:
    """Whether ONNX Runtime, in some opset, has a kernel on the CPU, of any types, or ONNX defines the operator by
    others that have one."""
    if _versions()[operator][-1].since_version >= _WITHOUT.get(operator, NEWEST + 1):
        return False
    newest = schema(operator)
    if operator == "Constant":
        return True  # becomes an initializer
    return operator in _kernels() or bool(newest.has_function or newest.has_context_dependent_function)


@functools.cache
def _runs(operator: str, opset: int, dtypes: tuple[str, ...]) -> bool:
    """Whether ONNX Runtime has a kernel for first inputs of these element types in that opset, or may put it together
    from others."""
    version = next((each for each in _versions()[operator] if each.since_version <= opset), None)
    if version is None or opset >= _WITHOUT.get(operator, NEWEST + 1):
        return False
    if operator == "Constant" or version.has_function or version.has_context_dependent_function:
        return True
    formals = list(version.inputs)
    for constraints in _kernels_at(operator, opset):
        if all(
            dtype in constraints[formal.type_str] or (dtype == "float16" and "float32" in constraints[formal.type_str])
            for formal, dtype in zip(formals, dtypes, strict=False)
            if dtype and formal.type_str in constraints
        ):
            return True
    return False


def runs(node: Node, inputs: Mapping[str, TensorType], opset: int) -> bool:
    """Whether ONNX Runtime has a kernel for the node in that opset, or may put it together from others."""
    dtypes = tuple(inputs[item.name].dtype if isinstance(item, Ref) else "" for item in node.args)
    return _runs(node.target.removeprefix("onnx."), opset, dtypes)


def opsets(node: Node, inputs: Mapping[str, TensorType]) -> tuple[int, int]:
    """The lowest opset of a node (:func:`lowest_opset`) and the highest in which ONNX Runtime has a kernel for it, the
    lowest when it has none."""
    lowest = lowest_opset(node, inputs)
    return lowest, next((opset for opset in range(NEWEST, lowest, -1) if runs(node, inputs, opset)), lowest)


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
    for version in _formals(operator):
        if not _fits(version, node, attributes, inputs):
            break
        lowest = version.since_version
        if lowest <= floor:
            break
    return max(lowest, floor)


def _strings(attributes: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key, value) for key, value in attributes.items() if isinstance(value, str)]


def _fits(version: _Formal, node: Node, attributes: Mapping[str, Any], inputs: Mapping[str, TensorType]) -> bool:
    if version.deprecated or not version.least <= len(node.args) <= version.most:
        return False
    if not version.required <= attributes.keys() <= version.attributes:
        return False
    last = len(version.inputs) - 1
    for position, argument in enumerate(node.args):
        name, optional = version.inputs[min(position, last)]
        if not isinstance(argument, Ref):
            if not optional:
                return False
        elif not version.allows(name, inputs[argument.name].dtype):
            return False
    return all(_type_exists(version, value) for value in attributes.values())


def _type_exists(version: _Formal, value: Any) -> bool:
    """Whether an element type that an attribute names is one that some output of this version may have."""
    if isinstance(value, tuple) and value and isinstance(value[0], DType):
        value = value[0]
    if not isinstance(value, DType):
        return True
    return any(version.allows(name, value.name) for name in version.outputs)
