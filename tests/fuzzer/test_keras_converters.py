"""Conversions of functional Keras models, and reproducers for them in fresh processes."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest

from fuzzer.converters.base import converters
from fuzzer.formats import Artifact, Format, Setting, Settings
from fuzzer.onnx_artifacts import input_names
from fuzzer.routes import Route, routes
from fuzzer.runtimes.base import runtimes
from generators.frontends.base import feeds_of, frontend
from generators.graph import Array, Case, Constant, DType, Graph, Input, Node, Ref, Value, type_of
from generators.transforms import union
from oracles.outcome import Kind, Observation, Signature, Stage, Verdict
from oracles.reproducer import render
from oracles.verification import verify

RUNTIMES = {Format.ONNX: "onnxruntime", Format.TFLITE: "litert"}
WAYS: list[tuple[str, dict[str, Setting]]] = [
    ("keras.tflite", {}),
    ("keras.tf2onnx", {}),
    ("keras.tf2onnx", {"opset": 17}),
    ("keras.onnx", {}),
    ("keras.onnx", {"opset": 17}),
]
ways = pytest.mark.parametrize(("name", "settings"), WAYS, ids=[f"{name}-{len(settings)}" for name, settings in WAYS])

X = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]], np.float32)
KERNEL = np.array([[1.0, 0.0], [2.0, -1.0], [0.0, 1.0]], np.float32)
BIAS = np.array([0.5, -0.5], np.float32)


def model_case(width: int = 2) -> Case:
    """Two inputs that differ in shape, one of them used twice; a shared layer; three outputs, one in the middle."""
    kernel = np.resize(KERNEL, (3, width)).astype(np.float32)
    bias = np.resize(BIAS, width).astype(np.float32)
    half = np.zeros((2, width), np.float32)

    def dense(of: str, to: str) -> Node:
        kwargs = (("units", width), ("weights", (Ref("k"), Ref("b"))))
        return Node("keras.layers.Dense", (Ref(of),), kwargs, (Value(to, type_of(half)),))

    nodes = (
        dense("x0", "y"),
        dense("x1", "z"),
        Node("keras.layers.Subtract", ((Ref("z"), Ref("y")),), (), (Value("d", type_of(half)),)),
        Node("keras.layers.RepeatVector", (Ref("x1"),), (("n", 2),), (Value("r", type_of(np.zeros((2, 2, 3), "f"))),)),
    )
    inputs = (Input("x0", type_of(X)), Input("x1", type_of(X)))
    graph = Graph("keras", inputs, (Constant("k", kernel), Constant("b", bias)), nodes, ("d", "y", "r"))
    return Case(graph, {"x0": X, "x1": X[:, ::-1] * 2})


def judged(name: str, case: Case, settings: Settings) -> tuple[Artifact, list[Array]]:
    """The artifact, whose outputs under every variant of the runtime are those of eager mode."""
    keras, converter = frontend("keras"), converters()[name]
    runtime = runtimes()[RUNTIMES[converter.target]]
    model = keras.load(case)
    artifact = converter.convert(model, settings)
    converter.validate(artifact, model)
    assert artifact.inputs == input_names(case.graph)
    expected = keras.execute(keras.load(case))
    for variant in runtime.variants.values():
        actual = runtime.run(runtime.load(artifact, variant), artifact, feeds_of(case))
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    return artifact, expected


def test_the_routes_are_there() -> None:
    found = set(routes(available=False))
    assert Route("keras", "keras.tflite", "litert") in found
    assert Route("keras", "keras.tf2onnx", "onnxruntime") in found
    assert Route("keras", "keras.onnx", "onnxruntime") in found
    assert Route("keras", "identity.keras", "interpreter") in found


@ways
def test_a_model_with_several_ends(name: str, settings: Settings) -> None:
    judged(name, model_case(), settings)


@ways
def test_a_union_is_one_model(name: str, settings: Settings) -> None:
    """In order, whatever the subjects call the outputs: three of each part, which differ in shape."""
    parts = [model_case(1), model_case(2), model_case(4)]
    _, together = judged(name, union(parts).case, settings)
    alone = [array for part in parts for array in judged(name, part, settings)[1]]
    assert [array.shape for array in together] == [array.shape for array in alone]


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    for name, settings in WAYS:
        converters()[name].warm_up()
        converters()[name].convert(frontend("keras").load(model_case()), settings)
    assert capfd.readouterr().out == ""


def test_tf2onnx_is_what_it_was_after_an_export() -> None:
    from tf2onnx import tfonnx
    from tf2onnx.graph import Node as TfNode

    before = tfonnx.rewrite_constant_fold, TfNode.get_value_attr
    for _ in range(2):
        artifact = converters()["keras.onnx"].convert(frontend("keras").load(model_case()), {"opset": 13})
        assert onnx.load_from_string(artifact.data).opset_import[0].version == 13
        assert (tfonnx.rewrite_constant_fold, TfNode.get_value_attr) == before


@ways
def test_a_reproducer_runs_by_itself(name: str, settings: Settings) -> None:
    """Exit status 0, since nothing is wrong, and 1 when a value is."""
    case = model_case()
    converter = converters()[name]
    runtime = runtimes()[RUNTIMES[converter.target]]
    signature = Signature(Stage.CONVERT, name, Kind.VALUE)
    script = runtime.script(list(runtime.variants.values())[-1])
    found = []
    for wrong in ("", "\nactual = [actual[0] + 1, *actual[1:]]\n"):
        text = render(
            case,
            Observation(signature, Verdict.BUG, "", (0,)),
            frontend_source=frontend("keras").source(case.graph),
            frontend="keras",
            converter_name=name,
            convert_script=converter.script(settings),
            runtime_script=script + wrong,
            versions=converter.requires,
        )
        for package in ("generators", "oracles", "fuzzer", "corpus"):
            assert f"import {package}" not in text
        done = verify(text, 1, deadline=200.0)
        found.append(done.statuses[0])
        assert "keras " in done.outputs[0], done.outputs[0]
    assert found == [0, 1]


def test_a_reproducer_holds_large_and_narrow_weights_exactly() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 20)).astype(np.float32)
    weights = {"k": rng.normal(size=(20, 8)).astype(ml_dtypes.bfloat16), "b": np.zeros(8, ml_dtypes.bfloat16)}
    kwargs = (("units", 8), ("dtype", DType("bfloat16")), ("weights", (Ref("k"), Ref("b"))))
    y = np.zeros((2, 8), ml_dtypes.bfloat16)
    node = Node("keras.layers.Dense", (Ref("x"),), kwargs, (Value("y", type_of(y)),))
    constants = tuple(Constant(name, array) for name, array in weights.items())
    case = Case(Graph("keras", (Input("x", type_of(x)),), constants, (node,), ("y",)), {"x": x})
    keras = frontend("keras")
    expected = keras.execute(keras.load(case))[0].astype(np.float64)
    text = render(
        case,
        Observation(Signature(Stage.CONVERT, "none", Kind.DTYPE), Verdict.BUG, "", (0,)),
        frontend_source=keras.source(case.graph),
        frontend="keras",
        converter_name="none",
        convert_script="artifact = b''\n",
        runtime_script=f"""
assert np.array_equal(expected[0].astype('float64'), np.array({expected.tolist()!r}))
actual = [expected[0].astype('float64')]
""",
    )
    done = verify(text, 1, deadline=200.0)
    assert done.statuses == (1,), done.outputs


@pytest.mark.parametrize("name", ["keras.tf2onnx", "keras.onnx"])
def test_slices_compute_what_their_models_do(name: str) -> None:
    keras, converter, runtime = frontend("keras"), converters()[name], runtimes()["onnxruntime"]
    cases = [model_case(2), model_case(3)]
    artifact = converter.convert(keras.load(union(cases).case), {})
    parts = converter.slices(artifact, [(len(case.graph.inputs), len(case.graph.outputs)) for case in cases])
    assert parts is not None
    for case, part in zip(cases, parts, strict=True):
        converter.validate(part, keras.load(case))
        actual = runtime.run(runtime.load(part, {}), part, feeds_of(case))
        values = keras.run(case.graph, case.feeds)
        for output, array in zip(case.graph.outputs, actual, strict=True):
            np.testing.assert_allclose(array, values[output], rtol=1e-5)
