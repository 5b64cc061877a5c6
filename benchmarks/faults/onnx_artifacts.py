"""Faults of ONNX Runtime: models that are changed on their way there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from benchmarks.faults.injection import ArtifactFault, Proof, X, Y, Z, normal
from generators.graph import Array, Ref

Change = Callable[[onnx.ModelProto, onnx.NodeProto], bool]


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of an attribute, strings as text."""
    for item in node.attribute:
        if item.name == name:
            value = helper.get_attribute_value(item)
            return value.decode() if isinstance(value, bytes) else value
    return default


def put(name: str, value: Any | Callable[[Any], Any], default: Any = None) -> Change:
    """Give an attribute that value, or what ``value`` makes of it."""

    def change(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
        old = attribute(node, name, default)
        new = value(old) if callable(value) else value
        if new is None or new == old:
            return False
        kept = [item for item in node.attribute if item.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, new)])
        return True

    return change


def drop(position: int) -> Change:
    """Leave out the optional input at that position."""

    def change(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
        if len(node.input) <= position or not node.input[position]:
            return False
        node.input[position] = ""
        while node.input and not node.input[-1]:
            del node.input[-1]
        return True

    return change


def swap(first: int, second: int) -> Change:
    """Swap two inputs."""

    def change(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
        if len(node.input) <= second or node.input[first] == node.input[second]:
            return False
        node.input[first], node.input[second] = node.input[second], node.input[first]
        return True

    return change


def become(kind: str) -> Change:
    """Compute another operator of the same inputs."""

    def change(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
        node.op_type = kind
        return True

    return change


def shifted_pads(pads: list[int] | None) -> list[int] | None:
    """Padding with one element moved from the end to the begin of the first dimension that has any."""
    for axis in range(len(pads or []) // 2):
        if pads and pads[axis + len(pads) // 2] > 0:
            moved = list(pads)
            moved[axis] += 1
            moved[axis + len(pads) // 2] -= 1
            return moved
    return None


def rounded_to_half(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """Compute with the first operand rounded to bfloat16."""
    return _around(model, node, 16)


def _around(model: onnx.ModelProto, node: onnx.NodeProto, dtype: int) -> bool:
    for place, other in enumerate(model.graph.node):
        if other is node or (other.output and node.output and other.output[0] == node.output[0]):
            names = [f"{node.output[0]} fault {step}" for step in range(2)]
            given = node.input[0]
            node.input[0] = names[1]
            back = helper.make_node("CastLike", [names[0], given], [names[1]])
            nodes = list(model.graph.node)
            nodes[place:place] = [helper.make_node("Cast", [given], [names[0]], to=dtype), back]
            del model.graph.node[:]
            model.graph.node.extend(nodes)
            return True
    return False


def first_constant(position: int, change_value: Callable[[Array], Array | None]) -> Change:
    """Change the constant at that input, if it is one, for this node alone."""

    def change(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
        if len(node.input) <= position:
            return False
        name = node.input[position]
        held = {item.name: item for item in model.graph.initializer}
        held |= {
            other.output[0]: other.attribute[0].t
            for other in model.graph.node
            if other.op_type == "Constant" and other.attribute and other.attribute[0].name == "value"
        }
        new = change_value(numpy_helper.to_array(held[name])) if name in held else None
        if new is None:
            return False
        fresh = f"{name} of {node.output[0]}"
        model.graph.initializer.append(numpy_helper.from_array(new, fresh))
        node.input[position] = fresh
        return True

    return change


def _proof(*call: Any, feeds: tuple[Array, ...] | None = None, constants: tuple[int, ...] = ()) -> Proof:
    return Proof("onnx", feeds or (normal(4, 6),), (call,), constants)


_IMAGE = normal(1, 2, 6, 7)
_PAIR = (normal(4, 6), normal(4, 6, seed=1))

FAULTS = (
    ArtifactFault("LayerNormalization epsilon 1e-3", "LayerNormalization", put("epsilon", 1e-3, 1e-5),
                  _proof("onnx.LayerNormalization", X, Y, {"axis": -1}, feeds=(normal(4, 6), normal(6)))),
    ArtifactFault("BatchNormalization epsilon 1e-3", "BatchNormalization", put("epsilon", 1e-3, 1e-5),
                  _proof("onnx.BatchNormalization", X, Y, Z, Ref("x3"), Ref("x4"),
                         feeds=(_IMAGE, normal(2), normal(2, seed=1), normal(2, seed=2),
                                np.array([0.5, 1.5], np.float32)))),
    ArtifactFault("InstanceNormalization epsilon 1e-3", "InstanceNormalization", put("epsilon", 1e-3, 1e-5),
                  _proof("onnx.InstanceNormalization", X, Y, Z, feeds=(_IMAGE, normal(2), normal(2, seed=1)))),
    ArtifactFault("Gelu by tanh", "Gelu", put("approximate", "tanh", "none"),
                  _proof("onnx.Gelu", X, feeds=(normal(4, 6, scale=2),))),
    ArtifactFault("LeakyRelu alpha 0.1 more", "LeakyRelu", put("alpha", lambda old: old + 0.1, 0.01),
                  _proof("onnx.LeakyRelu", X, {"alpha": 0.2})),
    ArtifactFault("Elu alpha one percent more", "Elu", put("alpha", lambda old: old * 1.01, 1.0),
                  _proof("onnx.Elu", X)),
    ArtifactFault("HardSigmoid alpha by default", "HardSigmoid", put("alpha", 0.2, 0.2),
                  _proof("onnx.HardSigmoid", X, {"alpha": 0.25})),
    ArtifactFault("Selu gamma", "Selu", put("gamma", lambda old: old * 1.001, 1.0507009873554805),
                  _proof("onnx.Selu", X)),
    ArtifactFault("ThresholdedRelu alpha by default", "ThresholdedRelu", put("alpha", 1.0, 1.0),
                  _proof("onnx.ThresholdedRelu", X, {"alpha": 0.5})),
    ArtifactFault("Clip without its upper bound", "Clip", drop(2),
                  _proof("onnx.Clip", X, Y, Z, feeds=(normal(4, 6), np.float32(-0.5), np.float32(0.5)))),
    ArtifactFault("Conv padded one to the left", "Conv", put("pads", shifted_pads),
                  _proof("onnx.Conv", X, Y, {"pads": (1, 1, 1, 1)}, feeds=(_IMAGE, normal(3, 2, 3, 3, seed=1)))),
    ArtifactFault("Conv without its bias", "Conv", drop(2),
                  _proof("onnx.Conv", X, Y, Z, feeds=(_IMAGE, normal(3, 2, 3, 3, seed=1), normal(3, seed=2)))),
    ArtifactFault("AveragePool counts padding the other way", "AveragePool",
                  put("count_include_pad", lambda old: 1 - old, 0),
                  _proof("onnx.AveragePool", X, {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)}, feeds=(_IMAGE,))),
    ArtifactFault("Softmax over the last axis", "Softmax", put("axis", -1, -1),
                  _proof("onnx.Softmax", X, {"axis": 0})),
    ArtifactFault("Gemm ignores alpha", "Gemm", put("alpha", 1.0, 1.0),
                  _proof("onnx.Gemm", X, Y, {"alpha": 0.5}, feeds=(normal(4, 3), normal(3, 4, seed=1)))),
    ArtifactFault("CumSum exclusive", "CumSum", put("exclusive", lambda old: 1 - old, 0),
                  _proof("onnx.CumSum", X, Y, feeds=(normal(4, 6), np.array(1)))),
    ArtifactFault("Sub with its operands swapped", "Sub", swap(0, 1), _proof("onnx.Sub", X, Y, feeds=_PAIR)),
    ArtifactFault("Where with its branches swapped", "Where", swap(1, 2),
                  _proof("onnx.Where", X, Y, Z, feeds=(normal(4, 6, seed=2) > 0, *_PAIR))),
    ArtifactFault("Less is LessOrEqual", "Less", become("LessOrEqual"),
                  _proof("onnx.Less", X, Y, feeds=(np.array([1, 2], np.float32), np.array([1, 1], np.float32)))),
    ArtifactFault("Round is Floor", "Round", become("Floor"), _proof("onnx.Round", X)),
    ArtifactFault("ArgMax takes the last of ties", "ArgMax", put("select_last_index", lambda old: 1 - old, 0),
                  _proof("onnx.ArgMax", X, {"axis": 1}, feeds=(np.array([[1, 3, 3]], np.float32),))),
    ArtifactFault("Mod of the other sign", "Mod", put("fmod", lambda old: 1, 0),
                  _proof("onnx.Mod", X, Y, feeds=(np.array([7, -7, 5, -5]), np.array([4, 4, -3, 3])))),
    ArtifactFault("Trilu of the other triangle", "Trilu", put("upper", lambda old: 1 - old, 1),
                  _proof("onnx.Trilu", X)),
    ArtifactFault("MatMul in bfloat16", "MatMul", rounded_to_half,
                  _proof("onnx.MatMul", X, Y, feeds=(normal(4, 6), normal(6, 3, seed=1)))),
    ArtifactFault("Exp in bfloat16", "Exp", rounded_to_half, _proof("onnx.Exp", X)),
    ArtifactFault("TopK of the smallest", "TopK", put("largest", lambda old: 1 - old, 1),
                  _proof("onnx.TopK", X, Y, feeds=(normal(4, 6), np.array([2])), constants=(1,))),
    ArtifactFault("Slice begins one later", "Slice",
                  first_constant(1, lambda starts: starts + 1 if (starts >= 0).all() and starts.size else None),
                  _proof("onnx.Slice", X, Y, Z, feeds=(normal(6), np.array([1]), np.array([5])), constants=(1, 2))),
    ArtifactFault("LRN of one neighbour less", "LRN", put("size", lambda old: max(old - 2, 1)),
                  _proof("onnx.LRN", X, {"size": 3, "alpha": 0.5}, feeds=(normal(1, 5, 3, 3),))),
    ArtifactFault("DepthToSpace by columns", "DepthToSpace",
                  put("mode", lambda old: "CRD" if old == "DCR" else "DCR", "DCR"),
                  _proof("onnx.DepthToSpace", X, {"blocksize": 2}, feeds=(normal(1, 8, 2, 3),))),
    ArtifactFault("GridSample with aligned corners", "GridSample", put("align_corners", lambda old: 1 - old, 0),
                  _proof("onnx.GridSample", X, Y, feeds=(_IMAGE, normal(1, 3, 3, 2, scale=0.5)))),
    ArtifactFault("optimizer drops the bias of Gemm", "Gemm", drop(2),
                  _proof("onnx.Gemm", X, Y, Z, feeds=(normal(4, 3), normal(3, 5, seed=1), normal(5, seed=2))),
                  optimized=True),
    ArtifactFault("optimizer fuses Transpose to the reverse", "Transpose",
                  put("perm", lambda old: list(old)[::-1] if old else None),
                  _proof("onnx.Transpose", X, {"perm": (1, 0, 2)}, feeds=(normal(3, 3, 3),)), optimized=True),
    ArtifactFault("optimizer takes tanh for erf in Gelu", "Gelu", put("approximate", "tanh", "none"),
                  _proof("onnx.Gelu", X, feeds=(normal(4, 6, scale=2),)), optimized=True),
    ArtifactFault("optimizer loses the end of Pad", "Pad",
                  first_constant(1, lambda pads: pads[::-1].copy() if (pads != pads[::-1]).any() else None),
                  _proof("onnx.Pad", X, Y, feeds=(normal(4, 6), np.array([0, 1, 0, 0])), constants=(1,)),
                  optimized=True),
)  # fmt: skip
