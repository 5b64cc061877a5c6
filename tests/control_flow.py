"""Hand-made cases with control flow, for the tests of several parts."""

from __future__ import annotations

import numpy as np

from generators.graph import Argument, Array, Case, DType, Graph, Input, Node, Ref, TensorType, Value

NUMBER, TRUTH = TensorType("int64", ()), TensorType("bool", ())
WHILE = {"torch": "torch._higher_order_ops.while_loop", "tensorflow": "tf.while_loop"}
COND = {"torch": "torch.cond", "tensorflow": "tf.cond", "onnx": "onnx.If"}
NAMES = {
    "torch": ("torch.max", "torch.gt", "torch.lt", "torch.add", "torch.sin", "torch.exp"),
    "tensorflow": ("tf.reduce_max", "tf.greater", "tf.less", "tf.add", "tf.sin", "tf.exp"),
    "onnx": ("onnx.ReduceMax", "onnx.Greater", "onnx.Less", "onnx.Add", "onnx.Sin", "onnx.Exp"),
}


def conditional(frontend: str, data: Array, then: str = "", other: str = "") -> Case:
    """``y = then(x) if max(x) > t else other(x)``, by default sine and exponential; branches capture ``x``."""
    kind = TensorType(str(data.dtype), data.shape)
    largest, greater, _, _, sine, exponential = NAMES[frontend]
    branches = [
        Graph(frontend, (), (), (Node(target, (Ref("x"),), (), (Value(f"o{at}", kind),)),), (f"o{at}",))
        for at, target in enumerate((then or sine, other or exponential))
    ]
    extra: tuple[tuple[str, Argument], ...] = (("keepdims", 0),) if frontend == "onnx" else ()
    named: tuple[tuple[str, Argument], ...] = tuple(zip(("then_branch", "else_branch"), branches, strict=True))
    args: tuple[Argument, ...] = (Ref("p"),) if frontend == "onnx" else (Ref("p"), *branches)
    kwargs = named if frontend == "onnx" else ()
    nodes = (
        Node(largest, (Ref("x"),), extra, (Value("m", TensorType(kind.dtype, ())),)),
        Node(greater, (Ref("m"), Ref("t")), (), (Value("p", TRUTH),)),
        Node(COND[frontend], args, kwargs, (Value("y", kind),)),
    )
    inputs = (Input("x", kind), Input("t", TensorType(kind.dtype, ())))
    return Case(Graph(frontend, inputs, (), nodes, ("y",)), {"x": data, "t": np.array(0, data.dtype)})


def loop(frontend: str, data: Array, steps: int = 3) -> Case:
    """``y = sin(y) + w`` so many times from ``x`` on; ``w`` is captured, and a counter carried."""
    kind = TensorType(str(data.dtype), data.shape)
    _, _, less, add, sine, _ = NAMES[frontend]
    condition = Graph(
        frontend, (Input("i", NUMBER), Input("a", kind)), (),
        (Node(less, (Ref("i"), steps), (), (Value("go", TRUTH),)),), ("go",),
    )  # fmt: skip
    body = Graph(
        frontend, (Input("j", NUMBER), Input("b", kind)), (),
        (
            Node(add, (Ref("j"), 1), (), (Value("k", NUMBER),)),
            Node(sine, (Ref("b"),), (), (Value("s", kind),)),
            Node(add, (Ref("s"), Ref("w")), (), (Value("c", kind),)),
        ),
        ("k", "c"),
    )  # fmt: skip
    node = Node(
        WHILE[frontend], (condition, body, (Ref("n"), Ref("x"))), (), (Value("m", NUMBER), Value("y", kind))
    )  # fmt: skip
    inputs = (Input("x", kind), Input("w", kind), Input("n", NUMBER))
    feeds = {"x": data, "w": np.full_like(data, 0.3), "n": np.array(0)}
    return Case(Graph(frontend, inputs, (), (node,), ("y",)), feeds)


def mapped(data: Array, dtype: str = "int32") -> Case:
    """``tf.map_fn`` that gives each row in another element type."""
    row = TensorType(str(data.dtype), data.shape[1:])
    body = Graph(
        "tensorflow", (Input("r", row),), (),
        (Node("tf.cast", (Ref("r"), DType(dtype)), (), (Value("q", TensorType(dtype, row.shape)),)),), ("q",),
    )  # fmt: skip
    node = Node(
        "tf.map_fn", (body, Ref("x")), (("fn_output_signature", DType(dtype)),),
        (Value("y", TensorType(dtype, data.shape)),),
    )  # fmt: skip
    kind = TensorType(str(data.dtype), data.shape)
    return Case(Graph("tensorflow", (Input("x", kind),), (), (node,), ("y",)), {"x": data})
