"""Graphs and artifacts as plain records that can be drawn: operators by name, with the values they use and make."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from fuzzer.formats import Artifact, Format
from generators.frontends.printing import argument as argument_text
from generators.graph import Argument, Graph, Node
from generators.serial import loads

#: Operators of a picture; of larger graphs the first ones are drawn.
MOST_NODES = 80
#: Characters of a name, of a type and of the arguments of an operator.
_LONGEST = 160
#: Elements of a tensor that are shown.
_FEW = 6


class Box(msgspec.Struct, frozen=True):
    """An operator (or, with ``kind`` other than ``node``, an input, a constant, an output): its ``label``, its
    arguments in short, and the names of the values that it uses and makes."""

    label: str
    detail: str = ""
    uses: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    kind: str = "node"


class Picture(msgspec.Struct, frozen=True):
    """Boxes in an order of execution, the types of values by name as far as they are known, and what else is to be
    said: ``problem`` why there is nothing to draw, ``more`` how many operators are not drawn."""

    boxes: tuple[Box, ...] = ()
    types: dict[str, str] = {}
    problem: str = ""
    more: int = 0


def source_picture(graph: Graph) -> Picture:
    """The picture of a graph of ours. Bodies of control flow are written as chains of operators in the arguments."""
    boxes = [Box(value.name, _marked(value.type, value.dynamic), (), (value.name,), "input") for value in graph.inputs]
    for item in graph.constants:
        value = str(item.data.tolist()) if item.data.size <= _FEW else ""
        boxes.append(Box(item.name, f"{item.type} {value}".strip(), (), (item.name,), "constant"))
    for node in graph.nodes:
        makes = tuple(value.name for value in node.outputs)
        boxes.append(Box(_short(node.target), _arguments(node), tuple(dict.fromkeys(node.references())), makes))
    types = {name: str(kind) for name, kind in graph.types().items()}
    return _finished(boxes, graph.outputs, types)


def artifact_picture(artifact: Artifact) -> Picture:
    """The picture of a converted model. A problem, and nothing drawn, for a format that has no reader."""
    reader = _READERS.get(artifact.format)
    if reader is None:
        return Picture(problem=f"nothing here draws models of the format {artifact.format}")
    return reader(artifact.data)


def _finished(boxes: list[Box], outputs: Iterable[str], types: Mapping[str, str]) -> Picture:
    nodes = [box for box in boxes if box.kind == "node"]
    kept = {id(box) for box in nodes[:MOST_NODES]}
    used = {name for box in nodes[:MOST_NODES] for name in box.uses}
    outputs = list(outputs)
    drawn = [
        box
        for box in boxes
        if id(box) in kept or ((box.kind == "input" or used.intersection(box.makes)) and box.kind != "node")
    ]
    made = {name for box in drawn for name in box.makes}
    ends = [Box(name, types.get(name, ""), (name,), (), "output") for name in outputs if name in made]
    clipped = [
        Box(_clip(box.label), _clip(box.detail), box.uses, box.makes, box.kind) for box in (*drawn, *ends)
    ]  # fmt: skip
    named = {name for box in clipped for name in (*box.uses, *box.makes)}
    return Picture(
        tuple(clipped),
        {name: _clip(kind) for name, kind in types.items() if name in named},
        more=max(0, len(nodes) - MOST_NODES),
    )


def _clip(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _marked(kind: Any, dynamic: tuple[str | None, ...]) -> str:
    if not dynamic:
        return str(kind)
    extents = (str(symbol or extent) for symbol, extent in zip(dynamic, kind.shape, strict=True))
    return f"{kind.dtype}[{','.join(extents)}]"


def _short(target: str) -> str:
    return target.removeprefix("aten.") if target.startswith("aten.") else target.rpartition(".")[2]


def _arguments(node: Node) -> str:
    def text(value: Argument) -> str:
        if isinstance(value, Graph):
            return f"{{{' → '.join(_short(target) for target in value.operators()[:6])}}}"
        if isinstance(value, tuple):
            return f"({', '.join(map(text, value))})"
        return argument_text(value, lambda name: name, lambda name: name)

    parts = [*map(text, node.args), *(f"{name}={text(value)}" for name, value in node.kwargs)]
    return ", ".join(parts)


# -- readers -----------------------------------------------------------------------------------------------------


def _onnx(data: bytes) -> Picture:
    """An ONNX model: of functions only their calls, of subgraphs the chain of their operators."""
    import onnx

    model = onnx.ModelProto.FromString(data)
    types = {
        value.name: _onnx_type(value) for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)
    }
    types |= {
        item.name: f"{onnx.TensorProto.DataType.Name(item.data_type).lower()}[{','.join(map(str, item.dims))}]"
        for item in model.graph.initializer
    }
    constants = {item.name for item in model.graph.initializer}
    held = {item.name: _onnx_tensor(item) for item in model.graph.initializer}
    boxes = [
        Box(value.name, types[value.name], (), (value.name,), "input")
        for value in model.graph.input
        if value.name not in constants
    ]
    boxes += [Box(name, f"{types[name]} {value}".strip(), (), (name,), "constant") for name, value in held.items()]
    for node in model.graph.node:
        domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}::"
        detail = ", ".join(f"{item.name}={_onnx_attribute(item)}" for item in node.attribute)
        captured = {
            name
            for item in node.attribute
            for body in (item.g, *item.graphs)
            for inner in body.node
            for name in inner.input
        }
        uses = dict.fromkeys(name for name in (*node.input, *sorted(captured)) if name)
        boxes.append(Box(f"{domain}{node.op_type}", detail, tuple(uses), tuple(filter(None, node.output))))
    return _finished(boxes, [value.name for value in model.graph.output], types)


def _onnx_type(value: Any) -> str:
    import onnx

    if not value.type.HasField("tensor_type"):
        return str(value.type.WhichOneof("value") or "")
    tensor = value.type.tensor_type
    name = str(onnx.TensorProto.DataType.Name(tensor.elem_type)).lower()
    if not tensor.HasField("shape"):
        return f"{name}[…]"
    extents = (
        item.dim_param or (str(item.dim_value) if item.HasField("dim_value") else "?") for item in tensor.shape.dim
    )
    return f"{name}[{','.join(extents)}]"


def _onnx_attribute(attribute: Any) -> str:
    import onnx

    if attribute.type == onnx.AttributeProto.GRAPH:
        return f"{{{' → '.join(node.op_type for node in list(attribute.g.node)[:6])}}}"
    if attribute.type == onnx.AttributeProto.TENSOR:
        return _onnx_tensor(attribute.t) or f"tensor of {list(attribute.t.dims)}"
    if attribute.name in ("to", "dtype") and attribute.type == onnx.AttributeProto.INT:
        names = {number: name for name, number in onnx.TensorProto.DataType.items()}
        return str(names.get(attribute.i, attribute.i)).lower()
    value = onnx.helper.get_attribute_value(attribute)
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _onnx_tensor(tensor: Any) -> str:
    """The elements of a small tensor; empty for a larger one, and for one whose data are elsewhere."""
    import onnx

    count = 1
    for extent in tensor.dims:
        count *= extent
    if count > _FEW or tensor.data_location == onnx.TensorProto.EXTERNAL:
        return ""
    return str(onnx.numpy_helper.to_array(tensor).tolist())


def _tflite(data: bytes) -> Picture:
    """The first subgraph of a TFLite model; others are bodies of control flow, which it only calls."""
    from ai_edge_litert import schema_py_generated as schema

    from fuzzer.data_flow import tflite_codes

    model = schema.Model.GetRootAs(data, 0)
    codes = tflite_codes(model)
    kinds = {number: name.lower() for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
    subgraph = model.Subgraphs(0)
    types: dict[str, str] = {}
    constants: list[str] = []
    for index in range(subgraph.TensorsLength()):
        tensor = subgraph.Tensors(index)
        extents = ",".join(str(tensor.Shape(axis)) for axis in range(tensor.ShapeLength()))
        types[str(index)] = f"{kinds.get(tensor.Type(), '?')}[{extents}]"
        if model.Buffers(tensor.Buffer()).DataLength():
            constants.append(str(index))

    def named(index: int) -> str:
        name = subgraph.Tensors(index).Name()
        return name.decode(errors="replace") if name else f"tensor {index}"

    inputs = [subgraph.Inputs(place) for place in range(subgraph.InputsLength())]
    boxes = [Box(named(index), types[str(index)], (), (str(index),), "input") for index in inputs]
    boxes += [Box("constant", types[index], (), (index,), "constant") for index in constants]
    for place in range(subgraph.OperatorsLength()):
        operator = subgraph.Operators(place)
        uses = dict.fromkeys(str(operator.Inputs(number)) for number in range(operator.InputsLength()))
        uses.pop("-1", None)  # an optional operand that is not there
        makes = tuple(str(operator.Outputs(number)) for number in range(operator.OutputsLength()))
        boxes.append(Box(codes[operator.OpcodeIndex()], "", tuple(uses), makes))
    return _finished(boxes, [str(subgraph.Outputs(place)) for place in range(subgraph.OutputsLength())], types)


def _exported_program(data: bytes) -> Picture:
    """The graph of an ExportedProgram that this process has written itself."""
    import io

    import torch

    program = torch.export.load(io.BytesIO(data))
    held = {*program.graph_signature.inputs_to_parameters, *program.graph_signature.inputs_to_buffers}
    held |= {*program.graph_signature.inputs_to_lifted_tensor_constants}
    boxes: list[Box] = []
    types: dict[str, str] = {}
    outputs: list[str] = []
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor):
            types[node.name] = f"{str(value.dtype).removeprefix('torch.')}[{','.join(map(str, value.shape))}]"
        if node.op == "placeholder":
            kind = "constant" if node.name in held else "input"
            boxes.append(Box(node.name, types.get(node.name, ""), (), (node.name,), kind))
        elif node.op == "output":
            outputs = [item.name for item in node.all_input_nodes]
        else:
            literals = [str(item) for item in node.args] + [f"{name}={item}" for name, item in node.kwargs.items()]
            uses = tuple(item.name for item in node.all_input_nodes)
            boxes.append(Box(str(node.target).removeprefix("aten."), ", ".join(literals), uses, (node.name,)))
    return _finished(boxes, outputs, types)


def _graph(data: bytes) -> Picture:
    return source_picture(loads(data).graph)


_READERS: Mapping[Format, Callable[[bytes], Picture]] = {
    Format.ONNX: _onnx,
    Format.TFLITE: _tflite,
    Format.EXPORTED_PROGRAM: _exported_program,
    Format.GRAPH: _graph,
}
