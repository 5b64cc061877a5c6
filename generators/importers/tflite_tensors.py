"""Tensors of a ``.tflite`` file: element types, shapes, quantization and what is stored, all held against the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from generators.frontends.tflite_nodes import Quantization, numbered
from generators.graph import DTYPES, Array, Constant, Input, TensorType
from generators.importers.errors import ImportRefused

#: Most dimensions of a tensor, bytes of an input.
_RANK, _INPUT_BYTES = 8, 1 << 33
IN_FILE = "is the file complete?"


class Tensors:
    """The tensors of a graph of a file, called ``name``; ``extents`` are those of unknown dimensions. What they are
    called is settled when they are met: inputs first, then what operators make and read."""

    def __init__(self, name: str, data: bytes, extents: Mapping[str, int]) -> None:
        self._name = name
        self._data = data
        self._extents = extents
        self._model = schema.Model.GetRootAs(data, 0)
        self._graph: Any = None
        self._count = 0
        self._names: dict[int, str] = {}
        self._taken: set[str] = set()
        self._made: set[int] = set()
        self._constants: dict[int, Constant] = {}

    def refusal(self, what: str, remedy: str = "") -> ImportRefused:
        """What to raise of this file."""
        return ImportRefused(f"{self._name} {what}", remedy)

    def counted(self, count: int, what: str, most: int = 1 << 30) -> range:
        """The places of a list of tables or numbers, each of which takes at least four bytes of the file."""
        if not 0 <= count <= min(len(self._data) // 4, most):
            raise self.refusal(
                f"claims to have {count:,} {what}, more than there can be in {len(self._data):,} bytes", IN_FILE
            )
        return range(count)

    def number(self, index: int) -> int:
        if not 0 <= index < self._count:
            raise self.refusal(f"refers to tensor {index} of {self._count}", IN_FILE)
        return int(index)

    def told(self, index: int) -> str:
        return (self._graph.Tensors(index).Name() or b"").decode(errors="replace")[:200]

    def unique(self, name: str, index: int) -> str:
        name = name or f"tensor_{index}"
        while name in self._taken:
            name = f"{name}_{index}"
        self._taken.add(name)
        return name

    def kind(self, index: int, *, sizes: bool = True) -> TensorType:
        """Element type and shape of a tensor as it is declared."""
        tensor = self._graph.Tensors(index)
        kind = numbered("TensorType").get(tensor.Type(), "").lower()
        if kind not in DTYPES or kind == "int2":
            raise self.refusal(
                f"has a tensor {self.told(index)!r:.60} of {kind or 'an unknown type'}, which is not read"
            )
        if tensor.Sparsity() is not None:
            raise self.refusal(
                f"has a sparse tensor {self.told(index)!r:.60}, which is not read", "convert it without sparsity"
            )
        if tensor.ExternalBuffer():
            raise self.refusal(f"keeps the tensor {self.told(index)!r:.60} in another file, which is not read")
        rank = tensor.ShapeLength()
        if not 0 <= rank <= _RANK:
            raise self.refusal(f"has a tensor {self.told(index)!r:.60} of {rank:,} dimensions", IN_FILE)
        shape = tuple(int(tensor.Shape(at)) for at in range(rank))
        if sizes and any(extent < 0 for extent in shape):
            raise self.refusal(f"has a tensor {self.told(index)!r:.60} with a negative extent", IN_FILE)
        return TensorType(kind, tuple(max(extent, 0) for extent in shape))

    def entry(self, index: int) -> Input:
        name, kind = self._names[index], self.kind(index, sizes=False)
        tensor = self._graph.Tensors(index)
        if tensor.ShapeSignatureLength() == kind.rank and kind.rank:
            declared = [int(tensor.ShapeSignature(at)) for at in range(kind.rank)]
            shape = tuple(
                self._extents.get(f"{name}.{axis}", 2) if extent < 0 else extent for axis, extent in enumerate(declared)
            )
            kind = replace(kind, shape=shape)
        if kind.size * DTYPES[kind.dtype].itemsize > _INPUT_BYTES:
            raise self.refusal(f"has an input {name!r:.60} of {kind}, which no memory holds", "is its shape right?")
        return Input(name, kind)

    def quantization(self, index: int) -> Quantization | None:
        parameters = self._graph.Tensors(index).Quantization()
        kind = self.kind(index, sizes=False)
        if parameters is None or DTYPES[kind.dtype].kind not in "iuV":
            return None
        count = len(self.counted(parameters.ScaleLength(), "scales"))
        points = len(self.counted(parameters.ZeroPointLength(), "zero points"))
        if parameters.DetailsType():
            raise self.refusal(
                f"quantizes {self.told(index)!r:.60} in blocks or in a way of its own, which is not read"
            )
        scales = [float(str(np.float32(parameters.Scale(at)))) for at in range(count)]
        if not scales or not any(scales):
            return None
        axis = int(parameters.QuantizedDimension())
        if not all(0 < scale < float("inf") for scale in scales) or points not in (0, 1, count):
            raise self.refusal(f"quantizes {self.told(index)!r:.60} by scales that are none", IN_FILE)
        zeros = [int(parameters.ZeroPoint(at)) for at in range(points)] or [0]
        if count == 1:
            return scales[0], zeros[0], 0
        if not (0 <= axis < kind.rank and kind.shape[axis] == count):
            raise self.refusal(f"has {count:,} scales for the tensor {self.told(index)!r:.60}, {kind}", IN_FILE)
        return tuple(scales), zeros[0] if len(set(zeros)) == 1 else tuple(zeros), axis

    def _stored(self, index: int) -> Array | None:
        """The elements of a tensor in the file; None of one that has none there."""
        tensor, kind = self._graph.Tensors(index), self.kind(index, sizes=False)
        number = tensor.Buffer()
        if not 0 <= number < len(self.counted(self._model.BuffersLength(), "buffers")):
            raise self.refusal(f"has no buffer {number:,} for the tensor {self.told(index)!r:.60}", IN_FILE)
        buffer = self._model.Buffers(number)
        if buffer.Offset() > 1:
            start, stop = int(buffer.Offset()), int(buffer.Offset()) + int(buffer.Size())
            if stop > len(self._data):
                raise self.refusal(
                    f"keeps the tensor {self.told(index)!r:.60} at bytes {start:,} to {stop:,} of {len(self._data):,}",
                    IN_FILE,
                )
            raw = np.frombuffer(self._data, np.uint8, stop - start, start)
        else:
            length = buffer.DataLength()
            if not 0 <= length <= len(self._data):
                raise self.refusal(f"claims a buffer of {length:,} bytes, more than its {len(self._data):,}", IN_FILE)
            if not length:
                return None
            raw = buffer.DataAsNumpy()
        return self._elements(index, kind, raw)

    def _elements(self, index: int, kind: TensorType, raw: Array) -> Array:
        dtype = DTYPES[kind.dtype]
        halves = kind.dtype in ("int4", "uint4")
        wanted = (kind.size + 1) // 2 if halves else kind.size * dtype.itemsize
        if raw.size != wanted:
            raise self.refusal(
                f"has {raw.size:,} bytes for the tensor {self.told(index)!r:.60}, {kind}, which takes {wanted:,}",
                IN_FILE,
            )
        if not halves:
            return np.frombuffer(raw.tobytes(), dtype).reshape(kind.shape)
        nibbles = np.stack([raw & 15, raw >> 4], -1).reshape(-1)[: kind.size]
        signed = (nibbles.astype(np.int8) ^ 8) - 8 if kind.dtype == "int4" else nibbles
        return np.asarray(signed).astype(getattr(ml_dtypes, kind.dtype)).reshape(kind.shape)

    def available(self, index: int, what: str) -> str:
        """The name of a tensor that is an input, a constant, or made by an operator before this one."""
        if index in self._made:
            return self._names[index]
        if index not in self._constants:
            array = self._stored(index)
            if array is None and self.kind(index, sizes=False).size == 0:
                kind = self.kind(index)
                array = np.zeros(kind.shape, DTYPES[kind.dtype])
            if array is None:
                raise self.refusal(
                    f"reads tensor {index} ({self.told(index)!r:.60}), {what}, before anything makes it", IN_FILE
                )
            self._names[index] = self.unique(self.told(index), index)
            self._constants[index] = Constant(self._names[index], array)
        return self._names[index]
