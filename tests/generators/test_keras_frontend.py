"""The Keras frontend on graphs written by hand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from generators.frontends.base import EvaluationError, Frontend, frontend
from generators.graph import Argument, Array, Case, Constant, DType, Graph, Input, Node, Ref, Symbol, Value, type_of
from generators.serial import dumps, loads
from generators.transforms import isolate, union
from oracles.compare import same


@pytest.fixture(scope="module")
def keras() -> Frontend:
    return frontend("keras")


X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 4, 3)
KERNEL = np.arange(6, dtype=np.float32).reshape(3, 2)
BIAS = np.array([0.5, -0.5], np.float32)


def case_of(*nodes: Node, outputs: tuple[str, ...], feeds: dict[str, Array], **constants: Array) -> Case:
    inputs = tuple(Input(name, type_of(array)) for name, array in feeds.items())
    weights = tuple(Constant(name, array) for name, array in constants.items())
    return Case(Graph("keras", inputs, weights, nodes, outputs), feeds)


def node(target: str, args: tuple[Argument, ...], *outputs: tuple[str, Array], **kwargs: Argument) -> Node:
    values = tuple(Value(name, type_of(array)) for name, array in outputs)
    return Node(f"keras.layers.{target}", args, tuple(kwargs.items()), values, unpack=len(values) > 1)


def dense(to: str, of: str = "x", **kwargs: Argument) -> Node:
    result = np.zeros((2, 4, 2), np.float32)
    return node("Dense", (Ref(of),), (to, result), units=2, **kwargs, weights=(Ref("k"), Ref("b")))


def both_ways(keras: Frontend, case: Case) -> list[Array]:
    """Outputs of the printed source, having checked them against the interpreter's."""
    keras.check_arguments(case.graph)
    values = keras.run(case.graph, case.feeds)
    outputs = keras.execute(keras.load(case))
    for name, array in zip(case.graph.outputs, outputs, strict=True):
        assert same(array, values[name]), name
    return outputs


def test_printing_imports_no_framework() -> None:
    code = "import sys, generators.frontends.keras_source; print('keras' in sys.modules, 'tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"


def test_a_layer_computes_with_its_weights(keras: Frontend) -> None:
    case = case_of(dense("y"), outputs=("y",), feeds={"x": X}, k=KERNEL, b=BIAS)
    [y] = both_ways(keras, case)
    np.testing.assert_allclose(y, X @ KERNEL + BIAS, rtol=1e-6, atol=1e-6)


def test_the_source_builds_the_layer_and_sets_its_weights(keras: Frontend) -> None:
    case = case_of(dense("y", activation="relu"), outputs=("y",), feeds={"x": X}, k=KERNEL, b=BIAS)
    assert keras.source(case.graph).splitlines() == [
        "def Model():",
        "    x = keras.Input(batch_shape=(2, 4, 3), dtype='float32', name='input_0')",
        "    dense_0 = keras.layers.Dense(units=2, activation='relu')",
        "    y = dense_0(x)",
        "    model = keras.Model([x], [y])",
        "    dense_0.set_weights([",
        "        np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], 'float32'),",
        "        np.array([0.5, -0.5], 'float32'),",
        "    ])",
        "    return model",
    ]


def test_nodes_of_the_same_weights_and_arguments_share_a_layer(keras: Frontend) -> None:
    case = case_of(dense("y"), dense("z", "x1"), outputs=("y", "z"), feeds={"x": X, "x1": X + 1}, k=KERNEL, b=BIAS)
    y, z = both_ways(keras, case)
    assert keras.source(case.graph).count("keras.layers.Dense") == 1
    assert len(keras.load(case).native.weights) == 2
    np.testing.assert_allclose(z, y + KERNEL.sum(0), rtol=1e-5, atol=1e-5)
    other = replace(case.graph, nodes=(case.graph.nodes[0], dense("z", "x1", activation="relu")))
    assert keras.source(other).count("keras.layers.Dense") == 2


def test_results_do_not_depend_on_what_was_computed_before(keras: Frontend) -> None:
    """Built layers are kept, and their weights with them."""
    one = case_of(dense("y"), outputs=("y",), feeds={"x": X}, k=KERNEL, b=BIAS)
    two = case_of(dense("y"), outputs=("y",), feeds={"x": X}, k=-KERNEL, b=BIAS)
    first = both_ways(keras, one)[0]
    both_ways(keras, two)
    assert same(both_ways(keras, one)[0], first)


def test_several_inputs_outputs_and_lists(keras: Frontend) -> None:
    nodes = (
        node("Add", ((Ref("x"), Ref("x1")),), ("s", X)),
        node(
            "LSTM",
            (Ref("s"),),
            *((name, np.zeros((2, 1), np.float32)) for name in ("o", "h", "c")),
            units=1,
            return_state=True,
            weights=(Ref("k"), Ref("r"), Ref("b")),
        ),
    )
    rng = np.random.default_rng(0)
    weights = {"k": rng.normal(size=(3, 4)), "r": rng.normal(size=(1, 4)), "b": rng.normal(size=4)}
    case = case_of(
        *nodes,
        outputs=("s", "o", "h", "c", "x"),
        feeds={"x": X, "x1": X * 2},
        **{name: array.astype(np.float32) for name, array in weights.items()},
    )
    s, o, h, _, x = both_ways(keras, case)
    np.testing.assert_allclose(s, X * 3, rtol=1e-6)
    assert same(o, h)
    assert same(x, X)


