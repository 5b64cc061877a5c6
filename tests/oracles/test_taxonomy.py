"""Stage, symptom and cause of findings, most of them real ones, and the rules that decide."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from generators.graph import Case, Graph, Input, Node, Ref, TensorType, Value
from oracles.causes import CAUSE_RULES, cause_rules
from oracles.outcome import Kind, Signature, Stage, Symptom, symptom_of
from oracles.taxonomy import NOTHING_TELLS, Cause, Classification, classify, stage_rules


def case(*targets: str, dtype: str = "float32") -> Case:
    """A chain of calls with one operand each."""
    kind = TensorType(dtype, (2,))
    names = ["x", *(f"v{number}" for number in range(len(targets)))]
    nodes = tuple(
        Node(target, (Ref(operand),), (), (Value(name, kind),))
        for target, operand, name in zip(targets, names, names[1:], strict=False)
    )
    return Case(Graph("torch", (Input("x", kind),), (), nodes, (names[-1],)), {"x": np.ones(2, dtype)})


def found(stage: Stage, component: str, kind: Kind, detail: str = "", **known: Any) -> Classification:
    return classify(Signature(stage, component, kind, detail), **{"converter": component, **known})


#: Details of real findings as they were recorded: where they were seen, and what is to be told of them.
REFUSED = [
    (
        (Stage.VALIDATE, "torch.onnx-dynamo", Kind.INVALID),
        "onnx.checker: [ShapeInferenceError] (op_type:Gemm): A typestr: T, has unsupported type: tensor(uint8)",
        (Stage.CONVERT, Cause.OPERATOR_TYPE),
    ),
    (
        (Stage.VALIDATE, "torch.onnx-torchscript", Kind.INVALID),
        "onnx.checker: [ShapeInferenceError] Inference error(s): (op_type:ReduceMax): [ShapeInferenceError] axis must"
        " be in [-rank, rank-#]. Input rank was #",
        (Stage.CONVERT, Cause.SHAPE),
    ),
    (
        (Stage.VALIDATE, "torch.onnx-torchscript", Kind.INVALID),
        "output #: declared float32[#], the graph has int64[#]",
        (Stage.CONVERT, Cause.TENSOR_DTYPE),
    ),
    (
        (Stage.VALIDATE, "torch.onnx-torchscript", Kind.INVALID),
        "output #: declared float32[#], the graph has float32[]",
        (Stage.CONVERT, Cause.SHAPE),
    ),
    (
        (Stage.VALIDATE, "tf2onnx", Kind.INVALID),
        "onnx.checker: No opset import for domain 'com.microsoft' ==> Context: Bad node spec for node. OpType: Loop",
        (Stage.EXPORT, Cause.MISCONFIGURATION),
    ),
    (
        (Stage.VALIDATE, "keras.onnx", Kind.INVALID),
        "the model asks for # input(s) that the graph does not have",
        (Stage.LOAD, Cause.WRONG_TRACING),
    ),
    (
        (Stage.VALIDATE, "keras.tf2onnx", Kind.INVALID),
        "onnx.checker: No Op registered for TensorListReserve with domain_version of # ==> Context: Bad node spec",
        (Stage.CONVERT, Cause.EXTERNAL),
    ),
    (
        (Stage.EXPORT, "tf2onnx", Kind.EXCEPTION),
        "AttributeError: module 'numpy' has no attribute 'product' @ tf2onnx.graph.get_value_attr",
        (Stage.EXPORT, Cause.EXTERNAL),
    ),
    (
        (Stage.CONVERT, "tf2onnx", Kind.EXCEPTION),
        "AttributeError: 'int' object has no attribute 'tolist' @ tf2onnx.onnx_opset.reduction.any_version",
        (Stage.CONVERT, Cause.VARIABLE_TYPE),
    ),
    (
        (Stage.CONVERT, "torch.onnx-dynamo", Kind.EXCEPTION),
        "ValueError: Required parameter 'dim' is not provided. Signature: pkg.onnxscript.torch_lib::aten_amax(self: …"
        " @ torch.onnx._internal.exporter._building._construct_named_inputs_and_attrs",
        (Stage.CONVERT, Cause.API_MISUSE),
    ),
    (
        (Stage.CONVERT, "tflite", Kind.EXCEPTION),
        "ConverterError: failed to legalize operation 'tfl.concatenation' that was explicitly marked illegal"
        " @ tensorflow.lite.python.convert.convert",
        (Stage.CONVERT, Cause.INTERNAL),
    ),
    (
        (Stage.CONVERT, "tflite", Kind.EXCEPTION),
        "RuntimeError @ tensorflow.compiler.mlir.lite.python.wrap_converter.wrapped_experimental_mlir_quantize",
        (Stage.CONVERT, Cause.EXCEPTION_HANDLING),
    ),
    ((Stage.OPTIMIZE, "tflite", Kind.SIGNAL), "SIGABRT", (Stage.OPTIMIZE, Cause.EXCEPTION_HANDLING)),
    ((Stage.CONVERT, "tflite", Kind.SIGNAL), "SIGSEGV", (Stage.CONVERT, Cause.OTHER)),
    (
        (Stage.CONVERT, "some", Kind.EXCEPTION),
        "NameError: name 'axsi' is not defined @ some.a",
        (Stage.CONVERT, Cause.TYPO),
    ),
    (
        (Stage.CONVERT, "some", Kind.EXCEPTION),
        "UnboundLocalError: cannot access local variable 'axis' @ some.a",
        (Stage.CONVERT, Cause.ASSIGNMENT),
    ),
    (
        (Stage.UNKNOWN, "some", Kind.EXCEPTION),
        "RuntimeError: boom",
        (Stage.UNKNOWN, Cause.OTHER),
    ),
]


@pytest.mark.parametrize(("seen", "detail", "expected"), REFUSED, ids=[detail[:40] for _, detail, _ in REFUSED])
def test_refusals_and_crashes_of_converters(
    seen: tuple[Stage, str, Kind], detail: str, expected: tuple[Stage, Cause]
) -> None:
    one = found(*seen, detail)
    assert (one.stage, one.cause) == expected, one
    assert one.symptom is symptom_of(seen[2])
    assert one.distinguishable == (expected[0] is not Stage.UNKNOWN)


def test_every_complaint_keeps_its_words_where_they_were_cut_off() -> None:
    detail = "Fail: Exception during initialization: reverse_sequence.h:# onnxruntime::Reverse… @ onnxruntime.x"
    message = "Fail: reverse_sequence.h:40 ReverseSequenceOp(const OpKernelInfo&) batch_axis < 2 was false."
    signature = Signature(Stage.RUNTIME_LOAD, "onnxruntime", Kind.EXCEPTION, detail)
    assert classify(signature, converter="tf2onnx", message=message).cause is Cause.SHAPE
    assert classify(signature, converter="tf2onnx").cause is Cause.EXTERNAL


def test_a_wrong_result_of_one_operator_is_its_conversion() -> None:
    one = found(Stage.CONVERT, "tf2onnx", Kind.VALUE, case=case("tf.truncatediv"))
    assert (one.stage, one.stage_rule) == (Stage.CONVERT, "one operator suffices")
    assert (one.symptom, one.cause) == (Symptom.WRONG_MODEL, Cause.OTHER_ALGORITHM)
    of_type = found(Stage.CONVERT, "tf2onnx", Kind.VALUE, case=case("tf.math.floordiv", dtype="int64"))
    assert of_type.cause is Cause.OPERATOR_TYPE
    # Before minimization nothing is known of what is needed.
    raw = found(Stage.CONVERT, "tf2onnx", Kind.VALUE, case=case("tf.truncatediv", dtype="int64"), minimized=False)
    assert (raw.stage, raw.stage_rule, raw.cause) == (Stage.UNKNOWN, NOTHING_TELLS, Cause.OTHER_ALGORITHM)


@pytest.mark.parametrize(
    ("kind", "cause"),
    [(Kind.DTYPE, Cause.TENSOR_DTYPE), (Kind.SHAPE, Cause.SHAPE), (Kind.COUNT, Cause.ASSIGNMENT)],
)
def test_what_is_wrong_about_an_output_is_its_cause(kind: Kind, cause: Cause) -> None:
    assert found(Stage.CONVERT, "tf2onnx", kind, case=case("tf.exp")).cause is cause


def several(**known: Any) -> Classification:
    both = case("torch.relu", "torch.exp")
    return found(Stage.CONVERT, "torch.onnx-dynamo", Kind.VALUE, case=both, **known)


def test_a_wrong_result_of_several_operators_is_told_by_experiments_alone() -> None:
    assert not several().distinguishable
    assert several(options={"optimize": False}).stage is Stage.CONVERT
    assert several(options={"quantization": "int8"}).stage is Stage.CONVERT
    optimizer = several(evidence={"part off: onnxscript.optimizer": "right"})
    assert (optimizer.stage, optimizer.cause) == (Stage.OPTIMIZE, Cause.WRONG_OPTIMIZATION)
    assert several(evidence={"part off: constant folding": "the same failure"}).stage is Stage.CONVERT
    loading = several(evidence={"exported form: torch.export": "the same failure"})
    assert (loading.stage, loading.cause) == (Stage.LOAD, Cause.WRONG_TRACING)
    assert several(evidence={"decomposed form: torch.export": "the same failure"}).stage is Stage.CONVERT


@pytest.mark.parametrize(
    "evidence",
    [
        {"part off: onnxscript.optimizer": "no vote"},
        {"part off: something else": "right"},
        {"same runtime: onnxruntime unoptimized": "the same failure"},
        {"exported form: torch.export": "right"},
    ],
)
def test_experiments_without_an_answer_tell_nothing(evidence: dict[str, str]) -> None:
    assert several(evidence=evidence).stage is Stage.UNKNOWN


def test_a_runtime_that_fails_only_where_it_optimizes() -> None:
    def of(detail: str, settings: tuple[str, ...], kind: Kind = Kind.VALUE) -> Classification:
        signature = Signature(Stage.INFERENCE, "onnxruntime", kind, detail)
        return classify(signature, converter="onnx", settings=settings, case=case("onnx.Neg"))

    one = of("optimized", ("optimized", "extended"))
    assert (one.stage, one.cause) == (Stage.OPTIMIZE, Cause.WRONG_OPTIMIZATION)
    assert of("optimized against unoptimized", ("optimized",)).stage is Stage.OPTIMIZE
    assert of("unoptimized, optimized", ("unoptimized", "optimized")).stage is Stage.INFERENCE
    crash = "Fail: Node (q) Op (QuantizeLinear) [TypeInferenceError] output_dtype INT8 @ onnxruntime.capi"
    assert of(crash, ("optimized",), Kind.EXCEPTION).stage is Stage.OPTIMIZE
    invalid = of(crash, ("unoptimized",), Kind.EXCEPTION)
    assert (invalid.stage, invalid.cause) == (Stage.CONVERT, Cause.OPERATOR_TYPE)
    # Folding constants, the optimizer makes kernels earlier that fail in any case.
    assert of("Fail: Exception during initialization: a.h:#", ("optimized",), Kind.EXCEPTION).stage is Stage.INFERENCE


def test_what_a_runtime_refuses_is_the_converters_where_the_blame_is() -> None:
    signature = Signature(Stage.INFERENCE, "onnxruntime", Kind.EXCEPTION, "Fail: Slice: Ends must be a #-D array @ o.n")
    assert classify(signature, converter="tf2onnx").stage is Stage.INFERENCE
    blamed = classify(signature, converter="tf2onnx", blamed="tf2onnx")
    assert (blamed.stage, blamed.stage_rule) == (Stage.CONVERT, "blame: what the runtime fails at is the converter's")


def test_a_model_that_was_handed_on_is_refused_by_a_wrong_validator() -> None:
    seen = Signature(
        Stage.VALIDATE, "onnx", Kind.INVALID, "onnx.checker: (op_type:STFT): Inferred shape and existing …"
    )
    assert classify(seen, converter="onnx").stage is Stage.VALIDATE
    assert classify(seen, converter="onnx", options={"quantization": "static"}).stage is Stage.CONVERT


def test_an_exported_program_that_computes_wrongly_was_loaded_wrongly() -> None:
    def of(settings: tuple[str, ...], **options: object) -> Classification:
        signature = Signature(Stage.CONVERT, "torch.export", Kind.VALUE)
        both = case("torch.relu", "torch.exp")
        return classify(signature, converter="torch.export", settings=settings, options=options, case=both)

    assert of(("torch.export.module eager",)).stage is Stage.LOAD
    assert of(("torch.export.module eager",)).cause is Cause.WRONG_TRACING
    assert of(("torch.export.module eager",), decompose=True).stage is Stage.UNKNOWN
    assert of(("inductor cpu",)).stage is Stage.UNKNOWN


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_class(kind: Kind) -> None:
    one = found(Stage.CONVERT, "tf2onnx", kind, "SIGSEGV", case=case("tf.exp"))
    assert one.symptom is symptom_of(kind)
    assert one.stage_rule in stage_rules()
    assert one.cause_rule in cause_rules()
    assert (one.symptom is Symptom.HANG) == (kind is Kind.HANG)


def test_rules_have_names_of_their_own_and_the_last_one_takes_all() -> None:
    assert len(set(stage_rules())) == len(stage_rules())
    assert len(set(cause_rules())) == len(cause_rules())
    assert CAUSE_RULES[-1].cause is Cause.OTHER
    assert {cause.group for cause in Cause} >= {"incompatibility", "type problem", "algorithmic error"}
