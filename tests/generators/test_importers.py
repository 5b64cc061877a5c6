"""Users' models as cases, and files that come from nobody's friend."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fuzzer.errors import UsageError
from fuzzer.importing import read_model
from generators.frontends.base import frontend
from generators.importers.archives import check_archive, check_exported_program
from generators.importers.child import UNCHECKED, Request, kind_of, read
from generators.importers.errors import ImportRefused
from generators.importers.feeds import load_arrays

torch = pytest.importorskip("torch")


class Small(torch.nn.Module):  # type: ignore[misc]
    """A model with in-place operators, several outputs, an integer input and normalisations."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.norm = torch.nn.BatchNorm2d(4)
        self.words = torch.nn.Embedding(9, 4)

    def forward(self, image: Any, ids: Any) -> Any:
        x = torch.nn.functional.relu_(self.norm(self.conv(image)))
        least, index = x.flatten(2).min(-1)
        return x.mean((2, 3)) + self.words(ids).sum(1), least, index


def small() -> Any:
    """As ``module:function`` is asked for."""
    torch.manual_seed(0)
    return Small(), (torch.randn(2, 3, 8, 8), torch.tensor([[1, 2], [8, 0]]))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model.pt2``, ``model.onnx`` with external data beside it, ``old.onnx`` of opset 13."""
    directory = tmp_path_factory.mktemp("models")
    module, arguments = small()
    with torch.no_grad():
        program = torch.export.export(module.eval(), arguments)
    torch.export.save(program, directory / "model.pt2")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    weight = numpy_helper.from_array(np.arange(1024 * 4, dtype=np.float32).reshape(4, 1024) / 999, "w")
    axes = numpy_helper.from_array(np.array([0], np.int64), "axes")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Split", ["h"], ["a", "b"], axis=1, num_outputs=2),
        helper.make_node("Add", ["a", "b"], ["s"]),
        helper.make_node("Unsqueeze", ["s", "axes"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [x], [y], [weight, axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, directory / "model.onnx", save_as_external_data=True, location="model.data", size_threshold=512)
    nodes = [
        helper.make_node("Softmax", ["x"], ["h"], axis=1),
        helper.make_node("Cast", ["h"], ["c"], to=TensorProto.DOUBLE),
        helper.make_node("ReduceMean", ["c"], ["y"], axes=[1]),
    ]
    old = helper.make_graph(nodes, "g", [x], [helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)])
    onnx.save(helper.make_model(old, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), directory / "old.onnx")
    return directory


def _read(path: Path | str, **fields: Any) -> Any:
    return read(Request(str(path), "", **fields))[0]


def test_an_exported_program_is_its_operators(files: Path) -> None:
    case = _read(files / "model.pt2")
    targets = case.graph.operators()
    assert targets[:3] == ("aten.conv2d.default", "aten.batch_norm.default", "aten.relu.default")
    module, arguments = small()
    values = frontend("torch").run(case.graph, case.feeds)
    for name, tensor in zip(case.graph.outputs, module.eval()(*arguments), strict=True):
        np.testing.assert_allclose(values[name], tensor.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_function_of_a_module_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    case = _read(f"{__name__}:small")
    assert [str(value.type) for value in case.graph.inputs] == ["float32[2,3,8,8]", "int64[2,2]"]
    with pytest.raises(ImportRefused, match="cannot be imported"):
        _read(f"{__name__}:nothing_of_that_name")
    with pytest.raises(ImportRefused, match="returns"):
        _read("generators.importers.child:main_is_not_it" if False else "os:getcwd")


def test_an_onnx_file_with_external_data_and_a_symbol(files: Path) -> None:
    case = _read(files / "model.onnx", extents={"batch": 3})
    assert case.graph.operators() == ("onnx.MatMul", "onnx.Split", "onnx.Add", "onnx.Unsqueeze")
    assert case.graph.inputs[0].type.shape == (3, 4)
    assert (4, 1024) in [constant.data.shape for constant in case.graph.constants]


def test_an_older_opset_is_brought_to_the_newest(files: Path) -> None:
    case = _read(files / "old.onnx")
    assert case.graph.operators() == ("onnx.Softmax", "onnx.Cast", "onnx.ReduceMean")
    assert case.graph.types()[case.graph.outputs[0]].dtype == "float64"


def test_a_model_that_no_runtime_takes_is_read_with_a_note(tmp_path: Path) -> None:
    """The body of this function adds a float to a half; each operator by itself is run by ``onnx.reference``."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MeanVarianceNormalization", ["x"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT16, [1, 2, 2, 2])],
        [value("y", TensorProto.FLOAT16, [1, 2, 2, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    case, notes = read(Request(str(tmp_path / "m.onnx"), ""))
    assert case.graph.operators() == ("onnx.MeanVarianceNormalization",)
    assert case.graph.types()[case.graph.outputs[0]].dtype == "float16"
    assert notes in ((), (UNCHECKED,))


def test_given_arrays_are_fed(files: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "inputs.npz", x=np.full((5, 4), 2.0, np.float32))
    case = _read(files / "old.onnx", arrays=str(tmp_path / "inputs.npz"))
    assert case.feeds["x"].shape == (5, 4)
    np.savez(tmp_path / "wrong.npz", y=np.zeros(3))
    with pytest.raises(ImportRefused, match="no array for the input 'x'"):
        _read(files / "old.onnx", arrays=str(tmp_path / "wrong.npz"))


def test_keras_and_saved_models_are_read(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.layers.Input((8, 3)), keras.layers.Conv1D(4, 3), keras.layers.LayerNormalization()])
    model.save(tmp_path / "model.keras")
    model.export(tmp_path / "saved", verbose=False)
    for path in (tmp_path / "model.keras", tmp_path / "saved"):
        case = _read(path)
        assert "tf.raw_ops.Conv2D" in case.graph.operators()
        assert case.graph.types()[case.graph.outputs[0]].shape == (2, 6, 4)
    with pytest.raises(ImportRefused, match="no signature 'other'"):
        _read(tmp_path / "saved", signature="other")


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("torchscript-cdist-p-zero", "aten.cdist.default"),
        ("tf2onnx-diag-batch-of-one", "tf.raw_ops.MatrixDiagV3"),
        ("ort-logsumexp-loses-nan", "aten.logsumexp.default"),
    ],
)
def test_a_reproducer_is_its_model_and_inputs(name: str, target: str) -> None:
    path = Path(__file__).parents[2] / "corpus" / "regressions" / name / "reproducer.py"
    assert target in _read(path).graph.operators()


