"""Quantized TFLite models: converted, run, judged; correct ones give no finding, and planted faults do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from fuzzer import quantized_tflite, verdicts
from fuzzer.converters.base import converters
from fuzzer.converters.tflite import TFLite
from fuzzer.formats import Artifact, Settings
from fuzzer.handling import script_of
from fuzzer.pipeline import Pipeline
from fuzzer.runtimes.base import runtimes
from fuzzer.runtimes.litert import LiteRT
from fuzzer.tasks import BatchResult, BatchTask, JudgeTask, Seen, Subject
from generators.frontends.base import LoadedModel, frontend
from generators.graph import Array, Case, Constant, Graph, Node, Ref, TensorType, Value
from generators.serial import dumps
from oracles.outcome import Kind, Stage, Verdict
from oracles.verification import verify
from tests.fuzzer.graphs import given

WAYS = ("dynamic", "float16", "int8", "int8_io")
#: Operators that the quantizer knows and that lose nothing to it beyond what is bounded.
PLAIN = (
    *("tf.add", "tf.subtract", "tf.multiply", "tf.math.sigmoid", "tf.math.tanh", "tf.nn.softmax", "tf.reshape"),
    *("tf.transpose", "tf.concat", "tf.nn.relu", "tf.math.reduce_mean", "tf.linalg.matmul", "tf.nn.conv2d"),
)


def dense() -> Case:
    """A layer: a product with weights of over a thousand elements (fewer are left alone by dynamic-range quantization),
    a bias, a nonlinear function, and an integer beside it."""
    random = np.random.default_rng(3)
    f32 = functools.partial(TensorType, "float32")
    nodes = (
        Node("tf.linalg.matmul", (Ref("x"), Ref("w")), (), (Value("product", f32((4, 32))),)),
        Node("tf.add", (Ref("product"), Ref("b")), (), (Value("sum", f32((4, 32))),)),
        Node("tf.math.tanh", (Ref("sum"),), (), (Value("y", f32((4, 32))),)),
        Node("tf.add", (Ref("n"), Ref("n")), (), (Value("m", TensorType("int32", (3,))),)),
    )
    constants = (
        Constant("w", (random.normal(0, 0.3, (64, 32))).astype(np.float32)),
        Constant("b", random.normal(0, 1, 32).astype(np.float32)),
    )
    inputs = (given("x", "float32", 4, 64), given("n", "int32", 3))
    feeds = {"x": random.normal(0, 1, (4, 64)).astype(np.float32), "n": np.array([1, -7, 2**30], np.int32)}
    return Case(Graph("tensorflow", inputs, constants, nodes, ("y", "m", "product")), feeds)


def subject(way: str, converter: str = "tflite") -> Subject:
    variants = tuple(("litert", variant) for variant in runtimes()["litert"].variants)
    source = converters()[converter].source.value
    return Subject(source, converter, {"quantization": way}, variants)


def pipeline(chosen: Subject) -> Pipeline:
    return Pipeline(chosen, lambda step: None, lambda text: None, lambda: "")


def judged(way: str, case: Case) -> list[Seen]:
    result: BatchResult = pipeline(subject(way)).judge(JudgeTask(subject(way), ((0, dumps(case)),)))
    [one] = result.results
    assert not one.refused
    return list(one.seen)


def bugs(seen: list[Seen]) -> list[Seen]:
    return [one for one in seen if one.verdict == Verdict.BUG.value]


@pytest.mark.parametrize("way", WAYS)
def test_a_layer_is_quantized_and_right(way: str) -> None:
    case = dense()
    model = frontend("tensorflow").load(case)
    converter = converters()["tflite"]
    plain = converter.convert(model, {})
    artifact = converter.convert(model, {"quantization": way})
    converter.validate(artifact, model)
    assert len(artifact.data) < 0.8 * len(plain.data)
    assert judged(way, case) == []


@pytest.mark.parametrize("way", WAYS)
def test_bounds_are_near_the_error_and_nothing_for_integers(way: str) -> None:
    case = dense()
    model = frontend("tensorflow").load(case)
    converter = converters()["tflite"]
    feeds = [case.feeds[value.name] for value in case.graph.inputs]
    artifact = converter.convert(model, {"quantization": way})
    bounds = converter.error_bounds(artifact, feeds, {"quantization": way})
    assert bounds is not None
    assert bounds.reasons == ()
    assert not bounds.floats[1].any()
    runtime = LiteRT()
    expected = frontend("tensorflow").execute(model)
    for variant in runtime.variants.values():
        actual = runtime.run(runtime.load(artifact, variant), artifact, feeds)
        for want, got, bound in zip(expected, actual, bounds.floats, strict=True):
            assert (np.abs(want.astype(np.float64) - got) <= bound + 1e-5).all()
        error = np.abs(expected[2] - actual[2]).max()
        # Worst cases add up in a bound, errors mostly cancel in a sum of 64 products.
        assert 0 < error < float(np.max(bounds.floats[2])) < 200 * error
    assert converter.error_bounds(artifact, feeds, {}) is None


def test_a_kernel_may_be_one_step_off_in_one_operator() -> None:
    x = np.linspace(-1, 1, 12, dtype=np.float32)
    node = Node("tf.math.tanh", (Ref("x"),), (), (Value("y", TensorType("float32", (12,))),))
    case = Case(Graph("tensorflow", (given("x", "float32", 12),), (), (node,), ("y",)), {"x": x})
    model = frontend("tensorflow").load(case)
    artifact = converters()["tflite"].convert(model, {"quantization": "int8_io"})
    bounds = quantized_tflite.error_bounds(artifact, [x])
    [step] = {detail["quantization"][0] for detail, _ in LiteRT().tensors(artifact, [x]) if detail["index"] == 1}
    # The input may be off by a step, too, when it is fed; the derivative of tanh is at most one.
    assert step < float(np.max(bounds.kernels[0])) <= 1.0001 * (step + 2 / 255)


@pytest.mark.parametrize("way", WAYS)
def test_random_graphs_of_plain_operators_have_no_findings(way: str) -> None:
    task = BatchTask(subject(way), 8, 0, tuple(range(24)), 4, operators=PLAIN, pack=12)
    result = pipeline(subject(way)).batch(task)
    # What the converter does wrong without quantization is another matter.
    plain = pipeline(subject("none")).batch(msgspec.structs.replace(task, subject=subject("none")))
    known = {one.number for one in plain.results if bugs(list(one.seen))}
    passed = [one for one in result.results if not one.seen and not one.refused]
    found = [
        (one.number, seen.kind, seen.detail, seen.message)
        for one in result.results
        for seen in one.seen
        if one.number not in known
        and seen.verdict == "bug"
        and seen.kind in ("value", "nonfinite", "dtype", "shape", "count", "invalid")
    ]
    assert found == []
    assert len(passed) >= 8


def patched(artifact: Artifact, change: Callable[[Any], None]) -> Artifact:
    """The artifact with its FlatBuffer changed."""
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(artifact.data))
    change(model)
    data = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    return Artifact(artifact.format, data, artifact.inputs, artifact.outputs)


def parameters(model: Any, wanted: Callable[[Any, bool], bool]) -> list[Any]:
    """Quantization parameters of the tensors, told by themselves and by whether they are constants."""
    graph = model.subgraphs[0]
    constant = [model.buffers[tensor.buffer].data is not None for tensor in graph.tensors]
    pairs = zip(graph.tensors, constant, strict=True)
    return [tensor.quantization for tensor, held in pairs if wanted(tensor, held)]


def scaled(tensor: Any) -> bool:
    return tensor.quantization is not None and tensor.quantization.scale is not None


def wrong_scale(model: Any) -> None:
    large = lambda tensor: len(tensor.shape) == 2 and min(tensor.shape) > 1  # noqa: E731
    [weights] = parameters(model, lambda tensor, held: held and scaled(tensor) and large(tensor))
    weights.scale = [1.5 * scale for scale in weights.scale]


def wrong_zero_point(model: Any) -> None:
    for activation in parameters(model, lambda tensor, held: not held and scaled(tensor)):
        if abs(activation.scale[0] - 1 / 128) > 1e-6:  # kernels insist on that of tanh
            activation.zeroPoint = [zero + 60 for zero in activation.zeroPoint]


def narrow_range(model: Any) -> None:
    for activation in parameters(model, lambda tensor, held: not held and scaled(tensor))[1:]:
        if abs(activation.scale[0] - 1 / 128) > 1e-6:
            activation.scale = [scale / 3 for scale in activation.scale]


@pytest.mark.parametrize(
    ("way", "change"),
    [
        ("dynamic", wrong_scale),
        ("int8", wrong_scale),
        ("int8", wrong_zero_point),
        ("int8", narrow_range),
        ("int8_io", wrong_scale),
    ],
)
def test_planted_parameters_are_found(way: str, change: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch) -> None:
    original = TFLite.convert

    def convert(self: TFLite, model: LoadedModel, settings: Settings) -> Artifact:
        return patched(original(self, model, settings), change)

    monkeypatch.setattr(TFLite, "convert", convert)
    found = bugs(judged(way, dense()))
    assert [(one.stage, one.component, one.kind) for one in found] == [(Stage.CONVERT.value, "tflite", "value")]
    assert found[0].numbers["error"] > found[0].numbers["bound"] > 0


@pytest.fixture
def shifted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[list[Seen], Case]]:
    """What is seen of a layer when some kernels are off by more than the others may be, and by less than quantization
    may be off from the float model."""
    load, run = LiteRT.load, LiteRT.run

    def loaded(self: LiteRT, artifact: Artifact, settings: Settings) -> Any:
        session = load(self, artifact, settings)
        session.kernels = "" if settings.get("preserve") else settings["kernels"]  # type: ignore[attr-defined]
        return session

    def seen(kernels: str) -> tuple[list[Seen], Case]:
        case = dense()
        model = frontend("tensorflow").load(case)
        feeds = [case.feeds[value.name] for value in case.graph.inputs]
        bounds = quantized_tflite.error_bounds(converters()["tflite"].convert(model, {"quantization": "int8"}), feeds)
        offset = (1.1 * bounds.kernels[2]).astype(np.float32)
        assert (offset < 0.85 * bounds.floats[2]).all()

        def wrong(self: LiteRT, session: Any, artifact: Artifact, feeds: list[Array]) -> list[Array]:
            results = run(self, session, artifact, feeds)
            if session.kernels == kernels:
                results[2] = results[2] + offset
            return results

        monkeypatch.setattr(LiteRT, "load", loaded)
        monkeypatch.setattr(LiteRT, "run", wrong)
        return bugs(judged("int8", case)), case

    return seen


@pytest.mark.parametrize(
    ("kernels", "details"),
    [
        # With two threads as well: one defect.
        ("xnnpack", {"xnnpack against reference"}),
        # It is the one that is farther from the float model.
        ("reference", {"reference against xnnpack"}),
    ],
)
def test_kernels_that_are_off_by_too_much_are_found(
    shifted: Callable[[str], tuple[list[Seen], Case]], kernels: str, details: set[str]
) -> None:
    found, case = shifted(kernels)
    assert {one.detail for one in found} == details
    assert len(found) == 1
    assert found[0].settings == ("xnnpack, xnnpack-threads" if kernels == "xnnpack" else kernels)
    assert all((one.stage, one.component, one.kind) == ("inference", "litert", "value") for one in found)
    # Its reproducer holds the two kernels against each other. They agree, once the planted fault is gone.
    source = frontend("tensorflow").source(case.graph)
    script = script_of(case, found[0].observation(), source, subject("int8"), converters()["tflite"])
    assert "BUILTIN_REF" in script
    if kernels == "xnnpack":
        done = verify(script, 1)
        assert done.statuses == (0,), done.outputs[0][-2000:]


def test_what_no_kernel_runs_is_bounded_by_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    case = dense()
    model = frontend("tensorflow").load(case)
    artifact = converters()["tflite"].convert(model, {"quantization": "int8"})

    def fail(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(LiteRT, "tensors", fail)
    bounds = quantized_tflite.error_bounds(artifact, [case.feeds["x"], case.feeds["n"]])
    assert all(np.isinf(bound).all() for bound in bounds.floats)
    assert bounds.reasons == ("the reference kernels fail: RuntimeError",)


def test_infinities_are_not_calibrated_with() -> None:
    """A scale that is not finite ends the process of the converter (tensorflow 2.21)."""
    case = dense()
    feeds = {**case.feeds, "x": np.where(np.arange(256).reshape(4, 64) == 5, np.inf, case.feeds["x"])}
    assert not bugs(judged("int8", Case(case.graph, feeds)))


def test_the_script_of_a_quantized_model_runs_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is set to nothing, so that the script shows what quantization does."""
    case, way = dense(), "int8_io"
    with monkeypatch.context() as patch:
        patch.setattr(verdicts, "judge_quantized", lambda *given, **more: verdicts.judge(*given[:4], **more))
        seen = bugs(judged(way, case))[0].observation()
    assert seen.signature.kind is Kind.VALUE
    script = script_of(case, seen, frontend("tensorflow").source(case.graph), subject(way), converters()["tflite"])
    assert "inference_input_type" in script
    done = verify(script, 1)
    assert done.statuses == (1,), done.outputs[0][-2000:]
