"""ONNX models quantized by ONNX Runtime: right ones give no finding, and planted faults do."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import onnx
import pytest

from fuzzer.converters.base import converters
from fuzzer.converters.onnx import Onnx
from fuzzer.formats import Artifact, Format, Settings
from fuzzer.handling import script_of
from fuzzer.patience import within
from fuzzer.pipeline import Pipeline
from fuzzer.quantized_onnx import error_bounds
from fuzzer.runtimes.base import runtimes
from fuzzer.tasks import BatchTask, JudgeTask, Seen, Subject
from generators.frontends.base import LoadedModel, frontend
from generators.graph import Case, Constant, Graph, Node, Ref, TensorType, Value
from generators.serial import dumps
from oracles.outcome import Stage, Verdict
from oracles.verification import verify
from tests.fuzzer.graphs import given

WAYS = ("dynamic", "static")
PLAIN = ("onnx.MatMul", "onnx.Add", "onnx.Sigmoid", "onnx.Tanh", "onnx.Transpose", "onnx.Concat", "onnx.Softmax")


def layer() -> Case:
    random = np.random.default_rng(4)
    product, result = TensorType("float32", (4, 16)), TensorType("float32", (4, 16))
    nodes = (
        Node("onnx.MatMul", (Ref("x"), Ref("w")), (), (Value("product", product),)),
        Node("onnx.Sigmoid", (Ref("product"),), (), (Value("y", result),)),
    )
    weights = Constant("w", random.normal(0, 0.3, (24, 16)).astype(np.float32))
    graph = Graph("onnx", (given("x", "float32", 4, 24),), (weights,), nodes, ("y", "product"))
    return Case(graph, {"x": random.normal(0, 1, (4, 24)).astype(np.float32)})


def subject(way: str, **settings: bool) -> Subject:
    variants = tuple(("onnxruntime", variant) for variant in runtimes()["onnxruntime"].variants)
    return Subject("onnx", "onnx", {"quantization": way, "opset": 21, **settings}, variants)


def pipeline(chosen: Subject) -> Pipeline:
    return Pipeline(chosen, lambda step: None, lambda text: None, lambda: "")


def judged(chosen: Subject, case: Case) -> list[Seen]:
    [one] = pipeline(chosen).judge(JudgeTask(chosen, ((0, dumps(case)),))).results
    assert not one.refused
    return list(one.seen)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("external_data", [False, True])
def test_a_layer_is_quantized_and_right(way: str, per_channel: bool, external_data: bool) -> None:
    case = layer()
    chosen = subject(way, per_channel=per_channel, external_data=external_data)
    model = frontend("onnx").load(case)
    artifact = converters()["onnx"].convert(model, chosen.settings)
    used = {node.op_type for node in onnx.ModelProto.FromString(artifact.data).graph.node}
    assert ("MatMulInteger" if way == "dynamic" else "QuantizeLinear") in used
    bounds = error_bounds(artifact, [case.feeds["x"]])
    assert bounds.reasons == ()
    runtime = runtimes()["onnxruntime"]
    expected = frontend("onnx").execute(model)
    for settings in runtime.variants.values():
        actual = runtime.run(runtime.load(artifact, settings), artifact, [case.feeds["x"]])
        for want, got, bound in zip(expected, actual, bounds.floats, strict=True):
            assert (np.abs(want - got) <= bound).all()
        assert 0 < np.abs(expected[1] - actual[1]).max() < float(bounds.floats[1]) < 2.0
    assert judged(chosen, case) == []


@pytest.mark.parametrize("way", WAYS)
def test_random_graphs_of_plain_operators_have_no_wrong_values(way: str) -> None:
    chosen = subject(way)
    result = pipeline(chosen).batch(BatchTask(chosen, 9, 0, tuple(range(24)), 4, operators=PLAIN, pack=8))
    wrong = [
        (one.number, seen.kind, seen.message)
        for one in result.results
        for seen in one.seen
        if seen.verdict == "bug" and seen.kind in ("value", "nonfinite", "dtype", "shape", "count")
    ]
    assert wrong == []
    assert sum(not one.seen and not one.refused for one in result.results) >= 8


def initializer(model: onnx.ModelProto, change: Callable[[onnx.TensorProto], bool]) -> None:
    for tensor in model.graph.initializer:
        if change(tensor):
            return
    raise AssertionError("nothing to change")


def wrong_scale(model: onnx.ModelProto) -> None:
    def change(tensor: onnx.TensorProto) -> bool:
        if not tensor.name.startswith("w_") or not tensor.name.endswith("scale"):
            return False
        tensor.CopyFrom(onnx.numpy_helper.from_array(2 * onnx.numpy_helper.to_array(tensor), tensor.name))
        return True

    initializer(model, change)


def wrong_zero_point(model: onnx.ModelProto) -> None:
    def change(tensor: onnx.TensorProto) -> bool:
        if not tensor.name.startswith("output_1") or not tensor.name.endswith("zero_point"):
            return False
        value = onnx.numpy_helper.to_array(tensor)
        moved = np.where(value > 0, value - 60, value + 60).astype(value.dtype)
        tensor.CopyFrom(onnx.numpy_helper.from_array(moved, tensor.name))
        return True

    initializer(model, change)


@pytest.mark.parametrize("change", [wrong_scale, wrong_zero_point])
def test_planted_parameters_are_found(
    change: Callable[[onnx.ModelProto], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Onnx.convert

    def convert(self: Onnx, model: LoadedModel, settings: Settings) -> Artifact:
        artifact = original(self, model, settings)
        proto = onnx.ModelProto.FromString(artifact.data)
        change(proto)
        return Artifact(artifact.format, proto.SerializeToString(), artifact.inputs, artifact.outputs)

    monkeypatch.setattr(Onnx, "convert", convert)
    found = [one for one in judged(subject("static"), layer()) if one.verdict == Verdict.BUG.value]
    assert [(one.stage, one.component, one.kind) for one in found] == [(Stage.CONVERT.value, "onnx", "value")]


@pytest.mark.parametrize("output", ["scale", "zero"])
def test_a_scale_that_the_graph_returns_moves_with_what_it_is_of(output: str) -> None:
    base = layer()
    results = (
        Value("q", TensorType("uint8", (4, 16))),
        Value("scale", TensorType("float32", ())),
        Value("zero", TensorType("uint8", ())),
    )
    asked = Node("onnx.DynamicQuantizeLinear", (Ref("product"),), (), results, unpack=True)
    graph = Graph("onnx", base.graph.inputs, base.graph.constants, (base.graph.nodes[0], asked), (output,))
    case = Case(graph, base.feeds)
    chosen = subject("dynamic")
    assert [one for one in judged(chosen, case) if one.verdict == Verdict.BUG.value] == []
    artifact = converters()["onnx"].convert(frontend("onnx").load(case), chosen.settings)
    [bound] = error_bounds(artifact, [case.feeds["x"]]).floats
    assert (0 < bound < 0.1) if output == "scale" else np.isinf(bound)


def test_a_quantizer_that_hangs_is_an_exception() -> None:
    def forever() -> None:
        with within(1, "quantizing"):
            while True:
                pass

    with pytest.raises(TimeoutError, match="after 1 s"):
        forever()
    done = threading.Event()

    def elsewhere() -> None:
        with within(1, "quantizing"):
            done.set()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert done.is_set()


@pytest.mark.parametrize("way", WAYS)
def test_the_script_runs_by_itself(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a bound that nothing exceeds it shows nothing."""
    from oracles.outcome import Kind, Observation, Signature

    case, chosen = layer(), subject(way, per_channel=True)
    signature = Signature(Stage.CONVERT, "onnx", Kind.VALUE)
    seen = Observation(signature, Verdict.BUG, settings="onnxruntime optimized", numbers={"bound": 1.0})
    script = script_of(case, seen, frontend("onnx").source(case.graph), chosen, converters()["onnx"])
    assert "per_channel=True" in script
    done = verify(script, 1)
    assert done.statuses == (0,), done.outputs[0][-2000:]