def test_another_script_is_no_reproducer(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("model = 1\n")
    with pytest.raises(ImportRefused, match="does not assign model and inputs"):
        _read(tmp_path / "other.py")
    (tmp_path / "raises.py").write_text("model = 1 / 0\ninputs = []\n")
    with pytest.raises(ImportRefused, match="raises ZeroDivisionError"):
        _read(tmp_path / "raises.py")


# -- what must be refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("../secret.bin", "no path beside it"),
        ("/etc/passwd", "no path beside it"),
        ("link.bin", "a link out of its directory"),
        ("missing.bin", "which is not there"),
        ("", "no path beside it"),
    ],
)
def test_external_data_stays_beside_the_model(tmp_path: Path, location: str, words: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "link.bin").symlink_to(tmp_path / "secret.bin")
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["y"])],
        "g",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
    )
    graph.initializer.append(tensor)
    (directory / "m.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(ImportRefused, match=words):
        _read(directory / "m.onnx")


def test_a_tensor_that_claims_to_be_large_is_refused(files: Path, tmp_path: Path) -> None:
    model = onnx.load(files / "old.onnx")
    model.graph.initializer.append(
        TensorProto(name="x2", data_type=TensorProto.FLOAT, dims=[1 << 29], raw_data=b"1234")
    )
    model.graph.node[0].input[0] = "x2"
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ImportRefused):
        _read(tmp_path / "m.onnx")


def test_memory_has_a_limit(tmp_path: Path) -> None:
    shape = numpy_helper.from_array(np.array([1 << 31], np.int64), "shape")
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["c"]), helper.make_node("ReduceSum", ["c"], ["y"])]
    graph = helper.make_graph(nodes, "g", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [shape])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(UsageError):
        read_model(str(tmp_path / "m.onnx"), memory_mb=3000, deadline=120)


def test_a_cycle_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Neg", ["a"], ["b"])]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [value("x", TensorProto.FLOAT, [2])], [value("b", TensorProto.FLOAT, [2])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 26)])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ImportRefused, match="which nothing before it defines"):
        _read(tmp_path / "m.onnx")


