from __future__ import annotations

from typing import Any

import pytest

from fuzzer.converters.torch_onnx_dynamo import TorchOnnxDynamo
from fuzzer.failures import MESSAGE_LENGTH, Refusal, causes, describe_exception, normalise, recognising, root_cause
from fuzzer.formats import Unsupported
from oracles.outcome import Stage


def raised(code: str, module: str, cause: BaseException | None = None) -> BaseException:
    """An exception whose innermost frame is function ``work`` of ``module``."""
    namespace: dict[str, Any] = {"__name__": module, "cause": cause}
    exec(f"def work():\n    {code}\n", namespace)
    with pytest.raises(Exception) as caught:  # noqa: PT011  (the caller says which)
        namespace["work"]()
    return caught.value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "cannot reshape tensor v12 of shape [2, 3] at 0x7f01ab",
            "cannot reshape tensor v7 of shape [4, 1, 6] at 0xdead",
        ),
        ("node 'node_add_3' failed", "node 'node_add_17' failed"),
        ("failed in /usr/lib/python3/thing.py:12", "failed in /home/me/thing.py:345"),
        (
            "loc(\"x\":1:2): error: 'tf.Cos' op on tensor<2x3xf32>",
            "loc(\"y\":9:9): error: 'tf.Cos' op on tensor<7xf32>",
        ),
        (
            "Non-zero status code returned while running Add node. Name:'/Add' Status Message: no",
            "Non-zero status code returned while running Add node. Name:'a_1' Status Message: no",
        ),
        ("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : no", "[ONNXRuntimeError] : 1 : FAIL : no"),
        ("got 1.5e-05 and -3", "got 22.0 and 4"),
        ("sizes (3,) and (1, 2)", "sizes (4, 5) and (6,)"),
        (
            "Only an existing tensor can be modified, 'output_0' is not.",
            "Only an existing tensor can be modified, 'v3' is not.",
        ),
        (
            "input parameter (c81_scale) of operator (QLinearConcat) in node () is invalid",
            "input parameter (input_0_scale) of operator (QLinearConcat) in node (n7) is invalid",
        ),
        ("Node (/Pool_4) Op (AveragePool) no", "Node (/block/Pool) Op (AveragePool) no"),
    ],
)
def test_messages_that_differ_in_accidents_are_the_same(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no kernel for int16", "no kernel for int32"),
        ("Type INT16 is unsupported", "Type INT32 is unsupported"),
        ("type == kTfLiteInt8 was not true", "type == kTfLiteInt64 was not true"),
        ("tensor(float16) is invalid", "tensor(float) is invalid"),
        ("'tfl.add' op failed", "'tfl.mul' op failed"),
        ("element type f32", "element type f64"),
        ("max_pool2d failed", "max_pool3d failed"),
        ("operator (QLinearConcat) in node (a)", "operator (QLinearAdd) in node (a)"),
        ("c10::Half is not supported", "#::Half is not supported"),
        ("input of rank 2", "output of rank 2"),
    ],
)
def test_messages_that_differ_in_substance_stay_apart(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def test_a_message_is_its_first_line_and_short() -> None:
    assert normalise("\n  first\nsecond") == "first"
    assert normalise("what follows:\n  the reason\nmore") == "what follows: the reason"
    assert len(normalise("word " * 200)) <= MESSAGE_LENGTH
    assert normalise("") == ""


def test_the_root_cause_is_the_innermost_explicit_one() -> None:
    inner = raised("raise TypeError('inner 3')", "onnxscript.values")
    outer = raised("raise RuntimeError('outer') from cause", "torch.onnx._internal.exporter._core", inner)
    assert root_cause(outer) is inner
    assert causes(outer) == [outer, inner]
    implicit = raised("raise ValueError('while handling')", "torch.onnx")
    implicit.__context__ = inner
    assert root_cause(implicit) is implicit


def test_description_names_type_message_and_the_innermost_frame_of_the_subject() -> None:
    inner = raised("raise TypeError('got 3 values')", "onnxscript.function_libs.torch_lib.ops.core")
    outer = raised("raise RuntimeError('outer') from cause", "torch.onnx._internal.exporter._core", inner)
    stage, detail = describe_exception(TorchOnnxDynamo(), outer)
    assert stage is Stage.CONVERT
    assert detail == "TypeError: got # values @ onnxscript.function_libs.torch_lib.ops.core.work"


def test_frames_of_others_are_left_out() -> None:
    stage, detail = describe_exception(TorchOnnxDynamo(), raised("raise KeyError('x')", "somebody.else"))
    assert stage is Stage.UNKNOWN
    assert detail == "KeyError: 'x'"


def test_the_longest_prefix_decides_the_stage() -> None:
    error = raised("raise IndexError('list index out of range')", "torch.onnx._internal.exporter._capture_strategies")
    assert describe_exception(TorchOnnxDynamo(), error)[0] is Stage.LOAD
    error = raised("raise IndexError('list index out of range')", "torch.onnx._internal.exporter._building")
    assert describe_exception(TorchOnnxDynamo(), error)[0] is Stage.CONVERT
    error = raised("raise IndexError('list index out of range')", "onnxscript.rewriter._matcher")
    assert describe_exception(TorchOnnxDynamo(), error)[0] is Stage.OPTIMIZE


def test_only_refusals_become_unsupported() -> None:
    refusals = (Refusal(r"no way to export '(\S+)'", r"\1", "ValueError"),)
    with pytest.raises(Unsupported) as caught, recognising(refusals):
        raise ValueError("there is no way to export 'aten::special_i1e'")
    assert caught.value.what == "aten::special_i1e"
    with pytest.raises(IndexError), recognising(refusals):
        raise IndexError("there is no way to export 'aten::sin'")
    with pytest.raises(ValueError, match="other"), recognising(refusals):
        raise ValueError("other")


def test_a_function_that_checks_for_its_caller_is_not_the_place() -> None:
    namespace: dict[str, Any] = {"__name__": "torch.onnx.checks"}
    exec("def make_sure():\n    raise ValueError('no')\n", namespace)
    caller: dict[str, Any] = {"__name__": "torch.onnx.work", "make_sure": namespace["make_sure"]}
    exec("def convert():\n    make_sure()\n", caller)
    with pytest.raises(ValueError, match="no") as caught:
        caller["convert"]()
    assert describe_exception(TorchOnnxDynamo(), caught.value)[1] == "ValueError: no @ torch.onnx.work.convert"


PLUGIN = "Exception from src/inference/src/cpp/core.cpp:117:\nException from src/inference/src/dev/plugin.cpp:54:\n"
IMPORT = (
    "Exception from src/inference/src/cpp/core.cpp:105:\nCheck 'false' failed at src/frontends/common_translators/src/"
    "unconverted_ops_report.cpp:151:\nFrontEnd API failed with OpConversionFailure:\nModel wasn't fully converted. "
    "Failed operations detailed log:\n"
)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            f"{PLUGIN}Check 'm_pMemDesc->isDefined()' failed at src/plugins/intel_cpu/src/cpu_memory.cpp:446:\n"
            "Can not create StaticMemory object. The memory desc is undefined\n\n\n",
            "Check 'm_pMemDesc->isDefined()' at cpu_memory.cpp: Can not create StaticMemory object. The memory desc is "
            "undefined",
        ),
        (
            f"{PLUGIN}Check 'data.size() == OC' failed at src/plugins/intel_cpu/src/dnnl_postops_composer.cpp:483:\n"
            "data size: 2 OC: 0\n\n\n",
            "Check 'data.size() == OC' at dnnl_postops_composer.cpp: data size: # OC: #",
        ),
        (
            f"{IMPORT}-- Selu-17 with a message:\nWhile validating ONNX node '<Node(Selu): v32>': Exception from src/"
            "core/shape_inference/include/element_visitor.hpp:150:\nElement not supported\n\nSummary:\n",
            "Selu-# with a message: Element not supported",
        ),
        (
            f"{IMPORT}-- Scan-17 with a message:\nWhile validating ONNX node '<Node(Scan): output_2>': Check 'size >= "
            "initial' failed at src/frontends/onnx/frontend/src/op/scan.cpp:189:\nFrontEnd API failed with "
            "OpConversionFailure:\noutput_2 num_scan_outputs can't be negative\n\nSummary:\n",
            "Scan-# with a message: Check 'size >= initial' at scan.cpp: # num_scan_outputs can't be negative",
        ),
    ],
)
def test_openvinos_failures_are_told_apart_by_their_causes(message: str, told: str) -> None:
    assert normalise(message) == told