def test_what_cannot_be_calibrated_is_unsupported() -> None:
    node = Node("onnx.Constant", (), (("value_float", 0.5),), (Value("y", TensorType("float32", ())),))
    case = Case(Graph("onnx", (), (), (node,), ("y",)), {})
    [seen] = judged(subject("static"), case)
    assert (seen.kind, seen.verdict) == ("unsupported", "pass")
    assert seen.detail == "calibration of a model that has nothing to calibrate"


@pytest.mark.parametrize("constant", [False, True])
def test_nan_has_no_scale(constant: bool) -> None:
    extent = TensorType("float32", (1, 1, 2))
    root = Node("onnx.Sqrt", (Ref("x"),), (), (Value("root", extent),))
    result = (Value("y", TensorType("float32", (1, 1, 1))),)
    product = Node("onnx.Conv", (Ref("x" if constant else "root"), Ref("w")), (), result)
    weights = np.array([[[1.0, np.nan if constant else 1.0]]], np.float32)
    inputs, constants = (given("x", "float32", 1, 1, 2),), (Constant("w", weights),)
    graph = Graph("onnx", inputs, constants, (product,) if constant else (root, product), ("y",))
    [seen] = judged(subject("static"), Case(graph, {"x": np.full((1, 1, 2), -1.0, np.float32)}))
    assert (seen.kind, seen.verdict) == ("unsupported", "pass")
    assert seen.detail == "quantization of NaN"


def test_a_zero_point_may_be_left_out_before_one_that_is_there() -> None:
    a, b = np.array([[1, -2, 3]], np.int8), np.array([[4], [5], [6]], np.int8)
    node = onnx.helper.make_node("MatMulInteger", ["a", "b", "", "zero"], ["y"])
    graph = onnx.helper.make_graph(
        [node],
        "graph",
        [onnx.helper.make_tensor_value_info("a", onnx.TensorProto.INT8, [1, 3])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT32, [1, 1])],
        [onnx.numpy_helper.from_array(b, "b"), onnx.numpy_helper.from_array(np.array(2, np.int8), "zero")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
    bounds = error_bounds(Artifact(Format.ONNX, model.SerializeToString(), ("a",), ("y",)), [a])
    assert not bounds.reasons
    assert all(np.isfinite(bound).all() for bound in (*bounds.floats, *bounds.kernels))
