"""The artifact of a union, cut into the parts of its graphs: each computes what its graph does and fails for itself."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from fuzzer.converters.base import converters
from fuzzer.formats import Artifact, Format
from fuzzer.onnx_slices import slices
from fuzzer.pipeline import Pipeline
from fuzzer.runtimes.base import runtimes
from fuzzer.tasks import JudgeTask, Subject
from generators.frontends.base import feeds_of, frontend
from generators.graph import Case, Graph, Node, Ref, TensorType, Value
from generators.serial import dumps
from generators.transforms import union
from oracles.outcome import Kind
from tests.fuzzer.graphs import constants_only, given, mapping, ramp, through, unary

#: Graphs of Keras cannot hold what is asked here: tests/fuzzer/test_keras_converters.py asks something of its own.
CONVERTERS = [
    name
    for name, converter in converters().items()
    if converter.sliceable and converter.source is not Format.KERAS and not converter.own_models
]


@pytest.mark.parametrize("name", CONVERTERS)
def test_slices_compute_what_their_graphs_do(name: str) -> None:
    converter, runtime = converters()[name], runtimes()["onnxruntime"]
    ours = frontend(converter.source.value)
    cases = [
        mapping(ours.name),
        unary(ours.name, "exp", "float32", 2, 3),
        constants_only(ours.name),
        through(ours.name, "float32"),
    ]
    artifact = converter.convert(ours.load(union(cases).case), {})
    parts = converter.slices(artifact, [(len(case.graph.inputs), len(case.graph.outputs)) for case in cases])
    assert parts is not None
    for case, part in zip(cases, parts, strict=True):
        converter.validate(part, ours.load(case))
        actual = runtime.run(runtime.load(part, {}), part, feeds_of(case))
        for got, want in zip(actual, ours.execute(ours.load(case)), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6)
    sizes = [len(onnx.ModelProto.FromString(part.data).graph.node) for part in parts]
    assert sum(sizes) <= len(onnx.ModelProto.FromString(artifact.data).graph.node)


def test_bodies_take_what_they_capture_along() -> None:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    body = helper.make_graph(
        [helper.make_node("Add", ["outside", "held"], ["inner"])],
        "then",
        [],
        [helper.make_tensor_value_info("inner", kind, (2,))],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Exp", ["input_0"], ["outside"]),
            helper.make_node("If", ["input_1"], ["output_0"], then_branch=body, else_branch=body),
            helper.make_node("Neg", ["input_2"], ["output_1"]),
        ],
        "g",
        [
            helper.make_tensor_value_info("input_0", kind, (2,)),
            helper.make_tensor_value_info("input_1", onnx.TensorProto.BOOL, ()),
            helper.make_tensor_value_info("input_2", kind, (2,)),
        ],
        [helper.make_tensor_value_info(name, kind, (2,)) for name in ("output_0", "output_1")],
        [onnx.numpy_helper.from_array(np.ones(2, np.float32), "held")],
    )
    data = helper.make_model(graph).SerializeToString()
    artifact = Artifact(Format.ONNX, data, ("input_0", "input_1", "input_2"), ("output_0", "output_1"))
    parts = slices(artifact, [(2, 1), (1, 1)])
    assert parts is not None
    first, second = (onnx.ModelProto.FromString(part.data).graph for part in parts)
    assert [node.op_type for node in first.node] == ["Exp", "If"]
    assert [entry.name for entry in first.initializer] == ["held"]
    assert [node.op_type for node in second.node] == ["Neg"]
    assert [value.name for value in second.input] == ["input_2"]
    assert not second.initializer


def test_an_artifact_with_other_outputs_is_not_cut() -> None:
    converter, ours = converters()["torch.onnx-torchscript"], frontend("torch")
    artifact = converter.convert(ours.load(mapping("torch")), {})
    assert slices(artifact, [(4, 11), (0, 0)]) is None


def invalid() -> Case:
    """torch.onnx-torchscript forgets the cast of integers that Log wants."""
    kind = TensorType("float32", (2,))
    node = Node("torch.log", (Ref("x"),), (), (Value("y", kind),))
    return Case(Graph("torch", (given("x", "int64", 2),), (), (node,), ("y",)), {"x": ramp("int64", 2)})


def test_an_invalid_graph_costs_its_pack_no_conversion() -> None:
    name = "torch.onnx-torchscript"
    subject = Subject("torch", name, {}, (("onnxruntime", "unoptimized"), ("onnxruntime", "optimized")))
    cases = [unary("torch", "exp", "float32", 2, 3), invalid(), mapping("torch"), invalid()]
    pipeline = Pipeline(subject, lambda step: None, lambda text: None, lambda: "")
    result = pipeline.judge(JudgeTask(subject, tuple(enumerate(map(dumps, cases)))))
    assert [[seen.kind for seen in item.seen] for item in result.results] == [[], [Kind.INVALID], [], [Kind.INVALID]]
    assert result.conversions == 1
