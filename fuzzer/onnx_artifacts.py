"""What the ONNX converters and runtimes share: names, declared types, validation."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from fuzzer.formats import Artifact, Extents, Format, InvalidModel
from fuzzer.onnx_rules import graphs_of, worded_rules
from generators.graph import DTYPES, Graph, GraphError, TensorType, dtype_name
from generators.grouping import in_order, output_order, returns_grouped
from generators.sizes import is_dynamic

#: The element type that holds one part of a complex number.
PARTS = {"complex64": "float32", "complex128": "float64"}


def input_names(graph: Graph) -> tuple[str, ...]:
    """A name for each graph input, by position. Value names may be any string, and serve no purpose in an artifact."""
    prefix = _unused_prefix(graph, "input_")
    return tuple(f"{prefix}{index}" for index in range(len(graph.inputs)))


def output_names(graph: Graph) -> tuple[str, ...]:
    """A name for each graph output, by position."""
    prefix = _unused_prefix(graph, "output_")
    return tuple(f"{prefix}{index}" for index in range(len(graph.outputs)))


def _unused_prefix(graph: Graph, prefix: str) -> str:
    """The prefix, lengthened until no constant has it: exporters keep the names of constants, and torch.onnx renames
    an input to a name that is taken without a word, which makes the model a wrong one."""
    while any(constant.name.startswith(prefix) for constant in graph.constants):
        prefix += "_"
    return prefix


def declared_type(value: onnx.ValueInfoProto) -> tuple[str, tuple[int | None, ...] | None]:
    """Element type name and shape that a model declares for an input or output.

    None stands for an unknown extent, and for the whole shape when even the rank is unknown. InvalidModel when the
    value is no tensor or its element type is none that a tensor can have.
    """
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise InvalidModel(f"{value.name!r} is declared as {kind or 'nothing at all'}, not as a tensor")
    tensor = value.type.tensor_type
    try:
        dtype = dtype_name(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    except (KeyError, GraphError) as error:
        raise InvalidModel(f"{value.name!r} is declared with element type {tensor.elem_type}") from error
    if not tensor.HasField("shape"):
        return dtype, None
    return dtype, tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)


def as_pairs(kind: TensorType) -> TensorType:
    """A complex type as torch.onnx writes it: reals with a last dimension of 2. Other types as they are."""
    part = PARTS.get(kind.dtype)
    return TensorType(part, (*kind.shape, 2)) if part else kind


def contradiction(declared: tuple[str, Sequence[int | None] | None], wanted: TensorType) -> str:
    """What a declared type and that of the graph disagree in; empty when they are compatible."""
    dtype, shape = declared
    extents = "*" if shape is None else ",".join("?" if extent is None else str(extent) for extent in shape)
    if dtype != wanted.dtype:
        return f"declared {dtype}, the graph has {wanted.dtype}"
    # Which element type it is has nothing to do with a wrong shape.
    text = f"declared with shape [{extents}], the graph has [{','.join(map(str, wanted.shape))}]"
    if shape is None:
        return ""
    if len(shape) != len(wanted.shape):
        return text
    same = all(extent in (None, actual) for extent, actual in zip(shape, wanted.shape, strict=True))
    return "" if same else text


def positional_artifact(model: onnx.ModelProto, graph: Graph, *, files: Mapping[str, bytes] | None = None) -> Artifact:
    """The artifact of a converter that keeps all inputs and outputs in order, whatever it calls them: that in which
    the arguments and results hold them."""
    found: list[str | None] = [*_required(model)]
    count = len(graph.inputs)
    # It keeps the order in which the arguments hold them.
    held = dict(zip(in_order(graph, range(count)), (found + [None] * count)[:count], strict=True))
    outputs = [value.name for value in model.graph.output]
    return _artifact(model, graph, [held[index] for index in range(count)], by_output(graph, outputs), files)


def named_artifact(
    model: onnx.ModelProto,
    graph: Graph,
    inputs: Sequence[str],
    outputs: Sequence[str] | None = None,
    *,
    files: Mapping[str, bytes] | None = None,
) -> Artifact:
    """The artifact of a converter that keeps the names of inputs and outputs, but drops inputs that are not used.

    ``inputs`` and ``outputs`` are the names asked for, in the order of the graph's. Without ``outputs`` they are in
    the model in the order in which the results hold them.
    """
    required = _required(model)
    found = [value.name for value in model.graph.output]
    if outputs is None:
        found = by_output(graph, found)
    else:
        found = [*(name for name in outputs if name in found), *(name for name in found if name not in outputs)]
    return _artifact(model, graph, [name if name in required else None for name in inputs], found, files)


def by_output(graph: Graph, names: Sequence[str], *, by_key: bool = False) -> list[str]:
    """The names of a converted model's outputs in the order of the graph's. They are given in that in which the results
    hold the outputs, dictionaries in that of their keys, or sorted by these. As they are when there are too many or too
    few."""
    if len(names) != len(graph.outputs) or not returns_grouped(graph):
        return list(names)
    held = dict(zip(output_order(graph, by_key=by_key), names, strict=True))
    return [held[index] for index in range(len(names))]


def _required(model: onnx.ModelProto) -> list[str]:
    """Names of the inputs that have no default."""
    initializers = {value.name for value in model.graph.initializer}
    return [value.name for value in model.graph.input if value.name not in initializers]


def _artifact(
    model: onnx.ModelProto,
    graph: Graph,
    inputs: Sequence[str | None],
    outputs: Sequence[str],
    files: Mapping[str, bytes] | None,
) -> Artifact:
    # Outputs that are too few or too many are for validation to complain about.
    types = graph.types()
    declared = {value.name: value.type.tensor_type.elem_type for value in model.graph.output}
    pairs = []
    for index, (value, name) in enumerate(zip(graph.outputs, outputs, strict=False)):
        part = PARTS.get(types[value].dtype)
        if part and declared[name] == onnx.helper.np_dtype_to_tensor_dtype(DTYPES[part]):
            pairs.append(index)
    extents = _extents(model, inputs) if is_dynamic(graph) else ()
    return Artifact(
        Format.ONNX, model.SerializeToString(), tuple(inputs), tuple(outputs), tuple(pairs), files or {}, extents
    )


def _extents(model: onnx.ModelProto, inputs: Sequence[str | None]) -> tuple[Extents, ...]:
    """What the model declares of the dimensions of these inputs."""
    found: dict[str, Extents] = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        if tensor.HasField("shape"):
            found[value.name] = tuple(
                dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in tensor.shape.dim
            )
    return tuple(found.get(name) if name is not None else None for name in inputs)


def validate_onnx(artifact: Artifact, graph: Graph) -> None:
    """Run ``onnx.checker`` with type and shape inference, then hold number and declared types of inputs and outputs
    against those of the graph. InvalidModel with the first complaint."""
    model = onnx.ModelProto.FromString(artifact.data)
    for place in external_files(model):
        if place not in artifact.files:
            raise InvalidModel(f"external data is at {place!r}, where the converter has written nothing")
    strange = sorted(set(_required(model)) - set(artifact.inputs))
    if strange:
        raise InvalidModel(f"the model asks for {len(strange)} input(s) that the graph does not have")
    with artifact.in_directory() if artifact.files else nullcontext(artifact.data) as file:
        complaints = _checked(file, model) or worded_rules(complete(artifact))
    if complaints:
        raise InvalidModel(*complaints)
    if len(artifact.outputs) != len(graph.outputs):
        raise InvalidModel(f"the model has {len(artifact.outputs)} outputs, the graph has {len(graph.outputs)}")
    types = graph.types()
    by_name = {value.name: value for value in model.graph.input}
    for index, (name, value) in enumerate(zip(artifact.inputs, graph.inputs, strict=True)):
        if name is not None:
            _hold(f"input {index}", by_name[name], value.type, pairs=_holds_parts(by_name[name], value.type))
    by_name = {value.name: value for value in model.graph.output}
    for index, (name, value_name) in enumerate(zip(artifact.outputs, graph.outputs, strict=True)):
        _hold(f"output {index}", by_name[name], types[value_name], pairs=index in artifact.complex_outputs)


def _hold(place: str, value: onnx.ValueInfoProto, wanted: TensorType, *, pairs: bool) -> None:
    complaint = contradiction(declared_type(value), as_pairs(wanted) if pairs else wanted)
    if complaint:
        raise InvalidModel(f"{place}: {complaint}")


def _holds_parts(value: onnx.ValueInfoProto, wanted: TensorType) -> bool:
    part = PARTS.get(wanted.dtype)
    return bool(part) and declared_type(value)[0] == part


@contextmanager
def saving() -> Iterator[tuple[Path, dict[str, bytes]]]:
    """A path to save a model to, in a directory of its own, and what the files there are by name, once outside."""
    files: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory(prefix="convfuzz-") as name:
        directory = Path(name)
        yield directory / "model.onnx", files
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                files[path.relative_to(directory).as_posix()] = path.read_bytes()


def external_files(model: onnx.ModelProto) -> list[str]:
    """The paths of the files that hold data of the model's tensors, each once, in order."""
    tensors = onnx.external_data_helper._get_all_tensors(model)
    places = (
        entry.value
        for tensor in tensors
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    )
    return list(dict.fromkeys(places))