class Evil:
    """What a pickle executes when it is read."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.system, ("touch /tmp/convfuzz-was-here",)


def _rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes]) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return target


def test_pickles_are_never_read(files: Path, tmp_path: Path) -> None:
    plain = tmp_path / "model.pt2"
    plain.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ImportRefused, match="is a pickle"):
        _read(plain)
    stream = io.BytesIO()
    torch.save(Evil(), stream)
    hidden = _rewritten(
        files / "model.pt2",
        tmp_path / "hidden.pt2",
        lambda name, data: stream.getvalue() if name.endswith("sample_inputs/model.pt") else data,
    )
    with pytest.raises(ImportRefused, match="is a pickle that calls"):
        _read(hidden)
    for name in ("model.pt", "model.pkl", "model.bin"):
        (tmp_path / name).write_bytes(pickle.dumps(Evil()))
        with pytest.raises(ImportRefused, match="most likely a pickle"):
            kind_of(str(tmp_path / name))
    np.savez(tmp_path / "evil.npz", x=np.array([Evil()], object))
    with pytest.raises(ImportRefused, match="no arrays of numbers"):
        load_arrays(tmp_path / "evil.npz")
    assert not Path("/tmp/convfuzz-was-here").exists()


def test_formulas_are_formulas(files: Path, tmp_path: Path) -> None:
    def change(name: str, data: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return data
        tree = json.loads(data)
        tree["expr_str"] = "__import__('os').system('touch /tmp/convfuzz-was-here')"
        return json.dumps(tree).encode()

    with pytest.raises(ImportRefused, match="no formula"):
        check_exported_program(_rewritten(files / "model.pt2", tmp_path / "m.pt2", change))


def test_archives_unpack_to_what_they_should(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.keras"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", bytes(64 << 20))
    with pytest.raises(ImportRefused, match="would unpack to"):
        _read(bomb)
    for name in ("../evil", "/evil", "a/../../b"):
        with zipfile.ZipFile(tmp_path / "leads.zip", "w") as archive:
            archive.writestr(name, b"")
        with pytest.raises(ImportRefused, match="leads out of the archive"):
            check_archive(tmp_path / "leads.zip")


def test_saved_models_stay_inside(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")

    class Reads(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([2], tf.float32)])  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> Any:
            return x + tf.strings.to_number(tf.io.read_file("/etc/hostname"))

    module = Reads()
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures={"serving_default": module.__call__})
    with pytest.raises(ImportRefused, match="reaches out of the model"):
        _read(tmp_path / "saved")


@pytest.mark.parametrize("name", ["model.txt", "nothing.onnx", "no_such_module"])
def test_what_is_no_model_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.txt").write_text("hello")
    with pytest.raises(ImportRefused) as caught:
        kind_of(str(tmp_path / name))
    assert caught.value.remedy


def _mutations(data: bytes, count: int, rng: random.Random) -> Iterator[bytes]:
    """Flipped bytes, pieces cut out, doubled or overwritten, ends cut off."""
    for number in range(count):
        changed = bytearray(data)
        start = rng.randrange(len(changed))
        length = rng.choice((1, 2, 4, 16, 64))
        way = number % 5
        if way == 0:
            for _ in range(rng.choice((1, 3, 10))):
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        elif way == 1:
            del changed[start : start + length]
        elif way == 2:
            changed[start:start] = changed[start : start + length]
        elif way == 3:
            changed[start : start + length] = rng.choice((b"\xff", b"\0", b"\x7f")) * length
        else:
            del changed[start:]
        yield bytes(changed)


_EACH = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (12 << 30, 12 << 30))
from generators.graph import GraphError
from generators.importers.child import Request, read
from generators.importers.errors import ImportRefused
counts = {"read": 0, "refused": 0}
for path in sys.argv[1:]:
    print(path, file=sys.stderr, flush=True)
    try:
        read(Request(path, ""))
        counts["read"] += 1
    except (ImportRefused, GraphError, MemoryError, RecursionError) as error:
        assert str(error) or isinstance(error, MemoryError)
        counts["refused"] += 1
print(json.dumps(counts))
"""


@pytest.mark.parametrize(("name", "count"), [("old.onnx", 150), ("model.pt2", 50), ("model.onnx", 40)])
def test_mutated_files_are_read_or_refused(files: Path, tmp_path: Path, name: str, count: int) -> None:
    """No mutation ends the process, and none raises anything but a refusal in words."""
    rng = random.Random(7)
    data = (files / name).read_bytes()
    paths = []
    for number, changed in enumerate(_mutations(data, count, rng)):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / name).write_bytes(changed)
        if name == "model.onnx":
            (directory / "model.data").write_bytes((files / "model.data").read_bytes())
        paths.append(str(directory / name))
    done = subprocess.run(
        [sys.executable, "-c", _EACH, *paths], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    counts = json.loads(done.stdout.strip().splitlines()[-1])
    assert counts["read"] + counts["refused"] == count
    assert counts["refused"] > count // 3


def test_a_model_that_ends_what_runs_it_is_told_from_a_damaged_file(tmp_path: Path) -> None:
    """ONNX Runtime 1.31.1 ends its process at a GRU over a sequence of length 0."""
    node = helper.make_node("GRU", ["x", "w", "r"], ["", "h"], hidden_size=4)
    shapes = {"x": (0, 1, 2), "w": (1, 12, 2), "r": (1, 12, 4)}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    last = helper.make_tensor_value_info("h", TensorProto.FLOAT, (1, 1, 4))
    model = helper.make_model(
        helper.make_graph([node], "g", inputs, [last]), opset_imports=[helper.make_opsetid("", 22)]
    )
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="was read, and the framework that runs it was ended by SIGABRT"):
        read_model(str(tmp_path / "model.onnx"))
