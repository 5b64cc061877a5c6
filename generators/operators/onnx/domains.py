"""Which values ONNX leaves without a meaning: what an operator gives for them is not compared.

Unlike :mod:`generators.operators.domains`, whose functions see positional arguments, these look at attributes, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from generators.graph import DTYPES, Array, DType, Node, dtype_name
from generators.operators.onnx.integer_domains import Arrays, Rule, dequantized, products, reduction

#: Coordinates beyond this are converted to integers that do not hold them.
_FAR = 1e6


def undefined(node: Node, arrays: Arrays) -> str:
    """Why the result of a node is not defined for these inputs; empty when it is."""
    operator = node.target.removeprefix("onnx.")
    if not arrays or arrays[0] is None:
        return ""
    if not _least_rank(operator) <= arrays[0].ndim <= _RANKS.get(operator, 99):
        return f"an input of rank {arrays[0].ndim}"
    rule = _RULES.get(operator)
    if rule is None:
        return ""
    try:
        return rule(dict(node.kwargs), arrays)
    except (IndexError, ValueError, TypeError, AttributeError):
        return ""  # inputs that the operator itself will refuse


#: Documented ranks that kernels do not insist on: "N x C x D1 …", of at least one dimension behind the channels.
_SPATIAL = frozenset(
    (
        *("AveragePool", "Conv", "ConvInteger", "ConvTranspose", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"),
        *("GroupNormalization", "InstanceNormalization", "LRN", "LpPool", "MaxPool", "MaxUnpool", "QLinearConv"),
    )
)
_RANKS = {"DeformConv": 4, "DepthToSpace": 4, "MaxRoiPool": 4, "RoiAlign": 4, "STFT": 3, "SpaceToDepth": 4}


def _least_rank(operator: str) -> int:
    return 3 if operator in _SPATIAL else _RANKS.get(operator, 0)


def _float(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype.kind not in "iub" else array


def _is_float(array: Array) -> bool:
    return array.dtype.kind in "fV"


def _is_signed(array: Array) -> bool:
    return array.dtype.kind == "i"


def _least(array: Array) -> bool:
    """Whether the least integer of its type is among the elements."""
    return _is_signed(array) and array.size > 0 and bool((array == np.iinfo(array.dtype).min).any())


def _has_nan(array: Array | None) -> bool:
    return array is not None and _is_float(array) and bool(np.isnan(_float(array)).any())


def _convertible(array: Array, wanted: str) -> str:
    """Conversion of floats to integers that cannot hold them (Cast: "undefined")."""
    kind = DTYPES[wanted]
    if not _is_float(array) or kind.kind not in "iu":
        return ""
    values = np.trunc(_float(array))
    info = np.iinfo(kind)
    # The least is a power of two or zero, the greatest plus one is: both are exact as floats.
    inside = (values >= float(info.min)) & (values < float(int(info.max) + 1))
    return "" if bool(inside.all()) else f"a number that {wanted} cannot hold is converted to it"


def _cast(given: Mapping[str, Any], arrays: Arrays) -> str:
    wanted = given["to"].name if isinstance(given.get("to"), DType) else dtype_name(arrays[1].dtype)  # type: ignore[union-attr]
    array = arrays[0]
    assert array is not None
    if wanted == "bool" and _has_nan(array):
        return "NaN as a boolean"
    if wanted.startswith("float8") and _is_float(array) and not np.isfinite(_float(array)).all():
        return "an infinity or NaN in a type of eight bits"
    return _convertible(array, wanted)


def _quotient(given: Mapping[str, Any], arrays: Arrays) -> str:
    x, y = arrays[0], arrays[1]
    if x is None or y is None or _is_float(x):
        return ""
    if not y.all():
        return "an integer is divided by zero"
    if _least(x) and bool((y == -1).any()) and _is_signed(y):
        return "the least integer is divided by minus one"
    return ""


def _power(given: Mapping[str, Any], arrays: Arrays) -> str:
    x, y = arrays[0], arrays[1]
    if x is None or y is None or _is_float(x):
        return ""
    with np.errstate(all="ignore"):
        result = np.power(_float(x).astype(np.float64), _float(y).astype(np.float64))
    info = np.iinfo(x.dtype)
    # Above 2^53 the way by doubles, which runtimes take, rounds; a negative exponent gives a fraction or infinity.
    limit = min(float(info.max), 2.0**53)
    if not bool((np.isfinite(result) & (np.abs(result) <= limit)).all()):
        return "the power of an integer does not fit into its type"
    fraction = bool((result != np.rint(result)).any())
    return "the power of an integer is none" if fraction else ""


def _shift(given: Mapping[str, Any], arrays: Arrays) -> str:
    x, counts = arrays[0], arrays[1]
    assert x is not None
    assert counts is not None
    return "a shift by the width of the type or more" if bool((counts >= 8 * x.dtype.itemsize).any()) else ""


def _magnitude(given: Mapping[str, Any], arrays: Arrays) -> str:
    array = arrays[0]
    assert array is not None
    return "the least integer has no opposite" if _least(array) else ""


def _ordered(given: Mapping[str, Any], arrays: Arrays) -> str:
    return "NaN has no place in an order" if any(_has_nan(array) for array in arrays) else ""


def _top(given: Mapping[str, Any], arrays: Arrays) -> str:
    return "the order of what is not sorted" if given.get("sorted") == 0 else _ordered(given, arrays)


def _coordinates(position: int) -> Rule:
    """Coordinates that no integer holds once they are rounded."""

    def rule(given: Mapping[str, Any], arrays: Arrays) -> str:
        array = arrays[position] if position < len(arrays) else None
        if array is None:
            return ""
        values = _float(array)
        far = not bool((np.isfinite(values) & (np.abs(values) < _FAR)).all())
        return "a coordinate that is not finite or far away" if far else ""

    return rule


def _regions(given: Mapping[str, Any], arrays: Arrays) -> str:
    x, rois = arrays[0], arrays[1]
    batch = arrays[2] if len(arrays) > 2 else None if rois is None else rois[:, 0]
    assert x is not None
    assert batch is not None
    if problem := _coordinates(1)(given, arrays):
        return problem
    outside = not bool(((batch >= 0) & (batch < x.shape[0])).all())
    return "a region of an image that is not there" if outside else ""


def _scattered(given: Mapping[str, Any], arrays: Arrays) -> str:
    """Several elements written to the same place: which one stays is not defined."""
    data, indices = arrays[0], arrays[1]
    assert data is not None
    assert indices is not None
    if given.get("reduction", "none") != "none" or not indices.size:
        return ""
    axis = int(given.get("axis", 0))
    where = np.where(indices < 0, indices + data.shape[axis], indices)
    places = [np.broadcast_to(grid, indices.shape) for grid in np.indices(indices.shape)]
    places[axis] = where
    flat = np.stack([place.reshape(-1) for place in places], axis=1)
    return "a place is written twice" if len(np.unique(flat, axis=0)) < len(flat) else ""


def _scattered_slices(given: Mapping[str, Any], arrays: Arrays) -> str:
    data, indices = arrays[0], arrays[1]
    assert data is not None
    assert indices is not None
    if given.get("reduction", "none") != "none" or not indices.size:
        return ""
    rows = indices.reshape(-1, indices.shape[-1])
    rows = np.where(rows < 0, rows + np.array(data.shape[: rows.shape[1]]), rows)
    return "a place is written twice" if len(np.unique(rows, axis=0)) < len(rows) else ""


def _unpooled(given: Mapping[str, Any], arrays: Arrays) -> str:
    indices = arrays[1]
    assert indices is not None
    return "a place is written twice" if len(np.unique(indices)) < indices.size else ""


def _suppressed(given: Mapping[str, Any], arrays: Arrays) -> str:
    """Boxes of the same score come in no particular order; thresholds and overlaps that are equal may round either
    way, which is for the sampler to avoid."""
    boxes, scores = arrays[0], arrays[1]
    assert boxes is not None
    assert scores is not None
    if _has_nan(boxes) or _has_nan(scores):
        return "NaN has no place in an order"
    ordered = np.sort(scores, axis=-1)
    return "two boxes have the same score" if bool((ordered[..., 1:] == ordered[..., :-1]).any()) else ""


def _counted(given: Mapping[str, Any], arrays: Arrays) -> str:
    start, limit, delta = (float(_float(array)) for array in arrays[:3] if array is not None)
    if delta == 0:
        return "a range with steps of zero"
    count = (limit - start) / delta
    if not np.isfinite(count) or abs(count) > 4096:
        return "a range without end"
    # Whether a step more fits must not depend on rounding.
    near = _is_float(arrays[0]) and 0 < abs(count - round(count)) < 1e-3  # type: ignore[arg-type]
    return "a range whose length depends on rounding" if near else ""


def _reversed(given: Mapping[str, Any], arrays: Arrays) -> str:
    x, lengths = arrays[0], arrays[1]
    assert x is not None
    assert lengths is not None
    steps = x.shape[int(given.get("time_axis", 0))]
    return "" if bool(((lengths >= 1) & (lengths <= steps)).all()) else "a sequence longer than the data or empty"


def _recurrent(given: Mapping[str, Any], arrays: Arrays) -> str:
    x, lengths = arrays[0], arrays[4] if len(arrays) > 4 else None
    assert x is not None
    if lengths is None:
        return ""
    steps = x.shape[1 if given.get("layout") else 0]
    return "" if bool(((lengths >= 1) & (lengths <= steps)).all()) else "a sequence longer than the data or empty"


def _labelled(given: Mapping[str, Any], arrays: Arrays) -> str:
    scores, labels = arrays[0], arrays[1]
    assert scores is not None
    assert labels is not None
    allowed = (labels >= 0) & (labels < scores.shape[1])
    if "ignore_index" in given:
        allowed |= labels == given["ignore_index"]
    return "" if bool(allowed.all()) else "a label of no class"


def _random(given: Mapping[str, Any], arrays: Arrays) -> str:
    """Bernoulli with probabilities other than zero and one is random."""
    array = arrays[0]
    assert array is not None
    return "" if bool(np.isin(_float(array), (0, 1)).all()) else "a random number"


def _quantized(given: Mapping[str, Any], arrays: Arrays) -> str:
    """Scales are positive; numbers whose multiple no integer of 32 bits holds are converted nowhere defined."""
    x, scale = arrays[0], arrays[1]
    assert x is not None
    values = _float(x)
    if not np.isfinite(values).all():
        return "an infinity or NaN is quantized"
    if scale is None:
        return ""
    if scale.ndim > x.ndim:
        return "a scale for an axis that is not there"
    steps = _float(scale)
    if not bool((np.isfinite(steps) & (steps > 0)).all()):
        return "a scale that is not positive"
    largest = float(np.abs(values).max(initial=0.0)) / float(steps.min(initial=1.0))
    return "a number far out of the range that is quantized" if largest > 2.0**30 else ""


def _dynamic(given: Mapping[str, Any], arrays: Arrays) -> str:
    array = arrays[0]
    assert array is not None
    if not array.size or not np.isfinite(array).all():
        return "no finite range"
    return "a range of nothing but zero" if not array.any() else ""


def _dropped(given: Mapping[str, Any], arrays: Arrays) -> str:
    training = arrays[2] if len(arrays) > 2 else None
    return "random zeros" if training is not None and bool(training.any()) else ""


def _written(given: Mapping[str, Any], arrays: Arrays) -> str:
    cache, update = arrays[0], arrays[1]
    places = arrays[2] if len(arrays) > 2 else None
    assert cache is not None
    assert update is not None
    axis = int(given.get("axis", -2))
    room, length = cache.shape[axis], update.shape[axis]
    start = np.zeros(1, np.int64) if places is None else places
    if length > room or not bool(((start >= 0) & (start < room)).all()):
        return "a place outside of the cache"
    linear = given.get("mode", "linear") == "linear"
    return "a place outside of the cache" if linear and bool((start + length > room).any()) else ""


def _standardised(given: Mapping[str, Any], arrays: Arrays) -> str:
    """Axes that the input does not have are read as others by ONNX Runtime; the default needs four."""
    array = arrays[0]
    assert array is not None
    axes = given.get("axes", (0, 2, 3))
    return "" if all(-array.ndim <= axis < array.ndim for axis in axes) else "an axis that is not there"


def _transformed(given: Mapping[str, Any], arrays: Arrays) -> str:
    array = arrays[0]
    assert array is not None
    return "" if array.shape[-1] in (1, 2) else "a signal that is neither real nor complex"


_RULES: Mapping[str, Rule] = {
    **{f"Reduce{name}": reduction() for name in ("LogSum", "LogSumExp", "Max", "Min")},
    **{f"Reduce{name}": reduction(np.positive) for name in ("L1", "Mean", "Sum")},
    **{f"Reduce{name}": reduction(np.square) for name in ("L2", "SumSquare")},
    "ReduceProd": reduction(lambda values: np.maximum(np.abs(values), 1.0), np.prod),
    "Abs": _magnitude,
    "ArgMax": _ordered,
    "ArgMin": _ordered,
    "Bernoulli": _random,
    "BitShift": _shift,
    "Cast": _cast,
    "CastLike": _cast,
    "ConvInteger": products(1),
    "DFT": _transformed,
    "DeformConv": _coordinates(2),
    "DequantizeLinear": dequantized,
    "Div": _quotient,
    "Dropout": _dropped,
    "DynamicQuantizeLinear": _dynamic,
    "GRU": _recurrent,
    "GridSample": _coordinates(1),
    "Hardmax": _ordered,
    "LSTM": _recurrent,
    "MatMulInteger": products(1),
    "MaxRoiPool": _regions,
    "MaxUnpool": _unpooled,
    "MeanVarianceNormalization": _standardised,
    "Mod": _quotient,
    "Neg": _magnitude,
    "NegativeLogLikelihoodLoss": _labelled,
    "NonMaxSuppression": _suppressed,
    "Pow": _power,
    "QLinearConv": products(3, 1, 4, 6),
    "QLinearMatMul": products(3, 1, 4, 6),
    "QuantizeLinear": _quantized,
    "RNN": _recurrent,
    "Range": _counted,
    "Resize": _coordinates(1),
    "ReverseSequence": _reversed,
    "RoiAlign": _regions,
    "ScatterElements": _scattered,
    "ScatterND": _scattered_slices,
    "STFT": _transformed,
    "SoftmaxCrossEntropyLoss": _labelled,
    "TensorScatter": _written,
    "TopK": _top,
    "Unique": _ordered,
}
