"""The frontend ``onnx``: opsets, printing, double precision."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest

from generators.frontends.base import EvaluationError, Frontend, frontend
from generators.frontends.onnx_nodes import node_proto, output_count
from generators.frontends.onnx_schema import NEWEST, has_kernel, lowest_opset, opsets, types
from generators.graph import Case, Constant, DType, Graph, Input, Node, Ref, TensorType, Value
from oracles.compare import same

F32 = TensorType("float32", (2, 3))
X, Y = Ref("x"), Ref("y")


@pytest.fixture(scope="module")
def frontend_onnx() -> Frontend:
    return frontend("onnx")


@pytest.mark.parametrize(
    ("node", "dtype", "expected"),
    [
        (Node("onnx.Relu", (X,), (), ()), "float32", 13),
        (Node("onnx.Relu", (X,), (), ()), "int32", 14),
        (Node("onnx.ReduceMean", (X, Y), (), ()), "float32", 18),
        (Node("onnx.ReduceMean", (X,), (), ()), "float32", 13),
        (Node("onnx.Split", (X,), (("num_outputs", 2), ("outputs", 2)), ()), "float32", 18),
        (Node("onnx.Pad", (X, Y), (("mode", "wrap"),), ()), "float32", 19),
        (Node("onnx.MaxPool", (X,), (("kernel_shape", (1,)), ("ceil_mode", 1)), ()), "float32", 22),
        (Node("onnx.GroupNormalization", (X, X, X), (("num_groups", 1),), ()), "float32", 21),
        (Node("onnx.Cast", (X,), (("to", DType("float8_e5m2")),), ()), "float32", 19),
        (Node("onnx.Gelu", (X,), (), ()), "float32", 20),
    ],
)
def test_the_lowest_opset(node: Node, dtype: str, expected: int) -> None:
    assert lowest_opset(node, {"x": TensorType(dtype, (2, 3)), "y": TensorType("int64", (1,))}) == expected


def test_an_operator_without_a_kernel_in_the_newest_opset_has_an_older_one() -> None:
    lowest, highest = opsets(Node("onnx.GlobalLpPool", (X,), (), ()), {"x": F32})
    assert (lowest, highest) == (13, 21)


def test_only_one_operator_runs_nowhere(frontend_onnx: Frontend) -> None:
    targets = frontend_onnx.registry().targets()
    assert [target for target in targets if not has_kernel(target.removeprefix("onnx."))] == ["onnx.Swish"]


def test_types_are_those_of_the_kernels() -> None:
    assert set(types("Conv")) == {"float32", "float16"}
    assert "bfloat16" not in types("Softmax")


def test_outputs_are_told_by_an_argument() -> None:
    assert output_count(Node("onnx.MaxPool", (X,), (), ())) == 1
    assert output_count(Node("onnx.TopK", (X, Y), (), ())) == 2
    assert output_count(Node("onnx.Split", (X,), (("outputs", 4),), ())) == 4


def test_attributes_that_the_schema_does_not_have_are_refused() -> None:
    with pytest.raises(EvaluationError, match="kernel_shape"):
        node_proto(Node("onnx.MaxPool", (X,), (("kernel_shape", 2.5),), ()), ["x"], ["y"])
    with pytest.raises(EvaluationError, match="no operator"):
        node_proto(Node("onnx.Nothing", (X,), (), ()), ["x"], ["y"])


def _case() -> Case:
    """An input and a constant as outputs, one value twice, awkward names, an attribute that is a tensor."""
    nodes = (
        Node(
            "onnx.Constant",
            (),
            (("value", (DType("float32"), (1,), (0.5,))),),
            (Value("half é", TensorType("float32", (1,))),),
        ),
        Node("onnx.Add", (X, Ref("half é")), (), (Value("output_1", F32),)),
        Node("onnx.Clip", (Ref("output_1"), None, Ref("c")), (), (Value("z", F32),)),
    )
    constants = (Constant("c", np.array(1.25, np.float32)),)
    graph = Graph("onnx", (Input("x", F32),), constants, nodes, ("z", "x", "z", "c"))
    return Case(graph, {"x": np.arange(6, dtype=np.float32).reshape(2, 3)})


def test_a_model_is_printed_as_it_runs(frontend_onnx: Frontend) -> None:
    case = _case()
    model = frontend_onnx.load(case)
    expected = np.minimum(case.feeds["x"] + 0.5, 1.25).astype(np.float32)
    outputs = frontend_onnx.execute(model)
    assert [output.tolist() for output in outputs] == [
        expected.tolist(),
        case.feeds["x"].tolist(),
        expected.tolist(),
        1.25,
    ]
    for symbolic in (False, True):
        proto = model.native.proto(opset=17, symbolic=symbolic)
        onnx.checker.check_model(proto, full_check=True)
        assert [entry.version for entry in proto.opset_import] == [17]
        assert [value.name for value in proto.graph.output] == [f"output_{index}" for index in range(4)]
        assert bool(proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param) is symbolic


def test_a_model_is_never_older_than_its_nodes(frontend_onnx: Frontend) -> None:
    node = Node("onnx.Gelu", (X,), (), (Value("z", F32),))
    case = Case(Graph("onnx", (Input("x", F32),), (), (node,), ("z",)), {"x": np.zeros((2, 3), np.float32)})
    model = frontend_onnx.load(case).native
    assert model.proto(opset=13).opset_import[0].version == 20
    assert model.proto(opset=NEWEST).opset_import[0].version == NEWEST
    assert frontend_onnx.excluded(node, {"x": F32}, {"opset": 19}) == "newer than the opset asked for"
    assert frontend_onnx.excluded(node, {"x": F32}, {"opset": 20}) == ""


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float8_e4m3fn", "bool", "uint16", "float64"])
def test_every_element_type_survives(frontend_onnx: Frontend, name: str) -> None:
    kind = np.dtype(getattr(ml_dtypes, name, name if name != "bool" else np.bool_))
    array = np.array([[0, 1, 1]], np.float32).astype(kind)
    node = Node("onnx.Transpose", (X,), (), (Value("z", TensorType(name, (3, 1))),))
    case = Case(Graph("onnx", (Input("x", TensorType(name, (1, 3))),), (), (node,), ("z",)), {"x": array})
    assert same(frontend_onnx.run(case.graph, case.feeds)["z"], np.ascontiguousarray(array.T))
    assert same(frontend_onnx.execute(frontend_onnx.load(case))[0], np.ascontiguousarray(array.T))


def test_double_precision_with_and_without_a_kernel(frontend_onnx: Frontend) -> None:
    x = np.array([[[0.1, 0.2, 0.7]]])
    w = np.array([[[1.0, 3.0]]])
    conv = Node("onnx.Conv", (X, Y), (), (Value("z", TensorType("float32", (1, 1, 2))),))
    [result] = frontend_onnx.evaluate(conv, {"x": x, "y": w}, double=True)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, [[[0.7, 2.3]]], rtol=1e-15)
    cast = Node("onnx.Cast", (X,), (("to", DType("float16")),), (Value("z", TensorType("float16", (1, 1, 3))),))
    [result] = frontend_onnx.evaluate(cast, {"x": x}, double=True)
    assert same(result, x)


def test_a_kernel_of_the_wrong_shape_is_no_reference(frontend_onnx: Frontend) -> None:
    """ONNX Runtime's own inference says how it should be."""
    from generators.frontends.onnx_nodes import _contradicts

    assert _contradicts((2, "n"), (3, 1))
    assert _contradicts((2,), (2, 1))
    assert not _contradicts((2, "n", None), (2, 7, 1))
    assert not _contradicts((), (2, 7))
