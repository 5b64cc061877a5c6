from __future__ import annotations

import numpy as np
import pytest

from generators.graph import DTYPES, Array
from oracles.compare import classes, compare, differences
from oracles.outcome import Kind
from oracles.tolerances import ROUNDED, TOLERANCES, unit_roundoff


def array(values: object, dtype: str = "float32") -> Array:
    return np.asarray(values).astype(DTYPES[dtype])


def test_equal_outputs_of_every_dtype_pass() -> None:
    for name in DTYPES:
        data = array([[0, 1], [1, 0]], name)
        assert compare([data, data[:0], data[0, 0]], [data.copy(), data[:0], data[0, 0]]) == []


def test_structure_comes_first() -> None:
    data = array([1, np.nan])
    (count,) = compare([data, data], [data])
    assert (count.kind, count.output, count.message) == (Kind.COUNT, 1, "2 outputs expected, got 1")
    (kind,) = compare([data], [array([1, 2], "float64")])
    assert (kind.kind, kind.message) == (Kind.DTYPE, "output 0: expected float32, got float64")
    (shape,) = compare([data], [data.reshape(2, 1)])
    assert (shape.kind, shape.message) == (Kind.SHAPE, "output 0: float32 of shape [2] expected, got [2, 1]")
    (scalar,) = compare([array(1.0)], [array([1.0])])
    assert scalar.kind is Kind.SHAPE


def test_an_element_type_that_no_graph_has_is_a_mismatch_too() -> None:
    (mismatch,) = compare([array([1.0])], [np.array(["text"])])
    assert mismatch.kind is Kind.DTYPE


def test_a_readable_message_shows_the_worst_element() -> None:
    expected = array([[1, 2, 3], [4, 5, 2]])
    actual = array([[1, 2.25, 3], [4, 5, 1.5]])
    (mismatch,) = compare([array([0]), expected], [array([0]), actual])
    assert str(mismatch) == (
        "output 1: float32[2,3] element (1, 2): expected 2.0, got 1.5 (max error 0.5, 2 of 6 elements)"
    )
    assert mismatch.element == (1, 2)
    assert mismatch.max_relative == 0.25
    assert mismatch.fraction == pytest.approx(1 / 3)
    assert mismatch.elements.tolist() == [[False, True, False], [False, False, True]]


def test_one_mismatch_for_each_output() -> None:
    pairs = [([1.0, 9], [2.0, 3]), ([1.0], [1.0]), ([np.inf, 1], [1, 5])]
    found = compare([array(left) for left, _ in pairs], [array(right) for _, right in pairs])
    assert [(item.output, item.kind) for item in found] == [(0, Kind.VALUE), (2, Kind.NONFINITE)]


@pytest.mark.parametrize(
    ("left", "right"), [(np.nan, 1.0), (1.0, np.inf), (np.inf, -np.inf), (np.nan, np.inf), (0.0, np.nan)]
)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_places_of_nan_and_infinities_are_judged(left: float, right: float, dtype: str) -> None:
    (mismatch,) = compare([array([1, left], dtype)], [array([5, right], dtype)])
    assert mismatch.kind is Kind.NONFINITE
    assert mismatch.element == (1,)
    assert "max error" not in mismatch.message
    assert compare([array([1, left], dtype)], [array([1, left], dtype)]) == []


def test_a_complex_infinity_is_one_whatever_its_other_component() -> None:
    assert compare([array([complex(np.inf, 1)], "complex64")], [array([complex(np.nan, np.inf)], "complex64")]) == []
    (mismatch,) = compare([array([complex(np.nan, 1)], "complex64")], [array([1j], "complex64")])
    assert mismatch.kind is Kind.NONFINITE
    (mismatch,) = compare([array([1 + 2j], "complex128")], [array([1 - 2j], "complex128")])
    assert mismatch.max_absolute == 4


def test_integers_are_widened_before_subtracting() -> None:
    extremes = np.iinfo(np.int64)
    (mismatch,) = compare([array([extremes.min], "int64")], [array([extremes.max], "int64")])
    assert mismatch.max_absolute == 2.0**64
    assert mismatch.message.startswith("output 0: int64[1] element (0,): expected -9223372036854775808, got 92233")
    (mismatch,) = compare([array([0], "uint8")], [array([255], "uint8")])
    assert mismatch.max_absolute == 255
    assert differences(array([-128], "int8"), array([127], "int8")).tolist() == [255]


def test_neighbours_above_two_to_the_53_differ() -> None:
    for dtype in ("int64", "uint64"):
        (mismatch,) = compare([array([2**53], dtype)], [array([2**53 + 1], dtype)])
        assert (mismatch.expected, mismatch.actual) == ("9007199254740992", "9007199254740993")
    (mismatch,) = compare([np.array([2**63 + 1], dtype=np.uint64)], [np.array([2**63 + 2], dtype=np.uint64)])
    assert mismatch.max_absolute == 1


def test_booleans_and_narrow_integers() -> None:
    (mismatch,) = compare([array([True, True], "bool")], [array([True, False], "bool")])
    assert "element (1,): expected True, got False" in mismatch.message
    (mismatch,) = compare([array([-8], "int4")], [array([7], "int4")])
    assert mismatch.max_absolute == 15


@pytest.mark.parametrize("dtype", sorted(ROUNDED))
def test_values_are_judged_by_the_tolerance_of_their_type(dtype: str) -> None:
    if dtype == "float8_e8m0fnu":
        pytest.skip("holds powers of two only")
    tolerance = TOLERANCES[dtype]
    one = array([1.0], dtype)
    near = array([1.0 + 0.4 * tolerance.relative], dtype)
    far = array([1.0 + max(4 * (tolerance.relative + tolerance.absolute), 8 * unit_roundoff(dtype))], dtype)
    assert compare([one], [near]) == []
    assert [item.kind for item in compare([one], [far])] == [Kind.VALUE]


def test_the_absolute_tolerance_shrinks_with_the_output() -> None:
    assert compare([array([1.0, 0.0])], [array([1.0, 9e-6])]) == []
    assert len(compare([array([1e-5, 0.0])], [array([1e-5, 9e-6])])) == 1
    assert len(compare([array([1e-5])], [array([1.001e-5])])) == 1
    # A large element does not widen it for the others beyond assert_close's.
    assert len(compare([array([1e6, 0.0])], [array([1e6, 2e-5])])) == 1


def test_an_error_of_five_in_ten_thousand_is_suspect() -> None:
    assert len(compare([array([1.0])], [array([1.0005])])) == 1


def test_the_sign_of_zero_and_flushed_denormals_pass() -> None:
    assert compare([array([0.0, -0.0])], [array([-0.0, 0.0])]) == []
    assert compare([array([1e-40, -1e-39])], [array([0.0, 0.0])]) == []
    assert len(compare([array([2e-38])], [array([0.0])])) == 1


def test_distances_beyond_the_type_are_finite() -> None:
    largest = np.finfo(np.float64).max
    (mismatch,) = compare([array([largest], "float64")], [array([-largest], "float64")])
    assert mismatch.max_absolute == largest


def test_classes_of_numbers() -> None:
    assert classes(array([1, np.nan, np.inf, -np.inf], "bfloat16")).tolist() == [0, 1, 2, 3]
    assert classes(array([1, complex(np.nan, 0), complex(0, -np.inf)], "complex64")).tolist() == [0, 1, 4]
