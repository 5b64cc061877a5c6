"""The first step of judging: structure, then values against the customary tolerance of the element type.

Whatever is found here is only suspect as far as rounding could explain it; :mod:`oracles.judge` decides.

The sign of a zero is not judged in itself: ONNX and TFLite do not promise it, and runtimes differ by design. Where it
has consequences (``atan2``, ``1/x``, ``copysign``) those are judged as any other value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from generators.graph import Array, TensorType, dtype_name, type_of
from oracles.outcome import Kind
from oracles.tolerances import COMPONENT, ROUNDED, TOLERANCES, smallest_normal


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One output that differs from what was expected.

    ``output`` is the index of the output (the first one that one side lacks, for a wrong count). ``element`` is the
    index of the worst element (None where structure differs), ``expected`` and ``actual`` are the values there as
    text. ``max_absolute`` and ``max_relative`` are the largest errors over all elements finite on both sides,
    ``fraction`` is the share of elements that differ and ``elements`` marks them (empty where structure differs).
    """

    kind: Kind
    output: int
    message: str
    element: tuple[int, ...] | None = None
    expected: str = ""
    actual: str = ""
    max_absolute: float = 0.0
    max_relative: float = 0.0
    fraction: float = 1.0
    elements: Array = field(default_factory=lambda: np.zeros(0, dtype=bool), repr=False, compare=False)

    def __str__(self) -> str:
        return self.message


def compare(expected: Sequence[Array], actual: Sequence[Array]) -> list[Mismatch]:
    """At most one mismatch for each output, in order; one alone, of kind COUNT, when their numbers differ.

    Element types and shapes must agree; then the places of NaN and of infinities with their signs; integers and
    booleans exactly; other values within :data:`oracles.tolerances.TOLERANCES`, or below the smallest normal number
    on both sides (denormal results may be flushed to zero). A complex element with an infinite component is an
    infinity, whatever the other one is (C99, annex G).
    """
    if len(expected) != len(actual):
        message = f"{len(expected)} outputs expected, got {len(actual)}"
        return [Mismatch(Kind.COUNT, min(len(expected), len(actual)), message)]
    found = (compare_one(index, *pair) for index, pair in enumerate(zip(expected, actual, strict=True)))
    return [mismatch for mismatch in found if mismatch is not None]


def compare_one(output: int, expected: Array, actual: Array) -> Mismatch | None:
    """The mismatch between two arrays for the output of that index, if there is any."""
    expected, actual = np.asarray(expected), np.asarray(actual)
    kind = type_of(expected)
    if expected.dtype != actual.dtype:
        message = f"output {output}: expected {kind.dtype}, got {_dtype_text(actual)}"
        return Mismatch(Kind.DTYPE, output, message, expected=kind.dtype, actual=_dtype_text(actual))
    if expected.shape != actual.shape:
        shapes = str(list(expected.shape)), str(list(actual.shape))
        message = f"output {output}: {kind.dtype} of shape {shapes[0]} expected, got {shapes[1]}"
        return Mismatch(Kind.SHAPE, output, message, expected=shapes[0], actual=shapes[1])
    if expected.tobytes() == actual.tobytes() or _clearly_near(expected, actual):
        return None
    if kind.dtype not in ROUNDED:
        return _exact(output, expected, actual)
    error = differences(expected, actual)
    relative = relative_errors(error, expected)
    odd = classes(expected) != classes(actual)
    if odd.any():
        return _mismatch(Kind.NONFINITE, output, expected, actual, odd, odd.astype(np.float64), error, relative)
    far = exceeds_custom(expected, actual)
    if far.any():
        return _mismatch(Kind.VALUE, output, expected, actual, far, np.where(far, error, -1.0), error, relative)
    return None


def _clearly_near(expected: Array, actual: Array) -> bool:
    """Whether two arrays of one type hold finite numbers within the customary tolerance, told by the least work: most
    outputs are no more than that."""
    name = dtype_name(expected.dtype)
    if name not in ROUNDED:
        return False
    left = wide(expected)
    with np.errstate(all="ignore"):
        # No comparison with NaN holds. An infinite tolerance, that of an infinite number, holds too much.
        return bool((np.abs(wide(actual) - left) <= TOLERANCES[name].limit(left)).all() and np.isfinite(left).all())


def exceeds_custom(expected: Array, actual: Array) -> Array:
    """For two arrays of one rounded type: which elements, finite on both sides, differ by more than is customary."""
    name = dtype_name(expected.dtype)
    error = differences(expected, actual)
    wide_expected, wide_actual = wide(expected), wide(actual)
    tiny = smallest_normal(name)
    with np.errstate(invalid="ignore"):
        normal = (np.abs(wide_expected) >= tiny) | (np.abs(wide_actual) >= tiny)
    return np.asarray((error > TOLERANCES[name].limit(wide_expected)) & normal)


