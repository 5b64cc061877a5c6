"""What each runtime says when it does not support something, and what merely holds the words. The messages are those of
real campaigns, shortened; nothing is imported of the runtimes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fuzzer.converters import tflite
from fuzzer.failures import Refusal, refused
from fuzzer.runtimes import iree, mnn, ncnn, openvino, tensorflow, tvm

CONVERSION = "FrontEnd API failed with OpConversionFailure:\nModel wasn't fully converted.\n"


class CompilerToolError(Exception):
    """Called like IREE's."""


class OnnxImportError(Exception):
    """Called like IREE's."""


class InternalError(Exception):
    """Called like TVM's."""


class InvalidArgumentError(Exception):
    """Called like TensorFlow's."""


@pytest.mark.parametrize(
    ("refusals", "error", "what"),
    [
        (
            openvino.REFUSALS,
            RuntimeError(
                "Check '(data_rank.is_dynamic() || data_rank.get_length() == 4)' failed at grid_sample.cpp:23:\n"
                "While validating ONNX node '<Node(GridSample): output_0>':\n"
                "GridSample is only supported for 4D input tensors. Got rank: 5\n\nSummary:\n"
            ),
            "GridSample is only supported for 4D input tensors",
        ),
        (
            openvino.REFUSALS,
            RuntimeError(
                f"{CONVERSION}Summary:\n-- No conversion rule found for operations: MaxUnpool-22\nTo facilitate"
            ),
            "MaxUnpool",
        ),
        (
            openvino.REFUSALS,
            RuntimeError(
                "at node.cpp:108:\nUnexpected: CPU plug-in doesn't support Squeeze operation with dynamic rank."
            ),
            "Squeeze of a dynamic rank",
        ),
        (
            openvino.REFUSALS,
            RuntimeError("Unsupported operation of type: Convolution name: output_2\nDetails:\nNot Implemented:"),
            "Convolution",
        ),
        (
            openvino.REFUSALS,
            RuntimeError(
                "resize.cpp:91:\ntf_crop_and_resize - this type of mode is not supported. Choose one\n\nSummary"
            ),
            "tf_crop_and_resize - this type of mode is not supported. Choose one",
        ),
        (
            openvino.REFUSALS,
            RuntimeError("GeneralFailure:\nFirst dimension of input data must be static\n\nSummary:"),
            "First dimension of input data must be static",
        ),
        (
            tvm.REFUSALS,
            NotImplementedError("Operator ConvInteger not implemented."),
            "Operator ConvInteger not implemented.",
        ),
        (tvm.REFUSALS, ValueError("Dynamic Split not yet supported"), "Dynamic Split not yet supported"),
        (
            tvm.REFUSALS,
            AssertionError("Only constant axes currently supported"),
            "Only constant axes currently supported",
        ),
        (
            iree.REFUSALS,
            CompilerToolError(
                "Error code: 1\nDiagnostics:\nerror: failed to legalize operation 'torch.operator' that was "
                'explicitly marked illegal: %1 = "torch.operator"(%0) <{name = "onnx.CumProd"}>'
            ),
            "onnx.CumProd",
        ),
        (iree.REFUSALS, OnnxImportError("ONNX importer does not support generic node attribute type 9"), None),
        (
            tflite.REFUSALS,
            ValueError(
                "Unsupported TensorFlow type `<dtype: 'bfloat16'>` provided for the input type of the TensorFlow model"
            ),
            "input of type bfloat16",
        ),
        (mnn.REFUSALS, mnn.MnnError("These Op Not Support: ONNX::DFT | ONNX::Scan "), "DFT"),
        (
            ncnn.REFUSALS,
            RuntimeError("convert to ncnn.Mat only dims <=4 support now, but given 5"),
            "more than 4 dimensions",
        ),
        (ncnn.REFUSALS, ncnn.NcnnError("unsupported tensor elem data type"), "unsupported tensor elem data type"),
        (
            tensorflow.REFUSALS,
            InvalidArgumentError(
                "Detected unsupported operations when trying to compile graph f[] on XLA: Foo (No registered"
            ),
            "Foo",
        ),
    ],
)
def test_refusals(refusals: Sequence[Refusal], error: Exception, what: str | None) -> None:
    found = refused(error, refusals)
    assert found is not None
    assert what is None or found == what


@pytest.mark.parametrize(
    ("refusals", "error"),
    [
        # An element type that a visitor of constants forgot.
        (
            openvino.REFUSALS,
            RuntimeError(
                f"{CONVERSION}-- Selu-17 with a message:\nfrom element_visitor.hpp:150:\nElement not supported"
            ),
        ),
        # A type that got lost on the way.
        (openvino.REFUSALS, RuntimeError("Check failed at reduce.cpp:67:\nUnsupported input type dynamic")),
        (openvino.REFUSALS, RuntimeError("Can not create StaticMemory object. The memory desc is undefined")),
        # The compiler died.
        (
            iree.REFUSALS,
            CompilerToolError(
                "Error code: -11\nDiagnostics:\nerror: failed to legalize operation 'torch.operator' that was "
                'explicitly marked illegal: %1 = "torch.operator"(%0) <{name = "onnx.If"}>\nunsupported\nStack dump:'
            ),
        ),
        (
            iree.REFUSALS,
            CompilerToolError("Error code: 1\nDiagnostics:\nerror: null operand found, which is not supported"),
        ),
        # A check in TVM's C++.
        (tvm.REFUSALS, InternalError("Check failed: (value >= 0) is false: not supported: a uint from -1")),
        (tvm.REFUSALS, ValueError("no value in Constant")),
        (mnn.REFUSALS, mnn.MnnError("load_module_from_file failed: format not supported")),
        (ncnn.REFUSALS, ncnn.NcnnError("pnnx is ended by signal 11 in pass_level2")),
        (tensorflow.REFUSALS, RuntimeError("internal: a fusion is not supported here")),
    ],
)
def test_words_alone_are_no_refusal(refusals: Sequence[Refusal], error: Exception) -> None:
    assert refused(error, refusals) is None
