"""What ONNX Runtime's kernels do otherwise on some processors, as its documentation says."""

from __future__ import annotations

import functools

import numpy as np
import onnx
from onnx import helper


@functools.cache
def products_saturate() -> bool:
    """Whether sums of two products of an unsigned and a signed integer of eight bits stop at 32767 here.

    Documentation of ONNX Runtime, "Quantize ONNX Models": on x86-64 without VNNI it uses VPMADDUBSW for uint8 times
    int8, which may saturate; ``reduce_range`` is the remedy. It is measured, as which kernels are used is not told.
    """
    import onnxruntime

    left, right = np.full((1, 4), 255, np.uint8), np.full((4, 1), 127, np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["left", "right"], ["product"])],
        "products",
        [
            helper.make_tensor_value_info("left", onnx.TensorProto.UINT8, left.shape),
            helper.make_tensor_value_info("right", onnx.TensorProto.INT8, right.shape),
        ],
        [helper.make_tensor_value_info("product", onnx.TensorProto.INT32, (1, 1))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    [product] = session.run(None, {"left": left, "right": right})
    return int(product[0, 0]) != 4 * 255 * 127
