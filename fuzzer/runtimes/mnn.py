"""MNN: its converter from ONNX, its CPU backend through the Module API."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx

from fuzzer.failures import Refusal, recognising
from fuzzer.formats import Artifact, Format, Option, Settings, Unsupported
from fuzzer.onnx_artifacts import complete, element_types
from fuzzer.runtimes._console import console
from fuzzer.runtimes.base import Runtime
from generators.graph import Array, dtype_name

REFUSALS = (
    # The converter names all of the operators that it has no form for: the first is enough.
    Refusal(r"These Op Not Support: (?:ONNX::)?(\w+)", r"\1"),
)
#: The types that it keeps as they are; others it makes float32, or eight bits of a scheme of its own.
TYPES = frozenset({"float32", "int32", "int64", "bool"})


class MnnError(Exception):
    """What MNN's converter wrote before it gave up, or the name of what returned nothing."""


@dataclass
class Session:
    """A module, the names of its inputs in order, and NumPy's types of its outputs in order of the artifact's."""

    module: Any
    inputs: tuple[str, ...]
    outputs: tuple[np.dtype[Any], ...]


class Mnn(Runtime):
    """One thread, precision ``high``, which is float32 where ``normal`` and ``low`` may be less. Models with other
    element types than float32, int32, int64 and bool are refused: MNN would compute them in one of these. It has no
    integers of 64 bits and no bool: it computes with int32, and what it gives back is widened or narrowed here."""

    name = "mnn"
    format = Format.ONNX
    requires = ("mnn>=3.2",)
    packages = ("MNN",)
    options: ClassVar[tuple[Option, ...]] = (
        Option("precision", ("high",), (), "precision of the backend"),
        Option("optimization", (1, 2), (), "optimizeLevel of the converter; 2 is right for most models, it says"),
    )
    variants: ClassVar[Mapping[str, Settings]] = {"cpu": {"precision": "high", "optimization": 1}}
    narrows = ("int64",)
    #: It often ends the process, and with it the batch's work.
    share = 0.2

    def warm_up(self) -> None:
        _converter()
        import MNN.expr
        import MNN.nn  # noqa: F401

    def load(self, artifact: Artifact, settings: Settings) -> Session:
        import MNN.nn

        if artifact.complex_outputs:
            raise Unsupported("complex numbers")
        model = complete(artifact)
        if other := sorted(element_types(model) - TYPES):
            raise Unsupported(f"{other[0]}, which is not computed as such")
        held = {tensor.name for tensor in model.graph.initializer}
        inputs = tuple(value.name for value in model.graph.input if value.name not in held)
        if not inputs:
            raise Unsupported("a model without inputs")
        declared = {
            value.name: onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            for value in model.graph.output
        }
        with tempfile.TemporaryDirectory(prefix="convfuzz-") as name, recognising(REFUSALS):
            path = Path(name) / "model.mnn"
            _converted(model, path, int(settings.get("optimization", 1)))
            with console() as written:
                manager = MNN.nn.create_runtime_manager(
                    ({"backend": "CPU", "precision": str(settings.get("precision", "high")), "numThread": 1},)
                )
                try:
                    module = MNN.nn.load_module_from_file(
                        str(path), list(inputs), list(artifact.outputs), runtime_manager=manager
                    )
                except SystemError as error:
                    raise MnnError(f"load_module_from_file: {error.__cause__ or error}") from None
            if module is None:
                raise MnnError(written.text or "load_module_from_file gives nothing")
        return Session(module, inputs, tuple(declared[output] for output in artifact.outputs))

    def run(self, session: Session, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        from MNN import expr

        named = dict(zip(artifact.inputs, feeds, strict=True))
        with recognising(REFUSALS):
            with console() as written:
                results = session.module.onForward([_given(expr, named[name]) for name in session.inputs])
                arrays = None if results is None else [_read(result) for result in results]
            if ignored := _IGNORED.search(written.text):
                raise Unsupported(f"{ignored[1]}, which it leaves out")
            if arrays is None or len(arrays) != len(session.outputs):
                raise MnnError(written.text or f"onForward gives {arrays and len(arrays)} outputs")
        return [_declared(array, dtype) for array, dtype in zip(arrays, session.outputs, strict=True)]

    def script(self, settings: Settings, dtypes: Collection[str] = (), *, quantized: bool = False) -> str:
        return _SCRIPT.replace("PRECISION", str(settings.get("precision", "high"))).replace(
            "LEVEL", str(settings.get("optimization", 1))
        )


def _converter() -> Any:
    """The extension module of the converter. Not MNN.tools: importing that installs a package that sends usage to a
    service.

    It is bound to its own protobuf: to that of TensorFlow, whose symbols are for everybody, it would add descriptors
    that are there already, which ends the process.
    """
    if not hasattr(sys, "setdlopenflags"):
        import _tools

        return _tools
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | getattr(os, "RTLD_DEEPBIND", 0))
    try:
        import _tools
    finally:
        sys.setdlopenflags(flags)
    return _tools


