from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest

from fuzzer.converters._torch_registry import warm_registry
from fuzzer.converters.base import Converter, converters
from fuzzer.failures import describe_exception
from fuzzer.formats import Artifact, Format, InvalidModel, Setting, Settings, Unsupported
from fuzzer.onnx_artifacts import input_names, validate_onnx
from fuzzer.runtimes.base import Runtime, runtimes
from generators.choices import SeededChoices
from generators.frontends.base import LoadedModel, feeds_of, frontend
from generators.graph import Array, Case, Constant, Graph, Input, Node, Ref, TensorType, Value
from generators.random_graphs import Weights, grow
from oracles.outcome import Stage
from tests.fuzzer.graphs import call, constants_only, given, mapping, ramp, through, unary

RUNTIMES = {Format.ONNX: "onnxruntime", Format.TFLITE: "litert"}
#: Every converter, and the settings that change the way names and values take.
WAYS: list[tuple[str, dict[str, Setting]]] = [
    ("torch.onnx-dynamo", {}),
    ("torch.onnx-dynamo", {"optimize": False, "opset": 18}),
    ("torch.onnx-torchscript", {}),
    ("torch.onnx-torchscript", {"keep_initializers_as_inputs": True, "do_constant_folding": False, "opset": 17}),
    ("tf2onnx", {}),
    ("tflite", {}),
]
NAMES = sorted({name for name, _ in WAYS})
ways = pytest.mark.parametrize(("name", "settings"), WAYS, ids=[f"{name}-{len(settings)}" for name, settings in WAYS])


def subject(name: str) -> tuple[Converter, Runtime]:
    converter = converters()[name]
    return converter, runtimes()[RUNTIMES[converter.target]]


def prepared(converter: Converter, case: Case) -> tuple[LoadedModel, list[Array]]:
    ours = frontend(converter.source.value)
    model = ours.load(case)
    return model, ours.execute(model)


def results(runtime: Runtime, artifact: Artifact, case: Case) -> dict[str, list[Array]]:
    return {
        name: runtime.run(runtime.load(artifact, variant), artifact, feeds_of(case))
        for name, variant in runtime.variants.items()
    }


def check(name: str, case: Case, settings: Settings, *, rtol: float = 0.0) -> Artifact:
    """Convert, validate, run under every variant, compare with eager mode."""
    converter, runtime = subject(name)
    model, expected = prepared(converter, case)
    artifact = converter.convert(model, settings)
    converter.validate(artifact, model)
    for actual in results(runtime, artifact, case).values():
        assert [array.dtype for array in actual] == [array.dtype for array in expected]
        assert [array.shape for array in actual] == [array.shape for array in expected]
        for one, other in zip(actual, expected, strict=True):
            if rtol:
                np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol)
            else:
                assert one.tobytes() == other.tobytes()
    return artifact


def source(name: str) -> str:
    return converters()[name].source.value


@ways
def test_inputs_and_outputs_keep_their_places(name: str, settings: Settings) -> None:
    artifact = check(name, mapping(source(name)), settings)
    assert len(artifact.inputs) == 4
    assert len(artifact.outputs) == 12
    assert artifact.format is converters()[name].target


def test_inputs_that_a_converter_drops_are_none() -> None:
    artifact = check("torch.onnx-torchscript", mapping("torch", constant="k"), {})
    assert artifact.inputs == ("input_0", "input_1", None, "input_3")


def test_names_give_way_to_those_of_constants() -> None:
    assert input_names(mapping("torch").graph)[0] == "input__0"
    # The constant must not be an output here, or it would be renamed itself.
    case = mapping("torch")
    graph = replace(case.graph, outputs=("shifted", "sum"))
    check("torch.onnx-dynamo", replace(case, graph=graph), {})
    check("torch.onnx-torchscript", replace(case, graph=graph), {})


