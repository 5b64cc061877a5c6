"""Faults in the handlers, rewriters and optimizers of tf2onnx."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.faults.injection import Proof, SourceFault, X, Y, normal
from generators.graph import Array, DType, Ref

_OPS = "tf2onnx.onnx_opset."
_OPTIMIZER = "tf2onnx.optimizer."


def _proof(*calls: tuple[Any, ...], feeds: tuple[Array, ...] | None = None, constants: tuple[int, ...] = ()) -> Proof:
    return Proof("tensorflow", feeds or (normal(4, 6),), calls, constants)


_IMAGE = normal(1, 6, 7, 2)
_KERNEL = normal(3, 3, 2, 3, seed=1)

FAULTS = (
    SourceFault("relu6 clips at 7", _OPS + "math:Relu6.version_11", "np.array(6.0, dtype=np_dtype)",
                "np.array(7.0, dtype=np_dtype)", _proof(("tf.nn.relu6", X), feeds=(normal(4, 6, scale=6),))),
    SourceFault("rsqrt is sqrt", _OPS + "math:Rsqrt.version_1", '"Reciprocal", node.output[0]',
                '"Identity", node.output[0]',
                _proof(("tf.math.rsqrt", X), feeds=(np.linspace(0.5, 3, 6, dtype=np.float32),))),
    SourceFault("squared difference of a sum", _OPS + "math:SquaredDifference.version_1", 'node.type = "Sub"',
                'node.type = "Add"',
                _proof(("tf.math.squared_difference", X, Y), feeds=(normal(4, 6), normal(4, 6, seed=1)))),
    SourceFault("division by zero is not caught", _OPS + "math:DivNoNan.version_9",
                "[is_zero, zero_const, node.output[0]]", "[is_zero, node.output[0], node.output[0]]",
                _proof(("tf.math.divide_no_nan", X, Y),
                       feeds=(normal(4), np.array([0, 1, 0, 2], np.float32)))),
    SourceFault("LRN alpha not scaled", _OPS + "math:LRN.version_1", 'size * node.get_attr("alpha").f',
                'node.get_attr("alpha").f',
                _proof(("tf.nn.local_response_normalization", X, 2, 1.0, 0.5), feeds=(normal(1, 2, 3, 6),))),
    SourceFault("LRN over one neighbour less", _OPS + "math:LRN.version_1", "5) * 2 + 1", "5) * 2 - 1",
                _proof(("tf.nn.local_response_normalization", X, 2, 1.0, 0.5), feeds=(normal(1, 2, 3, 6),))),
    SourceFault("second matrix not transposed", _OPS + "math:MatMul.version_1", "if transpose_b != 0:", "if False:",
                _proof(("tf.linalg.matmul", X, Y, {"transpose_b": True}),
                       feeds=(normal(4, 4), normal(4, 4, seed=1)))),
    SourceFault("floormod of floats truncates", _OPS + "math:FloorMod.version_7",
                'div = ctx.make_node(op_type="Floor", inputs=div.output)',
                'div = ctx.make_node(op_type="Round", inputs=div.output)',
                _proof(("tf.math.floormod", X, Y), feeds=(normal(4, 6), np.full((4, 6), 0.7, np.float32)))),
    SourceFault("floordiv of floats rounds up", _OPS + "math:FloorDiv.version_6", 'op_type="Floor"', 'op_type="Ceil"',
                _proof(("tf.math.floordiv", X, Y), feeds=(normal(4, 6), np.full((4, 6), 0.7, np.float32)))),
    SourceFault("SAME padding at the wrong end", _OPS + "nn:add_padding",
                "pads[i] = pad // 2\n            pads[i + spatial] = pad - pad // 2",
                "pads[i + spatial] = pad // 2\n            pads[i] = pad - pad // 2",
                _proof(("tf.nn.conv2d", X, Y, 1, "SAME"), feeds=(_IMAGE, normal(2, 2, 2, 3, seed=1)))),
    SourceFault("SAME padding one element less", _OPS + "nn:add_padding", "pad = max(pad, 0)",
                "pad = max(pad - 1, 0)", _proof(("tf.nn.conv2d", X, Y, 1, "SAME"), feeds=(_IMAGE, _KERNEL))),
    SourceFault("strides and dilations swapped", _OPS + "nn:conv_dims_attr", "node.set_attr(new_name, dims)",
                "node.set_attr(new_name, list(dims)[::-1])",
                _proof(("tf.nn.conv2d", X, Y, (1, 2), "VALID"), feeds=(_IMAGE, _KERNEL))),
    SourceFault("kernel of pooling transposed", _OPS + "nn:PoolOp._convert",
                'node.set_attr("kernel_shape", kernel_shape_hw)',
                'node.set_attr("kernel_shape", list(kernel_shape_hw)[::-1])',
                _proof(("tf.nn.max_pool2d", X, (1, 3), 1, "VALID"), feeds=(_IMAGE,))),
    SourceFault("depth_to_space by columns", _OPS + "nn:DepthToSpace.version_11",
                "cls.version_1(ctx, node, **kwargs)",
                'cls.version_1(ctx, node, **kwargs); node.set_attr("mode", "CRD")',
                _proof(("tf.nn.depth_to_space", X, 2), feeds=(normal(1, 2, 3, 8),))),
    SourceFault("paddings not transposed", _OPS + "nn:Pad.version_11",
                "as_list=False).astype(np.int64).transpose().flatten()", "as_list=False).astype(np.int64).flatten()",
                _proof(("tf.pad", X, ((0, 1), (2, 0))))),
    SourceFault("roll the other way", _OPS + "tensor:Roll.any_version",
                'ctx.make_node("Mod", [shift, len_along_axis])',
                'ctx.make_node("Mod", [ctx.make_node("Neg", [shift]).output[0], len_along_axis])',
                _proof(("tf.roll", X, 2, 1))),
    SourceFault("argmax keeps the axis 0", _OPS + "reduction:ArgMax.version_1", 'node.set_attr("axis", axis)',
                'node.set_attr("axis", 0)', _proof(("tf.argmax", X, 1), feeds=(normal(5, 5),))),
    SourceFault("reductions drop their dimensions", _OPS + "reduction:ReduceOpBase.version_1",
                'keep_dims = node.get_attr_value("keep_dims", 0)', "keep_dims = 0",
                _proof(("tf.reduce_max", X, 1, True))),
    SourceFault("sums keep their dimensions", _OPS + "reduction:ReduceOpBase.version_13",
                'keep_dims = node.get_attr_value("keep_dims", 0)', "keep_dims = 1",
                _proof(("tf.reduce_sum", X, 1))),
    SourceFault("concat along the axis before", _OPS + "tensor:ConcatV2.version_1", 'node.set_attr("axis", axis_val)',
                'node.set_attr("axis", max(axis_val - 1, 0))',
                _proof(("tf.concat", (X, Y), 1), feeds=(normal(3, 3), normal(3, 3, seed=1)))),
    SourceFault("gather along the first axis", _OPS + "tensor:GatherV2.version_1", 'node.set_attr("axis", axis)',
                'node.set_attr("axis", 0)',
                _proof(("tf.gather", X, Y, {"axis": 1}), feeds=(normal(5, 5), np.array([3, 1])))),
    SourceFault("slices end one early", _OPS + "tensor:StridedSlice.version_1",
                "append(max_size)\n        else:\n            new_end.append(end_item)",
                "append(max_size)\n        else:\n            new_end.append(end_item - 1)",
                _proof(("tf.strided_slice", X, (0, 1), (3, 5)))),
    SourceFault("stack along the axis before", _OPS + "tensor:Pack.any_version", 'attr={"axis": axis}',
                'attr={"axis": max(axis - 1, 0)}',
                _proof(("tf.stack", (X, Y), 1), feeds=(normal(3), normal(3, seed=1)))),
    SourceFault("chains of casts lose the truncation", _OPTIMIZER + "back_to_back_optimizer:BackToBackOptimizer."
                "_optimize_cast", "can_reduce = False\n        elif type1_name == 'bool':",
                "pass\n        elif type1_name == 'bool':",
                _proof(("tf.cast", X, DType("int32")), ("tf.cast", Ref("v0"), DType("float32")),
                       feeds=(normal(4, 6, scale=5),))),
    SourceFault("transposes composed in the wrong order", _OPTIMIZER + "back_to_back_optimizer:BackToBackOptimizer."
                "_optimize_transpose", "node2.set_attr('perm', [t1[i] for i in t2])",
                "node2.set_attr('perm', [t2[i] for i in t1])",
                _proof(("tf.transpose", X, (1, 2, 0)), ("tf.transpose", Ref("v0"), (0, 2, 1)),
                       feeds=(normal(2, 2, 2),))),
    SourceFault("softmax along the axis before the transpose", _OPTIMIZER + "transpose_optimizer:TransposeOptimizer."
                "_softmax_handler", 'node.set_attr("axis", new_axis)', 'node.set_attr("axis", axis)',
                _proof(("tf.nn.conv2d", X, Y, 1, "SAME"), ("tf.nn.softmax", Ref("v0")), feeds=(_IMAGE, _KERNEL))),
    SourceFault("pads not permuted with a transpose", _OPTIMIZER + "transpose_optimizer:TransposeOptimizer."
                "_pad_handler", "return [pads[i] for i in perm_inv] + [pads[i + trans_rank] for i in perm_inv]",
                "return list(pads)",
                _proof(("tf.nn.conv2d", X, Y, 1, "SAME"),
                       ("tf.pad", Ref("v0"), ((0, 0), (1, 0), (0, 2), (0, 0))), feeds=(_IMAGE, _KERNEL))),
    SourceFault("concatenation axis not permuted", _OPTIMIZER + "transpose_optimizer:TransposeOptimizer."
                "_concat_handler", "new_axis = perm[axis]", "new_axis = axis",
                _proof(("tf.nn.avg_pool2d", X, 2, 1, "SAME"), ("tf.nn.max_pool2d", X, 2, 1, "SAME"),
                       ("tf.concat", (Ref("v0"), Ref("v1")), -1), feeds=(normal(1, 4, 4, 4),))),
)  # fmt: skip