def test_layers_inside_of_layers(keras: Frontend) -> None:
    inner: Argument = (Symbol("keras.layers.Dense"), (("units", 2),))
    wrapped = node(
        "TimeDistributed",
        (Ref("x"),),
        ("y", np.zeros((2, 4, 2), np.float32)),
        layer=inner,
        weights=(Ref("k"), Ref("b")),
    )
    case = case_of(wrapped, outputs=("y",), feeds={"x": X}, k=KERNEL, b=BIAS)
    [y] = both_ways(keras, case)
    assert "keras.layers.TimeDistributed(layer=keras.layers.Dense(units=2))" in keras.source(case.graph)
    np.testing.assert_allclose(y, X @ KERNEL + BIAS, rtol=1e-6, atol=1e-6)


def test_weights_survive_serialisation_union_and_isolation(keras: Frontend) -> None:
    case = case_of(dense("y"), dense("z", "x"), outputs=("y", "z"), feeds={"x": X}, k=KERNEL, b=BIAS)
    expected = both_ways(keras, case)
    back = loads(dumps(case))
    assert back.graph == case.graph
    assert all(map(same, both_ways(keras, back), expected))
    both = union([case, back]).case
    assert all(map(same, both_ways(keras, both), [*expected, *expected]))
    for part in isolate(case, keras.run(case.graph, case.feeds)):
        assert {constant.name for constant in part.graph.constants} == {"k", "b"}
        assert same(both_ways(keras, part)[0], expected[0])


def test_double_precision_computes_in_float64(keras: Frontend) -> None:
    layer = dense("y")
    wide = {"x": X.astype(np.float64), "k": KERNEL.astype(np.float64), "b": BIAS.astype(np.float64)}
    [y] = keras.evaluate(layer, wide, double=True)
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, wide["x"] @ wide["k"] + wide["b"], rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda graph: replace(graph, nodes=(replace(graph.nodes[0], kwargs=(("units", 2),)),)), "2 weights, 0"),
        (lambda graph: replace(graph, constants=(Constant("k", KERNEL[:2]), graph.constants[1])), "is given"),
        (lambda graph: replace(graph, constants=(Constant("k", KERNEL.T.copy()), graph.constants[1])), "is given"),
        (
            lambda graph: replace(
                graph, inputs=(*graph.inputs, Input("k", type_of(KERNEL))), constants=graph.constants[1:]
            ),
            "weights are constants",
        ),
        (
            lambda graph: replace(graph, inputs=(), constants=(*graph.constants, Constant("x", X))),
            "constants are weights",
        ),
        (lambda graph: replace(graph, outputs=("k",)), "no output"),
        (lambda graph: replace(graph, nodes=(dense("y", dtype=DType("int32")),)), "floating types"),
        (lambda graph: replace(graph, nodes=(dense("y", use_bias=None),)), "is None"),
    ],
)
def test_what_minimization_may_make_of_weights_is_refused(keras: Frontend, broken: object, words: str) -> None:
    case = case_of(dense("y"), outputs=("y",), feeds={"x": X, "k": KERNEL}, k=KERNEL, b=BIAS)
    graph = replace(case.graph, inputs=case.graph.inputs[:1])
    changed = broken(graph)  # type: ignore[operator]

    def evaluate() -> None:
        keras.check_arguments(changed)
        keras.run(changed, case.feeds)

    with pytest.raises(EvaluationError, match=words):
        evaluate()


def test_masks_that_are_no_values_are_refused(keras: Frontend) -> None:
    masking = node("Masking", (Ref("x"),), ("y", X))
    case = case_of(masking, outputs=("y",), feeds={"x": X})
    with pytest.raises(EvaluationError, match="mask"):
        keras.run(case.graph, case.feeds)


def test_batch_normalisation_stays_in_inference_behind_layers_that_are_in_training_by_default(keras: Frontend) -> None:
    """``Resizing`` has ``training=True`` as its default and hands it on to the layers behind it."""
    image = np.linspace(0, 1, 2 * 4 * 4 * 1, dtype=np.float32).reshape(2, 4, 4, 1)
    small = np.zeros((2, 2, 2, 1), np.float32)
    nodes = (
        node("Resizing", (Ref("x"),), ("r", small), height=2, width=2),
        node("BatchNormalization", (Ref("r"),), ("y", small), weights=tuple(map(Ref, ("g", "b", "m", "v")))),
    )
    one = np.ones(1, np.float32)
    case = case_of(*nodes, outputs=("r", "y"), feeds={"x": image}, g=one, b=one, m=one * 3, v=one * 4)
    r, y = both_ways(keras, case)
    np.testing.assert_allclose(y, (r - 3) / np.sqrt(4 + 1e-3) + 1, rtol=1e-5)
