"""Hand-made graphs for tests of what never executes them."""

from __future__ import annotations

import numpy as np

from generators.graph import (
    Array,
    Case,
    Constant,
    DType,
    Graph,
    Input,
    Node,
    Ref,
    Slice,
    Symbol,
    TensorType,
    Value,
    type_of,
)

F32 = TensorType("float32", (2,))


def node(target: str, *args: object, outputs: tuple[str, ...], **kwargs: object) -> Node:
    """A node whose string arguments that start with ``%`` are references; every output is float32[2]."""

    def argument(item: object) -> object:
        if isinstance(item, str) and item.startswith("%"):
            return Ref(item[1:])
        return tuple(argument(part) for part in item) if isinstance(item, tuple) else item

    return Node(
        target,
        tuple(argument(item) for item in args),  # type: ignore[misc]
        tuple((key, argument(item)) for key, item in kwargs.items()),  # type: ignore[misc]
        tuple(Value(name, F32) for name in outputs),
        unpack=len(outputs) > 1,
    )


def branching() -> Case:
    """x, w, dead input y; a = f(x, w); (b, c) = g(a); d = h(b) dead; e = k(a, c). Outputs: e, b."""
    graph = Graph(
        "torch",
        (Input("x", F32), Input("y", F32)),
        (Constant("w", np.array([1, 2], dtype=np.float32), trainable=True), Constant("u", np.zeros(3))),
        (
            node("f", "%x", "%w", outputs=("a",)),
            node("g", "%a", outputs=("b", "c")),
            node("h", ("%b", 3), outputs=("d",)),
            node("k", "%a", Slice(None, Ref("c")), outputs=("e",)),
        ),
        ("e", "b"),
    )
    feeds = {name: np.array([3, 4], dtype=np.float32) for name in ("x", "y")}
    return Case(graph, feeds, {"x": "ties", "y": "typical", "w": "tiny"})


def recorded() -> dict[str, Array]:
    """Values of :func:`branching`, each of its own, c of another type than the graph says."""
    values: dict[str, Array] = {
        name: np.full(2, number, dtype=np.float32) for number, name in enumerate(("x", "y", "a", "b", "d", "e"))
    }
    return {**values, "w": np.array([1, 2], dtype=np.float32), "u": np.zeros(3), "c": np.array([7], dtype=np.int64)}


def with_bodies() -> Case:
    """A conditional whose bodies capture ``a`` (a node's value), ``w`` (a constant) and each other's outer values."""
    inner = Graph("torch", (), (), (node("deep", "%p", "%a", outputs=("r",)),), ("r",))
    first = Graph(
        "torch",
        (Input("p", F32),),
        (Constant("k", np.array([5, 6], dtype=np.float32)),),
        (
            node("f", "%p", "%a", outputs=("q",)),
            node("unused", "%w", outputs=("z",)),
            Node("loop", (inner,), (), (Value("s", F32),)),
        ),
        ("s", "k"),
    )
    second = Graph("torch", (Input("p2", F32),), (), (), ("w", "a"))
    graph = Graph(
        "torch",
        (Input("x", F32),),
        (Constant("w", np.array([1, 2], dtype=np.float32)),),
        (
            node("f", "%x", outputs=("a",)),
            Node(
                "cond", (Ref("x"), (first, second)), (("dtype", DType("float16")),), (Value("o", F32), Value("o2", F32))
            ),
        ),
        ("o",),
    )
    return Case(graph, {"x": np.array([3, 4], dtype=np.float32)})


def every_argument() -> Case:
    """One node with every kind of argument, hostile names, and every dtype as a constant or feed."""
    from generators.graph import DTYPES

    hostile = ["x y", "'\"`", "a\nb\tc\0", "ünï→✓", "\ud800", "__metadata__", "None", "{}", "../../etc", "t0"]
    arguments = (
        None, True, False, 0, -1, 2**70, -(2**63), 0.0, -0.0, 1e-320, float("inf"), float("-inf"), float("nan"),
        complex(-0.0, float("inf")), "text", "%", "", ..., Ref("x y"), DType("float8_e5m2"),
        Symbol("torch.channels_last"), (Slice(1, None, -1), Slice(Ref("ünï→✓")), ((),)), 1, 1.0,
    )  # fmt: skip
    random = np.random.default_rng(5)
    feeds: dict[str, Array] = {}
    constants = []
    for number, (name, dtype) in enumerate(DTYPES.items()):
        raw = random.integers(0, 256, 6 * dtype.itemsize, dtype=np.uint8)
        if name in {"bool", "int4", "uint4", "float4_e2m1fn"}:
            raw &= 1 if name == "bool" else 15
        data = np.frombuffer(raw.tobytes(), dtype=dtype).reshape(2, 3)
        constants.append(Constant(f"const {name}", data, trainable=number % 2 == 0))
        feeds[f"in {name}"] = data.reshape(-1)[:1].reshape(())
    feeds["empty"] = np.zeros((0, 3, 0), dtype=np.float32)
    feeds["nan"] = np.array([0x7FC12345, 0xFFC00001, 0x80000000], dtype=np.uint32).view(np.float32)
    feeds["strided"] = np.arange(12, dtype=np.int16).reshape(3, 4).T
    feeds.update((name, np.array([1.5], dtype=np.float32)) for name in hostile)
    inputs = tuple(Input(name, type_of(array), (1, 0) if array.ndim == 2 else ()) for name, array in feeds.items())
    first = Node("torch.weird", arguments, (("key word", (1, (2.5,))), ("κ", None)), (Value("v", F32),), unpack=True)
    body = with_bodies()
    graph = Graph(
        "torch", (*inputs, *body.graph.inputs), (*constants, *body.graph.constants), (first, *body.graph.nodes),
        ("v", "nan", "v", "o2"),
    )  # fmt: skip
    return Case(graph, {**feeds, **body.feeds}, {"nan": "special", "ünï→✓": "tiny"})
