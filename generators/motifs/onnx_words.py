"""Words in ONNX: images are (N, C, H, W); numbers, axes and sizes are initializers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from generators.draw import Draw
from generators.graph import DTYPES, DType
from generators.handles import Call, Handle
from generators.motifs.vocabulary import BINARY, Operand, Vocabulary


def _tensor(draw: Draw, data: Any, dtype: str = "int64") -> Handle:
    """An initializer with these elements."""
    array = np.array(data, DTYPES[dtype])
    return draw.tensor(array.shape, dtype, lambda rng, shape, kind: array, constant=True)


class Onnx(Vocabulary):
    """The vocabulary of operators of ``ai.onnx``, as exporters write them."""

    side = 2
    channels = 1
    promotes = False
    dtypes: Sequence[str] = ("float32", "float32", "float32", "float32", "float16", "float64")
    slipped: Sequence[str] = ("neg", "abs", "relu", "tanh", "sigmoid", "exp", "floor", "identity")

    def axis_keyword(self, word: str) -> str:
        return "axis"

    def _number(self, draw: Draw, value: Operand, dtype: str) -> Handle:
        """A number as an initializer, of rank 0 or of one element."""
        if isinstance(value, Handle):
            return value
        return _tensor(draw, value if draw.flag(0.8) else [value], dtype)

    def _binary(self, draw: Draw, word: str, x: Operand, y: Operand) -> Call:
        dtype = next(value.dtype for value in (x, y) if isinstance(value, Handle))
        x, y = (self._number(draw, value, dtype) for value in (x, y))
        return Call(BINARY[word][self.side][0], (x, y), {})

    def _reduction(self, draw: Draw, target: str, x: Operand, *, axes: tuple[int, ...], keepdims: bool) -> Call:
        kept: dict[str, Any] = {} if keepdims and draw.flag() else {"keepdims": int(keepdims)}
        return Call(target, (x, _tensor(draw, axes)), kept)

    def word_cumsum(self, draw: Draw, x: Handle, *, axis: int) -> Call:
        return Call("onnx.CumSum", (x, _tensor(draw, axis)), {})

    def word_flip(self, draw: Draw, x: Handle, *, axis: int) -> Call:
        return self.subscript(draw, x, axis, None, None, -1)

    def subscript(
        self, draw: Draw, x: Handle, axis: int, start: int | None, stop: int | None, step: int | None
    ) -> Call:
        forward = (step or 1) > 0
        first = (0 if forward else -1) if start is None else start
        last = (2**63 - 1 if forward else -(2**63)) if stop is None else stop
        operands = [x, _tensor(draw, [first]), _tensor(draw, [last]), _tensor(draw, [axis])]
        if step is not None or draw.flag(0.3):
            operands.append(_tensor(draw, [step or 1]))
        return Call("onnx.Slice", tuple(operands), {})

    def word_matmul(self, draw: Draw, x: Handle, y: Handle) -> Call:
        if x.rank == y.rank == 2 and draw.flag(0.25):
            return Call("onnx.Gemm", (x, y), {})
        return Call("onnx.MatMul", (x, y), {})

    def word_linear(self, draw: Draw, x: Handle, weight: Handle, bias: Handle | None = None) -> Call:
        """``weight`` is (out, in)."""
        given = (x, weight) if bias is None else (x, weight, bias)
        if x.rank == 2:
            return Call("onnx.Gemm", given, {"transB": 1})
        if bias is not None:
            draw.reject("a product and a sum")
        letters = "abcd"[: x.rank - 1]
        return Call("onnx.Einsum", given, {"equation": f"{letters}i,oi->{letters}o"})

    def word_transpose(self, draw: Draw, x: Handle, *, order: tuple[int, ...]) -> Call:
        # The type of a list of nothing is not known.
        return Call("onnx.Transpose", (x,), {"perm": tuple(order)} if order else {})

    def word_reshape(self, draw: Draw, x: Handle, *, shape: tuple[int, ...]) -> Call:
        return Call("onnx.Reshape", (x, _tensor(draw, shape)), {})

    def word_unsqueeze(self, draw: Draw, x: Handle, *, axis: int) -> Call:
        return Call("onnx.Unsqueeze", (x, _tensor(draw, [axis])), {})

    def word_squeeze(self, draw: Draw, x: Handle, *, axis: int) -> Call:
        return Call("onnx.Squeeze", (x, _tensor(draw, [axis])), {})

    def word_expand(self, draw: Draw, x: Handle, *, shape: tuple[int, ...]) -> Call:
        return Call("onnx.Expand", (x, _tensor(draw, shape)), {})

    def word_concat(self, draw: Draw, *values: Handle, axis: int) -> Call:
        return Call("onnx.Concat", values, {"axis": axis})

    def word_split(self, draw: Draw, x: Handle, *, sizes: tuple[int, ...], axis: int) -> Call:
        options: dict[str, Any] = {"axis": axis, "outputs": len(sizes)}
        if len(set(sizes)) == 1 and draw.flag():
            return Call("onnx.Split", (x,), {"num_outputs": len(sizes), **options})
        return Call("onnx.Split", (x, _tensor(draw, sizes)), options)

    def word_cast(self, draw: Draw, x: Handle, *, dtype: str) -> Call:
        return Call("onnx.Cast", (x,), {"to": DType(dtype)})

    def word_clip(self, draw: Draw, x: Handle, *, low: float, high: float) -> Call:
        return Call("onnx.Clip", (x, _tensor(draw, low, x.dtype), _tensor(draw, high, x.dtype)), {})

    def word_where(self, draw: Draw, condition: Handle, x: Operand, y: Operand) -> Call:
        dtype = next(value.dtype for value in (x, y) if isinstance(value, Handle))
        return Call("onnx.Where", (condition, *(self._number(draw, value, dtype) for value in (x, y))), {})

    def word_gather(self, draw: Draw, table: Handle, indices: Handle) -> Call:
        """Rows of a table of rank 2."""
        return Call("onnx.Gather", (table, indices), {})

    def word_conv(self, draw: Draw, x: Handle, weight: Handle, bias: Handle | None = None, **options: Any) -> Call:
        """``weight`` is (out, in of a group, *kernel)."""
        spatial = x.rank - 2
        kwargs: dict[str, Any] = {}
        if draw.flag(0.7):
            kwargs["kernel_shape"] = weight.shape[2:]
        if options.get("stride", 1) > 1 or draw.flag(0.3):
            kwargs["strides"] = (options.get("stride", 1),) * spatial
        if any(options.get("pads", ())):
            kwargs["pads"] = tuple(options["pads"]) * 2
        if options.get("groups", 1) > 1:
            kwargs["group"] = options["groups"]
        return Call("onnx.Conv", (x, weight) if bias is None else (x, weight, bias), kwargs)

    def word_normalize(
        self, draw: Draw, x: Handle, mean: Handle, variance: Handle, scale: Handle, bias: Handle, *, epsilon: float
    ) -> Call:
        """Over the channels, with statistics that are given."""
        return Call("onnx.BatchNormalization", (x, scale, bias, mean, variance), {"epsilon": epsilon})

    def word_pad(self, draw: Draw, x: Handle, *, pads: tuple[tuple[int, int], ...], value: float) -> Call:
        """``pads`` are before and after, for each axis."""
        amounts = _tensor(draw, [before for before, _ in pads] + [after for _, after in pads])
        operands = (x, amounts, _tensor(draw, value, x.dtype)) if value or draw.flag(0.3) else (x, amounts)
        return Call("onnx.Pad", operands, {"mode": "constant"} if draw.flag() else {})

    def word_pool(self, draw: Draw, x: Handle, *, kind: str, size: int) -> Call:
        target = {"max": "onnx.MaxPool", "avg": "onnx.AveragePool"}[kind]
        return Call(target, (x,), {"kernel_shape": (size,) * (x.rank - 2), "strides": (size,) * (x.rank - 2)})

    def word_resize(self, draw: Draw, x: Handle, *, size: tuple[int, int], method: str) -> Call:
        """By sizes or scales, with the attributes that torch's exporter and tf2onnx write."""
        nearest = method == "nearest"
        modes = ("asymmetric", "half_pixel") if nearest else ("half_pixel", "pytorch_half_pixel", "align_corners")
        options: dict[str, Any] = {"mode": "nearest" if nearest else "linear"}
        options["coordinate_transformation_mode"] = draw.choice(modes)
        if nearest:
            options["nearest_mode"] = "floor"
        if draw.flag():
            return Call("onnx.Resize", (x, None, None, _tensor(draw, (*x.shape[:2], *size))), options)
        scales = [new / old for new, old in zip((*x.shape[:2], *size), x.shape, strict=True)]
        return Call("onnx.Resize", (x, None, _tensor(draw, scales, "float32")), options)

    def word_quantize(self, draw: Draw, x: Handle, scale: Handle, zero: Handle, **options: Any) -> Call:
        return Call("onnx.QuantizeLinear", (x, scale, zero), options)

    def word_dequantize(self, draw: Draw, x: Handle, scale: Handle, zero: Handle, **options: Any) -> Call:
        return Call("onnx.DequantizeLinear", (x, scale, zero), options)
