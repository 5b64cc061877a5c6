"""Runtimes that `make install-all` brings; those that are absent are skipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from fuzzer.converters.base import converters
from fuzzer.formats import Artifact, Format, Unsupported
from fuzzer.runtimes.base import Runtime, runtimes
from fuzzer.runtimes.openvino import default_precision
from generators.frontends.base import frontend
from generators.graph import Array
from oracles.compare import compare
from tests.fuzzer.graphs import unary
from tests.fuzzer.test_runtimes import onnx_artifact, run_all

F32, I64, U8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8


def present(name: str) -> Runtime:
    runtime = runtimes()[name]
    if problem := runtime.availability().problem:
        pytest.skip(problem)
    return runtime


@pytest.fixture(scope="module", params=["iree", "mnn", "ncnn", "openvino", "tvm"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    return present(request.param)


#: Element types that a runtime would compute as others, so that it refuses them here.
REFUSED = {"mnn": {"uint8", "float64", "float16"}, "ncnn": {"uint8", "int64", "float64", "float16"}}


def tried(runtime: Runtime, artifact: Artifact, feeds: list[Array], *, dtype: str) -> list[list[Array]]:
    """The outputs of each variant that takes the model; none where the runtime refuses the element type."""
    found = []
    for variant in runtime.variants.values():
        try:
            found.append(runtime.run(runtime.load(artifact, variant), artifact, feeds))
        except Unsupported as refusal:
            by_itself = "by itself on this processor" in refusal.what
            assert by_itself or dtype in REFUSED.get(runtime.name, ())
    assert found or dtype in REFUSED[runtime.name]
    return found


def test_two_outputs_of_two_types_in_the_order_asked_for(runtime: Runtime) -> None:
    nodes = [
        helper.make_node("MatMul", ["a", "b"], ["m"]),
        helper.make_node("Relu", ["m"], ["y"]),
        helper.make_node("ArgMax", ["m"], ["z"], axis=1, keepdims=0),
    ]
    artifact = onnx_artifact(nodes, {"a": (F32, (2, 3)), "b": (F32, (3, 4))}, {"y": (F32, (2, 4)), "z": (I64, (2,))})
    random = np.random.default_rng(1)
    a, b = random.standard_normal((2, 3)).astype(np.float32), random.standard_normal((3, 4)).astype(np.float32)
    artifact = Artifact(Format.ONNX, artifact.data, artifact.inputs, ("z", "y"))
    for found in tried(runtime, artifact, [a, b], dtype="int64"):
        assert not compare([(a @ b).argmax(1), np.maximum(a @ b, 0)], found)


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
@pytest.mark.parametrize(("dtype", "number"), [(np.float32, F32), (np.uint8, U8), (np.int64, I64)])
def test_types_and_ranks_survive(runtime: Runtime, shape: tuple[int, ...], dtype: Any, number: int) -> None:
    artifact = onnx_artifact(
        [helper.make_node("Add", ["x", "x"], ["y"])], {"x": (number, shape)}, {"y": (number, shape)}
    )
    feed = np.asarray(np.arange(3, 3 + int(np.prod(shape))).reshape(shape)).astype(dtype)
    for (found,) in tried(runtime, artifact, [feed], dtype=feed.dtype.name):
        assert (found.dtype, found.shape) == (feed.dtype, feed.shape)
        np.testing.assert_array_equal(found, feed + feed)


def test_feeds_need_not_be_contiguous(runtime: Runtime) -> None:
    artifact = onnx_artifact([helper.make_node("Neg", ["x"], ["y"])], {"x": (F32, (3, 2))}, {"y": (F32, (3, 2))})
    feed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    for (found,) in tried(runtime, artifact, [feed], dtype="float32"):
        np.testing.assert_array_equal(found, -feed)


def test_an_operator_without_a_conversion_is_unsupported(runtime: Runtime) -> None:
    inputs: dict[str, tuple[int, Any]] = {"x": (F32, (1, 1, 2, 2))}
    feeds: list[Array] = [np.ones((1, 1, 2, 2), np.float32)]
    if runtime.name == "iree":
        node = helper.make_node("MaxUnpool", ["x", "i"], ["y"], kernel_shape=[2, 2], strides=[2, 2])
        inputs["i"] = (I64, (1, 1, 2, 2))
        feeds.append(np.array([[[[5, 7], [13, 15]]]], np.int64))
    elif runtime.name == "mnn":
        node = helper.make_node("Hardmax", ["x"], ["y"])
    else:
        node = helper.make_node("Det", ["x"], ["y"])
    shape = {"iree": (1, 1, 4, 4), "mnn": (1, 1, 2, 2)}.get(runtime.name, (1, 1))
    with pytest.raises(Unsupported) as caught:
        run_all(runtime, onnx_artifact([node], inputs, {"y": (F32, shape)}), feeds)
    assert "unpool" in caught.value.what or caught.value.what in ("Det", "Hardmax")


def test_the_script_computes_the_same_in_a_process_of_its_own(runtime: Runtime, tmp_path: Path) -> None:
    node = helper.make_node("Softmax", ["input_0"], ["output_0"], axis=-1)
    artifact = onnx_artifact([node], {"input_0": (F32, (2, 3))}, {"output_0": (F32, (2, 3))})
    feed = np.array([[1, 2, 3], [3, 1, 0]], np.float32)
    here = tried(runtime, artifact, [feed], dtype="float32")[0][0]
    assert executed(runtime, artifact, [feed], tmp_path) == here.tolist()


_AFTER = """
import tensorflow
import numpy as np
from fuzzer.formats import Artifact, Format
from fuzzer.runtimes.base import runtimes

