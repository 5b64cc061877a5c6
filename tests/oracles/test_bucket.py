"""Buckets merge what differs only in sizes and the road taken, and keep different defects apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from generators.graph import Argument, Array, Case, Graph, Input, Node, Ref, Value, type_of
from oracles.bucket import bucket_key, title
from oracles.outcome import Kind, Observation, Signature, Stage, Verdict

VALUE = Signature(Stage.CONVERT, "planted", Kind.VALUE)
CRASH = Signature(Stage.CONVERT, "planted", Kind.EXCEPTION, "KeyError: no kernel @ planted.lower")


def case_of(
    *calls: tuple[str, tuple[Argument, ...], Mapping[str, Argument]],
    data: Array | None = None,
    name: str = "x",
) -> Case:
    """A chain of calls, each on the result of the one before."""
    data = np.zeros((2, 3), np.float32) if data is None else data
    nodes, current = [], name
    for number, (target, args, kwargs) in enumerate(calls):
        value = Value(f"{name}_{number}", type_of(data))
        nodes.append(Node(target, (Ref(current), *args), tuple(kwargs.items()), (value,)))
        current = value.name
    return Case(Graph("torch", (Input(name, type_of(data)),), (), tuple(nodes), (current,)), {name: data})


def key(*calls, signature: Signature = VALUE, **options) -> str:
    return bucket_key(signature, case_of(*calls, **options))


FLIP = ("torch.roll", (1,), {})


@pytest.mark.parametrize(
    ("other", "options"),
    [
        (("torch.roll", (5,), {}), {}),
        (FLIP, {"name": "another name"}),
        (FLIP, {"data": np.ones((7,), np.float32)}),
        (FLIP, {"data": np.ones((7, 1, 2), np.float64)}),
    ],
)
def test_sizes_names_ranks_and_width_do_not_matter(other, options) -> None:
    assert key(FLIP) == key(other, **options)


@pytest.mark.parametrize(
    ("other", "options"),
    [
        (("torch.roll", (-1,), {}), {}),
        (("torch.roll", (0,), {}), {}),
        (("torch.flip", (1,), {}), {}),
        (("torch.roll", (1,), {"dims": (0,)}), {}),
        (("torch.roll", ((1, 2),), {}), {}),
        (FLIP, {"data": np.ones((2, 3), np.float16)}),
        (FLIP, {"data": np.ones((2, 3), np.int64)}),
        (FLIP, {"data": np.full((2, 3), np.nan, np.float32)}),
        (FLIP, {"signature": Signature(Stage.CONVERT, "planted", Kind.DTYPE)}),
        (FLIP, {"signature": Signature(Stage.CONVERT, "another", Kind.VALUE)}),
    ],
)
def test_different_defects_stay_apart(other, options) -> None:
    assert key(FLIP) != key(other, **options)


def test_connections_matter_for_mismatches_only() -> None:
    sort = ("torch.sort", (), {})
    assert key(FLIP, sort) != key(sort, FLIP)
    assert key(FLIP, sort, signature=CRASH) == key(sort, FLIP, signature=CRASH)


def test_an_exception_with_a_message_forgets_arguments_and_types() -> None:
    other = key(("torch.roll", (-3,), {"dims": (0,)}), data=np.ones((4,), np.int8), signature=CRASH)
    assert key(FLIP, signature=CRASH) == other
    assert key(FLIP, signature=CRASH) != key(("torch.flip", (1,), {}), signature=CRASH)


@pytest.mark.parametrize(
    ("signature", "message", "expected"),
    [
        (
            VALUE,
            "output 0: float32[2,3] element (1, 0): expected 2.0, got 1.5 (max error 0.5, 1 of 6 elements)",
            "unfold(x, 3, dilation=(2, 1)) float32[2,3]: 2.0, got 1.5",
        ),
        (CRASH, "KeyError: no kernel", "unfold(x, 3, dilation=(2, 1)) float32[2,3]: KeyError: no kernel"),
        (
            Signature(Stage.CONVERT, "planted", Kind.HANG),
            "over 60 s",
            "unfold(x, 3, dilation=(2, 1)) float32[2,3]: hang: over 60 s",
        ),
    ],
)
def test_titles(signature: Signature, message: str, expected: str) -> None:
    case = case_of(("torch.nn.functional.unfold", (3,), {"dilation": (2, 1)}))
    seen = Observation(signature, Verdict.BUG, message)
    expected = expected.replace(": 2.0", ": expected 2.0")
    assert title(case, seen) == expected


def test_long_chains_are_named_by_their_operators() -> None:
    case = case_of(*[FLIP] * 5)
    seen = Observation(VALUE, Verdict.BUG, "output 0: expected float32, got float64")
    assert title(case, seen) == "roll → roll → roll → roll → roll float32[2,3]: expected float32, got float64"


def refused(words: str) -> str:
    return key(FLIP, signature=Signature(Stage.VALIDATE, "converter", Kind.INVALID, words))


def test_types_that_a_schema_does_not_admit_are_one_bucket() -> None:
    words = "onnx.checker: (op_type:Softmax): input typestr: T, has unsupported type: tensor({})"
    kinds = ("int32", "int64", "bfloat16", "double", "bool")
    assert len({refused(words.format(kind)) for kind in kinds}) == 1


def test_other_messages_about_types_differ_by_their_kind() -> None:
    words = "output 0: declared {}[2], the graph has uint8[2]"
    assert refused(words.format("int32")) == refused(words.format("int64"))
    assert len({refused(words.format(kind)) for kind in ("int64", "bfloat16", "float64", "bool")}) == 4


SINE = ("torch.sin", (), {})


def test_what_cannot_be_traced_is_one_bucket_whatever_the_operator() -> None:
    signature = Signature(Stage.LOAD, "converter", Kind.EXCEPTION, "RuntimeError: We don't have an op for aten::#")
    assert key(FLIP, signature=signature) == key(SINE, signature=signature)
    assert key(FLIP, signature=replace(signature, stage=Stage.CONVERT)) != key(
        SINE, signature=replace(signature, stage=Stage.CONVERT)
    )