def same(left: Array, right: Array) -> bool:
    """Whether two arrays are equal bit for bit, all NaN counting as one."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.tobytes() == right.tobytes():
        return True
    if left.dtype.kind not in "fcV":
        return False
    differs = left != right
    return bool(((left != left) & (right != right) | ~differs).all())


def wide(array: Array) -> Array:
    """The array in float64, or complex128 for complex types."""
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def differences(expected: Array, actual: Array) -> Array:
    """\\|actual − expected\\| in float64, exact for integers up to rounding of the result; 0 where an element is not
    finite on both sides."""
    name = dtype_name(expected.dtype)
    if name in ROUNDED:
        with np.errstate(all="ignore"):
            error = np.abs(wide(actual) - wide(expected))
        finite = (classes(expected) == 0) & (classes(actual) == 0)
        # Two finite numbers of opposite sign may be further apart than the type reaches.
        error = np.where(np.isfinite(error), error, np.finfo(np.float64).max)
        return np.asarray(np.where(finite, error, 0.0))
    if name == "uint64" or name in {"bool"}:
        left, right = expected.astype(np.uint64), actual.astype(np.uint64)
    else:
        left, right = expected.astype(np.int64), actual.astype(np.int64)
    larger, smaller = np.maximum(left, right), np.minimum(left, right)
    # Unsigned subtraction wraps to the exact distance, also between the two extremes of int64.
    return np.asarray((larger.astype(np.uint64) - smaller.astype(np.uint64)).astype(np.float64))


def relative_errors(error: Array, expected: Array) -> Array:
    """Errors divided by \\|expected\\|, infinite where that is 0 and the error is not."""
    with np.errstate(all="ignore"):
        size = np.abs(wide(expected))
        return np.asarray(np.where(error > 0, error / size, 0.0))


def classes(array: Array) -> Array:
    """int8 for each element: 0 finite, 1 NaN, 2 and 3 positive and negative infinity, 4 a complex infinity."""
    # Of the types that NumPy has itself, nothing needs to be converted to be asked whether it is finite.
    values = wide(array) if array.dtype.kind == "V" else array
    if array.dtype.kind in "biu" or np.isfinite(values).all():
        return np.zeros(array.shape, dtype=np.int8)
    if values.dtype.kind == "c":
        infinite = np.isinf(values.real) | np.isinf(values.imag)
        return np.asarray(np.where(infinite, 4, np.isnan(values))).astype(np.int8)
    codes = np.isnan(values).astype(np.int8)
    codes = np.where(np.isposinf(values), 2, codes)
    return np.asarray(np.where(np.isneginf(values), 3, codes)).astype(np.int8)


def finite(array: Array) -> bool:
    """Whether the array holds neither NaN nor infinities."""
    return dtype_name(array.dtype) not in ROUNDED or not classes(array).any()


def _exact(output: int, expected: Array, actual: Array) -> Mismatch | None:
    error = differences(expected, actual)
    odd = np.asarray(expected != actual)  # not error > 0: that is rounded
    if not odd.any():
        return None
    relative = relative_errors(error, expected)
    return _mismatch(Kind.VALUE, output, expected, actual, odd, np.where(odd, error, -1.0), error, relative)


def _mismatch(
    kind: Kind,
    output: int,
    expected: Array,
    actual: Array,
    elements: Array,
    badness: Array,
    error: Array,
    relative: Array,
) -> Mismatch:
    worst = tuple(int(axis) for axis in np.unravel_index(int(np.argmax(badness)), badness.shape))
    bare = Mismatch(
        kind,
        output,
        "",
        max_absolute=float(error.max(initial=0.0)),
        max_relative=float(relative.max(initial=0.0)),
        fraction=int(elements.sum()) / elements.size,
        elements=elements,
    )
    return at_element(bare, kind, worst, expected, actual)


def at_element(mismatch: Mismatch, kind: Kind, element: tuple[int, ...], expected: Array, actual: Array) -> Mismatch:
    """The mismatch as shown by another of its elements, and of the kind that it has there."""
    texts = element_text(expected, element), element_text(actual, element)
    message = _message(mismatch.output, type_of(expected), kind, element, texts, mismatch)
    return replace(mismatch, kind=kind, message=message, element=element, expected=texts[0], actual=texts[1])


def _message(
    output: int,
    declared: TensorType,
    kind: Kind,
    element: tuple[int, ...],
    texts: tuple[str, str],
    mismatch: Mismatch,
) -> str:
    where = f" element {element}" if element else ""
    error = mismatch.max_absolute
    details = f"{int(mismatch.elements.sum())} of {mismatch.elements.size} elements"
    if kind is Kind.VALUE:
        details = f"max error {error:.{3 if declared.dtype in ROUNDED else 17}g}, {details}"
    return f"output {output}: {declared}{where}: expected {texts[0]}, got {texts[1]} ({details})"


def element_text(array: Array, index: tuple[int, ...]) -> str:
    """One element as text, with the digits that its type holds."""
    item = np.asarray(array[index])
    name = dtype_name(item.dtype)
    if name in COMPONENT or name in {"float32", "float64"}:
        return str(item[()])
    if name in ROUNDED:
        return f"{float(item[()]):.6g}"
    return str(bool(item)) if name == "bool" else str(int(item))


def _dtype_text(array: Array) -> str:
    try:
        return dtype_name(array.dtype)
    except ValueError:
        return str(array.dtype)
