"""Arguments outside of an operator's documentation are refused, whatever eager mode makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from generators.frontends.base import EvaluationError, frontend
from generators.graph import Graph, Input, Node, Ref, TensorType, Value

CASES = {
    "torch": [
        ("torch.clamp", (Ref("x"), None, 1.0), ()),
        ("torch.nn.functional.conv1d", (Ref("x"), Ref("x"), None, 1), ()),
        ("torch.special.logit", (Ref("x"), None), ()),
        ("torch.nn.functional.batch_norm", (Ref("x"), None, None, None), ()),
        ("operator.getitem", (Ref("x"), None), ()),
    ],
    "tensorflow": [
        ("tf.reduce_sum", (Ref("x"),), (("axis", None),)),
        ("tf.nn.batch_normalization", (Ref("x"), Ref("x"), Ref("x"), None, None, 0.1), ()),
    ],
}
WRONG = {
    "torch": [("torch.transpose", (Ref("x"), 0, None), ()), ("torch.softmax", (Ref("x"),), (("dim", None),))],
    "tensorflow": [("tf.nn.conv1d_transpose", (Ref("x"), Ref("x"), (1, 1, 1)), (("strides", None),))],
}


def graph(name: str, target: str, args: tuple, kwargs: tuple) -> Graph:
    kind = TensorType("float32", (1, 1, 1))
    node = Node(target, args, kwargs, (Value("y", kind),))
    return Graph(name, (Input("x", kind),), (), (node,), ("y",))


@pytest.mark.parametrize(("name", "call"), [(name, call) for name, calls in CASES.items() for call in calls])
def test_documented_none_is_taken(name: str, call: tuple) -> None:
    checked = graph(name, *call)
    frontend(name).check_arguments(checked)
    assert checked.nodes[0].target == call[0]


@pytest.mark.parametrize(("name", "call"), [(name, call) for name, calls in WRONG.items() for call in calls])
def test_undocumented_none_is_refused(name: str, call: tuple) -> None:
    with pytest.raises(EvaluationError, match="is None, which its signature does not provide for"):
        frontend(name).check_arguments(graph(name, *call))


def test_an_operand_of_undocumented_rank_is_refused() -> None:
    with pytest.raises(EvaluationError, match="documented is 5"):
        frontend("tensorflow").check_arguments(
            graph("tensorflow", "tf.nn.conv3d_transpose", (Ref("x"), Ref("x"), (1, 1, 1, 1, 1), 1), ())
        )


def test_a_list_of_another_length_than_documented_is_refused() -> None:
    call = ("torch.nn.functional.conv2d", (Ref("x"), Ref("x")))
    for padding in (1, (1, 0)):
        frontend("torch").check_arguments(graph("torch", *call, (("padding", padding),)))
    with pytest.raises(EvaluationError, match="documented is a number or 2"):
        frontend("torch").check_arguments(graph("torch", *call, (("padding", (1,)),)))
    frontend("torch").check_arguments(graph("torch", "torch.sum", (Ref("x"), (0,)), ()))
    for call in (
        ("lp_pool2d", (Ref("x"), 1.0, 1, (1,))),
        ("unfold", (Ref("x"), (2,))),
        ("max_pool2d", (Ref("x"), (1,))),
    ):
        with pytest.raises(EvaluationError, match="documented is a number or 2"):
            frontend("torch").check_arguments(graph("torch", f"torch.nn.functional.{call[0]}", call[1], ()))


BITS, EDGES = Input("x", TensorType("int8", (2,))), Input("y", TensorType("int8", (2,)))
UNDEFINED = [
    ("torch", "torch.bitwise_right_shift", [1, -1], "shifts int8 by -1"),
    ("torch", "torch.bitwise_left_shift", [1, 8], "shifts int8 by 8"),
    ("tensorflow", "tf.bitwise.right_shift", [-1, 0], "shifts int8 by -1"),
    ("torch", "torch.bucketize", [3, 2], "does not ascend"),
    ("torch", "torch.searchsorted", [3, 2], "does not ascend"),
    ("tensorflow", "tf.searchsorted", [3, 2], "does not ascend"),
]


@pytest.mark.parametrize(("name", "target", "data", "words"), UNDEFINED)
def test_values_for_which_nothing_is_defined(name: str, target: str, data: list[int], words: str) -> None:
    args = (Ref("y"), Ref("x")) if "searchsorted" in target else (Ref("x"), Ref("y"))
    node = Node(target, args, (), (Value("v", TensorType("int64", (2,))),))
    made = Graph(name, (BITS, EDGES), (), (node,), ("v",))
    chosen = frontend(name)

    def check(y: list[int]) -> None:
        feeds = {"x": np.array([-4, 5], np.int8), "y": np.array(y, np.int8)}
        chosen.check_values(made, chosen.run(made, feeds))

    check([2, 7])
    with pytest.raises(EvaluationError, match=words):
        check(data)
