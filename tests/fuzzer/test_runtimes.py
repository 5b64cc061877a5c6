from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from fuzzer.converters.base import converters
from fuzzer.failures import describe_exception, refused
from fuzzer.formats import Artifact, Format, Unsupported
from fuzzer.runtimes.base import Runtime, runtimes
from fuzzer.runtimes.litert import REFUSALS
from generators.frontends.base import frontend
from generators.graph import Array
from oracles.outcome import Stage
from tests.fuzzer.graphs import mapping, unary


def onnx_artifact(
    nodes: list[Any], inputs: dict[str, tuple[int, Any]], outputs: dict[str, tuple[int, Any]], **fields: Any
) -> Artifact:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    return Artifact(Format.ONNX, model.SerializeToString(), tuple(inputs), tuple(outputs), **fields)


def run_all(runtime: Runtime, artifact: Artifact, feeds: list[Array]) -> list[list[Array]]:
    return [runtime.run(runtime.load(artifact, variant), artifact, feeds) for variant in runtime.variants.values()]


@pytest.fixture(scope="module")
def ort() -> Runtime:
    return runtimes()["onnxruntime"]


@pytest.fixture(scope="module")
def litert() -> Runtime:
    return runtimes()["litert"]


class TestOnnxRuntime:
    def test_variants(self, ort: Runtime) -> None:
        assert list(ort.variants)[:2] == ["unoptimized", "optimized"]
        assert ort.variants["unoptimized"]["optimization"] == "disable_all"

    @pytest.mark.parametrize(
        ("dtype", "number"),
        [
            (np.bool_, TensorProto.BOOL),
            (np.int8, TensorProto.INT8),
            (np.uint16, TensorProto.UINT16),
            (np.int64, TensorProto.INT64),
            (np.float16, TensorProto.FLOAT16),
            (np.float64, TensorProto.DOUBLE),
            (ml_dtypes.bfloat16, TensorProto.BFLOAT16),
            (ml_dtypes.float8_e4m3fn, TensorProto.FLOAT8E4M3FN),
            (ml_dtypes.float8_e4m3fnuz, TensorProto.FLOAT8E4M3FNUZ),
            (ml_dtypes.float8_e5m2, TensorProto.FLOAT8E5M2),
            (ml_dtypes.float8_e5m2fnuz, TensorProto.FLOAT8E5M2FNUZ),
        ],
    )
    @pytest.mark.parametrize("shape", [(), (2, 3), (0, 2)])
    def test_every_bit_of_every_element_type_survives(
        self, ort: Runtime, dtype: Any, number: int, shape: tuple[int, ...]
    ) -> None:
        artifact = onnx_artifact(
            [helper.make_node("Identity", ["x"], ["y"])], {"x": (number, shape)}, {"y": (number, shape)}
        )
        feed = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
        for (found,) in run_all(ort, artifact, [feed]):
            assert (found.dtype, found.shape, found.tobytes()) == (feed.dtype, shape, feed.tobytes())

    def test_feeds_need_not_be_contiguous(self, ort: Runtime) -> None:
        artifact = onnx_artifact([helper.make_node("Identity", ["x"], ["y"])], {"x": (1, (3, 2))}, {"y": (1, (3, 2))})
        feed = np.arange(6, dtype=np.float32).reshape(2, 3).T
        for (found,) in run_all(ort, artifact, [feed]):
            np.testing.assert_array_equal(found, feed)

    def test_inputs_that_were_dropped_and_outputs_asked_for_twice(self, ort: Runtime) -> None:
        artifact = onnx_artifact([helper.make_node("Neg", ["b"], ["y"])], {"b": (1, (2,))}, {"y": (1, (2,))})
        artifact = Artifact(Format.ONNX, artifact.data, (None, "b"), ("y", "y"))
        feeds = [np.zeros(7, np.float32), np.array([1, 2], np.float32)]
        for found in run_all(ort, artifact, feeds):
            assert [array.tolist() for array in found] == [[-1, -2], [-1, -2]]

    def test_complex_feeds_and_outputs_are_pairs_where_the_model_says_so(self, ort: Runtime) -> None:
        node = helper.make_node("Neg", ["x"], ["y"])
        artifact = onnx_artifact([node], {"x": (1, (2, 2))}, {"y": (1, (2, 2))}, complex_outputs=(0,))
        for (found,) in run_all(ort, artifact, [np.array([1 + 2j, 3 - 4j], np.complex64)]):
            assert found.dtype == np.complex64
            assert found.tolist() == [-1 - 2j, -3 + 4j]

    def test_a_complex_output_that_is_no_pair_stays_what_it_is(self, ort: Runtime) -> None:
        node = helper.make_node("Neg", ["x"], ["y"])
        artifact = onnx_artifact([node], {"x": (1, (3,))}, {"y": (1, (3,))}, complex_outputs=(0,))
        for (found,) in run_all(ort, artifact, [np.ones(3, np.float32)]):
            assert (found.dtype, found.shape) == (np.float32, (3,))

    def test_a_missing_kernel_is_unsupported_and_named_with_its_types(self, ort: Runtime) -> None:
        node = helper.make_node("Atan", ["x"], ["y"], name="node")
        artifact = onnx_artifact([node], {"x": (TensorProto.DOUBLE, (2,))}, {"y": (TensorProto.DOUBLE, (2,))})
        with pytest.raises(Unsupported) as caught:
            run_all(ort, artifact, [np.ones(2)])
        assert caught.value.what == "Atan(double)"

    def test_a_model_that_only_the_optimizer_makes_unsupported_is_a_bug(
        self, ort: Runtime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as Missing

        from fuzzer.runtimes import onnxruntime as module

        build = module._session

        def fused(data: bytes, settings: Any) -> Any:
            if settings["optimization"] == "disable_all":
                return build(data, settings)
            raise Missing("Could not find an implementation for FusedGemm(1) node with name 'fused'")

        monkeypatch.setattr(module, "_session", fused)
        artifact = onnx_artifact([helper.make_node("Neg", ["x"], ["y"])], {"x": (1, (2,))}, {"y": (1, (2,))})
        assert ort.load(artifact, ort.variants["unoptimized"])
        with pytest.raises(Missing):
            ort.load(artifact, ort.variants["optimized"])

    def test_invalid_models_are_no_refusal(self, ort: Runtime) -> None:
        node = helper.make_node("Cos", ["x"], ["y"], name="node_cos_3")
        artifact = onnx_artifact([node], {"x": (TensorProto.INT16, (2,))}, {"y": (TensorProto.INT16, (2,))})
        with pytest.raises(Exception, match="Type Error") as caught:
            ort.load(artifact, ort.variants["optimized"])
        stage, detail = describe_exception(ort, caught.value)
        assert stage is Stage.RUNTIME_LOAD
        assert detail.startswith("InvalidGraph: This is an invalid model. Type Error: Type 'tensor(int16)' of input")
        assert "node_cos_3" not in detail

    def test_a_failure_while_running_has_its_stage(self, ort: Runtime) -> None:
        node = helper.make_node("Reshape", ["x", "s"], ["y"], name="r")
        artifact = onnx_artifact([node], {"x": (1, (4,)), "s": (TensorProto.INT64, (1,))}, {"y": (1, None)})
        session = ort.load(artifact, ort.variants["optimized"])
        with pytest.raises(Exception, match="Reshape") as caught:
            ort.run(session, artifact, [np.ones(4, np.float32), np.array([3], np.int64)])
        assert describe_exception(ort, caught.value)[0] is Stage.INFERENCE

    def test_nothing_is_printed(self, ort: Runtime, capfd: pytest.CaptureFixture[str]) -> None:
        ort.warm_up()
        artifact = onnx_artifact([helper.make_node("Neg", ["x"], ["y"])], {"x": (1, (2,))}, {"y": (1, (2,))})
        run_all(ort, artifact, [np.ones(2, np.float32)])
        assert capfd.readouterr() == ("", "")


def tflite(case: Any) -> Artifact:
    return converters()["tflite"].convert(frontend("tensorflow").load(case), {})


class TestLiteRT:
    def test_variants_differ_in_their_kernels(self, litert: Runtime) -> None:
        artifact = tflite(unary("tensorflow", "exp", "float32", 8))
        operators = {
            name: [one["op_name"] for one in litert.load(artifact, settings).interpreter._get_ops_details()]
            for name, settings in litert.variants.items()
        }
        assert "DELEGATE" in operators["xnnpack"]
        assert operators["builtin"] == operators["reference"] == ["EXP"]

    def test_outputs_are_copies(self, litert: Runtime) -> None:
        case = unary("tensorflow", "exp", "float32", 3)
        artifact = tflite(case)
        for settings in litert.variants.values():
            session = litert.load(artifact, settings)
            (first,) = litert.run(session, artifact, [case.feeds["x"]])
            before = first.copy()
            (second,) = litert.run(session, artifact, [case.feeds["x"] * 2])
            np.testing.assert_array_equal(first, before)
            assert not np.array_equal(first, second)

    def test_a_model_without_a_signature_is_fed_by_the_names_of_its_tensors(self, litert: Runtime) -> None:
        import flatbuffers
        from tensorflow.lite.python import schema_py_generated as schema

        case = mapping("tensorflow", constant="k")
        artifact = tflite(case)
        flat = schema.ModelT.InitFromObj(schema.Model.GetRootAs(artifact.data, 0))
        tensors = flat.subgraphs[0].tensors
        names = {
            entry.name.decode(): tensors[entry.tensorIndex].name.decode()
            for entry in (*flat.signatureDefs[0].inputs, *flat.signatureDefs[0].outputs)
        }
        flat.signatureDefs = []
        builder = flatbuffers.Builder(1024)
        builder.Finish(flat.Pack(builder), b"TFL3")
        inputs = tuple(names[name] if name else None for name in artifact.inputs)
        bare = Artifact(Format.TFLITE, bytes(builder.Output()), inputs, tuple(names[name] for name in artifact.outputs))
        feeds = [case.feeds[value.name] for value in case.graph.inputs]
        for one, other in zip(run_all(litert, artifact, feeds), run_all(litert, bare, feeds), strict=True):
            assert [array.tolist() for array in one] == [array.tolist() for array in other]

    def test_operators_that_need_flex_are_unsupported(self, litert: Runtime) -> None:
        case = unary("tensorflow", "exp", "float64", 2)
        artifact = converters()["tflite"].convert(frontend("tensorflow").load(case), {"select_tf_ops": True})
        with pytest.raises(Unsupported) as caught:
            run_all(litert, artifact, [case.feeds["x"]])
        assert caught.value.what == "Flex operators"

    @pytest.mark.parametrize(
        ("message", "what"),
        [
            ("Type INT16 is unsupported by op CUMSUM.Node number 0 (CUMSUM) failed to prepare.", "CUMSUM: Type INT16"),
            (
                "tflite/kernels/div.cc:262 Div only supports FLOAT32, INT32 and quantized UINT8 now, got INT8."
                "Node number 3 (DIV) failed to invoke.",
                "DIV: Div only supports",
            ),
            ("Encountered unresolved custom op: Betainc.\nSee instructions.", "custom operator Betainc"),
            (
                "tflite/kernels/gather.cc:50 positions->type == kTfLiteInt32 was not true.\n"
                "Node number 1 (GATHER) failed to prepare.",
                "GATHER: positions->type == kTfLiteInt32 was not true",
            ),
        ],
    )
    def test_refusals_of_kernels(self, message: str, what: str) -> None:
        found = refused(RuntimeError(message), REFUSALS)
        assert found is not None
        assert found.startswith(what)

    @pytest.mark.parametrize(
        "message",
        [
            "tflite/kernels/reshape.cc:92 num_input_elements != num_output_elements (6 != 4)"
            "Node number 0 (RESHAPE) failed to prepare.",
            "Node number 2 (CONV_2D) failed to invoke.",
        ],
    )
    def test_broken_models_are_no_refusal(self, message: str) -> None:
        assert refused(RuntimeError(message), REFUSALS) is None

    def test_a_file_that_is_no_model_fails_while_loading(self, litert: Runtime) -> None:
        with pytest.raises(ValueError, match="model") as caught:
            litert.load(Artifact(Format.TFLITE, b"nonsense", (), ("y",)), {})
        assert describe_exception(litert, caught.value)[0] is Stage.RUNTIME_LOAD


def test_versions_are_reported() -> None:
    for name in ("onnxruntime", "litert"):
        state = runtimes()[name].availability()
        assert state.available
        assert all(state.versions.values())
    assert onnx.__version__ == converters()["tf2onnx"].availability().versions["onnx"]