runtime = runtimes()["NAME"]
runtime.warm_up()
artifact = Artifact(Format.ONNX, open("artifact", "rb").read(), ("input_0",), ("output_0",))
session = runtime.load(artifact, next(iter(runtime.variants.values())))
assert (runtime.run(session, artifact, [np.array([[1, -2]], np.float32)])[0] == np.array([[1, 0]])).all()
"""


def test_it_lives_with_tensorflow_in_one_process(runtime: Runtime, tmp_path: Path) -> None:
    """Extension modules that bring libraries of the same name (protobuf, LLVM) may end a process that has both: here
    the plugin behind TensorFlow, and the script behind both."""
    node = helper.make_node("Relu", ["input_0"], ["output_0"])
    artifact = onnx_artifact([node], {"input_0": (F32, (1, 2))}, {"output_0": (F32, (1, 2))})
    prelude = _AFTER.replace("NAME", runtime.name)
    assert executed(runtime, artifact, [np.array([[1, -2]], np.float32)], tmp_path, prelude) == [[1.0, 0.0]]
    prelude = "import tensorflow"
    assert executed(runtime, artifact, [np.array([[1, -2]], np.float32)], tmp_path, prelude) == [[1.0, 0.0]]


def executed(runtime: Runtime, artifact: Artifact, feeds: list[Array], folder: Path, prelude: str = "") -> Any:
    """The first output as lists, by the runtime's own script."""
    (folder / "artifact").write_bytes(artifact.data)
    lines = [
        "import sys",
        "import numpy as np",
        prelude,
        "artifact = open('artifact', 'rb').read()",
        f"feeds = [np.array(x, np.float32) for x in {[feed.tolist() for feed in feeds]}]",
        runtime.script(next(iter(runtime.variants.values())), {"float32"}),
        "sys.stdout = sys.__stdout__",
        "print('RESULT', actual[0].tolist())",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    [result] = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    return eval(result.removeprefix("RESULT "))


def test_nothing_on_standard_output(runtime: Runtime, capfd: pytest.CaptureFixture[str]) -> None:
    """There it would be a finding; MNN's converter and pnnx talk a lot."""
    runtime.warm_up()
    capfd.readouterr()
    artifact = onnx_artifact([helper.make_node("Exp", ["x"], ["y"])], {"x": (F32, (2,))}, {"y": (F32, (2,))})
    assert tried(runtime, artifact, [np.ones(2, np.float32)], dtype="float32")
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("name", ["mnn", "ncnn"])
@pytest.mark.parametrize("dtype", [TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.UINT8])
def test_what_would_be_computed_in_another_type_is_refused(name: str, dtype: int) -> None:
    cast = helper.make_node("Cast", ["x"], ["h"], to=dtype)
    back = helper.make_node("Cast", ["h"], ["y"], to=F32)
    artifact = onnx_artifact([cast, back], {"x": (F32, (2,))}, {"y": (F32, (2,))})
    with pytest.raises(Unsupported, match="not computed as such"):
        run_all(present(name), artifact, [np.ones(2, np.float32)])


def test_what_mnn_leaves_out_is_a_refusal() -> None:
    mnn = present("mnn")
    mode = {"coordinate_transformation_mode": "tf_crop_and_resize", "mode": "linear"}
    artifact = onnx_artifact(
        [
            helper.make_node("Constant", [], ["roi"], value_floats=[0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0]),
            helper.make_node("Constant", [], ["sizes"], value_ints=[1, 1, 2, 2]),
            helper.make_node("Resize", ["x", "roi", "", "sizes"], ["y"], **mode),
        ],
        {"x": (F32, (1, 1, 2, 2))},
        {"y": (F32, (1, 1, 2, 2))},
    )
    with pytest.raises(Unsupported, match="CoordinateTransformationMode_TensorflowCropAndResize") as refusal:
        run_all(mnn, artifact, [np.ones((1, 1, 2, 2), np.float32)])
    assert refusal.value.what.endswith(", which it leaves out")


def test_mnn_keeps_truth_and_integers_as_declared() -> None:
    mnn = present("mnn")
    nodes = [helper.make_node("Greater", ["x", "x2"], ["g"]), helper.make_node("NonZero", ["x"], ["n"])]
    kinds = {"g": (TensorProto.BOOL, (2,)), "n": (I64, (1, 2))}
    artifact = onnx_artifact(nodes, {"x": (F32, (2,)), "x2": (F32, (2,))}, kinds)
    feeds: list[Array] = [np.array([1, 2], np.float32), np.array([2, 1], np.float32)]
    for found in run_all(mnn, artifact, feeds):
        assert not compare([np.array([False, True]), np.array([[0, 1]])], found)


def test_ncnn_with_batches() -> None:
    ncnn = present("ncnn")
    weight = helper.make_tensor("w", F32, (2, 1, 1, 1), [1.0, 10.0])
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    artifact = onnx_artifact(
        [helper.make_node("Constant", [], ["w"], value=weight), node],
        {"x": (F32, (3, 1, 2, 2))},
        {"y": (F32, (3, 2, 2, 2))},
    )
    feed = np.arange(12, dtype=np.float32).reshape(3, 1, 2, 2)
    [[found]] = run_all(ncnn, artifact, [feed])
    np.testing.assert_array_equal(found, np.concatenate([feed, 10 * feed], 1))


def test_openvino_by_itself_is_judged_where_it_computes_in_float32() -> None:
    openvino = present("openvino")
    assert openvino.occasional == ("default", "threads")
    artifact = onnx_artifact([helper.make_node("Exp", ["x"], ["y"])], {"x": (F32, (2,))}, {"y": (F32, (2,))})
    if default_precision() == "f32":
        openvino.load(artifact, openvino.variants["default"])
    else:
        with pytest.raises(Unsupported, match=f"^{default_precision()}, the precision"):
            openvino.load(artifact, openvino.variants["default"])


@pytest.mark.parametrize("name", ["iree", "openvino", "tvm"])
def test_copies_of_inputs_and_outputs_keep_their_places(name: str) -> None:
    """OpenVINO gives an input the name of an output that is its copy. MNN and pnnx do not take such a model."""
    runtime = present(name)
    nodes = [helper.make_node("Dropout", ["x"], ["y"]), helper.make_node("Neg", ["x2"], ["z"])]
    nodes += [helper.make_node("Identity", ["z"], ["z2"])]
    kind = (F32, (2,))
    artifact = onnx_artifact(nodes, {"x": kind, "x2": kind}, {"y": kind, "z": kind, "z2": kind})
    a, b = np.array([1, 2], np.float32), np.array([3, 4], np.float32)
    for found in tried(runtime, artifact, [a, b], dtype="float32"):
        assert not compare([a, -b, -b], found)


@pytest.mark.parametrize("name", ["iree", "mnn", "openvino", "tvm"])
@pytest.mark.parametrize("beside", [[], [helper.make_node("Abs", ["x0"], ["nothing"])]], ids=["unused", "used in vain"])
def test_inputs_that_no_output_depends_on_keep_their_places(name: str, beside: list[Any], tmp_path: Path) -> None:
    """OpenVINO leaves them out of its model."""
    runtime = present(name)
    inputs = {f"input_{index}": (F32, (2,)) for index in range(3)}
    nodes = [helper.make_node("Neg", ["input_1"], ["y"])]
    for node in beside:
        nodes.append(helper.make_node(node.op_type, ["input_0"], node.output))
    artifact = onnx_artifact(nodes, inputs, {"y": (F32, (2,))})
    feeds: list[Array] = [np.array([index, index], np.float32) for index in range(3)]
    for (found,) in tried(runtime, artifact, feeds, dtype="float32"):
        np.testing.assert_array_equal(found, -feeds[1])
    if name == "openvino" and not beside:
        assert executed(runtime, artifact, feeds, tmp_path) == (-feeds[1]).tolist()


def test_openvino_says_that_it_has_no_float64() -> None:
    openvino = present("openvino")
    kind = (TensorProto.DOUBLE, (2,))
    artifact = onnx_artifact([helper.make_node("Exp", ["x"], ["y"])], {"x": kind}, {"y": kind})
    with pytest.raises(Unsupported, match="float64"):
        run_all(openvino, artifact, [np.ones(2)])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("torch.export.module", {}),
        ("torch.export.module", {"decompose": True}),
        ("torch.export.module", {"strict": True}),
        ("inductor", {}),
    ],
)
def test_exported_programs(name: str, settings: dict[str, Any]) -> None:
    case = unary("torch", "exp", "float32", 2, 2)
    model = frontend("torch").load(case)
    artifact = converters()["torch.export"].convert(model, settings)
    for found in run_all(runtimes()[name], artifact, list(case.feeds.values())):
        assert not compare(frontend("torch").execute(model), found)


@pytest.mark.parametrize("name", ["tensorflow", "xla"])
def test_saved_models(name: str) -> None:
    case = unary("tensorflow", "exp", "float32", 2, 2)
    model = frontend("tensorflow").load(case)
    artifact = converters()["tf.saved_model"].convert(model, {})
    for found in run_all(runtimes()[name], artifact, list(case.feeds.values())):
        assert not compare(frontend("tensorflow").execute(model), found)