def _converted(model: onnx.ModelProto, path: Path, level: int) -> None:
    """Write what the converter makes of a model. It returns True whatever happens."""
    converter = _converter()
    source = path.with_suffix(".onnx")
    onnx.save(model, source)
    with console() as written:
        arguments = ["-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(path), "--bizCode", "convfuzz"]
        converter.mnnconvert(["mnnconvert", *arguments, "--optimizeLevel", str(level)])
    if not path.exists():
        lines = [re.sub(r"^\[[\d:]+\] :\d+: ", "", line) for line in written.text.splitlines()]
        told = [line for line in lines if line and not line.startswith(_CUSTOMARY)]
        raise MnnError("\n".join(told) or "mnnconvert writes no file and says nothing")


#: What it says of an attribute, in the first run, before it computes something without that.
_IGNORED = re.compile(r"Don't support (\w+) currently")
#: Beginnings of what the converter says of every model.
_CUSTOMARY = ("The device supports", "Start to ", "inputTensors", "outputTensors", "ONNX Model ", "Converted Failed!")


def _given(expr: Any, feed: Array | None) -> Any:
    assert feed is not None
    narrow = np.int32 if feed.dtype.kind in "biu" else np.float32
    kind = expr.int if narrow is np.int32 else expr.float
    dense = np.ascontiguousarray(feed.astype(narrow)).reshape(feed.shape)
    return expr.const(dense, list(feed.shape), expr.NCHW, kind)


def _read(result: Any) -> Array:
    """A copy of an output. The binding does not read what has no elements."""
    shape = tuple(result.shape)
    if 0 in shape:
        return np.zeros(shape, np.int32 if str(result.dtype) == "dtype.int" else np.float32)
    return np.array(result.read(), copy=True).reshape(shape)


def _declared(array: Array, dtype: np.dtype[Any]) -> Array:
    """An output of int32 as the integers, or the truth, that the model declares; another as it is."""
    return array.astype(dtype) if dtype_name(array.dtype) == "int32" and dtype.kind in "bi" else array


_SCRIPT = """\
import os
import tempfile

# MNN's converter, with protobuf of its own even where TensorFlow is imported; MNN.tools would send usage to a service.
sys.setdlopenflags(sys.getdlopenflags() | getattr(os, 'RTLD_DEEPBIND', 0))
import _tools
import MNN.expr
import MNN.nn
import numpy as np
import onnx

onnx_model = onnx.load(artifact) if isinstance(artifact, str) else onnx.load_from_string(artifact)
held = {tensor.name for tensor in onnx_model.graph.initializer}
names = [value.name for value in onnx_model.graph.input if value.name not in held]
with tempfile.TemporaryDirectory() as folder:
    onnx.save(onnx_model, f'{folder}/model.onnx')
    paths = ['--modelFile', f'{folder}/model.onnx', '--MNNModel', f'{folder}/model.mnn']
    _tools.mnnconvert(['mnnconvert', '-f', 'ONNX', *paths, '--bizCode', 'x', '--optimizeLevel', 'LEVEL'])
    manager = MNN.nn.create_runtime_manager(({'backend': 'CPU', 'precision': 'PRECISION', 'numThread': 1},))
    module = MNN.nn.load_module_from_file(
        f'{folder}/model.mnn', names, [value.name for value in onnx_model.graph.output], runtime_manager=manager
    )
variables = []
for name in names:
    feed = feeds[int(name.removeprefix('input_'))]
    narrow, kind = (np.int32, MNN.expr.int) if feed.dtype.kind in 'biu' else (np.float32, MNN.expr.float)
    dense = np.ascontiguousarray(feed.astype(narrow)).reshape(feed.shape)
    variables.append(MNN.expr.const(dense, list(feed.shape), MNN.expr.NCHW, kind))
actual = []
for value, result in zip(onnx_model.graph.output, module.onForward(variables)):
    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    array = np.array(result.read()).reshape(result.shape) if 0 not in result.shape else np.zeros(result.shape, dtype)
    actual.append(array.astype(dtype) if array.dtype == np.int32 and dtype.kind in 'bi' else array)
"""
