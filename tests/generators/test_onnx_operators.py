"""Every sampler for ONNX, drawn from and executed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest

from generators.choices import SeededChoices
from generators.frontends.base import EvaluationError, Frontend, frontend
from generators.frontends.onnx_schema import NEWEST, operators
from generators.graph import Case, DType, Graph, Input, Node, Ref, TensorType, Value
from generators.operators.registry import Rounding
from generators.random_graphs import Grown, Weights, grow
from generators.wellformed import check_case
from oracles.compare import same

ATTEMPTS = 60
#: Why the others have no sampler.
WITHOUT = {
    "sequences and optionals": (
        "ConcatFromSequence Optional OptionalGetElement OptionalHasElement SequenceAt SequenceConstruct SequenceEmpty "
        "SequenceErase SequenceInsert SequenceLength SequenceMap SplitToSequence"
    ),
    "strings and streams": "ImageDecoder RegexFullMatch StringConcat StringNormalizer StringSplit",
    "bodies": "If Loop Scan",
    "random numbers": "Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike",
    "removed before opset 13": "Scatter Upsample",
    "newer than any runtime": "CausalConvWithState LinearAttention SwiGLU",
}


@pytest.fixture(scope="module")
def frontend_onnx() -> Frontend:
    return frontend("onnx")


def test_every_operator_has_a_sampler_or_a_reason(frontend_onnx: Frontend) -> None:
    named = {name for names in WITHOUT.values() for name in names.split()}
    registered = {target.removeprefix("onnx.") for target in frontend_onnx.registry().targets()}
    assert len(registered) >= 170
    assert not registered & named
    # Later releases of onnx may have operators that are not known here.
    assert registered | named <= set(operators())
    unknown = set(operators()) - registered - named
    assert all(onnx.defs.get_schema(name).since_version > 28 for name in unknown), unknown


@pytest.mark.sweep
def test_every_target_gives_a_node(frontend_onnx: Frontend) -> None:
    missing = []
    for target in frontend_onnx.registry().targets():
        weights = Weights((target,), (1.0,))
        for seed in range(ATTEMPTS):
            try:
                grown = grow(frontend_onnx, SeededChoices(seed), nodes=1, weights=weights)
            except ValueError:
                continue
            check_case(grown.case)
            assert [node.target for node in grown.case.graph.nodes] == [target]
            break
        else:
            missing.append(target)
    assert not missing


@pytest.fixture(scope="module")
def grown(frontend_onnx: Frontend) -> list[Grown]:
    return [grow(frontend_onnx, SeededChoices(7, seed), nodes=10, settings={}) for seed in range(120)]


def test_most_draws_are_accepted(grown: list[Grown]) -> None:
    accepted = sum(item.accepted for item in grown)
    dropped: Counter[str] = sum((item.dropped for item in grown), Counter())
    for left_out in ("unconnected", "without a kernel", "without a kernel in the opset asked for"):
        del dropped[left_out]
    assert accepted >= 0.8 * (accepted + dropped.total()), dropped.most_common(5)
    raised = Counter({reason: count for reason, count in dropped.items() if reason.startswith("raised")})
    assert raised.total() <= 0.02 * accepted, raised


def test_running_a_graph_gives_what_growing_it_gave(frontend_onnx: Frontend, grown: list[Grown]) -> None:
    for item in grown:
        values = frontend_onnx.run(item.case.graph, item.case.feeds)
        for name, array in values.items():
            assert same(array, item.values[name]), name


def test_the_printed_source_gives_the_very_values_of_the_interpreter(
    frontend_onnx: Frontend, grown: list[Grown]
) -> None:
    for item in grown:
        outputs = frontend_onnx.execute(frontend_onnx.load(item.case))
        for name, array in zip(item.case.graph.outputs, outputs, strict=True):
            assert same(array, item.values[name]), (name, item.case.graph.nodes)


def test_models_are_valid_and_run_as_declared(frontend_onnx: Frontend, grown: list[Grown]) -> None:
    """With inferred types, in every opset that there is for them. What onnx itself is known to be wrong about is
    left out: the definition of MeanVarianceNormalization, and ceil_mode before opset 22."""
    checked = 0
    for number, item in enumerate(grown):
        graph = item.case.graph
        if "onnx.MeanVarianceNormalization" in graph.operators():
            continue
        if any(node.target == "onnx.STFT" and "onesided" not in dict(node.kwargs) for node in graph.nodes):
            continue
        model = frontend_onnx.load(item.case).native.proto(opset=NEWEST if number % 2 else 13)
        onnx.checker.check_model(model, full_check=True)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        # The optimizer makes nodes that it has no kernels for: that is for campaigns to find.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        assert [value.name for value in session.get_inputs()] == [f"input_{i}" for i in range(len(graph.inputs))]
        checked += 1
    assert checked > 100


def test_the_same_seed_draws_the_same_graph(frontend_onnx: Frontend) -> None:
    for seed in range(20):
        one, two = (grow(frontend_onnx, SeededChoices(11, seed), nodes=6) for _ in range(2))
        assert repr(one.case.graph.nodes) == repr(two.case.graph.nodes)
        assert one.case.graph.constants == two.case.graph.constants


def test_variety(grown: list[Grown]) -> None:
    targets = {target for item in grown for target in item.case.graph.operators()}
    assert len(targets) >= 140
    types = [kind for item in grown for kind in item.case.graph.types().values()]
    assert {kind.dtype for kind in types} >= {
        "float16",
        "float32",
        "float64",
        "bool",
        "int8",
        "int64",
        "uint8",
    }
    assert {kind.rank for kind in types} >= {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize("target", ["Transpose", "Concat", "Relu", "Equal", "Where", "TopK", "Slice", "Pad"])
def test_exact_operators(frontend_onnx: Frontend, target: str) -> None:
    assert frontend_onnx.registry().rounding(f"onnx.{target}") is Rounding.EXACT


def _call(frontend_onnx: Frontend, target: str, *arrays: np.ndarray | None, **attributes: object) -> list[np.ndarray]:
    names = [None if array is None else Ref(f"x{index}") for index, array in enumerate(arrays)]
    node = Node(f"onnx.{target}", tuple(names), tuple(attributes.items()), ())  # type: ignore[arg-type]
    return frontend_onnx.call(node, {f"x{index}": array for index, array in enumerate(arrays)})[0]


@pytest.mark.parametrize(
    ("target", "arrays", "attributes"),
    [
        ("Cast", [[300.0]], {"to": DType("int8")}),
        ("Cast", [[np.nan]], {"to": DType("int32")}),
        ("Div", [np.array([1, 2]), np.array([0, 1])], {}),
        ("Div", [np.array([-128], np.int8), np.array([-1], np.int8)], {}),
        ("Mod", [np.array([1, 2]), np.array([0, 1])], {}),
        ("Pow", [np.array([2, 3]), np.array([-1, 2])], {}),
        ("BitShift", [np.array([1], np.uint8), np.array([8], np.uint8)], {"direction": "LEFT"}),
        ("TopK", [[1.0, np.nan], np.array([1])], {"outputs": 2}),
        ("ScatterElements", [[1.0, 2.0], np.array([1, -1]), [5.0, 6.0]], {}),
        ("ScatterND", [[1.0, 2.0], np.array([[0], [0]]), [5.0, 6.0]], {}),
        ("Bernoulli", [[0.5, 1.0]], {}),
        ("Range", [np.array(0), np.array(3), np.array(0)], {}),
        ("ReduceSum", [np.zeros((0, 0), np.float32)], {}),
    ],
)
def test_what_is_not_defined_is_not_executed(
    frontend_onnx: Frontend, target: str, arrays: list[object], attributes: dict[str, object]
) -> None:
    given = [item if isinstance(item, np.ndarray) else np.array(item, np.float32) for item in arrays]
    with pytest.raises(EvaluationError, match="undefined"):
        _call(frontend_onnx, target, *given, **attributes)


def test_a_scatter_that_adds_may_meet_the_same_place_twice(frontend_onnx: Frontend) -> None:
    data, indices = np.zeros(2, np.float32), np.array([1, 1])
    [result] = _call(frontend_onnx, "ScatterElements", data, indices, np.ones(2, np.float32), reduction="add")
    assert result.tolist() == [0.0, 2.0]


def test_values_that_an_operator_has_no_kernel_for_come_from_the_reference(frontend_onnx: Frontend) -> None:
    x = np.array([-1.0, 2.0], np.float32)
    [result] = _call(frontend_onnx, "Swish", x)
    np.testing.assert_allclose(result, x / (1 + np.exp(-x)), rtol=1e-6)
    kind = TensorType("float32", (2,))
    node = Node("onnx.Swish", (Ref("x"),), (), (Value("y", kind),))
    case = Case(Graph("onnx", (Input("x", kind),), (), (node,), ("y",)), {"x": x})
    assert same(frontend_onnx.execute(frontend_onnx.load(case))[0], result)
    assert frontend_onnx.excluded(node, {"x": kind}, {}) == "without a kernel"
