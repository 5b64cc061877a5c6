"""Hand-made graphs for the tests of converters and runtimes."""

from __future__ import annotations

import numpy as np

from generators.graph import DTYPES, Argument, Array, Case, Constant, Graph, Input, Node, Ref, TensorType, Value

#: What each frontend calls the operators that the graphs use.
NAMES = {
    "torch": {
        "add": "torch.add",
        "subtract": "torch.sub",
        "exp": "torch.exp",
        "transpose": "torch.t",
        "relu": "torch.relu",
        "multiply": "torch.mul",
    },
    "tensorflow": {
        "add": "tf.add",
        "subtract": "tf.subtract",
        "exp": "tf.exp",
        "transpose": "tf.transpose",
        "relu": "tf.nn.relu",
        "multiply": "tf.multiply",
    },
    "onnx": {
        "add": "onnx.Add",
        "subtract": "onnx.Sub",
        "exp": "onnx.Exp",
        "transpose": "onnx.Transpose",
        "relu": "onnx.Relu",
        "multiply": "onnx.Mul",
    },
}


def ramp(dtype: str, *shape: int) -> Array:
    """Small distinct numbers, exact in every dtype that has fractions; alternating for bool."""
    numbers = np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)
    return (numbers % 2 == 0) if dtype == "bool" else (numbers * 0.25 + 1).astype(DTYPES[dtype])


def given(name: str, dtype: str, *shape: int) -> Input:
    return Input(name, TensorType(dtype, shape))


def call(frontend: str, operator: str, *args: Argument, to: str, dtype: str, shape: tuple[int, ...]) -> Node:
    return Node(NAMES[frontend][operator], args, (), (Value(to, TensorType(dtype, shape)),))


def unary(frontend: str, operator: str, dtype: str, *shape: int) -> Case:
    """One operator on one input, which ``add_self`` takes twice. The result has the input's shape."""
    args = (Ref("x"), Ref("x")) if operator == "add_self" else (Ref("x"),)
    node = call(frontend, operator.removesuffix("_self"), *args, to="y", dtype=dtype, shape=shape)
    return Case(Graph(frontend, (given("x", dtype, *shape),), (), (node,), ("y",)), {"x": ramp(dtype, *shape)})


def mapping(frontend: str, constant: str = "input_0") -> Case:
    """Everything that can go wrong between positions and names, all values of one shape.

    Odd names, a ``constant`` called like one of our inputs, an input that only reaches an output directly, one that
    nothing uses, outputs in another order than the nodes, one of them three times, more than ten of them, a constant
    and a parameter as outputs.
    """
    f32 = {"dtype": "float32", "shape": (2,)}
    inputs = tuple(given(name, "float32", 2) for name in ("a b", "class", "unused", "output_0"))
    constants = (
        Constant(constant, np.array([10.0, 11.0], np.float32)),
        Constant("weight", np.array([12.0, 13.0], np.float32), trainable=True),
    )
    nodes = (
        call(frontend, "add", Ref("a b"), Ref("class"), to="sum", **f32),  # type: ignore[arg-type]
        call(frontend, "subtract", Ref("class"), Ref("a b"), to="difference", **f32),  # type: ignore[arg-type]
        call(frontend, "multiply", Ref("difference"), Ref("weight"), to="product", **f32),  # type: ignore[arg-type]
        call(frontend, "add", Ref("sum"), Ref(constant), to="shifted", **f32),  # type: ignore[arg-type]
    )
    outputs = ("difference", "sum", "sum", "output_0", "product", constant, "shifted", "weight", "sum", "class")
    feeds = {value.name: np.array([index + 0.5, 3.0 * index], np.float32) for index, value in enumerate(inputs)}
    return Case(Graph(frontend, inputs, constants, nodes, (*outputs, "product", "difference")), feeds)


def constants_only(frontend: str) -> Case:
    node = call(frontend, "exp", Ref("k"), to="y", dtype="float32", shape=(3,))
    return Case(Graph(frontend, (), (Constant("k", ramp("float32", 3)),), (node,), ("y",)), {})


def through(frontend: str, dtype: str) -> Case:
    """An input handed on as it is, beside a transposed one: no arithmetic, so every element type survives."""
    node = call(frontend, "transpose", Ref("x"), to="y", dtype=dtype, shape=(2, 3))
    graph = Graph(frontend, (given("x", dtype, 3, 2),), (), (node,), ("x", "y"))
    return Case(graph, {"x": ramp(dtype, 3, 2)})