@ways
def test_a_graph_without_inputs(name: str, settings: Settings) -> None:
    if name == "tf2onnx":
        converter, _ = subject(name)
        with pytest.raises(Unsupported, match="input_names"):
            converter.convert(prepared(converter, constants_only(source(name)))[0], settings)
        return
    artifact = check(name, constants_only(source(name)), settings, rtol=1e-6)
    assert artifact.inputs == ()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_ranks(name: str, shape: tuple[int, ...]) -> None:
    check(name, unary(source(name), "exp", "float32", *shape), {}, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_tensors_without_elements(name: str) -> None:
    check(name, unary(source(name), "exp", "float32", 0, 3), {})


DTYPES = ("bool", "int8", "uint8", "int16", "int32", "int64", "float16", "bfloat16", "float64", "complex64")
#: Element types that a converter or its runtime has no transposition for.
WITHOUT = {
    "torch.onnx-dynamo": set[str](),
    "torch.onnx-torchscript": {"complex64"},
    "tf2onnx": {"complex64"},
    "tflite": {"int16", "float16", "bfloat16", "float64", "complex64"},
}


@pytest.mark.parametrize("name", NAMES)
def test_element_types(name: str) -> None:
    converter, runtime = subject(name)
    for dtype in DTYPES:
        case = through(source(name), dtype)
        if (name, dtype) == ("tf2onnx", "bfloat16"):
            model, _ = prepared(converter, case)
            with pytest.raises(InvalidModel, match="declared float16"):
                converter.validate(converter.convert(model, {}), model)
        elif dtype in WITHOUT[name]:
            model, _ = prepared(converter, case)
            with pytest.raises(Unsupported):
                results(runtime, converter.convert(model, {}), case)
        else:
            check(name, case, {})


def test_complex_numbers_travel_as_pairs() -> None:
    artifact = check("torch.onnx-dynamo", unary("torch", "add_self", "complex64", 2, 3), {})
    assert artifact.complex_outputs == (0,)
    declared = onnx.ModelProto.FromString(artifact.data).graph.output[0].type.tensor_type
    assert [dim.dim_value for dim in declared.shape.dim] == [2, 3, 2]


@pytest.mark.parametrize("name", NAMES)
def test_random_graphs_convert(name: str) -> None:
    converter, runtime = subject(name)
    ours = frontend(source(name))
    wanted = ("sigmoid", "transpose", "abs", "minimum", "floor", "concat", "cat", "reshape", "square", "negative")
    common = {target for target in ours.registry().targets() if target.rpartition(".")[2] in wanted}
    weights = Weights.of(ours, {target: 0.0 for target in ours.registry().targets() if target not in common})
    agreed = 0
    for seed in range(4):
        case = grow(ours, SeededChoices(seed, 3), nodes=4, weights=weights).case
        model, expected = prepared(converter, case)
        try:
            artifact = converter.convert(model, {})
            converter.validate(artifact, model)
            found = results(runtime, artifact, case)
        except (Unsupported, InvalidModel):
            continue
        for actual in found.values():
            agreed += all(
                np.allclose(one.astype(complex), other.astype(complex), rtol=1e-2, atol=1e-2, equal_nan=True)
                for one, other in zip(actual, expected, strict=True)
            )
    assert agreed >= 2


def test_options_are_sampled_within_what_the_converter_takes() -> None:
    for name in NAMES:
        for option in converters()[name].options:
            drawn = {option.sample(SeededChoices(7, number)) for number in range(60)}
            assert drawn <= set(option.values)
            assert option.values[0] in drawn


@pytest.mark.parametrize(
    ("name", "setting", "opsets"),
    [
        ("torch.onnx-dynamo", "opset", (18, 19, 20, 21, 22, 23)),
        ("torch.onnx-torchscript", "opset", tuple(range(9, 21))),
        ("tf2onnx", "opset", tuple(range(9, 19))),
    ],
)
def test_the_opset_asked_for_is_the_one_declared(name: str, setting: str, opsets: tuple[int, ...]) -> None:
    option = next(option for option in converters()[name].options if option.name == setting)
    assert sorted(int(value) for value in option.values) == list(opsets)
    for opset in {opsets[0], opsets[-1]}:
        artifact = check(name, unary(source(name), "relu", "float32", 2), {setting: opset})
        model = onnx.ModelProto.FromString(artifact.data)
        assert [entry.version for entry in model.opset_import if entry.domain == ""] == [opset]


UNSUPPORTED: Mapping[str, tuple[str, str]] = {
    "torch.onnx-dynamo": ("torch.special.bessel_j1", "prims.bessel_j1.default"),
    "torch.onnx-torchscript": ("torch.digamma", "aten::digamma"),
    "tf2onnx": ("tf.math.lgamma", "Lgamma"),
    "tflite": ("tf.math.asinh", "tf.Asinh(f32)"),
}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_unsupported_is_recognised_and_named(name: str) -> None:
    target, what = UNSUPPORTED[name]
    node = Node(target, (Ref("x"),), (), (Value("y", TensorType("float32", (2,))),))
    graph = Graph(source(name), (given("x", "float32", 2),), (), (node,), ("y",))
    converter, _ = subject(name)
    model, _ = prepared(converter, Case(graph, {"x": ramp("float32", 2)}))
    with pytest.raises(Unsupported) as caught:
        converter.convert(model, {})
    assert caught.value.what == what


def test_a_refusal_is_recognised_however_it_is_spelled() -> None:
    """The index is longer than what it is added to, so that the exporter knows that it holds a number twice."""
    types = TensorType("float32", (1,)), TensorType("int64", (2,)), TensorType("float32", (2,))
    inputs = tuple(Input(name, kind) for name, kind in zip(("x", "i", "s"), types, strict=True))
    node = Node("torch.index_add", (Ref("x"), 0, Ref("i"), Ref("s")), (), (Value("y", types[0]),))
    feeds = {"x": np.zeros(1, np.float32), "i": np.zeros(2, np.int64), "s": np.ones(2, np.float32)}
    converter, _ = subject("torch.onnx-torchscript")
    model, _ = prepared(converter, Case(Graph("torch", inputs, (), (node,), ("y",)), feeds))
    with pytest.raises(Unsupported) as caught:
        converter.convert(model, {})
    assert caught.value.what.startswith("'index_add_()' function with duplicated values")


def test_a_refusal_in_other_words_than_the_rest_is_one() -> None:
    state = (("weight", Ref("w")),)
    options = (("num_embeddings", 1), ("embedding_dim", 1), ("padding_idx", 0), ("state", state))
    node = Node("torch.nn.EmbeddingBag", (Ref("x"),), options, (Value("y", TensorType("float32", (1, 1))),))
    weights = Constant("w", np.zeros((1, 1), np.float32))
    graph = Graph("torch", (given("x", "int64", 1, 1),), (weights,), (node,), ("y",))
    converter, _ = subject("torch.onnx-torchscript")
    model, _ = prepared(converter, Case(graph, {"x": np.zeros((1, 1), np.int64)}))
    with pytest.raises(Unsupported) as caught:
        converter.convert(model, {})
    assert caught.value.what == "embedding_bag with padding_idx"


def test_a_crash_of_the_exporter_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.onnx._internal.exporter import _core

    def broken(*args: object, **kwargs: object) -> object:
        raise IndexError("list index 3 out of range")

    monkeypatch.setattr(_core, "_set_shape_type", broken)
    converter, _ = subject("torch.onnx-dynamo")
    model, _ = prepared(converter, unary("torch", "exp", "float32", 2))
    with pytest.raises(Exception, match="export") as caught:
        converter.convert(model, {})
    stage, detail = describe_exception(converter, caught.value)
    assert stage is Stage.CONVERT
    assert detail.startswith("IndexError: list index # out of range @ torch.onnx._internal.exporter._core.")


def test_what_a_handler_of_tf2onnx_raises_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    from tf2onnx import tfonnx

    def broken(ctx: object, node: object, **kwargs: object) -> None:
        raise IndexError("list index 3 out of range")

    create = tfonnx.handler.tf_op.create_mapping

    def mapping_with_fault(opset: int, extra: Any) -> Any:
        return {**create(opset, extra), "Exp": (broken, {})}

    monkeypatch.setattr(tfonnx.handler.tf_op, "create_mapping", mapping_with_fault)
    converter, _ = subject("tf2onnx")
    model, _ = prepared(converter, unary("tensorflow", "exp", "float32", 2))
    with pytest.raises(IndexError) as caught:
        converter.convert(model, {})
    stage, detail = describe_exception(converter, caught.value)
    assert stage is Stage.CONVERT
    assert detail.startswith("IndexError: list index # out of range @ tf2onnx.tfonnx.")


def test_tf2onnx_from_function_asks_for_captured_constants() -> None:
    """A defect of tf2onnx that the option ``api`` keeps out of most batches; when this fails, it has been mended."""
    converter, _ = subject("tf2onnx")
    node = call("tensorflow", "add", Ref("x"), Ref("k"), to="y", dtype="float32", shape=(2,))
    inputs, constants = (given("x", "float32", 2),), (Constant("k", ramp("float32", 2)),)
    case = Case(Graph("tensorflow", inputs, constants, (node,), ("y", "k")), {"x": ramp("float32", 2)})
    model, _ = prepared(converter, case)
    with pytest.raises(InvalidModel, match=r"asks for 1 input\(s\) that the graph does not have"):
        converter.validate(converter.convert(model, {"api": "from_function"}), model)


def test_variables_are_frozen_into_tflite_models() -> None:
    node = call("tensorflow", "multiply", Ref("x"), Ref("w"), to="y", dtype="float32", shape=(2,))
    inputs, constants = (given("x", "float32", 2),), (Constant("w", ramp("float32", 2), trainable=True),)
    artifact = check(
        "tflite", Case(Graph("tensorflow", inputs, constants, (node,), ("y",)), {"x": ramp("float32", 2)}), {}
    )
    assert b"READ_VARIABLE" not in artifact.data


def test_a_tflite_model_that_reads_variables_is_invalid() -> None:
    import tensorflow as tf

    converter, _ = subject("tflite")
    model, _ = prepared(converter, unary("tensorflow", "exp", "float32", 2))

    class Counting(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.state = tf.Variable([1.0, 2.0])

        @tf.function(input_signature=[tf.TensorSpec((2,), tf.float32, name="input_0")])
        def __call__(self, x: Any) -> Any:
            return {"output_0": self.state.assign_add(x)}

    module = Counting()
    unfrozen = tf.lite.TFLiteConverter.from_concrete_functions([module.__call__.get_concrete_function()], module)
    unfrozen.experimental_enable_resource_variables = True
    data = bytes(unfrozen.convert())
    with pytest.raises(InvalidModel, match="variables were not frozen"):
        converter.validate(Artifact(Format.TFLITE, data, ("input_0",), ("output_0",)), model)
    with pytest.raises(InvalidModel, match="TFL3"):
        converter.validate(Artifact(Format.TFLITE, b"nonsense", ("input_0",), ("output_0",)), model)


class TestValidationOfOnnx:
    graph = unary("torch", "exp", "float32", 2, 3).graph

    def model(self, operator: str = "Exp", dtype: int = onnx.TensorProto.FLOAT, shape: Any = (2, 3)) -> onnx.ModelProto:
        node = onnx.helper.make_node(operator, ["input_0"], ["output_0"])
        inputs = [onnx.helper.make_tensor_value_info("input_0", onnx.TensorProto.FLOAT, (2, 3))]
        outputs = [onnx.helper.make_tensor_value_info("output_0", dtype, shape)]
        made = onnx.helper.make_graph([node], "g", inputs, outputs)
        return onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)

    def validate(self, model: onnx.ModelProto, inputs: tuple[str | None, ...] = ("input_0",)) -> None:
        outputs = tuple(value.name for value in model.graph.output)
        validate_onnx(Artifact(Format.ONNX, model.SerializeToString(), inputs, outputs), self.graph)

    def test_a_sound_model_passes(self) -> None:
        self.validate(self.model())
        self.validate(self.model(shape=("batch", 3)))

    def test_unknown_operators_are_refused(self) -> None:
        with pytest.raises(InvalidModel, match="No Op registered for Explode"):
            self.validate(self.model("Explode"))

    def test_types_that_inference_contradicts_are_refused(self) -> None:
        with pytest.raises(InvalidModel, match="elem type"):
            self.validate(self.model(dtype=onnx.TensorProto.INT64))
        with pytest.raises(InvalidModel, match=r"onnx\.checker"):
            self.validate(self.model(shape=(2, 4)))

    def test_each_error_of_inference_is_a_complaint_of_its_own(self) -> None:
        axis = [onnx.helper.make_node("Softmax", ["input_0"], [name], name=name, axis=5) for name in ("a", "b")]
        rank = onnx.helper.make_node("Det", ["input_0"], ["c"])
        outputs = [onnx.helper.make_tensor_value_info(name, 1, (2, 3)) for name in ("a", "b", "c")]
        given = onnx.helper.make_tensor_value_info("input_0", 1, (2, 3))
        graph = onnx.helper.make_graph([*axis, rank], "g", [given], outputs)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
        with pytest.raises(InvalidModel) as caught:
            self.validate(model)
        assert len(caught.value.complaints) == 2
        assert ["(op_type:Softmax" in text for text in caught.value.complaints] == [True, False]
        assert "(op_type:Det" in caught.value.complaints[1]

    def test_types_that_the_graph_contradicts_are_refused(self) -> None:
        model = self.model("Shape", onnx.TensorProto.INT64, (2,))
        with pytest.raises(InvalidModel, match="output 0: declared int64, the graph has float32"):
            self.validate(model)

    def test_missing_outputs_and_surplus_inputs_are_refused(self) -> None:
        model = self.model()
        with pytest.raises(InvalidModel, match="asks for 1 input"):
            self.validate(model, (None,))
        model.graph.output.append(model.graph.output[0])
        with pytest.raises(InvalidModel, match="2 outputs, the graph has 1"):
            self.validate(model)

    def test_bytes_that_are_no_model_are_refused(self) -> None:
        with pytest.raises(InvalidModel, match=r"onnx\.checker"):
            validate_onnx(Artifact(Format.ONNX, b"", (), ("y",)), Graph("torch", (), (), (), ("y",)))


def test_warm_conversions_are_cold_ones_byte_for_byte() -> None:
    import torch

    def export(case: Case, opset: int) -> bytes:
        model = frontend("torch").load(case)
        program = torch.onnx.export(model.native, model.arguments, dynamo=True, opset_version=opset, verbose=False)
        return bytes(program.model_proto.SerializeToString())

    cases = [(mapping("torch"), 18), (unary("torch", "relu", "float16", 2, 3), 20)]
    cold = [export(case, opset) for case, opset in cases]
    with warm_registry():
        warm = [export(case, opset) for _ in range(2) for case, opset in cases]
    assert warm == [*cold, *cold]


def test_the_shared_registry_is_not_changed_by_its_users() -> None:
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    build = ONNXRegistry.__dict__["from_torchlib"]
    with warm_registry():
        first = ONNXRegistry.from_torchlib(opset_version=18)
        target = next(iter(first.functions))
        first.functions[target].clear()
        first.functions.pop(list(first.functions)[1])
        second = ONNXRegistry.from_torchlib(opset_version=18)
    assert second.functions[target]
    assert len(second.functions) == len(first.functions) + 1
    assert ONNXRegistry.__dict__["from_torchlib"] is build


def stand_alone(name: str, case: Case, settings: Settings, variant: Settings) -> str:
    """A script as reproducers are: only public packages, converter's and runtime's lines, then a comparison."""
    converter, runtime = subject(name)
    model, expected = prepared(converter, case)
    ours = "import torch" if converter.source is Format.TORCH else "import tensorflow as tf"
    make = "torch.tensor" if converter.source is Format.TORCH else "tf.constant"
    feeds = [f"numpy.array({feed.tolist()!r}, {feed.dtype.name!r})" for feed in feeds_of(case)]
    return "\n".join(
        [
            ours,
            "import numpy",
            model.source,
            f"model = Model(){'.eval()' if converter.source is Format.TORCH else ''}",
            f"feeds = [{', '.join(feeds)}]",
            f"inputs = [{make}(feed) for feed in feeds]",
            converter.script(settings),
            runtime.script(variant),
            f"expected = {[array.tolist() for array in expected]!r}",
            "assert [array.tolist() for array in actual] == expected, actual",
        ]
    )


def scripts(frontend_name: str) -> list[str]:
    case = mapping(frontend_name, constant="k")
    made = []
    for name, settings in WAYS:
        if source(name) == frontend_name:
            _, runtime = subject(name)
            made.append(stand_alone(name, case, settings, list(runtime.variants.values())[-1]))
    if frontend_name == "tensorflow":
        made.append(stand_alone("tf2onnx", unary("tensorflow", "relu", "float32", 2), {"api": "from_function"}, {}))
    return made


@pytest.mark.parametrize("frontend_name", ["torch", "tensorflow"])
def test_scripts_run_by_themselves(frontend_name: str, tmp_path: Path) -> None:
    """All of a frontend in one process, since importing it is what takes long; each in a namespace of its own."""
    files = []
    for number, text in enumerate(scripts(frontend_name)):
        assert "fuzzer" not in text
        assert "generators" not in text
        files.append(tmp_path / f"script_{number}.py")
        files[-1].write_text(text)
    runner = tmp_path / "run.py"
    runner.write_text(
        textwrap.dedent("""
        import runpy, sys
        for path in sys.argv[1:]:
            runpy.run_path(path, run_name="__main__")
    """)
    )
    done = subprocess.run([sys.executable, runner, *files], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    for name in NAMES:
        converter, _ = subject(name)
        converter.warm_up()
        converter.convert(prepared(converter, unary(source(name), "exp", "float32", 2))[0], {})
    assert capfd.readouterr().out == ""


def test_bfloat16_arithmetic_is_named_with_its_type() -> None:
    converter, runtime = subject("torch.onnx-dynamo")
    case = unary("torch", "add_self", "bfloat16", 2)
    assert case.feeds["x"].dtype == ml_dtypes.bfloat16
    artifact = converter.convert(prepared(converter, case)[0], {})
    with pytest.raises(Unsupported) as caught:
        results(runtime, artifact, case)
    assert caught.value.what == "Add(bfloat16, bfloat16)"