def complete(artifact: Artifact) -> onnx.ModelProto:
    """The model with all its data in it."""
    if not artifact.files:
        return onnx.ModelProto.FromString(artifact.data)
    with artifact.in_directory() as path:
        return onnx.load(path)


#: What ``onnx.checker`` and inference raise about a model that is not valid.
_REFUSALS = (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError)
#: An input that no model has, of as many elements as nobody knows.
_UNKNOWN = "convfuzz.unknown"


def _checked(data: bytes | Path, model: onnx.ModelProto) -> list[str]:
    """What ``onnx.checker`` complains of, type and shape inference included, but for windows that it miscounts."""
    try:
        onnx.checker.check_model(data, full_check=True)
    except _REFUSALS as error:
        words = str(error)
    else:
        return []
    found = _complaints(words, model)
    if pools := _miscounted(model):
        try:
            onnx.checker.check_model(data)
        except _REFUSALS as error:
            found = _complaints(str(error), model)
        else:
            found = [text for text in found if _of_one(text, pools) and _COUNTED not in text]
            found += [text for text in _without_windows(model) if text not in found]
    return [f"onnx.checker: {text}" for text in found]


def _miscounted(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes about which inference cannot be trusted: with ceil_mode it counts a last window that starts in the
    padding, which operators before opset 22 do not have (onnx issues 5711 and 5741)."""
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    return [node for graph in graphs_of(model.graph) for node in graph.node if opset < 22 and _is_ceiled(node)]


def _is_ceiled(node: onnx.NodeProto) -> bool:
    return node.op_type in ("AveragePool", "MaxPool", "LpPool") and any(
        attribute.name == "ceil_mode" and attribute.i for attribute in node.attribute
    )


#: The complaint about a number of windows.
_COUNTED = "shape differ in dimension"


def _of_one(complaint: str, nodes: Iterable[onnx.NodeProto]) -> bool:
    return any(f"(op_type:{node.op_type}, node name: {node.name})" in complaint for node in nodes)


def _without_windows(model: onnx.ModelProto) -> list[str]:
    """What inference complains of beside the windows that it miscounts and what follows from their number: the model
    with a Reshape to an unknown shape in place of each such pool, and without what it says of shapes between."""
    opaque = onnx.ModelProto()
    opaque.CopyFrom(model)
    opaque.graph.input.append(onnx.helper.make_tensor_value_info(_UNKNOWN, TensorProto.INT64, [None]))
    for graph in graphs_of(opaque.graph):
        del graph.value_info[:]
        for index in reversed(range(len(graph.node))):
            node = graph.node[index]
            if _is_ceiled(node):
                values, *indices = node.output
                node.CopyFrom(onnx.helper.make_node("Reshape", [node.input[0], _UNKNOWN], [values], node.name))
                for name in filter(None, indices):
                    graph.node.insert(index + 1, onnx.helper.make_node("Cast", [values], [name], to=TensorProto.INT64))
    try:
        onnx.shape_inference.infer_shapes(opaque, check_type=True, strict_mode=True)
    except _REFUSALS as error:
        return _complaints(str(error), model)
    return []


_INFERENCE = "Inference error(s): "
#: The complaint of control flow about a node of one of its bodies.
_AROUND = re.compile(r"\(op_type:(?:If|Loop|Scan|SequenceMap)\b[^)]*\): \[\w+\](?: Inference error\(s\):)?")
#: That of an operator which is a function about a node of its body.
_ABOVE = re.compile(r"\(op_type:[^)]*\): \[\w+\](?: Inference error\(s\):)?")
_OPERATOR = re.compile(r"\(op_type:(\w+)")
_LOST = "expected to have type but instead is null"


def _complaints(text: str, model: onnx.ModelProto) -> list[str]:
    """The checker's message about a model, in one line and without the dump of the node that follows it. Type and shape
    inference puts the errors of all nodes into one message: each becomes one of its own, like ones once."""
    operators = {node.op_type for graph in graphs_of(model.graph) for node in graph.node}
    line = " ".join(line.strip() for line in text.splitlines() if line.strip())
    head, found, tail = line.partition(_INFERENCE)
    if not found:
        return [line[:600]]
    errors = [error.strip() for error in re.split(r"(?=\(op_type:)", tail) if error.strip()]
    # What is wrong is wrong in a body: its own complaint follows, as it would without the control flow around it.
    errors = [error for error in errors if not _AROUND.fullmatch(error)] or errors
    # The body of a function is nobody's own: what is wrong there is one complaint, and of the operator.
    for place in reversed(range(len(errors) - 1)):
        if _ABOVE.fullmatch(errors[place]):
            stop = place + 2
            while stop < len(errors) and (name := _OPERATOR.match(errors[stop])) and name[1] not in operators:
                stop += 1
            errors[place:stop] = [" ".join(errors[place:stop])]
    # A type that got lost is complained of by every node behind: then only what else was said counts, if anything was.
    errors = [error for error in errors if _LOST not in error] or [f"a value's type {_LOST}"]
    distinct = {re.sub(r"node name: [^)]*", "", error): error for error in reversed(errors)}
    return [f"{head}{_INFERENCE}{error}"[:600] for error in reversed(distinct.values())]


def node_types(model: onnx.ModelProto, name: str) -> tuple[str, ...]:
    """Element types of the inputs of the node of that name, as far as type inference knows them."""
    nodes = [node for node in model.graph.node if node.name == name]
    if not nodes:
        return ()
    inferred = onnx.shape_inference.infer_shapes(model)
    known = {value.name: value.type.tensor_type.elem_type for value in _values(inferred)}
    known.update((value.name, value.data_type) for value in inferred.graph.initializer)
    return tuple(TensorProto.DataType.Name(known[use]).lower() for use in nodes[0].input if known.get(use))


def element_types(model: onnx.ModelProto, *, computed: bool = False) -> set[str]:
    """Names of the element types of everything in the model, bodies included, as far as type inference finds them;
    without its constants if only what is ``computed`` counts."""
    found: set[int] = set()
    graphs = [onnx.shape_inference.infer_shapes(model).graph]
    while graphs:
        graph = graphs.pop()
        constant = {tensor.name: tensor.data_type for tensor in graph.initializer}
        found |= set() if computed else set(constant.values())
        left_out = {name for node in graph.node if node.op_type == "Constant" for name in node.output} | set(constant)
        found |= {
            value.type.tensor_type.elem_type
            for value in (*graph.input, *graph.value_info, *graph.output)
            if not computed or value.name not in left_out
        }
        graphs += [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    known = found - {TensorProto.UNDEFINED}
    return {np.dtype(onnx.helper.tensor_dtype_to_np_dtype(number)).name for number in known}


def _values(model: onnx.ModelProto) -> Iterable[onnx.ValueInfoProto]:
    yield from model.graph.input
    yield from model.graph.value_info
    yield from model.graph.output
