"""OpenVINO on the CPU."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx

from fuzzer.failures import Refusal, recognising
from fuzzer.formats import Artifact, Format, Option, Settings, Unsupported
from fuzzer.onnx_slices import uses
from fuzzer.runtimes.base import Runtime
from generators.graph import DTYPES, Array

REFUSALS = (
    Refusal(r"No conversion rule found for operations: ([\w., ]+?)(?:-\d+)?(?:\n|$)", r"\1"),
    # A node for which the plugin has no kernel, and no reference to fall back on; "Details" follow.
    Refusal(r"Unsupported operation of type: (\w+) name:", r"\1"),
    Refusal(r"CPU plug-in doesn't support (\w+) operation with dynamic rank", r"\1 of a dynamic rank"),
    Refusal(r"Unsupported data type ([A-Z]+\d*) expected: ", r"\1"),
    # What the importer says of a form of an operator, in sentences about a setting or an input.
    Refusal(
        r"(?:^|\n)([^\n]*\b(?:mode|attribute|type|value|rank|[Ll]ayout|direction|activation|version)s?\b[^\n]*?"
        r"\b(?:is|are) (?:currently )?not (?:currently )?supported\b[^\n]*)",
        r"\1",
        scrub=True,
    ),
    Refusal(r"(?:^|\n)([^\n]*\b(?:must|needs to) be (?:known ?\()?(?:static|constant)\b[^\n]*)", r"\1", scrub=True),
    Refusal(r"(?:^|\n)(?:Not Implemented:\n)?([^\n]*\b[Oo]nly [^\n]* (?:is|are) supported\b[^\n]*)", r"\1", scrub=True),
    Refusal(r"(?:^|\n)(\w+ (?:is|are) only supported for [^\n]*?)(?:\. Got[^\n]*)?(?:\n|$)", r"\1"),
)
#: Types that OpenVINO has and NumPy has not.
_EXTENDED = {"bfloat16": "bf16", "float8_e4m3fn": "f8e4m3", "float8_e5m2": "f8e5m2"}


@dataclass
class Session:
    """A compiled model, the names of its inputs and of its outputs in order."""

    compiled: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class OpenVino(Runtime):
    """The CPU plugin in float32 with one thread; in turn with two threads, and with the precision that the plugin takes
    by itself. That is bfloat16 on processors that have instructions for it, of which nothing is promised that could be
    held against it: then the variant is refused."""

    name = "openvino"
    format = Format.ONNX
    requires = ("openvino>=2025.0",)
    packages = ("openvino",)
    options: ClassVar[tuple[Option, ...]] = (
        Option("precision", ("f32", "default"), (1, 0), "INFERENCE_PRECISION_HINT; `default` leaves it to the plugin"),
        Option("threads", (1, 2), (), "INFERENCE_NUM_THREADS"),
    )
    #: Documentation of the CPU device, "Supported data types".
    narrows = ("int64", "uint32", "uint64")
    variants: ClassVar[Mapping[str, Settings]] = {
        "f32": {"precision": "f32"},
        "default": {"precision": "default"},
        "threads": {"precision": "f32", "threads": 2},
    }
    occasional = ("default", "threads")

    def warm_up(self) -> None:
        _core()

    def load(self, artifact: Artifact, settings: Settings) -> Session:
        if artifact.complex_outputs:
            raise Unsupported("complex numbers")
        configuration: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": int(settings.get("threads", 1)),
            "NUM_STREAMS": 1,
            "CACHE_DIR": "",
        }
        if settings.get("precision", "f32") == "f32":
            configuration["INFERENCE_PRECISION_HINT"] = "f32"
        core = _core()
        if settings.get("precision", "f32") == "default" and (chosen := default_precision()) != "f32":
            raise Unsupported(f"{chosen}, the precision that the plugin takes by itself on this processor")
        with recognising(REFUSALS):
            with artifact.in_directory() if artifact.files else nullcontext() as path:
                model = core.read_model(artifact.data, b"") if path is None else core.read_model(path)
            if "f64" in _element_types(model):
                # Documentation of the CPU device, "Supported data types": there is no kernel for it.
                raise Unsupported("float64, which is computed in float32")
            compiled = core.compile_model(model, "CPU", configuration)
        graph = onnx.ModelProto.FromString(artifact.data).graph
        held = {tensor.name for tensor in graph.initializer}
        # By place: a port that another is a mere copy of may have lost its name to it.
        inputs = tuple(value.name for value in graph.input if value.name not in held)
        fed = _fed(graph, inputs, len(compiled.inputs))
        return Session(compiled, fed, tuple(value.name for value in graph.output))

    def run(self, session: Session, artifact: Artifact, feeds: Sequence[Array]) -> list[Array]:
        request = session.compiled.create_infer_request()
        named = dict(zip(artifact.inputs, feeds, strict=True))
        with recognising(REFUSALS):
            request.infer({place: _tensor(named[name]) for place, name in enumerate(session.inputs)})
        places = {name: place for place, name in enumerate(session.outputs)}
        return [_array(request.get_output_tensor(places[name])) for name in artifact.outputs]

    def script(self, settings: Settings, dtypes: Collection[str] = (), *, quantized: bool = False) -> str:
        hint = ", 'INFERENCE_PRECISION_HINT': 'f32'" if settings.get("precision", "f32") == "f32" else ""
        return _SCRIPT.replace("HINT", hint).replace("COUNT", str(settings.get("threads", 1)))


def _fed(graph: onnx.GraphProto, inputs: Sequence[str], count: int) -> tuple[str, ...]:
    """The ``count`` inputs that OpenVINO's model has, in order: it leaves out those that no node uses. Unsupported when
    it has left out others, too: which is fed with what is not known then."""
    used = {value.name for value in graph.output}.union(*map(uses, graph.node))
    fed = tuple(inputs) if len(inputs) == count else tuple(name for name in inputs if name in used)
    if len(fed) != count:
        raise Unsupported("inputs", f"of {len(inputs)}, {len(fed)} of them used, OpenVINO's model has {count}")
    return fed


@functools.cache
def _core() -> Any:
    import openvino

    return openvino.Core()


def default_precision() -> str:
    """What the CPU plugin computes float32 in on this processor when it is told nothing: ``f32`` or ``bf16``."""
    return str(_core().get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name())


def _element_types(model: Any) -> set[str]:
    """Names of the element types of everything that the model computes."""
    return {output.get_element_type().get_type_name() for operator in model.get_ops() for output in operator.outputs()}


def _tensor(array: Array) -> Any:
    import openvino

    array = np.ascontiguousarray(array).reshape(array.shape)
    name = _EXTENDED.get(array.dtype.name)
    if name is None:
        return openvino.Tensor(array)
    bits = array.view(np.uint16 if array.dtype.itemsize == 2 else np.uint8)
    return openvino.Tensor(bits, array.shape, getattr(openvino.Type, name))


def _array(tensor: Any) -> Array:
    """A copy. The binding shows bfloat16 as float16 and float8 as bytes, by their bits."""
    element = tensor.get_element_type().get_type_name()
    array = np.array(tensor.data, copy=True)
    for name, own in _EXTENDED.items():
        if element == own:
            return array.view(DTYPES[name])
    return array


_SCRIPT = """\
import onnx
import openvino

core = openvino.Core()
model = core.read_model(artifact) if isinstance(artifact, str) else core.read_model(artifact, b'')
compiled = core.compile_model(model, 'CPU', {'INFERENCE_NUM_THREADS': COUNTHINT})
graph = (onnx.load(artifact) if isinstance(artifact, str) else onnx.load_from_string(artifact)).graph
held = {tensor.name for tensor in graph.initializer}
names = [value.name for value in graph.input if value.name not in held]
if len(names) != len(compiled.inputs):
    # OpenVINO leaves out inputs that are not used.
    used = {value.name for value in graph.output}.union(*(node.input for node in graph.node))
    names = [name for name in names if name in used]
named = {place: feeds[int(name.removeprefix('input_'))] for place, name in enumerate(names)}
results = compiled(named)
actual = [results[port] for port in compiled.outputs]
"""
