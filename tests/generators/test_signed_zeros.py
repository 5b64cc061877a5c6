"""Zeros keep their signs in eager TensorFlow, whatever the process has computed before."""

from __future__ import annotations

import math

import numpy as np
import pytest

from generators.frontends.base import EvaluationError, frontend
from generators.graph import Case, Constant, Graph, Input, Node, Ref, TensorType, Value

TENSORFLOW = frontend("tensorflow")
KIND = TensorType("float32", (3,))


def case_of(y: float | Constant) -> Case:
    """``atan2(y, x)`` at x = -1, y a number or a constant."""
    constants = (y,) if isinstance(y, Constant) else ()
    given = Ref(y.name) if isinstance(y, Constant) else y
    node = Node("tf.math.atan2", (given, Ref("x")), (), (Value("v", KIND),))
    graph = Graph("tensorflow", (Input("x", KIND),), constants, (node,), ("v",))
    return Case(graph, {"x": np.full(3, -1, "float32")})


@pytest.mark.parametrize("constant", [False, True])
def test_a_zero_has_its_own_sign(constant: bool) -> None:
    for number in (0.0, -0.0, 0.0):
        case = case_of(Constant("c", np.array(number, "float32")) if constant else number)
        expected = [math.copysign(np.float32(math.pi), number)] * 3
        assert TENSORFLOW.run(case.graph, case.feeds)["v"].tolist() == expected
        assert TENSORFLOW.execute(TENSORFLOW.load(case))[0].tolist() == expected


def test_numbers_below_the_normal_range_are_outside_of_the_domain() -> None:
    case = case_of(Constant("c", np.array([1e-40, 0, 1], "float32")))
    with pytest.raises(EvaluationError, match=r"atan2: an operand has numbers below"):
        TENSORFLOW.check_values(case.graph, TENSORFLOW.run(case.graph, case.feeds))
    allowed = case_of(Constant("c", np.array([1e-30, 0, np.nan], "float32")))
    TENSORFLOW.check_values(allowed.graph, TENSORFLOW.run(allowed.graph, allowed.feeds))
